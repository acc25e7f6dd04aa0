"""What autoscalers ask of the metrics APIs, which others serve through aggregation.

Resource metrics (metrics.k8s.io) of pods or of one of their containers, custom metrics of pods or
of any object (custom.metrics.k8s.io), and external ones (external.metrics.k8s.io). Values are in
thousandths. Errors say what upstream's clients say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import quote

from controllers.discovery import Collection
from kube import go_durations, quantity, times
from kube.client import ApiClient, Query, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

RESOURCE: Final = "/apis/metrics.k8s.io/v1beta1"
EXTERNAL: Final = "/apis/external.metrics.k8s.io/v1beta1"
CUSTOM: Final = ("custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1")
_WINDOW_S: Final = 60.0
_TIMEOUT_S: Final = 10.0


class PodMetric(NamedTuple):
    """One pod's value.

    Attributes:
        value: in thousandths.
        at_s: when it was measured, seconds since the epoch.
        window_s: over how long.
    """

    value: int
    at_s: float = 0.0
    window_s: float = _WINDOW_S


PodMetrics = dict[str, PodMetric]
"""By the name of the pod."""


class NoMetrics(Exception):
    """A metric can't be had; the text is upstream's."""


class MetricsClient:
    """Asks for metrics as the autoscaler's account."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def resource(
        self, name: str, namespace: str, selector: str, container: str = ""
    ) -> PodMetrics:
        """Return what the selected pods, or a container of each, use of a resource.

        Raises:
            NoMetrics: nothing is known.
        """
        path = f"{RESOURCE}/namespaces/{namespace}/pods"
        query = {"labelSelector": selector}
        items = await self._items(path, query, "resource", "get pods.metrics.k8s.io")
        if not container:
            return _of_pods(items, name)
        return _of_containers(items, name, container)

    async def of_pods(
        self, name: str, namespace: str, selector: str, metric_selector: str
    ) -> PodMetrics:
        """Return a custom metric of the selected pods.

        Raises:
            NoMetrics: nothing is known.
        """
        path = f"/namespaces/{namespace}/pods/*/{quote(name, safe='')}"
        query = {"labelSelector": selector}
        if metric_selector:
            query["metricLabelSelector"] = metric_selector
        return {
            one["describedObject"]["name"]: PodMetric(
                _millis(one["value"]), _at_s(one), float(one.get("windowSeconds") or _WINDOW_S)
            )
            for one in await self._custom(path, query)
        }

    async def of_object(
        self,
        name: str,
        namespace: str,
        described: tuple[Collection | None, str],
        metric_selector: str,
    ) -> int:
        """Return a custom metric of one object.

        Args:
            name: of the metric.
            namespace: of the autoscaler, and so of the object.
            described: the object's type, None for the namespace itself, and its name.
            metric_selector: "" for none.

        Raises:
            NoMetrics: nothing is known.
        """
        collection, of = described
        if collection is None:
            where = f"/namespaces/{namespace}/metrics"
        else:
            kind = collection.resource
            kind = f"{kind}.{collection.group}" if collection.group else kind
            where = f"/namespaces/{namespace}/{kind}/{quote(of, safe='')}"
        query = {"metricLabelSelector": metric_selector} if metric_selector else {}
        items = await self._custom(f"{where}/{quote(name, safe='')}", query)
        return _millis(items[0]["value"])

    async def external(self, name: str, namespace: str, selector: str) -> list[int]:
        """Return the values of an external metric.

        Raises:
            NoMetrics: nothing is known.
        """
        path = f"{EXTERNAL}/namespaces/{namespace}/{quote(name, safe='')}"
        query = {"labelSelector": selector} if selector else {}
        text = f"get {name}.external.metrics.k8s.io"
        items = await self._items(path, query, "external", text)
        return [_millis(one["value"]) for one in items]

    async def _custom(self, path: str, query: Query) -> Sequence[JsonObject]:
        failure: NoMetrics | None = None
        for version in CUSTOM:
            try:
                return await self._items(
                    f"/apis/{version}{path}", query, "custom", f"get {path.rpartition('/')[2]}"
                )
            except _NotServed as error:
                failure = failure or NoMetrics(str(error))
        assert failure is not None
        raise failure

    async def _items(self, path: str, query: Query, api: str, what: str) -> Sequence[JsonObject]:
        """Return the items of an answer, at least one.

        Raises:
            NoMetrics: there are none, or what was answered are no metrics.
        """
        prefix = f"unable to fetch metrics from {api} metrics API: "
        try:
            answer = await self._client.request("GET", path, query=query, timeout_s=_TIMEOUT_S)
        except StatusError as error:
            details = error.status.get("details") or {}
            if error.code == 404 and not details.get("name"):
                text = f"the server could not find the requested resource ({what})"
                raise _NotServed(prefix + text) from error
            raise NoMetrics(f"{prefix}{error}") from error
        except Unreachable as error:
            raise NoMetrics(f"{prefix}{error}") from error
        items: Sequence[JsonObject] = answer.get("items") or ()
        if not items:
            raise NoMetrics(f"no metrics returned from {api} metrics API")
        return items


class _NotServed(NoMetrics):
    """The API, or that version of it, is not there."""


def _millis(value: object) -> int:
    try:
        return quantity.parse_value(value).milli_value
    except quantity.QuantityError as error:
        raise NoMetrics(f"{value!r} is no quantity: {error}") from error


def _at_s(item: JsonObject) -> float:
    try:
        return float(times.epoch_seconds(item.get("timestamp") or ""))
    except times.TimeError:
        return 0.0


def _window_s(item: JsonObject) -> float:
    try:
        return go_durations.parse_go_duration(item.get("window") or "0s")
    except ValueError:
        return _WINDOW_S


def _of_pods(items: Sequence[JsonObject], resource: str) -> PodMetrics:
    found: PodMetrics = {}
    for item in items:
        usages = [one.get("usage") or {} for one in item.get("containers") or ()]
        # What is unknown of one container is unknown of the pod.
        if usages and all(resource in usage for usage in usages):
            total = sum(_millis(usage[resource]) for usage in usages)
            found[item["metadata"]["name"]] = PodMetric(total, _at_s(item), _window_s(item))
    return found


def _of_containers(items: Sequence[JsonObject], resource: str, container: str) -> PodMetrics:
    found: PodMetrics = {}
    for item in items:
        metadata = item["metadata"]
        for one in item.get("containers") or ():
            if one["name"] == container:
                usage = one.get("usage") or {}
                break
        else:
            where = f"{metadata.get('namespace', '')}/{metadata['name']}"
            raise NoMetrics(
                "failed to get container metrics: "
                f"container {container} not present in metrics for pod {where}"
            )
        if resource in usage:
            value = _millis(usage[resource])
            found[metadata["name"]] = PodMetric(value, _at_s(item), _window_s(item))
    return found

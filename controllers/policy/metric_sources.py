"""From one metric of an autoscaler to how many pods it asks for, and what its status says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from controllers.policy import replicas
from controllers.policy.metrics import MetricsClient, NoMetrics
from controllers.policy.replicas import CannotCalculate, Proposal, Tolerances
from controllers.policy.scales import NoSuchKind, Scales
from controllers.policy.wording import selector_text
from kube import quantity
from kube.client import Unreachable
from kube.json_types import JsonObject
from kube.selector_parser import label_selector_of
from kube.status import StatusError

_NO_RESOURCE_TARGET: Final = (
    "invalid resource metric source: neither an average utilization target nor an average value "
    "(usage) target was set"
)
_NO_OBJECT_TARGET: Final = (
    "invalid object metric source: neither a value target nor an average value target was set"
)
_NO_EXTERNAL_TARGET: Final = (
    "invalid external metric source: neither a value target nor an average value target was set"
)
_Problem = (NoMetrics, CannotCalculate, NoSuchKind, StatusError, Unreachable)


class MetricFailed(Exception):
    """A metric says nothing.

    Attributes:
        reason: of the event and the condition, such as FailedGetResourceMetric.
        told: what both say.
        text: what the autoscaler makes of it (the exception's own text).
    """

    def __init__(self, reason: str, told: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.told = told


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be scaled, for a whole sync.

    Attributes:
        namespace: of it.
        selector: of its pods, as its scale has it.
        pods: those selected, decoded.
        wanted, there: how many pods its spec and its status name.
        tolerances: of the autoscaler.
        now_s: what time it is.
    """

    namespace: str
    selector: str
    pods: Sequence[JsonObject]
    wanted: int
    there: int
    tolerances: Tolerances
    now_s: float


class Found(NamedTuple):
    """What a metric asks for: how many pods, how it is called, and its status."""

    replicas: int
    name: str
    status: JsonObject


def _millis(value: object) -> int:
    return quantity.parse_value(value).milli_value


def _quantity(millis: int) -> str:
    return str(quantity.Quantity(millis, -3))


class MetricSources:
    """Looks metrics up; see the module's head."""

    def __init__(self, metrics: MetricsClient, scales: Scales) -> None:
        self._metrics = metrics
        self._scales = scales

    async def find(self, spec: JsonObject, target: Target) -> Found:
        """Return what a metric asks for.

        Raises:
            MetricFailed: it can't be had, or says nothing.
        """
        try:
            return await self._find(spec, target)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Whoever serves metrics may answer anything.
            text = f"what the metrics API answers can't be read: {error!r}"
            raise MetricFailed(f"FailedGet{spec['type']}Metric", text, text) from error

    async def _find(self, spec: JsonObject, target: Target) -> Found:
        match spec["type"]:
            case "Resource":
                return await self._resource(spec["resource"], target)
            case "ContainerResource":
                return await self._container(spec["containerResource"], target)
            case "Pods":
                return await self._pods(spec["pods"], target)
            case "Object":
                return await self._object(spec["object"], target)
            case "External":
                return await self._external(spec["external"], target)
            case other:
                text = f'unknown metric source type "{other}"'
                raise MetricFailed("InvalidMetricSourceType", text, text)

    async def _resource(self, source: JsonObject, target: Target) -> Found:
        name = source["name"]
        try:
            proposal, current = await self._usage(name, "", source["target"], target)
        except _Usage as error:
            text = f"failed to get {name} resource metric value: {error}"
            raise MetricFailed("FailedGetResourceMetric", str(error), text) from error
        status = {"type": "Resource", "resource": {"name": name, "current": current}}
        kind = " utilization (percentage of request)" if "averageUtilization" in current else ""
        return Found(proposal.replicas, f"{name} resource{kind}", status)

    async def _container(self, source: JsonObject, target: Target) -> Found:
        name, container = source["name"], source["container"]
        try:
            proposal, current = await self._usage(name, container, source["target"], target)
        except _Usage as error:
            text = f"failed to get {container} container metric value: {error}"
            raise MetricFailed("FailedGetContainerResourceMetric", str(error), text) from error
        told = {"name": name, "container": container, "current": current}
        status = {"type": "ContainerResource", "containerResource": told}
        by_share = "averageUtilization" in current
        kind = "container resource utilization (percentage of request)" if by_share else "resource"
        return Found(proposal.replicas, f"{name} {kind}", status)

    async def _usage(
        self, name: str, container: str, wanted: JsonObject, target: Target
    ) -> tuple[Proposal, JsonObject]:
        """Return what a resource asks for, and the current value.

        Raises:
            _Usage: it can't be had.
        """
        average, percent = wanted.get("averageValue"), wanted.get("averageUtilization")
        if average is None and percent is None:
            raise _Usage(_NO_RESOURCE_TARGET)
        what = "usage" if average is not None else "utilization"
        settings = (target.tolerances, target.now_s)
        try:
            try:
                found = await self._metrics.resource(
                    name, target.namespace, target.selector, container
                )
            except NoMetrics as error:
                raise NoMetrics(f"unable to get metrics for resource {name}: {error}") from error
            if average is not None:
                plain = (name, _millis(average))
                proposal = replicas.by_average(target.wanted, target.pods, found, plain, settings)
                return proposal, {"averageValue": _quantity(proposal.usage)}
            assert percent is not None
            share = (name, container, percent)
            proposal = replicas.by_utilization(target.wanted, target.pods, found, share, settings)
        except (NoMetrics, CannotCalculate) as error:
            raise _Usage(f"failed to get {name} {what}: {error}") from error
        current = {
            "averageUtilization": proposal.utilization,
            "averageValue": _quantity(proposal.usage),
        }
        return proposal, current

    async def _pods(self, source: JsonObject, target: Target) -> Found:
        metric, wanted = source["metric"], source["target"]
        name = metric["name"]
        try:
            selector = str(_selector(metric))
            try:
                found = await self._metrics.of_pods(
                    name, target.namespace, target.selector, selector
                )
            except NoMetrics as error:
                raise NoMetrics(f"unable to get metric {name}: {error}") from error
            proposal = replicas.by_average(
                target.wanted,
                target.pods,
                found,
                ("", _millis(wanted["averageValue"])),
                (target.tolerances, target.now_s),
            )
        except _Problem as error:
            text = f"failed to get pods metric value: {error}"
            raise MetricFailed("FailedGetPodsMetric", str(error), text) from error
        current = {"averageValue": _quantity(proposal.usage)}
        status = {"type": "Pods", "pods": {"metric": metric, "current": current}}
        return Found(proposal.replicas, f"pods metric {name}", status)

    async def _object(self, source: JsonObject, target: Target) -> Found:
        metric, wanted, described = source["metric"], source["target"], source["describedObject"]
        name, kind = metric["name"], described["kind"]
        by_value = wanted["type"] == "Value" and wanted.get("value") is not None
        by_pod = wanted["type"] == "AverageValue" and wanted.get("averageValue") is not None
        try:
            if not by_value and not by_pod:
                raise CannotCalculate(_NO_OBJECT_TARGET)
            value = await self._object_value(metric, described, target)
            if by_value:
                proposal = replicas.by_value(
                    target.wanted, target.pods, value, _millis(wanted["value"]), target.tolerances
                )
            else:
                proposal = replicas.by_value_per_pod(
                    target.there, value, _millis(wanted["averageValue"]), target.tolerances
                )
        except _Problem as error:
            inner = f"failed to get {name} object metric: {error}" if by_pod else str(error)
            text = f"failed to get object metric value: {inner}"
            raise MetricFailed("FailedGetObjectMetric", str(error), text) from error
        current = {("value" if by_value else "averageValue"): _quantity(proposal.usage)}
        told = {"metric": metric, "describedObject": described, "current": current}
        called = f"{kind} metric {name}"
        if by_pod:
            called = f"external metric {name}({selector_text(metric.get('selector'))})"
        return Found(proposal.replicas, called, {"type": "Object", "object": told})

    async def _object_value(self, metric: JsonObject, described: JsonObject, target: Target) -> int:
        name, kind = metric["name"], described["kind"]
        group, _, version = described.get("apiVersion", "").rpartition("/")
        selector = str(_selector(metric))
        is_namespace = kind == "Namespace" and not group
        try:
            collection = None
            if not is_namespace:
                collection = (await self._scales.find(group, kind, version))[0]
            of = (collection, described["name"])
            return await self._metrics.of_object(name, target.namespace, of, selector)
        except (NoMetrics, NoSuchKind) as error:
            # In upstream's order, though it reads oddly.
            text = (
                f"unable to get metric {name}: {kind} on {target.namespace} "
                f"{described['name']}/{error}"
            )
            raise NoMetrics(text) from error

    async def _external(self, source: JsonObject, target: Target) -> Found:
        metric, wanted = source["metric"], source["target"]
        name, selector = metric["name"], metric.get("selector")
        average, whole = wanted.get("averageValue"), wanted.get("value")
        shown = selector_text(selector)
        try:
            if average is None and whole is None:
                raise CannotCalculate(_NO_EXTERNAL_TARGET)
            try:
                values = await self._metrics.external(
                    name, target.namespace, str(_selector(metric))
                )
            except NoMetrics as error:
                where = f"{target.namespace}/{name}/{shown}"
                raise NoMetrics(f"unable to get external metric {where}: {error}") from error
            value = min(sum(values), replicas.INT64_MAX)
            if average is not None:
                proposal = replicas.by_value_per_pod(
                    target.there, value, _millis(average), target.tolerances
                )
            else:
                proposal = replicas.by_value(
                    target.wanted, target.pods, value, _millis(whole), target.tolerances
                )
        except _Problem as error:
            inner = f"failed to get external metric {name}: {error}"
            if average is not None:
                inner = f"failed to get {name} external metric: {error}"
            elif whole is None:
                inner = str(error)
            text = f"failed to get {name} external metric value: {inner}"
            raise MetricFailed("FailedGetExternalMetric", str(error), text) from error
        current = {("averageValue" if average is not None else "value"): _quantity(proposal.usage)}
        status = {"type": "External", "external": {"metric": metric, "current": current}}
        return Found(proposal.replicas, f"external metric {name}({shown})", status)


class _Usage(Exception):
    """What a resource's use failed with, for the two sources that ask for it."""


def _selector(metric: JsonObject) -> object:
    selector = metric.get("selector")
    return "" if selector is None else label_selector_of(selector)

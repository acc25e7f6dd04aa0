"""metrics.k8s.io: what nodes and pods are told to use, so that `kubectl top` has something to say.

Containers use half of what they request, or little, more or less with the minute; nodes use what
their pods do. Served to the API server's front proxy alone, which has checked who asks.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from controllers.fleet.containers import Container, State
from controllers.fleet.fleet_node import Node
from controllers.fleet.lives import chance
from controllers.fleet.nodes import NodeBook
from controllers.fleet.plan import FleetPlan
from controllers.fleet.pod_life import Pod
from controllers.fleet.web import Request
from kube import quantity, times
from kube.client import MERGE_PATCH, ApiClient, Patch, Unreachable
from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, parse_label_selector
from kube.selectors import LabelSelector
from kube.status import StatusError
from runtime.clock import Clock

GROUP: Final = "metrics.k8s.io"
VERSION: Final = "v1beta1"
ROOT: Final = f"/apis/{GROUP}/{VERSION}"
NAMESPACE: Final = "kube-system"
SERVICE: Final = "fleet-metrics"
SERVICE_NAMES: Final = (f"{SERVICE}.{NAMESPACE}.svc",)
_WINDOW: Final = "30s"
_MILLI_MIN: Final = 5
_BYTES_MIN: Final = 16 << 20
_RETRY_S: Final = 5.0
_PART_BYTES: Final = 64 << 10
_log = logging.getLogger(__name__)


def _resource(name: str, kind: str, *, is_namespaced: bool) -> JsonObject:
    return {
        "name": name,
        "singularName": "",
        "namespaced": is_namespaced,
        "kind": kind,
        "verbs": ["get", "list"],
    }


_RESOURCES: Final = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        _resource("nodes", "NodeMetrics", is_namespaced=False),
        _resource("pods", "PodMetrics", is_namespaced=True),
    ],
}
_VERSION: Final = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
_GROUP: Final = {
    "kind": "APIGroup",
    "apiVersion": "v1",
    "name": GROUP,
    "versions": [_VERSION],
    "preferredVersion": _VERSION,
}


class Metrics:
    """See the module's head."""

    def __init__(self, pods: Mapping[str, Pod], book: NodeBook, clock: Clock) -> None:
        self._pods = pods
        self._book = book
        self._clock = clock

    async def handle(self, request: Request) -> None:
        """Answer one request."""
        if "front-proxy" not in " ".join(request.issuer("commonName")):
            await request.answer(403, b"Forbidden", "text/plain")
        elif request.path == ROOT:
            await request.answer(200, orjson.dumps(_RESOURCES))
        elif request.path == f"/apis/{GROUP}":
            await request.answer(200, orjson.dumps(_GROUP))
        elif request.method == "GET" and request.path.startswith(f"{ROOT}/"):
            await self._answer(request, request.path[len(ROOT) + 1 :].split("/"))
        else:
            await request.answer(404, b"404 page not found\n", "text/plain")

    async def _answer(self, request: Request, words: list[str]) -> None:
        now_s = self._clock.now_s()
        try:
            selector = parse_label_selector(request.value("labelSelector"))
        except SelectorError as error:
            await request.answer(400, str(error).encode(), "text/plain")
            return
        match words:
            case ["nodes"]:
                # A copy, as it changes between two parts of an answer.
                nodes = [one for one in self._book.nodes.values() if one.is_alive]
                found = (self._node(one, now_s) for one in nodes if selector.matches(one.labels))
                await _answer_list(request, "NodeMetricsList", found)
            case ["pods"]:
                await _answer_list(request, "PodMetricsList", self._found(selector, "", now_s))
            case ["nodes", name] if (node := self._book.nodes.get(name)) and node.is_alive:
                await request.answer(200, orjson.dumps(self._node(node, now_s)))
            case ["namespaces", namespace, "pods"]:
                items = self._found(selector, f"{namespace}/", now_s)
                await _answer_list(request, "PodMetricsList", items)
            case ["namespaces", namespace, "pods", name] if (
                pod := self._pods.get(f"{namespace}/{name}")
            ) and _runs(pod):
                await request.answer(200, orjson.dumps(self._pod(pod, now_s)))
            case _:
                await request.answer(404, orjson.dumps(_not_found(words)))

    def _found(self, selector: LabelSelector, prefix: str, now_s: float) -> Iterator[JsonObject]:
        # A copy, as it changes between two parts of an answer.
        for pod in tuple(self._pods.values()):
            if pod.key.startswith(prefix) and _runs(pod) and selector.matches(pod.labels):
                yield self._pod(pod, now_s)

    def _node(self, node: Node, now_s: float) -> JsonObject:
        used = [_usage(pod, one, now_s) for pod in node.pods if _runs(pod) for one in _live(pod)]
        milli = _MILLI_MIN * 10 + sum(one[0] for one in used)
        size = _BYTES_MIN * 10 + sum(one[1] for one in used)
        return {
            "kind": "NodeMetrics",
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {"name": node.name, "labels": node.labels},
            "timestamp": times.format_seconds(int(now_s)),
            "window": _WINDOW,
            "usage": _shown(milli, size),
        }

    def _pod(self, pod: Pod, now_s: float) -> JsonObject:
        namespace, _, name = pod.key.partition("/")
        return {
            "kind": "PodMetrics",
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {"name": name, "namespace": namespace, "labels": pod.labels},
            "timestamp": times.format_seconds(int(now_s)),
            "window": _WINDOW,
            "containers": [
                {"name": one.shape.name, "usage": _shown(*_usage(pod, one, now_s))}
                for one in _live(pod)
            ],
        }


async def _answer_list(request: Request, kind: str, items: Iterator[JsonObject]) -> None:
    """Answer with a list, part by part: nobody waits for all of a large fleet to be encoded."""
    await request.begin("application/json")
    head = f'{{"kind":"{kind}","apiVersion":"{GROUP}/{VERSION}","metadata":{{}},"items":['
    part, separator = bytearray(head.encode()), b""
    for item in items:
        part += separator + orjson.dumps(item)
        separator = b","
        if len(part) >= _PART_BYTES:
            await request.chunk(bytes(part))
            part.clear()
    await request.chunk(bytes(part) + b"]}")
    await request.chunk(b"")


def _runs(pod: Pod) -> bool:
    return any(one.state is State.RUNNING for one in pod.everyone)


def _live(pod: Pod) -> Iterator[Container]:
    return (one for one in pod.everyone if one.state is State.RUNNING)


def _usage(pod: Pod, one: Container, now_s: float) -> tuple[int, int]:
    """Return how much a container uses, in thousandths of a core and bytes."""
    requests = (one.shape.resources or {}).get("requests") or {}
    share = 0.25 + 0.5 * chance(pod.uid, f"{one.shape.name}/{now_s // 60}")
    milli = quantity.parse(requests["cpu"]).milli_value if "cpu" in requests else 0
    size = quantity.parse(requests["memory"]).value if "memory" in requests else 0
    return max(_MILLI_MIN, int(milli * share)), max(_BYTES_MIN, int(size * share))


def _shown(milli: int, size: int) -> JsonObject:
    return {"cpu": f"{milli}m", "memory": f"{size >> 10}Ki"}


def _not_found(words: list[str]) -> JsonObject:
    name = words[-1]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "reason": "NotFound",
        "message": f'{words[-2] if len(words) > 1 else "metrics"}.{GROUP} "{name}" not found',
        "code": 404,
    }


async def announce(client: ApiClient, plan: FleetPlan, certificate: bytes) -> None:
    """Tell the API server that metrics.k8s.io is served here, until it has taken that."""
    reference = {"namespace": NAMESPACE, "name": SERVICE, "port": plan.kubelet_port}
    spec = {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": reference,
        "caBundle": base64.b64encode(certificate).decode(),
    }
    service = {
        "metadata": {"name": SERVICE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    wanted = (
        (f"/api/v1/namespaces/{NAMESPACE}/services", service),
        (
            "/apis/apiregistration.k8s.io/v1/apiservices",
            {"metadata": {"name": f"{VERSION}.{GROUP}"}, "spec": spec},
        ),
    )
    for path, obj in wanted:
        while not await _ensure(client, path, obj):
            await client.clock.sleep(_RETRY_S)


async def _ensure(client: ApiClient, path: str, obj: JsonObject) -> bool:
    """Have an object be there and say this; return whether it does."""
    try:
        try:
            await client.request("POST", path, obj)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            await _renew(client, f"{path}/{obj['metadata']['name']}", obj)
    except (StatusError, Unreachable) as error:
        _log.info("%s is not told yet: %s", obj["metadata"]["name"], error)
        return False
    return True


async def _renew(client: ApiClient, path: str, obj: JsonObject) -> None:
    """Have an object say this now, unless it has become somebody else's."""
    present = (await client.request("GET", path))["spec"].get("service") or {}
    if present.get("name", SERVICE) != SERVICE:
        _log.info("%s is served by %s", obj["metadata"]["name"], present["name"])
        return
    await client.request("PATCH", path, Patch({"spec": obj["spec"]}, MERGE_PATCH))

"""Taints by which nodes have their Pods evicted."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from conformance.cases.scheduler_predicates import free_nodes, nodes_of
from conformance.checks import check, eventually, same
from conformance.registry import case
from conformance.samples import pod
from conformance.stage import Stage
from conformance.workloads import pod_ready
from kube.json_types import JsonObject

_EFFECT: Final = "NoExecute"
_SHORT_S: Final = 4
_LONG_S: Final = 10
_EVICTION_S: Final = 30.0


def _tolerant(stage: Stage, name: str, seconds: int, **spec: Any) -> JsonObject:
    toleration = {
        "key": _key(stage),
        "value": "evict",
        "effect": _EFFECT,
        "tolerationSeconds": seconds,
    }
    obj = pod(name, labels={"group": "taint-eviction"}, tolerations=[toleration], **spec)
    obj["spec"]["terminationGracePeriodSeconds"] = 1
    return obj


def _key(stage: Stage) -> str:
    return f"{stage.unique}.example.com/evict"


async def _taint(stage: Stage, node: str) -> None:
    def add(obj: JsonObject) -> None:
        taint = {"key": _key(stage), "value": "evict", "effect": _EFFECT}
        obj["spec"].setdefault("taints", []).append(taint)

    stage.later(lambda: _untaint(stage, node))
    await nodes_of(stage).update(node, add)


async def _untaint(stage: Stage, node: str) -> None:
    def remove(obj: JsonObject) -> None:
        taints = obj["spec"].get("taints") or []
        obj["spec"]["taints"] = [entry for entry in taints if entry["key"] != _key(stage)]

    await nodes_of(stage).update(node, remove)


async def _running(stage: Stage, obj: JsonObject) -> str:
    """Create a Pod and return the node that it runs on."""
    await free_nodes(stage)
    await stage.pods.create(obj)
    node: str = (await pod_ready(stage, obj["metadata"]["name"]))["spec"]["nodeName"]
    return node


@case(
    "[sig-node] NoExecuteTaintManager Single Pod removing taint cancels eviction [Conformance] "
    "[Disruptive] [Serial]"
)
async def cancelled(stage: Stage) -> None:
    """A Pod whose node loses its taint in time stays."""
    node = await _running(stage, _tolerant(stage, "taint-eviction-4", 2 * _SHORT_S))
    async with stage.pods.watch(labelSelector="group=taint-eviction") as watch:
        await watch.expect("ADDED", what="that runs")
        await _taint(stage, node)
        await watch.nothing(within_s=_SHORT_S)
        await _untaint(stage, node)
        await watch.nothing(within_s=3 * _SHORT_S)


@case(
    "[sig-node] NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds "
    "[Conformance] [Disruptive] [Serial]"
)
async def evicting(stage: Stage) -> None:
    """Each Pod stays for as long as it tolerates the taint, then goes."""
    node = await _running(stage, _tolerant(stage, "taint-eviction-b1", _SHORT_S))
    host = (await nodes_of(stage).get(node))["metadata"]["labels"]["kubernetes.io/hostname"]
    selector = {"kubernetes.io/hostname": host}
    other = _tolerant(stage, "taint-eviction-b2", _LONG_S, nodeSelector=selector)
    same(await _running(stage, other), node, "the node of both")
    time = asyncio.get_running_loop().time
    began_s = time()
    await _taint(stage, node)
    for name, seconds in (("taint-eviction-b1", _SHORT_S), ("taint-eviction-b2", _LONG_S)):
        await _gone(stage, name)
        check(time() - began_s > seconds - 1, f"{name} was evicted after {time() - began_s:.1f} s")


async def _gone(stage: Stage, name: str) -> None:
    await eventually(f"{name} is evicted", lambda: stage.pods.gone(name), within_s=_EVICTION_S)

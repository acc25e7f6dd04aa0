"""Launches all nodes, and takes them down: what Karpenter does in the published experiments.

There are DaemonSets before there are nodes, so each node gets its daemons as it comes. Nodes go
when their workloads have gone, each by a delete of its own.
"""

from __future__ import annotations

from typing import Final

import orjson

from scaletest import manifests
from scaletest.load import Write
from scaletest.phases.workloads import MIXED, remove
from scaletest.samples import PhaseRecord
from scaletest.stage import Stage
from scaletest.watching import NODES

_CONNECTIONS: Final = 16
_DAEMONS: Final = f"/apis/apps/v1/namespaces/{manifests.SYSTEM}/daemonsets"
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


async def launch(stage: Stage, phase: PhaseRecord) -> None:
    """Launch all nodes; done when all are Ready, and all daemons on them."""
    count = stage.plan.nodes
    await stage.namespace(manifests.SYSTEM)
    for daemon_set in manifests.daemon_sets():
        await stage.create(_DAEMONS, daemon_set)
    began_s = stage.now_s()
    phase.total = count
    writes = (Write("POST", NODES, orjson.dumps(manifests.node(number))) for number in range(count))
    await stage.send(writes, phase, _CONNECTIONS)
    phase.figures["registered_s"] = stage.now_s() - began_s

    async def ready() -> int:
        return len(stage.nodes.ready)

    await stage.until(phase, count, ready)
    took_s = phase.figures["ready_s"] = stage.now_s() - began_s
    phase.figures["ready_per_minute"] = 60 * count / took_s
    await _until_daemons_run(stage, phase)
    phase.figures["daemons_s"] = stage.now_s() - began_s


async def _until_daemons_run(stage: Stage, phase: PhaseRecord) -> None:
    daemons = manifests.daemon_sets()

    async def running() -> int:
        total = 0
        for daemon_set in daemons:
            found = await stage.get(f"{_DAEMONS}/{daemon_set['metadata']['name']}") or {}
            total += (found.get("status") or {}).get("numberReady", 0)
        return total

    await stage.until(phase, len(daemons) * stage.plan.nodes, running)


async def scale_down(stage: Stage, phase: PhaseRecord) -> None:
    """Take everything down: workloads, daemons, nodes; done when no pod, node or Lease is left."""
    began_s = stage.now_s()
    await remove(stage, phase, MIXED)
    phase.figures["workloads_s"] = stage.now_s() - began_s
    for daemon_set in manifests.daemon_sets():
        await stage.delete(f"{_DAEMONS}/{daemon_set['metadata']['name']}")
    await stage.until_empty(phase, manifests.SYSTEM)
    phase.figures["pods_s"] = stage.now_s() - began_s
    nodes_began_s = stage.now_s()
    count = phase.total = len(stage.nodes.names)
    writes = (Write("DELETE", f"{NODES}/{name}") for name in sorted(stage.nodes.names))
    await stage.send(writes, phase, _CONNECTIONS)

    async def gone() -> int:
        return count - len(stage.nodes.names)

    await stage.until(phase, count, gone)
    took_s = phase.figures["nodes_s"] = stage.now_s() - nodes_began_s
    phase.figures["nodes_per_minute"] = 60 * count / max(took_s, 1e-9)
    await _until_leases_are_gone(stage)
    phase.figures["seconds"] = stage.now_s() - began_s


async def _until_leases_are_gone(stage: Stage) -> None:
    while True:
        found = await stage.get(_LEASES, limit="2")
        # The fleet's own node, which was there before the run, keeps its.
        if found is not None and len(found["items"]) <= 1:
            return
        await stage.client.clock.sleep(1.0)

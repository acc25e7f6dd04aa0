"""What a cluster must have for the rest of upstream's suite."""

from __future__ import annotations

from conformance.checks import CaseSkipped, check
from conformance.registry import case
from conformance.stage import Stage
from kube.json_types import JsonObject

_BLOCKING = frozenset({"NoSchedule", "NoExecute"})


@case("[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]")
async def two_nodes(stage: Stage) -> None:
    """Two nodes are ready and take any Pod."""
    nodes = await stage.cluster("v1", "nodes", "Node").items()
    if not nodes:
        raise CaseSkipped("the cluster has no nodes")
    free = [node for node in nodes if _is_ready(node) and not _is_tainted(node)]
    check(len(free) >= 2, f"two of {len(nodes)} nodes are ready and untainted: {len(free)} are")


def _is_ready(node: JsonObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return not node["spec"].get("unschedulable") and any(
        entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions
    )


def _is_tainted(node: JsonObject) -> bool:
    return any(entry["effect"] in _BLOCKING for entry in node["spec"].get("taints") or [])

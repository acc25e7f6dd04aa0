"""What a node looks at before it takes a pod, which may have come past the scheduler.

As a kubelet's predicates (pkg/kubelet/lifecycle/predicate.go): a pod that wants a host's port that
another pod has there is refused, and so is one that a node short of disk cannot take. What is
refused has failed, for good; a controller makes another.
"""

from __future__ import annotations

from typing import Final

from controllers.fleet.fleet_node import DISK_PRESSURE, Node
from controllers.fleet.pod_life import Pod, Verdict
from controllers.fleet.shapes import CRITICAL, HostPort

_DISK: Final = Verdict("Evicted", "The node had condition: [DiskPressure]. ")
_PORTS: Final = Verdict(
    "NodePorts",
    "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the "
    "requested pod ports",
)
_ALL_ADDRESSES: Final = "0.0.0.0"


def refusal_of(pod: Pod, node: Node) -> Verdict | None:
    """Return why a node does not take a pod that is new to it, None if it does."""
    if DISK_PRESSURE in node.faults and pod.shape.priority < CRITICAL:
        return _DISK
    if pod.shape.ports and any(
        _clash(wanted, taken)
        for other in node.pods
        if other is not pod and not other.is_over
        for taken in other.shape.ports
        for wanted in pod.shape.ports
    ):
        return _PORTS
    return None


def _clash(one: HostPort, other: HostPort) -> bool:
    """Tell whether two ports are the same on some address (framework.HostPortInfo)."""
    if (one.protocol, one.port) != (other.protocol, other.port):
        return False
    return one.address == other.address or _ALL_ADDRESSES in (one.address, other.address)

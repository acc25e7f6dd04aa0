"""Whether one node has room for a pod beside those that are there, or were promised a place."""

from __future__ import annotations

from controllers.scheduler.fit import Fit
from controllers.scheduler.shapes import Shape
from controllers.scheduler.state import ClusterState


def has_room(state: ClusterState, fit: Fit, shape: Shape, slot: int, despite: str = "") -> bool:
    """Tell whether a node has what a pod asks for, ports apart.

    Args:
        state: what there is; room that is kept for pods that are not less important counts.
        fit: of the pod's shape.
        shape: the pod's.
        slot: of the node.
        despite: uid of a pod for which room may be kept there.
    """
    promised = state.nominated.get(slot)
    kept = [
        pod
        for pod in (promised.values() if promised else ())
        if pod.shape.priority >= shape.priority and pod.uid != despite
    ]
    for pod in kept:
        state.columns.add_pod(slot, pod.shape.requests, pod.shape.nonzero, 1)
    fits = fit.has_room(slot)
    for pod in kept:
        state.columns.add_pod(slot, pod.shape.requests, pod.shape.nonzero, -1)
    return fits


def ports_clash(state: ClusterState, shape: Shape, slot: int) -> bool:
    """Tell whether a port of the node that a pod wants is taken."""
    taken = state.ports.get(slot)
    return bool(taken) and any(
        wanted.clashes(port) for wanted in shape.ports for port in taken or ()
    )

"""A node's conditions, as a kubelet tells them, and what faults make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from controllers.fleet.fleet_node import (
    ACCELERATOR,
    DISK_PRESSURE,
    MEMORY_PRESSURE,
    NOT_READY,
    PID_PRESSURE,
    Node,
)
from kube import times
from kube.json_types import JsonObject

_ACCELERATED: Final = "AcceleratedHardwareReady"
_PRESSURES: Final = (
    ("MemoryPressure", MEMORY_PRESSURE, "Memory", "sufficient memory", "insufficient memory"),
    ("DiskPressure", DISK_PRESSURE, "Disk", "no disk pressure", "disk pressure"),
    ("PIDPressure", PID_PRESSURE, "PID", "sufficient PID", "insufficient PID"),
)
KUBELETS: Final = frozenset({"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"})
"""Conditions that a kubelet alone has a say in; others may be somebody else's."""
_SHARED_MAX: Final = 4096
Known = tuple[str, float]
ACCELERATORS: Final = ("nvidia.com/gpu", "aws.amazon.com/neuron")
_WELL: Final = {"nvidia.com/gpu": "NvidiaAccelerated", "aws.amazon.com/neuron": "NeuronAccelerated"}
_ILL: Final = {"nvidia.com/gpu": "NvidiaXID79Error", "aws.amazon.com/neuron": "NeuronDMAError"}


def told(faults: Sequence[str], accelerator: str) -> list[tuple[str, str, str, str]]:
    """Return type, status, reason and message of each condition.

    Args:
        faults: what is wrong.
        accelerator: the resource that accelerated machines have, "" for others.
    """
    found = []
    for kind, fault, word, well, ill in _PRESSURES:
        has, no = f"KubeletHas{_kubelet_word(word, ill=True)}", _kubelet_word(word, ill=False)
        if fault in faults:
            found.append((kind, "True", has, f"kubelet has {ill}"))
        else:
            found.append((kind, "False", f"KubeletHas{no}", f"kubelet has {well}"))
    if NOT_READY in faults:
        text = "container runtime is down"
        found.append(("Ready", "False", "KubeletNotReady", text))
    else:
        found.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    if accelerator:
        if ACCELERATOR in faults:
            reason = _ILL.get(accelerator, "AcceleratorError")
            found.append((_ACCELERATED, "False", reason, "the accelerator has failed"))
        else:
            reason = _WELL.get(accelerator, "Accelerated")
            found.append((_ACCELERATED, "True", reason, "accelerators are well"))
    return found


def _kubelet_word(word: str, *, ill: bool) -> str:
    if word == "Disk":
        return "DiskPressure" if ill else "NoDiskPressure"
    return f"Insufficient{word}" if ill else f"Sufficient{word}"


def accelerator_of(capacity: Mapping[str, str]) -> str:
    """Return which accelerators a machine has, "" if none."""
    return next((name for name in ACCELERATORS if capacity.get(name, "0") != "0"), "")


def conditions(node: Node, accelerator: str, now_s: float) -> list[JsonObject]:
    """Return a node's conditions now; since when each is so is noted in the node."""
    now = times.format_seconds(int(now_s))
    known, found = dict(node.conditions), []
    for kind, status, reason, message in told(node.faults, accelerator):
        before, since_s = known.get(kind, ("", now_s))
        if before != status:
            since_s = float(int(now_s))
        known[kind] = (status, since_s)
        found.append(
            {
                "type": kind,
                "status": status,
                "lastHeartbeatTime": now,
                "lastTransitionTime": times.format_seconds(int(since_s)),
                "reason": reason,
                "message": message,
            }
        )
    node.conditions = shared(known)
    return found


_shared: dict[tuple[tuple[str, Known], ...], dict[str, Known]] = {}


def shared(known: dict[str, Known]) -> dict[str, Known]:
    """Return what is equal to `known`; most nodes of a fleet are, as they came together."""
    key = tuple(known.items())
    found = _shared.get(key)
    if found is None:
        if len(_shared) >= _SHARED_MAX:
            _shared.clear()
        found = _shared[key] = known
    return found

"""Pods: the summary of containers that `kubectl get pods` shows.

STATUS starts as the phase (or status.reason) and is overridden, in this order, by a scheduling
gate, by the first init container that is not done, by containers (the first one that waits or has
terminated decides), and by deletion. READY and RESTARTS count sidecars (init containers that
restart always) as containers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject
from kube.table.layout import AGE, NAME, Layout, shows, worded
from kube.table.text import NONE, condition_status

_EMPTY: Final[JsonObject] = {}
_TERMINAL: Final = frozenset({"Succeeded", "Failed"})
_UNREACHABLE: Final = "NodeLost"
_COMPLETED: Final = {
    "Succeeded": "The pod has completed successfully.",
    "Failed": "The pod failed.",
}


@dataclass(slots=True)
class _Tally:
    """What reading container statuses adds up.

    Attributes:
        last_restart: RFC 3339, empty without restarts; canonical UTC text compares as time does.
    """

    reason: str
    total: int
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""

    def count_restarts(self, container: JsonObject) -> None:
        self.restarts += container.get("restartCount", 0)
        last = container.get("lastState")
        if last and (ended := last.get("terminated")):
            self.last_restart = max(self.last_restart, ended.get("finishedAt", ""))


def _cells(pod: JsonObject, now_s: float) -> list[Any]:
    metadata, spec = pod["metadata"], pod.get("spec", _EMPTY)
    status = pod.get("status", _EMPTY)
    phase = status.get("phase", "")
    reason = status.get("reason", "")
    tally = _Tally(reason or phase, len(spec.get("containers", ())))
    conditions = status.get("conditions", ())
    for condition in conditions:
        gated = condition.get("reason") == "SchedulingGated"
        if gated and condition.get("type") == "PodScheduled":
            tally.reason = "SchedulingGated"
    is_held_up = False
    if "initContainers" in spec or "initContainerStatuses" in status:
        is_held_up, tally = _tally_init(spec, status, tally)
    if not is_held_up:
        _tally_containers(status, tally)
    if "deletionTimestamp" in metadata:
        if reason == _UNREACHABLE:
            tally.reason = "Unknown"
        elif phase not in _TERMINAL:
            tally.reason = "Terminating"
    restarts = str(tally.restarts)
    if tally.restarts and tally.last_restart:
        restarts = f"{restarts} ({durations.age(tally.last_restart, now_s)} ago)"
    pod_ips = status.get("podIPs")
    return [
        metadata.get("name", ""),
        f"{tally.ready}/{tally.total}",
        tally.reason,
        restarts,
        durations.age(metadata.get("creationTimestamp"), now_s),
        (pod_ips[0].get("ip") if pod_ips else None) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, conditions) if "readinessGates" in spec else NONE,
    ]


def _tally_init(spec: JsonObject, status: JsonObject, tally: _Tally) -> tuple[bool, _Tally]:
    """Read init containers; return whether they hold the pod up, and the tally to go on with.

    Restarts of ordinary init containers count only while initialisation lasts, so the tally to go
    on with holds the sidecars' alone once a pod's containers have started.
    """
    specs = spec.get("initContainers", ())
    sidecars = {item["name"] for item in specs if item.get("restartPolicy") == "Always"}
    tally.total += len(sidecars)
    later = _Tally(tally.reason, tally.total)
    waiting = False
    for index, container in enumerate(status.get("initContainerStatuses", ())):
        is_sidecar = container.get("name") in sidecars
        tally.count_restarts(container)
        if is_sidecar:
            later.count_restarts(container)
        state = container.get("state", _EMPTY)
        if (ended := state.get("terminated")) is not None and not ended.get("exitCode", 0):
            continue
        if is_sidecar and container.get("started"):
            tally.ready += bool(container.get("ready"))
            continue
        tally.reason = f"Init:{_init_reason(state) or f'{index}/{len(specs)}'}"
        waiting = True
        break
    if waiting and condition_status(status.get("conditions", ()), "Initialized") != "True":
        return True, tally
    later.ready, later.reason = tally.ready, tally.reason
    return False, later


def _init_reason(state: JsonObject) -> str:
    """Return why an init container is not done; empty while it simply has not ended yet."""
    if (ended := state.get("terminated")) is not None:
        return _end_reason(ended)
    reason: str = state.get("waiting", _EMPTY).get("reason", "")
    return "" if reason == "PodInitializing" else reason


def _end_reason(ended: JsonObject) -> str:
    if reason := ended.get("reason"):
        return str(reason)
    if signal := ended.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{ended.get('exitCode', 0)}"


def _tally_containers(status: JsonObject, tally: _Tally) -> None:
    """Read containers, last to first, so that the first to wait or have ended has the last word."""
    is_running = False
    failure = ""
    for container in reversed(status.get("containerStatuses", ())):
        tally.count_restarts(container)
        state = container.get("state", _EMPTY)
        if why := state.get("waiting", _EMPTY).get("reason"):
            tally.reason = why
        elif (ended := state.get("terminated")) is not None:
            tally.reason = _end_reason(ended)
            if ended.get("exitCode", 0):
                failure = tally.reason
        elif "running" in state and container.get("ready"):
            is_running = True
            tally.ready += 1
    if tally.reason == "Completed":
        # One container's end is not the pod's: others still run, or failed.
        if is_running and condition_status(status.get("conditions", ()), "Ready") == "True":
            tally.reason = "Running"
        elif failure:
            tally.reason = failure
        elif is_running:
            tally.reason = "NotReady"


def _readiness_gates(spec: JsonObject, conditions: list[JsonObject]) -> str:
    gates = spec["readinessGates"]
    passed = sum(condition_status(conditions, g["conditionType"]) == "True" for g in gates)
    return f"{passed}/{len(gates)}"


def _conditions(pod: JsonObject) -> list[JsonObject] | None:
    phase = pod.get("status", _EMPTY).get("phase")
    if phase not in _TERMINAL:
        return None
    message = _COMPLETED[phase]
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


LAYOUTS: Final = {
    "pods": Layout(
        columns=(
            NAME,
            worded("Ready", "Containers that are ready, of all containers of the pod."),
            worded("Status", "What the states of the pod's containers amount to."),
            worded("Restarts", "How often containers of the pod restarted, and when last."),
            AGE,
            shows("IP", "core.v1.PodStatus.podIP", wide=True),
            shows("Node", "core.v1.PodSpec.nodeName", wide=True),
            shows("Nominated Node", "core.v1.PodStatus.nominatedNodeName", wide=True),
            shows("Readiness Gates", "core.v1.PodSpec.readinessGates", wide=True),
        ),
        cells=_cells,
        conditions=_conditions,
    )
}

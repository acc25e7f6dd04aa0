"""A pod's status as a kubelet writes it, and what is read back from it."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import orjson

from controllers.fleet.containers import Container, Ended, State, backoff_s
from controllers.fleet.pod_life import NEVER, Condition, Pod
from kube import times
from kube.json_types import JsonObject

_NAMES: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
_WAITING: Final = {"reason": "ContainerCreating"}
_INITIALIZING: Final = {"reason": "PodInitializing"}


def status_patch(pod: Pod, host: str) -> bytes:
    """Return the strategic merge patch that tells the server of a pod as it is.

    Conditions that others keep stay; the uid keeps it from another pod of the same name.
    """
    status: JsonObject = {
        "phase": pod.phase,
        "conditions": _conditions(pod),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "startTime": _time(pod.started_s),
        "containerStatuses": [_container(pod, one) for one in pod.mains],
    }
    if pod.generation:
        status["observedGeneration"] = pod.generation
    if pod.address:
        status |= {"podIP": pod.address, "podIPs": [{"ip": pod.address}]}
    if pod.shape.inits:
        status["initContainerStatuses"] = [_container(pod, one) for one in pod.inits]
    if pod.extras:
        status["ephemeralContainerStatuses"] = [_container(pod, one) for one in pod.extras]
    if pod.verdict is not None:
        status |= {"reason": pod.verdict.reason, "message": pod.verdict.message}
    return orjson.dumps({"metadata": {"uid": pod.uid}, "status": status})


def _conditions(pod: Pod) -> list[JsonObject]:
    made = []
    for kind in Condition:
        holds, since_s = pod.conditions[kind]
        condition: JsonObject = {
            "type": _NAMES[kind],
            "status": "True" if holds else "False",
            "lastTransitionTime": _time(since_s),
        }
        if pod.sent:
            # What it said when it did not hold must go.
            condition |= {"reason": None, "message": None}
        if pod.generation:
            condition["observedGeneration"] = pod.generation
        if not holds or (kind is Condition.INITIALIZED and pod.phase == "Succeeded"):
            condition |= _why(pod, kind)
        made.append(condition)
    if not pod.is_scheduled:
        since = _time(pod.started_s)
        made.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": since})
    if pod.verdict is not None and pod.verdict.is_disruption:
        made.append(
            {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "TerminationByKubelet",
                "message": pod.verdict.message,
                "lastTransitionTime": _time(pod.kill_s),
            }
        )
    return made


def _why(pod: Pod, kind: Condition) -> JsonObject:
    if kind is Condition.READY_TO_START:
        return {}
    if pod.is_over and (kind is not Condition.INITIALIZED or pod.phase == "Succeeded"):
        return {"reason": "PodCompleted" if pod.phase == "Succeeded" else "PodFailed"}
    if kind is Condition.INITIALIZED:
        # Said of a pod that has failed, too (GeneratePodInitializedCondition).
        left = " ".join(one.shape.name for one in pod.inits if not one.has_succeeded)
        if not left:
            return {}
        text = f"containers with incomplete status: [{left}]"
        return {"reason": "ContainersNotInitialized", "message": text}
    if kind is Condition.READY and pod.conditions[Condition.CONTAINERS_READY][0]:
        gate = next((one for one in pod.shape.gates if one not in pod.gates), "")
        text = f'corresponding condition of pod readiness gate "{gate}" does not exist.'
        return {"reason": "ReadinessGatesNotReady", "message": text}
    left = " ".join(one.shape.name for one in pod.mains if not one.is_ready)
    return {
        "reason": "ContainersNotReady",
        "message": f"containers with unready status: [{left}]",
    }


def _container(pod: Pod, one: Container) -> JsonObject:
    shape = one.shape
    state, last = _states(pod, one)
    status: JsonObject = {
        "name": shape.name,
        "state": state,
        "lastState": last,
        "ready": (one.is_ready and not shape.is_ephemeral)
        or (shape.is_init and not shape.is_sidecar and one.has_succeeded),
        "restartCount": one.restarts,
        "image": shape.image,
        "imageID": shape.image_id if one.has_run else "",
        "started": one.is_started,
    }
    if one.has_run:
        status["containerID"] = container_id(pod.uid, shape.name, one.restarts)
    if one.has_run and not shape.is_ephemeral:
        # Even where nothing is asked for: a pod may be resized when its first container has these.
        status["resources"] = resources = shape.resources or {}
        if requests := resources.get("requests"):
            status["allocatedResources"] = requests
    return status


def container_id(uid: str, name: str, number: int) -> str:
    """Return the id of a container's run, as of a runtime."""
    return f"containerd://{hashlib.sha256(f'{uid}/{name}/{number}'.encode()).hexdigest()}"


def _states(pod: Pod, one: Container) -> tuple[JsonObject, JsonObject]:
    """Return the state and the last state of a container."""
    ended = None if one.ended is None else {"terminated": _ended(pod, one, one.ended)}
    match one.state:
        case State.RUNNING:
            return {"running": {"startedAt": _time(one.started_s)}}, ended or {}
        case State.EXITED if ended is not None:
            return ended, {}
        case State.BACKOFF:
            return {"waiting": _crash_loop(pod, one)}, ended or {}
        case State.NO_IMAGE:
            return {"waiting": _no_image(pod, one)}, {}
        case State.PENDING if pod.supply is not None and pod.supply.reason and _is_next(pod, one):
            return {"waiting": {"reason": pod.supply.reason, "message": pod.supply.message}}, {}
        case _:
            starts = one.state is not State.PENDING or not pod.shape.inits
            return {"waiting": dict(_WAITING if starts else _INITIALIZING)}, ended or {}


def _is_next(pod: Pod, one: Container) -> bool:
    return one.shape.is_init or not pod.shape.inits


def _ended(pod: Pod, one: Container, ended: Ended) -> JsonObject:
    told: JsonObject = {
        "exitCode": ended.code,
        "reason": ended.reason,
        "startedAt": _time(ended.started_s),
        "finishedAt": _time(ended.finished_s),
        "containerID": container_id(pod.uid, one.shape.name, ended.number),
    }
    if ended.message:
        told["message"] = ended.message
    elif pod.life.message and ended.code:
        told["message"] = pod.life.message
    return told


def _crash_loop(pod: Pod, one: Container) -> JsonObject:
    assert one.ended is not None
    wait_s = max(1, round(one.due_s - one.ended.finished_s))
    namespace, _, name = pod.key.partition("/")
    wait = f"{wait_s // 60}m{wait_s % 60}s" if wait_s >= 60 else f"{wait_s}s"
    text = f"back-off {wait} restarting failed container={one.shape.name} pod="
    return {"reason": "CrashLoopBackOff", "message": f"{text}{name}_{namespace}({pod.uid})"}


def _no_image(pod: Pod, one: Container) -> JsonObject:
    reason = "ErrImagePull" if one.pulls < 2 else "ImagePullBackOff"
    if pod.life.pull_failure not in ("ErrImagePull", "ImagePullBackOff"):
        reason = pod.life.pull_failure
    text = pod.life.message or f'Back-off pulling image "{one.shape.image}"'
    return {"reason": reason, "message": text}


def _time(seconds: float) -> str:
    return times.format_seconds(int(seconds))


def read_status(pod: Pod, status: JsonObject, slow: float, now_s: float) -> None:
    """Make a new pod what the API says it is."""
    pod.phase = status.get("phase") or "Pending"
    if started := status.get("startTime"):
        pod.started_s = float(times.epoch_seconds(started))
    pod.address = status.get("podIP") or ""
    pod.generation = int(status.get("observedGeneration") or 0)
    told = {one["type"]: one for one in status.get("conditions") or ()}
    pod.is_scheduled = "PodScheduled" in told
    pod.gates = gates_of(pod, status)
    for kind in Condition:
        if (one := told.get(_NAMES[kind])) is not None:
            since_s = _seconds(one.get("lastTransitionTime"), pod.started_s)
            pod.conditions[kind] = (one.get("status") == "True", since_s)
    statuses = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
        *(status.get("ephemeralContainerStatuses") or ()),
    ]
    by_name = {one["name"]: one for one in statuses}
    for one in pod.everyone:
        if (said := by_name.get(one.shape.name)) is not None:
            _read_container(pod, one, said, slow, now_s)


def gates_of(pod: Pod, status: JsonObject) -> frozenset[str]:
    """Return which of a pod's readiness gates hold."""
    if not pod.shape.gates:
        return frozenset()
    return frozenset(
        one["type"]
        for one in status.get("conditions") or ()
        if one["type"] in pod.shape.gates and one.get("status") == "True"
    )


def _read_container(pod: Pod, one: Container, said: JsonObject, slow: float, now_s: float) -> None:
    state = said.get("state") or {}
    one.restarts = int(said.get("restartCount") or 0)
    one.remember(one.restarts)
    last = (said.get("lastState") or {}).get("terminated")
    one.has_run = bool(one.restarts or last or "running" in state or "terminated" in state)
    if last:
        # One that waits to be restarted has not been counted yet.
        one.ended = _read_ended(last, one.restarts - ("running" in state), now_s)
    if (running := state.get("running")) is not None:
        one.started_s = _seconds(running.get("startedAt"), pod.started_s)
        one.go_on(
            pod.life, slow, was_ready=bool(said.get("ready")), was_started=bool(said.get("started"))
        )
    elif (terminated := state.get("terminated")) is not None:
        one.ended = _read_ended(terminated, one.restarts, now_s)
        one.started_s = one.ended.started_s
        one.state, one.due_s = State.EXITED, math.inf
        policy, code = one.shape.policy, one.ended.code
        restarts = policy == "Always" or (policy == "OnFailure" and code)
        if restarts and not pod.is_over and pod.kill_s == NEVER:
            one.come_back(pod.life, slow)
    elif one.ended is not None:
        one.state = State.BACKOFF
        one.due_s = one.ended.finished_s + max(1.0, backoff_s(one.restarts))
        one.remember(one.restarts + 1)


def _read_ended(said: JsonObject, number: int, now_s: float) -> Ended:
    finished_s = _seconds(said.get("finishedAt"), now_s)
    started_s = _seconds(said.get("startedAt"), finished_s)
    code = int(said.get("exitCode") or 0)
    reason, message = said.get("reason") or "", said.get("message") or ""
    return Ended(code, reason, started_s, finished_s, max(0, number), message)


def _seconds(text: Any, otherwise: float) -> float:
    if not isinstance(text, str):
        return otherwise
    try:
        return float(times.epoch_seconds(text))
    except times.TimeError:
        return otherwise

"""Init containers: they run one after the other, before all others, and hold these up."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import check, same
from conformance.registry import case
from conformance.samples import PAUSE_IMAGE
from conformance.stage import Stage
from conformance.workloads import BUSYBOX_IMAGE, condition, told
from kube.json_types import JsonObject

_RESTARTS: Final = 3


def _pod(name: str, first: str, command: str, **spec: Any) -> JsonObject:
    """Return a Pod of two init containers, the first of a command, and one container."""
    inits = [
        {"name": "init1", "image": BUSYBOX_IMAGE, "command": [first]},
        {"name": "init2", "image": BUSYBOX_IMAGE, "command": ["/bin/true"]},
    ]
    main: JsonObject = {"name": "run1", "image": BUSYBOX_IMAGE, "command": [command]}
    if not command:
        main = {"name": "run1", "image": PAUSE_IMAGE}
    spec = {"initContainers": inits, "containers": [main], **spec}
    return {"metadata": {"name": name}, "spec": spec}


async def _watched(stage: Stage, obj: JsonObject, phase: str) -> JsonObject:
    """Create a Pod and return it once in a phase; it is waited for in order meanwhile."""
    name = obj["metadata"]["name"]
    async with stage.pods.watch(fieldSelector=f"metadata.name={name}") as watch:
        await stage.pods.create(obj)
        while True:
            seen = (await watch.next()).object
            _check_order(seen)
            if seen["status"].get("phase") == phase:
                return seen


def _check_order(seen: JsonObject) -> None:
    """Demand that nothing begins before what is to end before it."""
    inits = seen["status"].get("initContainerStatuses") or []
    done = [(each["state"].get("terminated") or {}).get("exitCode") == 0 for each in inits]
    began = ["running" in each["state"] or "terminated" in each["state"] for each in inits]
    check(not any(began[1:]) or done[0], f"the second begins after the first: {inits}")
    mains = seen["status"].get("containerStatuses") or []
    if not all(done):
        waiting = [each["state"].get("waiting", {}).get("reason") for each in mains]
        same(waiting, ["PodInitializing"] * len(mains), "what the containers wait for")


def _check_initialized(seen: JsonObject) -> None:
    initialized = condition(seen, "Initialized") or {}
    same(initialized.get("status"), "True", "the condition Initialized")
    inits = seen["status"]["initContainerStatuses"]
    same([each["ready"] for each in inits], [True, True], "whether init containers are ready")
    codes = [each["state"]["terminated"]["exitCode"] for each in inits]
    same(codes, [0, 0], "codes of init containers")


@case(
    "[sig-node] InitContainer should invoke init containers on a RestartNever pod [Conformance] "
    "[NodeConformance]"
)
async def once(stage: Stage) -> None:
    """A Pod that ends has gone through all of them."""
    obj = _pod("pod-init", "/bin/true", "/bin/true", restartPolicy="Never")
    _check_initialized(await _watched(stage, told(obj, exit_code="0"), "Succeeded"))


@case(
    "[sig-node] InitContainer should invoke init containers on a RestartAlways pod [Conformance] "
    "[NodeConformance]"
)
async def always(stage: Stage) -> None:
    """A Pod that runs has gone through all of them."""
    _check_initialized(await _watched(stage, _pod("pod-init", "/bin/true", ""), "Running"))


@case(
    "[sig-node] InitContainer should not start app containers if init containers fail on a "
    "RestartAlways pod [Conformance] [NodeConformance]",
    timeout_s=240,
)
async def failing(stage: Stage) -> None:
    """The first fails, is started again and again, and holds up all others."""
    obj = told(_pod("pod-init", "/bin/false", ""), init_exit_code="1")
    async with stage.pods.watch(fieldSelector="metadata.name=pod-init") as watch:
        await stage.pods.create(obj)
        while True:
            seen = (await watch.next(within_s=120)).object
            _check_order(seen)
            inits = seen["status"].get("initContainerStatuses") or [{}]
            if inits[0].get("restartCount", 0) >= _RESTARTS:
                break
    same(seen["status"]["phase"], "Pending", "the phase")
    found = condition(seen, "Initialized") or {}
    same(found.get("status"), "False", "the condition Initialized")
    same(found.get("reason"), "ContainersNotInitialized", "its reason")
    text = "containers with incomplete status: [init1 init2]"
    same(found.get("message"), text, "its message")


@case(
    "[sig-node] InitContainer should not start app containers and fail the pod if init containers "
    "fail on a RestartNever pod [Conformance] [NodeConformance]"
)
async def failing_once(stage: Stage) -> None:
    """The second fails: the Pod has failed, and its container has never begun."""
    obj = _pod("pod-init", "/bin/true", "/bin/true", restartPolicy="Never")
    obj["spec"]["initContainers"][1]["command"] = ["/bin/false"]
    seen = await _watched(stage, obj, "Failed")
    inits = [each["state"]["terminated"]["exitCode"] for each in _statuses(seen, "initContainer")]
    same(inits, [0, 1], "codes of init containers")
    check(
        all("terminated" not in each["state"] for each in _statuses(seen, "container")),
        "the container has never begun",
    )
    found = condition(seen, "Initialized") or {}
    same(found.get("status"), "False", "the condition Initialized")
    same(found.get("reason"), "ContainersNotInitialized", "its reason")
    text = "containers with incomplete status: [init2]"
    same(found.get("message"), text, "its message")


def _statuses(seen: JsonObject, kind: str) -> list[JsonObject]:
    found: list[JsonObject] = seen["status"].get(f"{kind}Statuses") or []
    return found

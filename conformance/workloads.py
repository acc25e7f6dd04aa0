"""Steps that cases of workloads share: Pods that run, counts of a status, the scale of an object.

A Pod runs when its kubelet says so; whether a container does is not asked for, so that these
cases can be judged where nodes are simulated, too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from conformance.api import Call
from conformance.checks import CaseFailed, check, eventually, same
from conformance.resource import STRATEGIC, Resource
from conformance.samples import PAUSE_IMAGE
from conformance.stage import Stage
from kube.json_types import JsonObject

RUNNING_S_MAX: Final = 60.0
HTTPD_IMAGE: Final = "registry.k8s.io/e2e-test-images/httpd:2.4.38-4"
HTTPD_NEW_IMAGE: Final = "registry.k8s.io/e2e-test-images/httpd:2.4.39-4"

BUSYBOX_IMAGE: Final = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1"
MISSING_IMAGE: Final = "registry.k8s.io/e2e-test-images/nonexistent:404"
# Simulated nodes look for no image and run no command: this says what would become of them.
_TOLD: Final = "fleet.ultraplane.dev/"


def condition(obj: JsonObject, kind: str) -> JsonObject | None:
    """Return the condition of a type in an object's status, None if it has none."""
    entries = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in entries if entry["type"] == kind), None)


def is_ready(pod: JsonObject) -> bool:
    """Return whether a Pod runs, is ready and is not being deleted."""
    ready = condition(pod, "Ready")
    lives = "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"
    return lives and ready is not None and ready["status"] == "True"


def controlled_by(obj: JsonObject, owner: JsonObject) -> bool:
    """Return whether `owner` is the controller of an object."""
    references = obj["metadata"].get("ownerReferences") or []
    uid = owner["metadata"]["uid"]
    return any(entry.get("controller") and entry["uid"] == uid for entry in references)


async def pods_ready(stage: Stage, selector: str, count: int) -> list[JsonObject]:
    """Return the Pods that a selector matches once there are `count`, all of them ready."""

    async def look() -> list[JsonObject]:
        pods = await stage.pods.items(labelSelector=selector)
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        same(len(living), count, f"Pods of {selector}")
        waiting = [pod["metadata"]["name"] for pod in living if not is_ready(pod)]
        if waiting:
            raise CaseFailed(f"Pods of {selector} are not ready: {waiting}")
        return living or [{}]

    found = await eventually(f"{count} Pods of {selector} run", look, within_s=RUNNING_S_MAX)
    return found if count else []


async def pod_ready(stage: Stage, name: str) -> JsonObject:
    """Return a Pod once it is ready."""

    async def look() -> JsonObject:
        pod = await stage.pods.get(name)
        check(is_ready(pod), f"Pod {name} is ready: {pod['status']}")
        return pod

    return await eventually(f"Pod {name} is ready", look, within_s=RUNNING_S_MAX)


async def settled(
    resource: Resource,
    name: str,
    holds: Callable[[JsonObject], object],
    what: str,
    *,
    within_s: float = RUNNING_S_MAX,
) -> JsonObject:
    """Return an object once its controller has seen its newest spec and `holds` says so."""

    async def look() -> JsonObject:
        obj = await resource.get(name)
        generation = obj["metadata"].get("generation", 0)
        seen = obj.get("status", {}).get("observedGeneration", 0)
        check(seen >= generation, f"{name}: generation {generation} is not observed, {seen} is")
        check(holds(obj), f"{name}: {obj.get('status')}")
        return obj

    return await eventually(what, look, within_s=within_s)


def counts(**expected: int) -> Callable[[JsonObject], bool]:
    """Return what tells whether a status has these numbers; one that is absent is 0."""

    def holds(obj: JsonObject) -> bool:
        status = obj.get("status", {})
        return all(status.get(name, 0) == number for name, number in expected.items())

    return holds


async def check_scale(
    resource: Resource, name: str, expected: int, *, updated: int, patched: int
) -> None:
    """Put the scale of a workload through get, update and patch."""
    scale = await resource.get(name, "scale")
    same(scale["kind"], "Scale", "the kind of the scale")
    same(scale["spec"]["replicas"], expected, "replicas wanted")
    same(scale["status"]["replicas"], expected, "replicas there")
    wanted = copy.deepcopy(scale)
    # Without a version the update is unconditional.
    wanted["metadata"].pop("resourceVersion")
    wanted["spec"]["replicas"] = updated
    answer = await resource.api.call(Call("PUT", f"{resource.path}/{name}/scale", wanted))
    same(answer["spec"]["replicas"], updated, "replicas that the update answers")
    same((await resource.get(name))["spec"]["replicas"], updated, "replicas after the update")
    await resource.patch(name, {"spec": {"replicas": patched}}, STRATEGIC, "scale")
    same((await resource.get(name))["spec"]["replicas"], patched, "replicas after the patch")


async def check_status(resource: Resource, name: str, watched: str) -> None:
    """Update and patch the status of a workload: conditions of nobody's stay beside its own.

    Args:
        watched: label selector under which the object is watched meanwhile.
    """
    same((await resource.get(name, "status"))["metadata"]["name"], name, "the status gotten")
    mine = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from a test"}

    def add(obj: JsonObject) -> None:
        conditions = obj["status"].setdefault("conditions", [])
        conditions.append(mine)

    revision = (await resource.fetch_list(labelSelector=watched))["metadata"]["resourceVersion"]
    async with resource.watch(labelSelector=watched, resourceVersion=revision) as watch:
        updated = await resource.update(name, add, "status")
        check(_has(updated, mine), "the condition is in the answer")
        await watch.until("MODIFIED", lambda obj: _has(obj, mine), what="with the condition")
        patch: Any = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
        await resource.patch(name, patch, part="status")
        await watch.until(
            "MODIFIED", lambda obj: condition(obj, "StatusPatched"), what="with the one patched"
        )


def with_image(image: str) -> Callable[[JsonObject], None]:
    """Return what changes the image of a workload's first container."""

    def change(obj: JsonObject) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return change


def with_replicas(count: int) -> Callable[[JsonObject], None]:
    """Return what changes how many Pods a workload wants."""

    def change(obj: JsonObject) -> None:
        obj["spec"]["replicas"] = count

    return change


def at_once(obj: JsonObject, image: str = PAUSE_IMAGE) -> JsonObject:
    """Return a workload whose Pods end as soon as they are deleted, with an image of their own."""
    changed = copy.deepcopy(obj)
    spec = changed["spec"]["template"]["spec"]
    spec["terminationGracePeriodSeconds"] = 0
    spec["containers"][0]["image"] = image
    return changed


def never_pulled(obj: JsonObject) -> JsonObject:
    """Return a workload whose Pods have an image that is nowhere."""
    changed = at_once(obj, MISSING_IMAGE)
    return _told_all(changed, {"pull-failure": "ErrImagePull"})


def exits(obj: JsonObject, code: int, after_s: int = 0) -> JsonObject:
    """Return a workload of whose command it is known how it ends."""
    return _told_all(obj, {"exit-code": str(code), "run": f"{after_s}s"})


def runs_for(template: JsonObject, seconds: int) -> JsonObject:
    """Return a template of whose command it is known how long it runs."""
    return _told(template, {"run": f"{seconds}s"})


def told(obj: JsonObject, **facts: str) -> JsonObject:
    """Return a Pod, or a template of Pods, of which it is told what becomes of its containers."""
    return _told(obj, {name.replace("_", "-"): fact for name, fact in facts.items()})


def _told_all(obj: JsonObject, facts: dict[str, str]) -> JsonObject:
    template = _told(obj["spec"]["template"], facts)
    return {**obj, "spec": {**obj["spec"], "template": template}}


def _told(template: JsonObject, facts: dict[str, str]) -> JsonObject:
    metadata = template.get("metadata") or {}
    annotations = {f"{_TOLD}{name}": fact for name, fact in facts.items()}
    told = {**(metadata.get("annotations") or {}), **annotations}
    return {**template, "metadata": {**metadata, "annotations": told}}


def _has(obj: JsonObject, wanted: JsonObject) -> bool:
    found = condition(obj, wanted["type"])
    return found is not None and wanted.items() <= found.items()

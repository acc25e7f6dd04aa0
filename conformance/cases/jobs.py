"""Jobs: their Pods, what they count, and when they are over."""

from __future__ import annotations

from typing import Any, Final

from conformance.checks import check, eventually, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from conformance.workloads import (
    BUSYBOX_IMAGE,
    condition,
    controlled_by,
    counts,
    exits,
    pods_ready,
    runs_for,
)
from kube.json_types import JsonObject

_PARALLELISM: Final = 2
_COMPLETIONS: Final = 4
_FOREVER_S: Final = 3_600
INDEX: Final = "batch.kubernetes.io/job-completion-index"


def jobs(stage: Stage) -> Resource:
    """Return Jobs of the case's namespace."""
    return stage.of("batch/v1", "jobs", "Job")


def job(name: str, command: str, **spec: Any) -> JsonObject:
    """Return a Job whose container runs a shell's command line."""
    container = {"name": "c", "image": BUSYBOX_IMAGE, "command": ["/bin/sh", "-c", command]}
    template: JsonObject = {
        "metadata": {"labels": {"job": name}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    spec = {"parallelism": _PARALLELISM, "completions": _COMPLETIONS, "backoffLimit": 6, **spec}
    return {"metadata": {"name": name}, "spec": {**spec, "template": template}}


def lasting(name: str, **spec: Any) -> JsonObject:
    """Return a Job whose Pods run until they are deleted."""
    obj = job(name, f"sleep {_FOREVER_S}", **spec)
    obj["spec"]["template"] = runs_for(obj["spec"]["template"], _FOREVER_S)
    obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    return obj


async def over(stage: Stage, name: str, kind: str, **expected: int) -> JsonObject:
    """Return a Job once it has ended by a condition of `kind`, and has the counts expected."""

    def ended(obj: JsonObject) -> bool:
        found = condition(obj, kind)
        return found is not None and found["status"] == "True" and counts(**expected)(obj)

    async def look() -> JsonObject:
        obj = await jobs(stage).get(name)
        check(ended(obj), f"{name} is over: {obj.get('status')}")
        return obj

    return await eventually(f"{name} is {kind}", look, within_s=90)


@case("[sig-apps] Job should manage the lifecycle of a job [Conformance]")
async def lifecycle(stage: Stage) -> None:
    """Created suspended, patched, resumed by an update, completed, deleted by its label."""
    name, resource = f"e2e-{stage.unique}", jobs(stage)
    selector = f"e2e-job-label={name}"
    obj = exits(job(name, "exit 0", suspend=True), 0)
    obj["metadata"]["labels"] = {"e2e-job-label": name}
    async with resource.watch(labelSelector=selector) as watch:
        await resource.create(obj)
        patched = await resource.patch(name, {"metadata": {"labels": {name: "patched"}}})
        same(patched["metadata"]["labels"][name], "patched", "the label")
        await watch.until("MODIFIED", lambda seen: name in seen["metadata"]["labels"], what="label")
        same(await stage.pods.names(), [], "Pods of a suspended Job")

        def resume(seen: JsonObject) -> None:
            seen["spec"]["suspend"] = False
            seen["metadata"].setdefault("annotations", {})["updated"] = "true"

        await resource.update(name, resume)
        await watch.until("MODIFIED", _updated, what="annotation")
        same(await resource.anywhere().names(labelSelector=selector), [name], "Jobs listed")
        await over(stage, name, "Complete", succeeded=_COMPLETIONS)
        await resource.delete_all(selector, propagationPolicy="Background")
        await watch.until("DELETED", what="of the Job")
    same(await resource.anywhere().names(labelSelector=selector), [], "Jobs left")


def _updated(obj: JsonObject) -> bool:
    annotations: dict[str, str] = obj["metadata"].get("annotations") or {}
    return annotations.get("updated") == "true"


@case("[sig-apps] Job should delete a job [Conformance]")
async def deleting(stage: Stage) -> None:
    """A Job deleted in the foreground is gone when its Pods are."""
    await jobs(stage).create(lasting("foo"))
    await pods_ready(stage, "job=foo", _PARALLELISM)
    await jobs(stage).delete("foo", propagationPolicy="Foreground")
    await eventually("the Job is gone", lambda: jobs(stage).gone("foo"), within_s=90)
    same(await stage.pods.names(labelSelector="job=foo"), [], "Pods left")


@case("[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]")
async def adopting(stage: Stage) -> None:
    """A Pod that has lost its reference gets it back; one whose labels change loses it."""
    made = await jobs(stage).create(lasting("adopt-release"))
    name = (await pods_ready(stage, "job=adopt-release", _PARALLELISM))[0]["metadata"]["name"]

    def orphan(obj: JsonObject) -> None:
        obj["metadata"].pop("ownerReferences")

    await stage.pods.update(name, orphan)

    async def adopted() -> bool:
        return controlled_by(await stage.pods.get(name), made)

    await eventually("the orphan is adopted", adopted)

    def strip(obj: JsonObject) -> None:
        obj["metadata"].pop("labels")

    await stage.pods.update(name, strip)

    async def released() -> bool:
        return not (await stage.pods.get(name))["metadata"].get("ownerReferences")

    await eventually("the Pod is released", released)


@case("[sig-apps] Job should apply changes to a job status [Conformance]")
async def status(stage: Stage) -> None:
    """A condition of nobody's is patched in, given another time, and read."""
    name, resource = "suspend-true-to-false", jobs(stage)
    await resource.create(lasting(name))
    await settled_pods(stage, name)
    times = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    mine = {"type": "CustomConditionType", "status": "True", "lastTransitionTime": times[0]}
    patch: Any = {
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"conditions": [mine]},
    }
    patched = await resource.patch(name, patch, part="status")
    same(patched["metadata"]["annotations"]["patchedstatus"], "true", "the annotation")
    same(_since(patched), times[0], "the time of the condition")

    def later(obj: JsonObject) -> None:
        found = condition(obj, "CustomConditionType")
        assert found is not None
        found["lastTransitionTime"] = times[1]

    updated = await resource.update(name, later, "status")
    same(_since(updated), times[1], "the time of the condition")
    read = await resource.get(name, "status")
    same(read["metadata"]["uid"], updated["metadata"]["uid"], "the Job read by its status")


def _since(obj: JsonObject) -> str:
    found: str = (condition(obj, "CustomConditionType") or {}).get("lastTransitionTime", "")
    return found


async def settled_pods(stage: Stage, name: str) -> None:
    """Wait until a Job's Pods run, and it says so."""
    await pods_ready(stage, f"job={name}", _PARALLELISM)

    async def look() -> bool:
        return counts(active=_PARALLELISM, ready=_PARALLELISM)(await jobs(stage).get(name))

    await eventually("the Job counts its Pods", look)


@case(
    "[sig-apps] Job should create pods for an Indexed job with completion indexes and specified "
    "hostname [Conformance]"
)
async def indexed(stage: Stage) -> None:
    """Each index succeeds once, and is told in the annotation and the host name of its Pod."""
    obj = exits(job("indexed-job", "exit 0", completionMode="Indexed"), 0)
    await jobs(stage).create(obj)
    done = await over(stage, "indexed-job", "Complete", succeeded=_COMPLETIONS)
    same(done["status"].get("completedIndexes"), f"0-{_COMPLETIONS - 1}", "indexes completed")
    pods = await stage.pods.items(labelSelector="job=indexed-job")
    indexes = {
        pod["metadata"]["annotations"][INDEX]: pod["spec"]["hostname"]
        for pod in pods
        if pod["status"]["phase"] == "Succeeded"
    }
    expected = {str(number): f"indexed-job-{number}" for number in range(_COMPLETIONS)}
    same(indexes, expected, "host names of indexes")

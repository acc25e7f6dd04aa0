"""Jobs that end early, or go on, by what becomes of single Pods: policies, limits of indexes."""

from __future__ import annotations

from typing import Any, Final

from conformance.api import Call
from conformance.cases.jobs import INDEX, job, jobs, over
from conformance.checks import eventually, same
from conformance.registry import case
from conformance.stage import Stage
from conformance.workloads import condition, pods_ready
from kube.json_types import JsonObject

_ODD_FAIL: Final = "exit $((JOB_COMPLETION_INDEX % 2))"
_FIRST_ENDS: Final = 'if [ "$JOB_COMPLETION_INDEX" -eq 0 ]; then exit 0; fi; sleep 3600'
_ON_1: Final = {"operator": "In", "values": [1]}


async def _failed(stage: Stage, name: str, reason: str, **expected: int) -> JsonObject:
    """Return a Job that has failed: first it was to fail for a reason, then it had."""
    found = await over(stage, name, "Failed", **expected)
    for kind in ("FailureTarget", "Failed"):
        same((condition(found, kind) or {}).get("reason"), reason, f"the reason of {kind}")
    return found


async def _complete(stage: Stage, name: str, reason: str, **expected: int) -> JsonObject:
    """Return a Job that is complete: first it met what it had to, then it ended."""
    found = await over(stage, name, "Complete", **expected)
    met = condition(found, "SuccessCriteriaMet") or {}
    same((met.get("status"), met.get("reason")), ("True", reason), "SuccessCriteriaMet")
    return found


@case(
    "[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early "
    "[Conformance]"
)
async def exit_code(stage: Stage) -> None:
    """A Pod that exits with a code fails the Job, however many more may fail."""
    policy = {"rules": [{"action": "FailJob", "onExitCodes": _ON_1}]}
    await jobs(stage).create(job("pod-failure-failjob", "exit 1", podFailurePolicy=policy))
    await _failed(stage, "pod-failure-failjob", "PodFailurePolicy")


@case(
    "[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on "
    "DisruptionTarget condition [Conformance]"
)
async def disruption(stage: Stage) -> None:
    """With no failure allowed, a Pod that is evicted does not count, and is made again."""
    name = "disruption-ignored"
    pattern = [{"type": "DisruptionTarget", "status": "True"}]
    policy = {"rules": [{"action": "Ignore", "onPodConditions": pattern}]}
    limits: Any = {"parallelism": 1, "completions": 1, "backoffLimit": 0}
    obj = job(name, "sleep 5", podFailurePolicy=policy, **limits)
    obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    await jobs(stage).create(obj)
    evicted = (await pods_ready(stage, f"job={name}", 1))[0]["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": evicted, "namespace": stage.namespace},
    }
    await stage.api.call(Call("POST", f"{stage.pods.path}/{evicted}/eviction", eviction))
    await eventually("the evicted Pod is gone", lambda: stage.pods.gone(evicted), within_s=60)
    await _complete(stage, name, "CompletionsReached", succeeded=1)


@case(
    "[sig-apps] Job should execute all indexes despite some failing when using "
    "backoffLimitPerIndex [Conformance]"
)
async def per_index(stage: Stage) -> None:
    """Each index that fails is tried once more; all others are done all the same."""
    name = "with-backoff-limit-per-index"
    limits: Any = {"backoffLimit": None, "backoffLimitPerIndex": 1}
    await jobs(stage).create(job(name, _ODD_FAIL, completionMode="Indexed", **limits))
    found = await _failed(stage, name, "FailedIndexes", failed=4, succeeded=2)
    same(found["status"]["failedIndexes"], "1,3", "indexes that failed")
    same(found["status"]["completedIndexes"], "0,2", "indexes completed")


@case(
    "[sig-apps] Job should terminate job execution when the number of failed indexes exceeds "
    "maxFailedIndexes [Conformance]"
)
async def too_many_indexes(stage: Stage) -> None:
    """The first index that fails is one too many: no other is begun."""
    name = "with-max-failed-indexes"
    limits: Any = {"backoffLimit": None, "backoffLimitPerIndex": 0, "maxFailedIndexes": 0}
    obj = job(name, "exit 1", completionMode="Indexed", parallelism=1, **limits)
    await jobs(stage).create(obj)
    found = await _failed(stage, name, "MaxFailedIndexesExceeded", failed=1)
    same(found["status"]["failedIndexes"], "0", "indexes that failed")


@case(
    "[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in "
    "podFailurePolicy [Conformance]"
)
async def failing_index(stage: Stage) -> None:
    """An index that exits with a code has failed, though it might be tried again."""
    name = "matching-fail-index-action"
    policy = {"rules": [{"action": "FailIndex", "onExitCodes": _ON_1}]}
    limits: Any = {"backoffLimit": None, "backoffLimitPerIndex": 1, "completions": 2}
    obj = job(name, _ODD_FAIL, completionMode="Indexed", podFailurePolicy=policy, **limits)
    await jobs(stage).create(obj)
    found = await _failed(stage, name, "FailedIndexes", failed=1, succeeded=1)
    same(found["status"]["failedIndexes"], "1", "indexes that failed")
    same(found["status"]["completedIndexes"], "0", "indexes completed")


def _successful(name: str, command: str, rule: JsonObject, count: int) -> JsonObject:
    counts: Any = {"parallelism": count, "completions": count}
    policy = {"rules": [rule]}
    obj = job(name, command, completionMode="Indexed", successPolicy=policy, **counts)
    obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0
    return obj


@case("[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]")
async def all_indexes(stage: Stage) -> None:
    """All indexes are done, which is what the policy asks for."""
    name = "with-success-policy"
    await jobs(stage).create(_successful(name, "exit 0", {"succeededIndexes": "0-4"}, 5))
    found = await over(stage, name, "Complete", succeeded=5)
    same(found["status"]["completedIndexes"], "0-4", "indexes completed")
    same((condition(found, "SuccessCriteriaMet") or {}).get("status"), "True", "criteria met")
    pods = await stage.pods.items(labelSelector=f"job={name}")
    indexes = sorted(pod["metadata"]["annotations"][INDEX] for pod in pods)
    same(indexes, [str(number) for number in range(5)], "indexes of Pods")


async def _first_ends(stage: Stage, name: str, rule: JsonObject) -> None:
    """Demand that a rule takes a Job of five for done whose first index is."""
    await jobs(stage).create(_successful(name, _FIRST_ENDS, rule, 5))
    found = await _complete(stage, name, "SuccessPolicy", succeeded=1)
    same(found["status"]["completedIndexes"], "0", "indexes completed")


@case(
    "[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some "
    "indexes remain pending [Conformance]"
)
async def one_index(stage: Stage) -> None:
    """The index that counts is done: the others are ended."""
    await _first_ends(stage, "with-success-policy-indexes", {"succeededIndexes": "0"})


@case(
    "[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some "
    "indexes remain pending [Conformance]"
)
async def one_of_many(stage: Stage) -> None:
    """As many as have to be are done: the others are ended."""
    await _first_ends(stage, "with-success-policy-count", {"succeededCount": 1})

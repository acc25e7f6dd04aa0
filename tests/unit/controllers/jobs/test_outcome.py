"""By what a Job ends, which pods it is to have, and how its pods are counted."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.jobs import conditions
from controllers.jobs.outcome import completed, outcome
from controllers.jobs.selection import index_pause_s, missing, pending_indexes, surplus, wanted
from controllers.jobs.tracking import UNCOUNTED_MAX, choose, settle
from tests.unit.controllers.jobs.job_objects import (
    NOW_S,
    Json,
    counted,
    exited,
    job,
    pod,
    stamp,
    view,
)

FAIL_JOB = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [5]}}]}
IGNORE = {"rules": [{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [5]}}]}
INDEXED: Json = {"completionMode": "Indexed", "completions": 5}


def _reason(owner: Json, *pods: Json) -> str | None:
    found = outcome(view(owner, *pods))
    return None if found is None else f"{found['type']} {found.get('reason', '')}"


def _condition(kind: str, reason: str) -> Json:
    return conditions.new(kind, reason, "why", NOW_S)


RESTARTED: Json = {"containerStatuses": [{"name": "main", "restartCount": 2}]}
ON_FAILURE: Json = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "main"}]}}


@pytest.mark.parametrize(
    ("owner", "pods", "reason"),
    [
        (job(), [pod("a"), pod("b", "Failed")], None),
        (job(backoffLimit=0), [pod("b", "Failed")], "FailureTarget BackoffLimitExceeded"),
        (job({"failed": 6}), [pod("b", "Failed")], "FailureTarget BackoffLimitExceeded"),
        # One that is in the status is not counted again.
        (
            job({"failed": 5, "uncountedTerminatedPods": {"failed": ["b"]}}),
            [pod("b", "Failed")],
            None,
        ),
        # Without the finalizer it has been counted.
        (job(backoffLimit=0), [pod("b", "Failed", tracked=False)], None),
        # One that is going counts as failed, unless the Job waits for its end.
        (job(backoffLimit=0), [pod("b", deleting=True)], "FailureTarget BackoffLimitExceeded"),
        (job(backoffLimit=0, podReplacementPolicy="Failed"), [pod("b", deleting=True)], None),
        (
            job(backoffLimit=2, template=ON_FAILURE),
            [pod("a", **RESTARTED)],
            "FailureTarget BackoffLimitExceeded",
        ),
        (job(backoffLimit=3, template=ON_FAILURE), [pod("a", **RESTARTED)], None),
        (job(backoffLimit=2), [pod("a", **RESTARTED)], None),
        (
            job({"startTime": stamp(11)}, activeDeadlineSeconds=10),
            [pod("a")],
            "FailureTarget DeadlineExceeded",
        ),
        (job({"startTime": stamp(9)}, activeDeadlineSeconds=10), [pod("a")], None),
        (job({"startTime": stamp(11)}, activeDeadlineSeconds=10, suspend=True), [], None),
        (
            job(podFailurePolicy=FAIL_JOB),
            [exited(pod("a", "Failed"), 5)],
            "FailureTarget PodFailurePolicy",
        ),
        (job(podFailurePolicy=FAIL_JOB), [exited(pod("a", "Failed"), 4)], None),
        (job(podFailurePolicy=IGNORE, backoffLimit=0), [exited(pod("a", "Failed"), 5)], None),
        # What was said before the end decides.
        (job({"conditions": [_condition("FailureTarget", "X")]}), [pod("a")], "Failed X"),
        (
            job({"conditions": [_condition("SuccessCriteriaMet", "S")]}, backoffLimit=0),
            [pod("a", "Failed")],
            "SuccessCriteriaMet S",
        ),
    ],
)
def test_the_first_that_holds_decides(owner: Json, pods: list[Json], reason: str | None) -> None:
    assert _reason(owner, *pods) == reason


@pytest.mark.parametrize(
    ("spec", "status", "pods", "reason"),
    [
        ({"maxFailedIndexes": 1}, {"failedIndexes": "0,1"}, [], "MaxFailedIndexesExceeded"),
        ({"maxFailedIndexes": 2}, {"failedIndexes": "0,1"}, [], None),
        ({}, {"failedIndexes": "0,1", "completedIndexes": "2-4"}, [], "FailedIndexes"),
        ({}, {"failedIndexes": "", "completedIndexes": "0-4"}, [], None),
        ({}, {"completedIndexes": "0-3"}, [counted(pod("a", "Failed", 4), 1)], "FailedIndexes"),
        ({}, {"completedIndexes": "0-3"}, [counted(pod("a", "Failed", 4), 0)], None),
        # An index the Job does not have, and a pod that has been counted, fail none.
        ({}, {"completedIndexes": "0-3"}, [counted(pod("a", "Failed", 9), 1)], None),
        ({}, {"completedIndexes": "0-3"}, [counted(pod("a", "Failed", 4, tracked=False), 1)], None),
    ],
)
def test_indexes_that_failed_fail_the_job(
    spec: Json, status: Json, pods: list[Json], reason: str | None
) -> None:
    owner = job(status, **INDEXED, backoffLimitPerIndex=1, **spec)
    owner["spec"]["backoffLimit"] = 2**31 - 1
    found = outcome(view(owner, *pods))
    assert (found and found["reason"]) == reason


def test_a_success_policy_is_looked_at_after_what_failed() -> None:
    policy = {"rules": [{"succeededCount": 1}]}
    done, failed = pod("a", "Succeeded", 0), pod("b", "Failed", 1)
    owner = job(**INDEXED, successPolicy=policy)
    assert _reason(owner, done) == "SuccessCriteriaMet SuccessPolicy"
    owner["spec"]["backoffLimit"] = 0
    assert _reason(owner, done, failed) == "FailureTarget BackoffLimitExceeded"


@pytest.mark.parametrize(
    ("spec", "status", "pods", "active", "is_complete"),
    [
        ({"completions": 2}, {"succeeded": 1}, [pod("a", "Succeeded")], 0, True),
        ({"completions": 2}, {"succeeded": 1}, [pod("a", "Succeeded")], 1, False),
        ({"completions": 2}, {"succeeded": 1}, [], 0, False),
        ({"completions": 0}, {}, [], 0, True),
        ({}, {}, [pod("a", "Succeeded")], 0, True),
        ({}, {}, [], 0, False),
        (INDEXED, {"completedIndexes": "0-3"}, [pod("a", "Succeeded", 4)], 0, True),
        (INDEXED, {"completedIndexes": "0-3"}, [pod("a", "Succeeded", 3)], 0, False),
    ],
)
def test_a_job_is_complete_with_all_it_wants_and_no_active_pod(
    spec: Json, status: Json, pods: list[Json], active: int, *, is_complete: bool
) -> None:
    found = completed(view(job(status, **spec), *pods), active)
    assert (found is not None) == is_complete
    assert found is None or found["reason"] == "CompletionsReached"


@pytest.mark.parametrize(
    ("spec", "status", "pods", "count"),
    [
        ({"completions": 5}, {}, [], 2),
        ({"completions": 5}, {"succeeded": 4}, [], 1),
        ({"completions": 5}, {"succeeded": 6}, [], 0),
        ({}, {}, [], 2),
        ({}, {"succeeded": 1}, [pod("a")], 1),
        ({"parallelism": 0}, {}, [pod("a")], 0),
    ],
)
def test_no_more_are_wanted_than_are_left(
    spec: Json, status: Json, pods: list[Json], count: int
) -> None:
    assert wanted(view(job(status, **spec), *pods)) == count


def test_pods_that_are_going_are_not_replaced_before_their_end_if_so_asked() -> None:
    pods = [pod("a"), pod("b", deleting=True)]
    assert missing(view(job(completions=5), *pods)) == 1
    assert missing(view(job(completions=5, podReplacementPolicy="Failed"), *pods)) == 0


def test_indexes_that_are_done_active_or_failed_get_no_pod() -> None:
    owner = job({"completedIndexes": "0", "failedIndexes": "2"}, **INDEXED, backoffLimitPerIndex=0)
    found = view(owner, pod("a", index=1), pod("b", "Succeeded", 4))
    assert pending_indexes(found, 9) == [3]
    waits = job(**INDEXED, podReplacementPolicy="Failed")
    assert pending_indexes(view(waits, pod("a", index=1, deleting=True)), 3) == [0, 2, 3]
    assert pending_indexes(view(job(**INDEXED), pod("a", index=1, deleting=True)), 3) == [0, 1, 2]


def test_of_several_pods_of_an_index_the_most_advanced_stays() -> None:
    pods = [
        pod("a", "Pending", 0),
        pod("b", "Running", 0),
        pod("c", index=9),
        pod("d"),
        pod("e", index=1),
    ]
    found = view(job(**INDEXED), *pods)
    assert sorted(one.key for one in surplus(found, 0)) == ["n/a", "n/c", "n/d"]
    assert len(surplus(found, 4)) == 4
    assert surplus(view(job(), *pods), 0) == []


def test_the_last_failed_pod_of_an_index_waits_for_the_next_with_its_counts() -> None:
    owner = job(**INDEXED, backoffLimitPerIndex=3)
    old, last = counted(pod("a", "Failed", 1), 0), counted(pod("b", "Failed", 1), 1, 2)
    found = view(owner, old, last)
    assert [one.key for one in found.delayed.values()] == ["n/b"]
    assert found.next_counts(1) == (2, 2)
    assert found.next_counts(0) == (0, 0)
    assert index_pause_s(found, 0) == 0
    # It ended a minute ago: the pause after four failures is 80 seconds.
    assert index_pause_s(found, 1) == 20
    chosen = choose(found, None, {"succeeded": [], "failed": []})
    assert [one.key for one in chosen.pods] == ["n/a"]
    active = view(owner, old, last, pod("c", index=1))
    assert active.delayed == {}
    assert view(job(**INDEXED), last).next_counts(1) is None


def test_what_a_policy_ignores_counts_for_the_next_pod_apart() -> None:
    owner = job(**INDEXED, backoffLimitPerIndex=3, podFailurePolicy=IGNORE)
    found = view(owner, exited(counted(pod("a", "Failed", 1), 1), 5))
    assert found.next_counts(1) == (1, 1)
    assert found.failed == 0


# Counting -----------------------------------------------------------------------------------


def _choose(owner: Json, *pods: Json, finished: Json | None = None) -> tuple[Any, Json, list[str]]:
    lists: dict[str, list[str]] = {"succeeded": [], "failed": []}
    chosen = choose(view(owner, *pods), finished, lists)
    return chosen, lists, [one.key[2:] for one in chosen.pods]


def test_pods_that_have_ended_are_counted_and_others_stay() -> None:
    pods = [pod("a"), pod("b", "Succeeded"), pod("c", "Failed"), pod("d", deleting=True)]
    _, lists, let_go = _choose(job(), *pods)
    assert lists == {"succeeded": ["b"], "failed": ["d", "c"]}
    assert sorted(let_go) == ["b", "c", "d"]


def test_pods_of_a_job_that_fails_have_failed_and_of_one_that_succeeds_have_not() -> None:
    target = conditions.new(conditions.FAILURE_TARGET, "X", "", NOW_S)
    met = conditions.new(conditions.SUCCESS_MET, "X", "", NOW_S)
    assert _choose(job(), pod("a"), finished=target)[1:] == (
        {"succeeded": [], "failed": ["a"]},
        ["a"],
    )
    assert _choose(job(), pod("a"), finished=met)[1:] == ({"succeeded": [], "failed": []}, ["a"])


def test_indexes_are_counted_by_the_status_and_not_by_uids() -> None:
    owner = job({"completedIndexes": "1"}, **INDEXED)
    pods = [pod("b", "Succeeded", 2), pod("a", "Succeeded", 1), pod("c", "Succeeded", 0)]
    chosen, lists, let_go = _choose(owner, *pods, pod("d", "Failed", 9), pod("e", "Failed"))
    assert let_go == ["e", "c", "a", "b", "d"]
    assert chosen.succeeded == [0, 2]
    assert lists == {"succeeded": [], "failed": []}


def test_no_more_are_counted_at_once_than_fit_into_a_status() -> None:
    pods = [pod(f"p{number}", "Succeeded") for number in range(UNCOUNTED_MAX + 5)]
    chosen, lists, let_go = _choose(job(), *pods)
    assert len(let_go) == len(lists["succeeded"]) == UNCOUNTED_MAX
    assert not chosen.is_all


def test_uids_are_counted_for_good_when_their_finalizers_are_gone() -> None:
    status = {"succeeded": 3, "uncountedTerminatedPods": {"succeeded": ["a", "b"], "failed": ["c"]}}
    settle(status, {"b"})
    assert status == {
        "succeeded": 4,
        "failed": 1,
        "uncountedTerminatedPods": {"succeeded": ["b"]},
    }
    settle(status, {"b"})
    assert status["succeeded"] == 4

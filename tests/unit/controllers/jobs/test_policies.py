"""Pod failure policies and success policies, by upstream's tables."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.jobs.intervals import parse
from controllers.jobs.policies import COUNTED, Verdict, judge, success_message
from tests.unit.controllers.jobs.job_objects import Json, exited, pod


def _codes(action: str, operator: str, *values: int, **more: Any) -> Json:
    rule = {"operator": operator, "values": list(values), **more}
    return {"action": action, "onExitCodes": rule}


def _condition(action: str, kind: str, status: str = "True") -> Json:
    return {"action": action, "onPodConditions": [{"type": kind, "status": status}]}


def _fails(message: str) -> Verdict:
    return Verdict(message, is_counted=True, action="FailJob")


def _counts(action: str) -> Verdict:
    return Verdict(None, is_counted=True, action=action)


IGNORED = Verdict(None, is_counted=False, action="Ignore")
FAIL = "Container main for pod n/a failed with exit code 2 matching FailJob rule at index {}"


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        ([_codes("FailJob", "In", 1, 2, 3)], _fails(FAIL.format(0))),
        ([_codes("FailJob", "In", 1, 3)], COUNTED),
        ([_codes("FailJob", "NotIn", 1, 3)], _fails(FAIL.format(0))),
        ([_codes("FailJob", "NotIn", 1, 2)], COUNTED),
        ([_codes("Ignore", "In", 2)], IGNORED),
        ([_codes("Count", "In", 2), _codes("FailJob", "In", 2)], _counts("Count")),
        ([_codes("FailIndex", "In", 2)], _counts("FailIndex")),
        ([_codes("FailJob", "In", 2, containerName="other")], COUNTED),
        (
            [_codes("FailJob", "In", 2, containerName="main")],
            _fails(FAIL.format(0)),
        ),
        (
            [_codes("Ignore", "In", 9), _codes("FailJob", "In", 2)],
            _fails(FAIL.format(1)),
        ),
        # A rule of an action that is not known here decides nothing.
        ([_codes("Later", "In", 2), _codes("Ignore", "In", 2)], IGNORED),
        ([_condition("Ignore", "DisruptionTarget")], IGNORED),
        ([_condition("Ignore", "DisruptionTarget", "False")], COUNTED),
        (
            [_condition("FailJob", "DisruptionTarget")],
            _fails("Pod n/a has condition DisruptionTarget matching FailJob rule at index 0"),
        ),
    ],
)
def test_the_first_rule_that_matches_decides(rules: list[Json], verdict: Verdict) -> None:
    conditions = [{"type": "DisruptionTarget", "status": "True"}]
    failed = exited(pod("a", "Failed", conditions=conditions), 2)
    assert judge({"rules": rules}, failed) == verdict


def test_without_a_policy_a_failure_counts() -> None:
    assert judge(None, pod("a", "Failed")) == COUNTED


def test_success_and_running_containers_match_no_exit_code() -> None:
    policy = {"rules": [_codes("FailJob", "NotIn", 7)]}
    assert judge(policy, exited(pod("a", "Failed"), 0)) == COUNTED
    running = {"name": "main", "state": {"running": {}}}
    assert judge(policy, pod("a", "Failed", containerStatuses=[running])) == COUNTED


def test_containers_come_before_init_containers() -> None:
    def status(name: str) -> Json:
        return {"name": name, "state": {"terminated": {"exitCode": 3}}}

    policy = {"rules": [_codes("FailJob", "In", 3)]}
    both = pod("a", "Failed", containerStatuses=[status("c")], initContainerStatuses=[status("i")])
    assert "Container c for" in str(judge(policy, both).message)
    only = pod("a", "Failed", initContainerStatuses=[status("i")])
    assert "Container i for" in str(judge(policy, only).message)


@pytest.mark.parametrize(
    ("rules", "succeeded", "rule"),
    [
        ([{"succeededCount": 2}], "0-1", 0),
        ([{"succeededCount": 3}], "0-1", None),
        ([{"succeededIndexes": "0-2"}], "0-1", None),
        ([{"succeededIndexes": "0-2"}], "0-3", 0),
        ([{"succeededIndexes": "0-2", "succeededCount": 1}], "2,5", 0),
        ([{"succeededIndexes": "0-2", "succeededCount": 2}], "2,5", None),
        ([{"succeededIndexes": "0,4"}, {"succeededCount": 1}], "4", 1),
        ([{"succeededIndexes": "x"}, {"succeededIndexes": "4"}], "4", 1),
        ([{"succeededCount": 0}], "", None),
        ([], "0", None),
    ],
)
def test_a_success_policy_is_met_by_its_first_rule(
    rules: list[Json], succeeded: str, rule: int | None
) -> None:
    said = success_message({"rules": rules}, 10, parse(succeeded, 10))
    assert said == (None if rule is None else f"Matched rules at index {rule}")
    assert success_message(None, 10, parse(succeeded, 10)) is None

"""How far an update of groups goes: the rules of upstream's rollingUpdateParameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.leader_workers.rollout import (
    GroupState,
    Leaders,
    Step,
    next_partition,
    next_step,
    progress_text,
    surplus_text,
)
from controllers.leader_workers.wanted import Wanted, read_spec

OLD, NEW = GroupState(is_ready=True, is_updated=False), GroupState(is_ready=True, is_updated=True)
BROKEN = GroupState(is_ready=False, is_updated=False)
COMING = GroupState(is_ready=False, is_updated=True)


def wanted(replicas: int, unavailable: int | str = 1, surge: int | str = 0, **spec: int) -> Wanted:
    """Return what a set asks for."""
    rolling = {"maxUnavailable": unavailable, "maxSurge": surge, **spec}
    return read_spec(
        {
            "replicas": replicas,
            "leaderWorkerTemplate": {"size": 2},
            "rolloutStrategy": {"rollingUpdateConfiguration": rolling},
        }
    )


def test_what_a_spec_leaves_out_is_what_upstream_defaults_it_to() -> None:
    asked = read_spec({"leaderWorkerTemplate": {}})
    assert asked == Wanted(
        replicas=1,
        size=1,
        partition=0,
        surge_max=0,
        unavailable_max=1,
        is_recreated=True,
        waits_for_start=False,
        waits_for_leader=False,
        is_unique=False,
    )
    deprecated = read_spec({"leaderWorkerTemplate": {"restartPolicy": "Default"}})
    assert not deprecated.is_recreated


def test_percentages_of_surplus_are_rounded_up_and_of_the_missing_down() -> None:
    asked = wanted(5, "50%", "50%")
    assert (asked.unavailable_max, asked.surge_max) == (2, 3)
    assert wanted(2, 1, 10).surge_max == 2, "no more surplus than groups"


def test_all_groups_are_made_at_once_of_the_newest_template() -> None:
    assert next_step(wanted(4), None, [], is_new=False) == Step(0, 4)


def test_the_partition_of_the_set_is_the_least() -> None:
    asked = wanted(4, partition=3)
    assert next_step(asked, None, [], is_new=False) == Step(3, 4)


@pytest.mark.parametrize(
    ("replicas", "surge", "there", "step"),
    [
        (4, 0, 4, Step(4, 4)),
        (4, 2, 4, Step(4, 6)),
        (6, 2, 4, Step(4, 6)),  # growing comes first, without a surplus
        (2, 0, 4, Step(2, 2)),
    ],
)
def test_a_new_template_begins_with_no_group_updated(
    replicas: int, surge: int, there: int, step: Step
) -> None:
    asked = wanted(replicas, 1, surge)
    assert next_step(asked, Leaders(there, 0, there), [OLD] * there, is_new=True) == step


def test_growth_in_an_update_waits_with_the_update() -> None:
    leaders = Leaders(4, 2, 4)
    assert next_step(wanted(6), leaders, [OLD, OLD, NEW, NEW], is_new=False) == Step(2, 6)


def test_one_group_at_a_time_from_the_last_on() -> None:
    asked, states = wanted(4), [OLD] * 4
    assert next_step(asked, Leaders(4, 4, 4), states, is_new=False) == Step(3, 4)
    states[3] = COMING
    assert next_step(asked, Leaders(4, 3, 4), states, is_new=False) == Step(3, 4)
    states[3] = NEW
    assert next_step(asked, Leaders(4, 3, 4), states, is_new=False) == Step(2, 4)


def test_surplus_groups_go_when_what_is_missing_fits_into_what_may_be() -> None:
    asked = wanted(2, 1, 1)
    # Both old ones lack: the surplus stays.
    states = [OLD, OLD, NEW]
    assert next_step(asked, Leaders(3, 2, 2), states, is_new=False) == Step(0, 3)
    # One lacks, as may be: the surplus goes.
    states = [OLD, NEW, NEW]
    assert next_step(asked, Leaders(3, 1, 2), states, is_new=False).replicas == 2


def test_a_set_that_does_not_work_is_updated_all_the_same() -> None:
    # What is missing is more than may be; but what takes its place may work.
    assert next_partition([BROKEN] * 4, 1, 4) == 3
    assert next_partition([OLD, BROKEN, OLD, BROKEN], 1, 4) == 3
    assert next_partition([OLD, BROKEN, OLD, OLD], 1, 4) == 4, "the one that may be missing is"


@given(
    states=st.lists(st.sampled_from([OLD, NEW, BROKEN, COMING]), max_size=12),
    room=st.integers(1, 4),
    current=st.integers(0, 12),
)
def test_an_update_never_takes_more_working_groups_than_may_be_missing(
    states: list[GroupState], room: int, current: int
) -> None:
    partition = next_partition(states, room, current)
    assert 0 <= partition <= current
    done = len(states) - max((at + 1 for at, state in enumerate(states) if state != NEW), default=0)
    untouched = states[: max(0, len(states) - done - room)]
    missing = sum(not state.is_ready for state in untouched)
    taken = sum(state == OLD for state in states[partition:])
    assert current < len(states) or taken <= max(0, room - missing)


def test_what_is_told_names_the_groups() -> None:
    assert surplus_text("llm", 5, 4) == "deleting surge replica llm-4"
    assert surplus_text("llm", 6, 4) == "deleting surge replicas from llm-4 to llm-5"
    assert surplus_text("llm", 4, 4) == ""
    assert progress_text(4, 3) == "Updating replica 3"
    assert progress_text(4, 2) == "Updating replicas 2 to 3 (inclusive)"

"""A campaign's plan follows from its seed, survives being saved, and fits its clusters."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.faults.injectors import INJECTORS
from tests.faults.plan import WEIGHTS, load_plan, plan_rounds, save_plan
from tests.faults.rig import TOPOLOGIES


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    plans = [list(islice(plan_rounds(seed), 8)) for seed in (7, 7, 8)]
    assert plans[0] == plans[1] != plans[2]


def test_a_saved_plan_is_found_again(tmp_path: Path) -> None:
    rounds = list(islice(plan_rounds(3), 5))
    save_plan(tmp_path / "plan.json", 3, rounds)
    assert load_plan(tmp_path / "plan.json") == (3, rounds)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99, "seed": 1, "rounds": []}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="no plan"):
        load_plan(path)


def test_every_fault_is_planned_somewhere_and_can_be_done() -> None:
    rounds = list(islice(plan_rounds(1), 40))
    assert {step.fault for one in rounds for step in one.steps} == set(WEIGHTS) == set(INJECTORS)
    assert {one.topology for one in rounds} == set(TOPOLOGIES)
    for one in rounds:
        if not TOPOLOGIES[one.topology].is_proxied:
            assert "link" not in {step.fault for step in one.steps}

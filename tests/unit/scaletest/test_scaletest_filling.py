"""What ends the filling of a store: its number, size, time, an alarm, or the machine's memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kube.access import Access
from kube.client import ApiClient
from runtime.clock import SimulatedClock
from scaletest.load import Errors
from scaletest.phases import fill
from scaletest.plan import Plan, make_plan
from scaletest.samples import PhaseRecord, Record
from scaletest.stage import Stage
from scaletest.watching import Nodes
from tests.unit.scaletest.scale_samples import sample

PLAN = make_plan(0.01, objects=8_000)


def _filled(plan: Plan, **changed: Any) -> tuple[int, str]:
    """Return how many writes are given, and why no more."""
    record = Record(samples=[replace(sample(1.0, 0, 0), **changed)])
    client = ApiClient(Access("http://127.0.0.1:1"), clock=SimulatedClock())
    stage = Stage(plan, client, Nodes(), Errors(), record)
    phase = PhaseRecord("fill", "", 0.0)
    count = len(list(fill._writes(stage, phase, stage.now_s())))
    return count, fill.REASONS[int(phase.figures["ended_by"])]


def test_a_store_is_filled_to_the_number_of_the_plan() -> None:
    assert _filled(PLAN) == (2_000, "all were added")


def test_a_store_that_has_its_size_is_filled_no_more() -> None:
    assert _filled(PLAN, store_bytes=PLAN.store_bytes_max) == (0, "the store has its size")


def test_a_server_with_an_alarm_is_left_alone() -> None:
    assert _filled(PLAN, alarm=1) == (0, "the server had an alarm")


def test_memory_that_nodes_and_pods_will_want_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaletest.phases.fill.available_bytes", lambda: PLAN.spared_bytes - 1)
    assert _filled(PLAN) == (0, "the machine's memory was wanted for the rest")
    assert make_plan(1.0).spared_bytes > 100_000 * 100_000

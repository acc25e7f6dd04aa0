"""What metrics show of how much of levels is in use: samples of ratios."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apiserver.authn import User
from apiserver.authz import Attributes
from apiserver.fairness.figures import FairnessFigures
from apiserver.fairness.flows import Flows
from apiserver.fairness.gate import Ticket
from apiserver.fairness.model import LevelSpec, Queuing
from apiserver.fairness.requests import ONE_SEAT
from apiserver.fairness.samples import Samples

SEATS = 4
LENGTH = 8


def _level(name: str) -> LevelSpec:
    return LevelSpec(
        name,
        f"uid-{name}",
        is_exempt=False,
        shares=1_000_000,
        lendable_percent=0,
        borrowing_percent=0,
        queuing=Queuing(queues=1, hand_size=1, length_max=LENGTH),
    )


@pytest.fixture
def flows() -> Flows:
    """Return flows of a level of four seats beside the mandatory ones."""
    made = Flows(SEATS, 0.0)
    made.configure([_level("busy")], [], 0.0)
    return made


def _arrive(flows: Flows, verb: str) -> None:
    level = flows.levels["busy"]
    exchange: Any = SimpleNamespace(user=User("jo", "", ()))
    flow: Any = SimpleNamespace(tally=level.tally("s"), hand=(0,), level=level)
    ticket = Ticket(flow, ONE_SEAT, 0.0, exchange, Attributes(verb, resource="pods"))
    assert level.queues.arrive(ticket, 0.0)


def _sums(samples: Samples) -> dict[tuple[str, ...], float]:
    """Return the sums of the histograms by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in samples.families()
        for sample in family.samples
        if sample.name.endswith("_sum")
    }


def test_ratios_are_of_what_there_is_room_for(flows: Flows) -> None:
    samples = Samples(flows)
    seats = flows.levels["busy"].current
    assert seats == SEATS
    for verb in ("get", "list", "create", "patch", "watch", "delete"):
        _arrive(flows, verb)
    samples.take(1.0)
    found = _sums(samples)
    prefix = "apiserver_flowcontrol_"
    assert found[f"{prefix}priority_level_seat_utilization_sum", "busy", "executing"] == 1.0
    requests = f"{prefix}priority_level_request_utilization_sum"
    assert found[requests, "busy", "executing"] == 1.0
    assert found[requests, "busy", "waiting"] == 2 / LENGTH
    assert found[f"{prefix}demand_seats_sum", "busy"] == 6 / SEATS
    kinds = f"{prefix}read_vs_write_current_requests_sum"
    total = sum(level.nominal for level in flows.levels.values())
    assert found[kinds, "executing", "readOnly"] == 2 / total
    assert found[kinds, "executing", "mutating"] == 2 / total
    assert found[kinds, "waiting", "readOnly"] == 1 / LENGTH
    assert found[kinds, "waiting", "mutating"] == 1 / LENGTH


def test_what_was_seen_of_a_level_goes_with_it(flows: Flows) -> None:
    samples = Samples(flows)
    samples.take(1.0)
    assert any("busy" in key for key in _sums(samples))
    flows.configure([], [], 2.0)
    samples.take(3.0)
    assert not any("busy" in key for key in _sums(samples))


def test_bounds_of_virtual_starts_are_shown_while_somebody_waits(flows: Flows) -> None:
    figures = FairnessFigures(flows, lambda: 1.0)

    def bounds() -> dict[tuple[str, str], float]:
        return {
            (sample.name.rpartition("control_")[2], sample.labels["bound"]): sample.value
            for family in figures()
            for sample in family.samples
            if "bound" in sample.labels
        }

    assert bounds() == {}
    for _ in range(SEATS + 1):
        _arrive(flows, "get")
    found = bounds()
    start_r = found["next_s_bounds", "min"]
    assert found["next_s_bounds", "max"] == start_r
    assert found["next_discounted_s_bounds", "min"] == pytest.approx(start_r - SEATS * 0.003)

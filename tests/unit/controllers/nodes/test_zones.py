"""States of zones and rates of tainting, by upstream's table of ComputeZoneState."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controllers.nodes.options import DEFAULTS
from controllers.nodes.zones import TaintQueue, ZoneCount, Zones, ZoneState

SHARE = DEFAULTS.unhealthy_zone_share


@pytest.mark.parametrize(
    ("ready", "lost", "state"),
    [
        (0, 0, ZoneState.NORMAL),
        (1, 0, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL),
        (0, 3, ZoneState.FULL),
        (1, 1, ZoneState.NORMAL),
        (1, 2, ZoneState.NORMAL),
        (1, 3, ZoneState.PARTIAL),
        (45, 55, ZoneState.PARTIAL),
        (46, 54, ZoneState.NORMAL),
        (5, 4, ZoneState.NORMAL),
    ],
)
def test_a_zones_state_is_by_the_share_of_lost_nodes(
    ready: int, lost: int, state: ZoneState
) -> None:
    assert ZoneCount(ready, lost).state(SHARE) is state


def test_a_large_zone_partly_lost_is_tainted_slower_and_a_small_one_not_at_all() -> None:
    zones = Zones(DEFAULTS)
    counts = {"large": ZoneCount(20, 40), "small": ZoneCount(10, 30), "well": ZoneCount(9, 0)}
    verdict = zones.judge(counts, 0)
    assert verdict.changed == {
        "large": ZoneState.PARTIAL,
        "small": ZoneState.PARTIAL,
        "well": ZoneState.NORMAL,
    }
    rates = {zone: queue.rate for zone, queue in zones.queues.items()}
    assert rates == {"large": 0.01, "small": 0.0, "well": 0.1}


def test_one_zone_all_lost_is_tainted_at_the_full_rate() -> None:
    zones = Zones(DEFAULTS)
    verdict = zones.judge({"a": ZoneCount(0, 5), "b": ZoneCount(5, 0)}, 0)
    assert (verdict.halts, verdict.resumes) == (False, False)
    assert zones.queues["a"].rate == 0.1


def test_when_all_zones_are_lost_tainting_halts_and_resumes_with_the_first_node() -> None:
    zones = Zones(DEFAULTS)
    zones.judge({"a": ZoneCount(5, 0), "b": ZoneCount(5, 0)}, 0)
    lost = {"a": ZoneCount(0, 5), "b": ZoneCount(0, 5)}
    assert zones.judge(lost, 5).halts
    assert [queue.rate for queue in zones.queues.values()] == [0.0, 0.0]
    again = zones.judge(lost, 10)
    assert (again.halts, again.resumes, again.changed) == (False, False, {})
    verdict = zones.judge({"a": ZoneCount(1, 4), "b": ZoneCount(0, 5)}, 15)
    assert verdict.resumes
    assert zones.states == {"a": ZoneState.PARTIAL, "b": ZoneState.FULL}
    assert [queue.rate for queue in zones.queues.values()] == [0.0, 0.1]


def test_a_zone_without_nodes_is_forgotten() -> None:
    zones = Zones(DEFAULTS)
    zones.judge({"a": ZoneCount(1, 0), "b": ZoneCount(1, 0)}, 0)
    zones.judge({"a": ZoneCount(1, 0)}, 5)
    assert set(zones.states) == set(zones.queues) == {"a"}


def test_nodes_are_taken_at_the_rate_and_in_order() -> None:
    queue = TaintQueue(0.1)
    for name in ("a", "b", "c"):
        assert queue.add(name, 0)
    assert not queue.add("a", 0)
    assert queue.take(0) == "a"
    queue.done("a")
    assert queue.take(9.9) is None
    assert queue.take(10.0) == "b"
    queue.done("b")
    assert not queue.add("b", 11), "one that was tainted is not queued again by itself"
    assert queue.readd("b", 11), "but once it has lost its taint"
    queue.remove("c")
    assert queue.take(20.0) == "b"


def test_one_that_failed_waits_and_others_go_on() -> None:
    queue = TaintQueue(100.0)
    queue.add("a", 0)
    queue.add("b", 0)
    assert queue.take(0) == "a"
    queue.again("a", 0.5)
    assert queue.take(0.1) == "b"
    queue.done("b")
    assert queue.take(0.4) is None
    assert queue.take(0.6) == "a"


def test_a_halted_queue_gives_nobody_out_until_its_rate_is_back() -> None:
    queue = TaintQueue(1.0)
    queue.add("a", 0)
    queue.set_rate(0.0, 0)
    assert queue.take(1000) is None
    queue.set_rate(1.0, 1000)
    assert queue.take(1000) == "a"


def test_options_decide_about_rates() -> None:
    options = replace(DEFAULTS, eviction_rate=5.0, secondary_eviction_rate=2.0)
    zones = Zones(replace(options, large_cluster_size=3))
    zones.judge({"a": ZoneCount(1, 3), "b": ZoneCount(1, 0)}, 0)
    assert {zone: queue.rate for zone, queue in zones.queues.items()} == {"a": 2.0, "b": 5.0}

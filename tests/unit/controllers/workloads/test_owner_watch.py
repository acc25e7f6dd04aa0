"""Who is woken, how often, and what a batch of writes does when some are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from controllers.pace import Rhythm, paced, pause_for
from controllers.workloads.claims import Kind
from controllers.workloads.expectations import Expectations
from controllers.workloads.owner_watch import OwnerWatch
from controllers.workloads.pod_control import at_once, slow_start
from controllers.workloads.pods import Owner, PodBrief
from controllers.workqueue import WorkQueue
from kube.client import Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.informers.store import Store
from runtime.clock import SimulatedClock
from tests.unit.controllers.workloads.workload_objects import pod

KEY = "n/web-1"
OWNED = Owner("ReplicaSet", "web-1", "web-1")


class Moments:
    """Timers of a queue that go off when a test says so."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.due: list[tuple[float, Any]] = []

    def time(self) -> float:
        """Return the clock's time."""
        return self._clock.monotonic_s()

    def call_later(self, delay: float, callback: Any) -> Any:
        """Note what is to be called."""
        entry = (self.time() + delay, callback)
        self.due.append(entry)
        return type("Timer", (), {"cancel": lambda _self: self.due.remove(entry)})()


class Watched:
    """A watch of ReplicaSets and what it is told."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.moments = Moments(self.clock)
        self.queue: WorkQueue[str] = WorkQueue(timers=self.moments)
        self.rhythm = Rhythm(self.queue, self.clock, 0.1)
        self.expected = Expectations(self.clock)
        kind = Kind("apps/v1", "ReplicaSet", "replicasets")
        store = Store({"namespace": lambda _obj: "n"})
        self.watch = OwnerWatch(kind, store, self.expected, self.queue, self.rhythm)

    def owner(self, change: Change = Change.ADDED, generation: int = 1) -> None:
        """Tell of the owner."""
        metadata = {"uid": "web-1", "generation": generation}
        self.watch._observe([Delta(change, KEY, {"metadata": metadata, "spec": {}})])

    def pod(self, old: PodBrief | None, new: PodBrief | None) -> None:
        """Tell of a pod."""
        self.watch._observe_pod(old, new)

    def work(self) -> int:
        """Do what is queued; return how much that was."""

        async def drain() -> int:
            count = len(self.queue)
            for _ in range(count):
                key = await self.queue.get()
                self.rhythm.begin(key)
                self.queue.done(key)
            return count

        return asyncio.run(drain())


def test_many_changes_within_a_pause_are_one_piece_of_work() -> None:
    it = Watched()
    it.owner()
    assert it.work() == 1
    for number in range(50):
        it.pod(None, pod(f"p{number}"))
    assert (it.work(), len(it.moments.due)) == (0, 1)
    due_s, wake = it.moments.due[0]
    assert due_s == pytest.approx(it.clock.monotonic_s() + 0.1)
    wake()
    assert it.work() == 1


def test_a_pause_that_was_cut_short_does_not_keep_the_next_change_from_being_seen() -> None:
    it = Watched()
    it.owner()
    it.work()
    it.pod(None, pod("p"))
    it.queue.add(KEY)
    assert (it.work(), it.moments.due) == (1, [])
    for number in range(3):
        it.pod(None, pod(f"q{number}"))
    assert len(it.moments.due) == 1
    # One that is to be looked at later anyway is looked at as soon as its pause is over.
    it.queue.add(KEY)
    it.work()
    it.queue.add_after(KEY, 600.0)
    it.pod(None, pod("r"))
    (due_s, _), *others = it.moments.due
    assert (due_s, others) == (pytest.approx(it.clock.monotonic_s() + 0.1), [])


def test_pods_that_become_ready_are_looked_at_when_they_are_available() -> None:
    it = Watched()
    metadata = {"uid": "web-1", "generation": 1}
    obj = {"metadata": metadata, "spec": {"minReadySeconds": 7}}
    it.watch._observe([Delta(Change.ADDED, KEY, obj)])
    it.work()
    it.rhythm.begin(KEY, 60.0)
    it.pod(pod("p", ready_s=None), pod("p"))
    assert [due_s for due_s, _ in it.moments.due] == [it.clock.monotonic_s() + 8]
    it.moments.due[0][1]()
    it.work()
    it.rhythm.begin(KEY, 60.0)
    it.owner(Change.MODIFIED)
    it.moments.due.clear()
    it.pod(pod("p", ready_s=None), pod("p"))
    assert it.moments.due == []  # only the pause counts, which is noted already


def test_owners_of_many_pods_are_looked_at_less_often_but_within_two_seconds() -> None:
    it = Watched()
    for pods, pause_s in [(3, 0.1), (10_000, 0.5), (1_000_000, 2.0)]:
        it.moments.due.clear()
        it.rhythm.begin(KEY, pause_for(pods))
        it.rhythm.wake(KEY)
        assert it.moments.due[0][0] == pytest.approx(it.clock.monotonic_s() + pause_s)
        it.moments.due[0][1]()
        assert it.work() == 1


def test_what_an_owner_asks_for_is_done_at_once_and_its_own_status_is_no_cause_for_haste() -> None:
    it = Watched()
    it.owner()
    it.work()
    it.owner(Change.MODIFIED)
    assert (it.work(), len(it.moments.due)) == (0, 1)
    it.owner(Change.MODIFIED, generation=2)
    assert (it.work(), it.moments.due) == (1, [])


def test_the_last_that_was_waited_for_wakes_at_once() -> None:
    it = Watched()
    it.owner()
    it.work()
    it.expected.expect(KEY, creations=2)
    it.pod(None, pod("p"))
    assert it.work() == 0
    it.pod(None, pod("q"))
    assert it.work() == 1
    it.expected.expect(KEY, deletions=["n/p"])
    it.pod(pod("p"), pod("p", is_deleting=True))
    assert it.work() == 1


def test_a_pod_that_is_seen_first_when_it_goes_was_created_all_the_same() -> None:
    it = Watched()
    it.owner()
    it.expected.expect(KEY, creations=1)
    it.pod(None, pod("p", is_deleting=True))
    assert it.expected.satisfied(KEY)


def test_pods_of_others_and_of_owners_before_wake_nobody() -> None:
    it = Watched()
    it.owner()
    it.work()
    for owner in (OWNED._replace(uid="before"), OWNED._replace(kind="Job")):
        it.pod(None, pod("p", owner=owner))
    assert (it.work(), it.moments.due) == (0, [])


def test_what_is_expected_adds_up_until_it_is_seen() -> None:
    expected = Expectations(SimulatedClock())
    expected.expect("o", creations=1)
    expected.expect("o", deletions=["p"])
    expected.created("o")
    assert not expected.satisfied("o")
    expected.deleted("o", "p")
    assert expected.satisfied("o")
    expected.created("o")
    expected.expect("o", creations=1)
    assert not expected.satisfied("o")


def test_work_on_many_things_lets_others_have_a_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            other = tasks.create_task(others())
            found = [item async for some in paced(range(1000), slice_s=0.0) for item in some]
            other.cancel()
        return found

    assert asyncio.run(main()) == list(range(1000))
    assert turns > 10


def _failing(numbers: set[int], done: list[int]) -> Any:
    async def do(number: int) -> None:
        await asyncio.sleep(0)
        if number in numbers:
            raise Unreachable(str(number))
        done.append(number)

    return do


def test_batches_double_and_end_with_the_first_that_has_a_failure() -> None:
    done: list[int] = []
    count, failure = asyncio.run(slow_start(range(100), _failing({5}, done)))
    assert (count, str(failure)) == (6, "5")
    assert sorted(done) == [0, 1, 2, 3, 4, 6]
    done.clear()
    assert asyncio.run(slow_start(range(100), _failing(set(), done))) == (100, None)
    assert sorted(done) == list(range(100))


def test_of_many_writes_a_few_are_under_way_at_a_time() -> None:
    running, most = 0, 0

    async def do(_number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    assert asyncio.run(at_once(range(500), do)) == []
    assert most == 32


def _numbers() -> Iterator[int]:
    yield from range(3)


def test_a_failure_that_nobody_knows_is_raised() -> None:
    async def do(_number: int) -> None:
        raise KeyError("unknown")

    with pytest.raises(KeyError):
        asyncio.run(at_once(list(_numbers()), do))

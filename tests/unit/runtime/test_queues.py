"""Bounded queues and budgets."""

from __future__ import annotations

import asyncio

import pytest

from runtime.queues import BoundedQueue, Budget, Overflow, QueueClosed, QueueFull


def test_a_refusing_queue_keeps_what_it_has() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(2)
        queue.offer(1)
        queue.offer(2)
        with pytest.raises(QueueFull):
            queue.offer(3)
        assert await queue.get_batch() == [1, 2]

    asyncio.run(run())


def test_a_dropping_queue_returns_the_oldest() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(2, Overflow.DROP_OLDEST)
        assert [queue.offer(item) for item in (1, 2, 3)] == [None, None, 1]
        assert await queue.get_batch() == [2, 3]

    asyncio.run(run())


def test_put_waits_for_room() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)

        async def write() -> None:
            for item in range(5):
                await queue.put(item)

        writer = asyncio.ensure_future(write())
        got: list[int] = []
        while len(got) < 5:
            batch = await queue.get_batch()
            assert len(batch) <= 1
            got += batch
        await writer
        assert got == [0, 1, 2, 3, 4]

    asyncio.run(run())


def test_one_wake_up_takes_many_items_up_to_the_limit() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(10)
        for item in range(5):
            queue.offer(item)
        assert await queue.get_batch(3) == [0, 1, 2]
        assert await queue.get_batch(3) == [3, 4]

    asyncio.run(run())


def test_a_closed_queue_is_drained_then_raises_for_readers_and_writers() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(1)
        queue.offer(1)
        waiting = asyncio.ensure_future(queue.put(2))
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(QueueClosed):
            await waiting
        assert await queue.get_batch() == [1]
        with pytest.raises(QueueClosed):
            await queue.get_batch()

    asyncio.run(run())


def test_a_wake_up_of_a_cancelled_reader_goes_to_the_next() -> None:
    async def run() -> None:
        queue: BoundedQueue[int] = BoundedQueue(4)
        first = asyncio.ensure_future(queue.get_batch())
        second = asyncio.ensure_future(queue.get_batch())
        await asyncio.sleep(0)
        queue.offer(1)
        first.cancel()
        assert await second == [1]

    asyncio.run(run())


def test_a_budget_calls_back_at_half() -> None:
    called: list[int] = []
    budget = Budget(100, 10)
    for _ in range(4):
        budget.take(30)
    budget.when_half_empty(lambda: called.append(budget.held_bytes))
    budget.give(30)
    assert called == []
    budget.give(60, 2)
    assert called == [30]
    budget.when_half_empty(lambda: called.append(-1))
    assert called == [30, -1]


def test_waiting_for_room_ends_when_there_is_room() -> None:
    async def run() -> None:
        budget = Budget(100, 1)
        budget.take(1)
        waiting = asyncio.ensure_future(budget.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        budget.give(1)
        await waiting

    asyncio.run(run())


def test_giving_back_more_than_was_taken_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="more bytes"):
        Budget(10, 10).give(1)

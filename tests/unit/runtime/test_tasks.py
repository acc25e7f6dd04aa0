"""Supervised tasks."""

from __future__ import annotations

import asyncio

import pytest

from runtime.tasks import ScopeClosed, TaskCrashed, TaskScope


async def _forever() -> None:
    await asyncio.Event().wait()


async def _crash() -> None:
    raise ValueError("boom")


async def _return(value: int) -> int:
    return value


def test_a_crash_cancels_siblings_and_block_and_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        async with TaskScope("up") as scope:
            sibling = scope.spawn(_forever(), name="sibling")
            scope.spawn(_crash(), name="bad")
            try:
                await _forever()
            finally:
                assert sibling.cancelled() or sibling.cancelling()

    with pytest.raises(TaskCrashed, match="'bad' of 'up'") as caught:
        asyncio.run(run())
    assert isinstance(caught.value.__cause__, ValueError)
    assert "boom" in caplog.text


def test_the_block_waits_for_its_tasks() -> None:
    async def run() -> int:
        async with TaskScope("up") as scope:
            task = scope.spawn(_return(7), name="seven")
        return task.result()

    assert asyncio.run(run()) == 7


def test_an_error_of_the_block_ends_the_tasks_and_is_raised() -> None:
    async def run() -> None:
        async with TaskScope("up") as scope:
            scope.spawn(_forever(), name="loop")
            raise KeyError("mine")

    with pytest.raises(KeyError):
        asyncio.run(run())


def test_cancelling_the_block_from_outside_cancels_the_tasks() -> None:
    async def run() -> None:
        inner: list[asyncio.Task[None]] = []

        async def block() -> None:
            async with TaskScope("up") as scope:
                inner.append(scope.spawn(_forever(), name="loop"))

        outer = asyncio.ensure_future(block())
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert inner[0].cancelled()

    asyncio.run(run())


def test_a_loop_that_ends_because_what_it_awaits_was_cancelled_is_heard_of() -> None:
    async def run() -> None:
        awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def follow() -> None:
            await awaited

        heard: list[TaskCrashed] = []
        scope = TaskScope("test", on_crash=heard.append)
        sibling = scope.spawn(_forever(), name="sibling")
        follower = scope.spawn(follow(), name="follower")
        await asyncio.sleep(0)
        awaited.cancel()
        await asyncio.wait([follower])
        await asyncio.sleep(0)
        assert [crash.task for crash in heard] == ["follower"]
        with pytest.raises(TaskCrashed, match="nobody cancelled"):
            await scope.stop()
        assert sibling.cancelled()

    asyncio.run(run())


def test_a_task_that_is_cancelled_by_its_owner_has_not_crashed() -> None:
    async def run() -> None:
        async with TaskScope("test") as scope:
            task = scope.spawn(_forever(), name="cancelled")
            await asyncio.sleep(0)
            task.cancel()
        assert scope.crash is None

    asyncio.run(run())


def test_stop_ends_loops_and_refuses_more() -> None:
    async def run() -> None:
        scope = TaskScope("up")
        task = scope.spawn(_forever(), name="loop")
        assert scope.running == 1
        await scope.stop()
        assert task.cancelled()
        with pytest.raises(ScopeClosed):
            scope.spawn(_forever(), name="late")

    asyncio.run(run())


def test_a_crash_reaches_its_listener_and_the_one_who_stops() -> None:
    async def run() -> None:
        heard: list[TaskCrashed] = []
        scope = TaskScope("up", on_crash=heard.append)
        scope.spawn(_crash(), name="bad")
        with pytest.raises(TaskCrashed):
            await scope.wait()
        assert heard == [scope.crash]
        with pytest.raises(TaskCrashed):
            await scope.stop()

    asyncio.run(run())

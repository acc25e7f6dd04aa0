"""Clocks."""

from __future__ import annotations

import asyncio

import pytest

from runtime.clock import SimulatedClock, SystemClock


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def run() -> list[str]:
        clock, woken = SimulatedClock(), []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(f"{name}@{clock.monotonic_s():g}")

        tasks = [asyncio.ensure_future(sleeper(*args)) for args in (("b", 2), ("a", 1), ("c", 2))]
        await clock.advance(1.5)
        assert woken == ["a@1"]
        await clock.advance(10)
        await asyncio.gather(*tasks)
        return woken

    assert asyncio.run(run()) == ["a@1", "b@2", "c@2"]


def test_one_advance_lets_a_loop_sleep_again_and_again() -> None:
    async def run() -> int:
        clock, turns = SimulatedClock(), 0

        async def loop() -> None:
            nonlocal turns
            while True:
                await clock.sleep(1)
                turns += 1

        task = asyncio.ensure_future(loop())
        await clock.advance(10)
        task.cancel()
        return turns

    assert asyncio.run(run()) == 10


def test_a_cancelled_sleeper_is_not_counted_as_sleeping() -> None:
    async def run() -> int:
        clock = SimulatedClock()
        task = asyncio.ensure_future(clock.sleep(5))
        await clock.advance(1)
        assert clock.sleeping == 1
        task.cancel()
        await clock.advance(1)
        return clock.sleeping

    assert asyncio.run(run()) == 0


def test_wall_clock_may_jump_while_monotonic_time_stays() -> None:
    clock = SimulatedClock(start_s=1000.0)
    clock.set_wall(400.0)
    assert (clock.now_s(), clock.now_ms(), clock.monotonic_s()) == (400.0, 400_000, 0.0)


def test_time_is_not_moved_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        asyncio.run(SimulatedClock().advance(-1))


def test_system_clock_units_agree() -> None:
    clock = SystemClock()
    assert abs(clock.now_s() * 1000 - clock.now_ms()) < 1000
    assert clock.monotonic_s() <= clock.monotonic_s()
    asyncio.run(clock.sleep(0))

"""Turns: of many that work in steps, a few go on between two turns of the event loop."""

from __future__ import annotations

import asyncio

from runtime.turns import Turns

MANY = 50


def test_no_more_than_so_many_steps_are_made_in_one_turn_of_the_loop() -> None:
    async def run() -> None:
        turns = Turns(3)
        made = 0

        async def work() -> None:
            nonlocal made
            for _ in range(2):
                await turns.next()
                made += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(MANY):
                group.create_task(work())
            while made < 2 * MANY:
                before = made
                await asyncio.sleep(0)
                assert made - before <= 3
        assert len(turns) == 0

    asyncio.run(run())


def test_who_came_first_goes_on_first() -> None:
    async def run() -> None:
        turns = Turns(1)
        order: list[int] = []

        async def work(number: int) -> None:
            for _ in range(2):
                await turns.next()
                order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(work(number))
        assert order == [0, 1, 2, 0, 1, 2]

    asyncio.run(run())


def test_one_that_is_cancelled_takes_no_turn_from_others() -> None:
    async def run() -> None:
        turns = Turns(1)
        tasks = [asyncio.ensure_future(turns.next()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.wait_for(tasks[2], 10)
        assert len(turns) == 0
        # And who comes later is served as well.
        await asyncio.wait_for(turns.next(), 10)

    asyncio.run(run())

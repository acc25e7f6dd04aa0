"""Work aside: one at a time, a limit to those who wait, and errors as if done here."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from apiserver import aside as module
from apiserver.aside import aside, rendered
from kube.status import StatusError


def test_results_and_errors_come_back_and_the_interpreter_is_as_before() -> None:
    async def run() -> None:
        before_s = sys.getswitchinterval()
        assert await aside(max, 1, 2) == 2
        with pytest.raises(ValueError, match="invalid literal"):
            await aside(int, "x")
        assert sys.getswitchinterval() == before_s

    asyncio.run(run())


def test_who_comes_when_too_many_wait_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 2)

    async def run() -> None:
        go_on = threading.Event()
        waiting = [asyncio.create_task(aside(go_on.wait, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StatusError) as refused:
            await aside(max, 1, 2)
        assert refused.value.code == 429
        assert (b"retry-after", b"1") in refused.value.headers
        # Who gives up leaves work behind, which counts until it has ended.
        waiting[0].cancel()
        await asyncio.sleep(0)
        with pytest.raises(StatusError):
            await aside(max, 1, 2)
        go_on.set()
        assert await waiting[1]
        assert await aside(max, 1, 2) == 2

    asyncio.run(run())


def test_answers_are_made_whoever_waits_and_for_nobody_who_has_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 1)
    made: list[int] = []

    async def run() -> None:
        go_on = threading.Event()
        first = asyncio.create_task(aside(go_on.wait, 30))
        await asyncio.sleep(0)
        others = [asyncio.create_task(rendered(made.append, number)) for number in range(3)]
        await asyncio.sleep(0)
        others[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await first
        await others[2]
        with pytest.raises(asyncio.CancelledError):
            await others[1]
        assert await aside(max, 1, 2) == 2

    asyncio.run(run())
    assert made == [0, 2]

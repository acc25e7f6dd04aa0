"""A log that goes on where a lost one had ended: it begins at a later sequence than 1."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from journal.errors import BadRequest, OutcomeUnknown, SequenceTrimmed
from journal.local import LocalEngine
from tests.contract.journal_suite.harness import read_until

FIRST = 1_000_000_007
KEY = b"k" * 16


async def _begun(directory: Path) -> LocalEngine:
    engine = await LocalEngine.open(directory)
    engine.begin("pods", FIRST, timestamp_ms=1 << 42)
    assert await engine.append("pods", (b"a", b"b"), KEY) == FIRST
    return engine


@pytest.mark.parametrize("orderly", [True, False])
def test_a_log_begun_later_stays_so(tmp_path: Path, *, orderly: bool) -> None:
    async def run() -> None:
        engine = await _begun(tmp_path)
        if orderly:
            await engine.close()
        else:
            await engine.close()
            (tmp_path / "pods/waypoint").unlink()
        engine = await LocalEngine.open(tmp_path)
        try:
            assert await engine.bounds("pods") == (FIRST, FIRST + 1)
            assert await engine.append("pods", (b"again",), KEY) == FIRST
            assert await engine.append("pods", (b"c",), b"n" * 16) == FIRST + 2
            batches = await read_until(engine, "pods", FIRST, FIRST + 2)
            assert [record for batch in batches for record in batch.records] == [b"a", b"b", b"c"]
            assert batches[0].timestamp_ms >= 1 << 42
        finally:
            await engine.close()

    asyncio.run(run())


def test_what_would_be_before_its_beginning_is_gone(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await _begun(tmp_path)
        try:
            with pytest.raises(SequenceTrimmed):
                await anext(engine.read("pods", FIRST - 1))
            # One that was sent to the log before may have been committed there.
            with pytest.raises(OutcomeUnknown):
                await engine.append("pods", (b"x",), b"o" * 16, resent_after=5)
        finally:
            await engine.close()

    asyncio.run(run())


def test_only_a_log_that_holds_nothing_can_begin_later(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await _begun(tmp_path)
        with pytest.raises(BadRequest, match="has begun already"):
            engine.begin("pods", FIRST)
        with pytest.raises(BadRequest, match="begin at 1"):
            engine.begin("nodes", 0)
        with pytest.raises(BadRequest, match="stream name"):
            engine.begin("../nodes", 5)
        await engine.close()

    asyncio.run(run())


def test_a_log_that_was_begun_and_not_used_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        engine = await LocalEngine.open(tmp_path)
        engine.begin("pods", FIRST)
        await engine.close()

    asyncio.run(run())
    assert not (tmp_path / "pods").exists()

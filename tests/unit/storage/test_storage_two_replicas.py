"""Several replicas on one journal: none takes from another what it needs, all agree on the map."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from journal.engine import Limits
from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from storage.checkpointer import HOLD_SECONDS
from storage.errors import DataLost, RecoveryRefused
from storage.replica import replica_name
from storage.store import Store
from tests.unit.storage.replicas import options, running_store
from tests.unit.storage.stores import create, default

_T = TypeVar("_T")
_SILENT_S = Limits().hold_seconds + 1
_numbers = itertools.count()
_CHECKPOINTS = Path("data/checkpoints/default")


async def _checkpoint_often(store: Store) -> None:
    """Write three checkpoints, each of which trims as far as it may."""
    for _ in range(3):
        await create(store, f"later-{next(_numbers)}")
        await store.checkpoint()


async def _soon(awaitable: Awaitable[_T]) -> _T:
    async with asyncio.timeout(10):
        return await awaitable


def test_a_replica_that_is_away_finds_its_log_again(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine(SimulatedClock())
        async with running_store(tmp_path / "away", journal) as away:
            await create(away, "a")
        async with running_store(tmp_path / "here", journal) as here:
            await _checkpoint_often(here)
            assert (await journal.bounds("default"))[0] == 1
            async with running_store(tmp_path / "away", journal) as away:
                await _soon(away.fresh("pods", 5))
                assert default(away).state_hash() == default(here).state_hash()

    asyncio.run(run())


def test_the_log_is_kept_for_the_checkpoint_that_is_furthest_back(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine(SimulatedClock())
        async with running_store(tmp_path / "slow", journal) as slow:
            await create(slow, "a")
            async with running_store(tmp_path / "quick", journal) as quick:
                await slow.checkpoint()
                behind = slow.current_revision("pods")
                await create(slow, "b")
                await slow.checkpoint()
                await _checkpoint_often(quick)
                # The older of its two checkpoints, whose own entry is compared at recovery.
                assert (await journal.bounds("default"))[0] == behind
                await _checkpoint_often(slow)
                await quick.checkpoint()
                assert (await journal.bounds("default"))[0] > behind

    asyncio.run(run())


def test_a_replica_that_was_away_for_too_long_is_told_what_to_do(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        journal = MemoryEngine(clock)
        async with running_store(tmp_path / "away", journal) as away:
            await create(away, "a")
            await away.checkpoint()
        await clock.advance(_SILENT_S)
        async with running_store(tmp_path / "here", journal) as here:
            await _checkpoint_often(here)
            shutil.rmtree(tmp_path / "away/memory")
            for lost in (_CHECKPOINTS, None):
                with pytest.raises(DataLost, match="Copy the newest checkpoint of a replica"):
                    await Store(journal, options(tmp_path / "away")).start()
                # Nor does it have the log kept for what it can't use.
                before, _ = await journal.bounds("default")
                await _checkpoint_often(here)
                assert (await journal.bounds("default"))[0] > before
                if lost is not None:
                    shutil.rmtree(tmp_path / "away" / lost)
            # And that is a way back, while the others write on.
            shutil.copytree(tmp_path / "here" / _CHECKPOINTS, tmp_path / "away" / _CHECKPOINTS)
            await create(here, "more")
            await here.checkpoint()
            async with running_store(tmp_path / "away", journal) as away:
                await _soon(away.fresh("pods", 5))
                assert default(away).state_hash() == default(here).state_hash()

    asyncio.run(run())


def test_a_replica_that_runs_and_does_not_change_is_not_taken_for_gone(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SimulatedClock()
        journal = MemoryEngine(clock)
        async with running_store(tmp_path, journal, clock, checkpoint_seconds=1e9) as store:
            await create(store, "a")
            passed_s = 0.0
            while passed_s <= _SILENT_S:
                await clock.advance(HOLD_SECONDS)
                passed_s += HOLD_SECONDS
            await journal.trim("default", 2)
            assert (await journal.bounds("default"))[0] == 1

    asyncio.run(run())


def test_replicas_of_one_journal_have_one_map_of_partitions(tmp_path: Path) -> None:
    async def run() -> None:
        journal = MemoryEngine()
        async with running_store(tmp_path / "one", journal, partitions={"own": ("pods",)}):
            other = options(tmp_path / "two", partitions={})
            with pytest.raises(RecoveryRefused, match=r"pods was in partition 'own'.*replicas"):
                await Store(journal, other).start()
            assert not (tmp_path / "two/data/partitions.json").exists()
            same = {"own": ("pods",), "empty": ()}
            async with running_store(tmp_path / "two", journal, partitions=same):
                pass

    asyncio.run(run())


def test_a_copied_directory_is_another_replica(tmp_path: Path) -> None:
    name = replica_name(tmp_path / "one")
    assert replica_name(tmp_path / "one") == name
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert replica_name(tmp_path / "two") != name
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert replica_name(tmp_path / "link") == name
    assert (tmp_path / "one/replica").stat().st_mode & 0o777 == 0o600

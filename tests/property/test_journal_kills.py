"""A kill between any two system calls, the disk full now and then, loses and repeats nothing.

The process dies at its n-th change of a file or directory; a write that it dies in is half done.
What the kernel had taken stays (losing that, too, is tests/property/test_journal_crashes.py's
subject). Before its death it appends, is refused for want of space, trims and is opened again.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from journal.disk import Environment, FileOps, allocate
from journal.engine import Limits
from journal.errors import JournalError, JournalFull
from journal.local import LocalEngine
from tests.contract.journal_suite.harness import key, read_until

LIMITS = Limits(
    segment_bytes=2048,
    allocation_bytes=512,
    group_bytes_max=1024,
    tail_cache_bytes=1,
    read_chunk_bytes=512,
)

sizes = st.lists(st.integers(0, 700), min_size=1, max_size=3)
steps = st.one_of(
    st.tuples(st.just("append"), sizes),
    st.tuples(st.just("append"), sizes),
    st.tuples(st.sampled_from(["no room to write", "no room to allocate"]), sizes),
    st.tuples(st.sampled_from(["trim", "reopen"]), st.just([])),
)


class MortalDisk:
    """Takes a number of changes, then none; in between it may lack space for larger ones."""

    def __init__(self, changes: int) -> None:
        self.changes_left = changes
        self.full_for = ""
        self.ops = FileOps(self._write, self._sync, self._allocate, self._truncate)

    def change(self) -> None:
        """Count one; raise if the process is dead."""
        self.changes_left -= 1
        if self.changes_left < 0:
            raise OSError(errno.EIO, "killed")

    def _write(self, descriptor: int, data: bytes, offset: int) -> int:
        full = self.full_for == "no room to write" and len(data) > 256
        if full or self.changes_left == 0:
            os.pwrite(descriptor, data[: len(data) * 2 // 3], offset)
        self.change()
        if full:
            raise OSError(errno.ENOSPC, "full")
        return os.pwrite(descriptor, data, offset)

    def _sync(self, descriptor: int) -> None:
        self.change()
        os.fdatasync(descriptor)

    def _allocate(self, descriptor: int, start: int, length: int) -> None:
        self.change()
        if self.full_for == "no room to allocate" and (start or length > 512):
            raise OSError(errno.ENOSPC, "full")
        allocate(descriptor, start, length)

    def _truncate(self, descriptor: int, length: int) -> None:
        self.change()
        os.ftruncate(descriptor, length)

    @contextmanager
    def below_names(self) -> Iterator[None]:
        """Count changes of directories as well."""

        def counted(call: Any) -> Any:
            def run(*arguments: Any, **options: Any) -> Any:
                self.change()
                return call(*arguments, **options)

            return run

        with (
            mock.patch("os.rename", counted(os.rename)),
            mock.patch("os.unlink", counted(os.unlink)),
            mock.patch("os.fsync", counted(os.fsync)),
        ):
            yield


@dataclass
class History:
    """What the callers were told.

    Attributes:
        acknowledged: first sequence and records by key.
        unknown: records by key of appends that may or may not be there.
        trimmed_before: nothing at or after it may be missing.
    """

    acknowledged: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    unknown: dict[bytes, bytes] = field(default_factory=dict)
    trimmed_before: int = 1


async def _append(engine: LocalEngine, size: int, history: History) -> None:
    append_key = key()
    record = append_key + bytes(size)
    try:
        first = await engine.append("pods", [record], append_key)
    except JournalFull:
        return  # nothing was written: neither acknowledged nor unknown
    except JournalError:
        history.unknown[append_key] = record
    else:
        history.acknowledged[append_key] = (first, record)


async def _live_and_die(
    directory: Path, plan: list[tuple[str, list[int]]], changes: int
) -> History:
    disk, history = MortalDisk(changes), History()
    environment = Environment(LIMITS, ops=disk.ops)
    engine = None
    with disk.below_names():
        try:
            engine = await LocalEngine.open(directory, environment)
            for step, record_sizes in plan:
                match step:
                    case "reopen":
                        await engine.close()
                        engine = await LocalEngine.open(directory, environment)
                    case "trim":
                        history.trimmed_before = await engine.tail("pods")
                        await engine.trim("pods", history.trimmed_before)
                    case _:
                        disk.full_for = step
                        appends = [_append(engine, size, history) for size in record_sizes]
                        await asyncio.gather(*appends)
                        disk.full_for = ""
        except OSError as error:
            assert error.strerror == "killed"  # noqa: PT017  (it may also live to the end)
        disk.changes_left = 0
        if engine is not None:
            await engine.close()
    return history


async def _check(directory: Path, history: History) -> None:
    engine = await LocalEngine.open(directory, Environment(LIMITS))
    first, last = await engine.bounds("pods")
    assert first <= max(history.trimmed_before, 1)
    found = {
        batch.first_sequence: batch.records[0]
        for batch in (await read_until(engine, "pods", first, last) if first <= last else [])
    }
    assert list(found) == list(range(first, last + 1))
    for append_key, (sequence, record) in history.acknowledged.items():
        if sequence >= first:
            assert found.pop(sequence) == record, "acknowledged, and lost"
        assert await engine.append("pods", [b"again"], append_key) == sequence
    assert set(found.values()) <= set(history.unknown.values()), "refused, and there"
    for append_key, record in history.unknown.items():
        sequence = await engine.append("pods", [record], append_key)
        assert found.pop(sequence, record) == record
    assert found == {}
    await engine.close()


@settings(max_examples=120, deadline=None)
@given(plan=st.lists(steps, min_size=1, max_size=12), changes=st.integers(0, 120))
def test_a_kill_at_any_system_call_loses_and_repeats_nothing(
    plan: list[tuple[str, list[int]]], changes: int
) -> None:
    async def run(directory: Path) -> None:
        history = await _live_and_die(directory, plan, changes)
        await _check(directory, history)

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))

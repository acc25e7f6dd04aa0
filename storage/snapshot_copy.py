"""Copies of partitions' states for a snapshot: of a running replica, or of one that nobody keeps.

While a copy is made of a running replica its files grow, as pages that are given up can't be used
again. So a copy that takes too long, or costs too much, is broken off (`CopyLimits`).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from runtime.clock import Clock
from storage.applier import Applier, rebuild_indexes
from storage.checkpoint import Checkpoint, write_checkpoint
from storage.environment import (
    MAP_BYTES,
    EnvironmentReplaced,
    MappedEnvironment,
    Tables,
    Txn,
    identity_of,
    is_unusable,
)
from storage.errors import CheckpointStopped, SnapshotFailed
from storage.journal_port import JournalPort
from storage.partition import passes
from storage.position import READABLE_FORMATS, read_position
from storage.recovery import Places, recover
from storage.sealing import Sealer
from storage.snapshot_state import prompt_pace, write_state
from storage.types_table import TypeTable

CHECK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class CopyLimits:
    """How long a copy may keep a running replica from using its pages again."""

    seconds: float = 600.0
    growth_bytes: int = 512 << 20
    """Or a quarter of the files, where that is more."""
    wait_s: float = 30.0
    """For the replica to have applied what was acknowledged before the copy was asked for."""


class _Copy(NamedTuple):
    """What is to become of a copy."""

    sequence: int
    directory: Path
    sealer: Sealer | None


async def copy_running(
    places: Places, target: int, directory: Path, clock: Clock, limits: CopyLimits
) -> Checkpoint:
    """Copy the replica that another process keeps, once it has come as far as `target`.

    Args:
        places: where the replica's files are.
        target: a sequence that the copy has to include.
        directory: for the checkpoint.
        clock: for the limits.
        limits: see there.

    Raises:
        SnapshotFailed: it did not come so far, or the copy passed its limits.
        OSError: the copy could not be written.
    """
    deadline_s, memory = clock.monotonic_s() + limits.wait_s, places.memory
    while True:
        applied = 0
        # There are no files, or others in a moment, while the replica is being made.
        with suppress(EnvironmentReplaced), _mapped(memory) as (mapped, txn):
            position = read_position(mapped, txn)
            applied = position.applied_sequence
            if applied >= max(1, target) and position.format_version in READABLE_FORMATS:
                copy = _Copy(applied, directory, places.sealer)
                return await _copy_within(mapped, txn, copy, clock, limits)
        if clock.monotonic_s() >= deadline_s:
            raise SnapshotFailed(
                f"the replica in {memory} has applied {applied} of {target} entries, and did not "
                f"get there in {limits.wait_s:g} s: see `ultraplane status`"
            )
        await clock.sleep(CHECK_S)


@contextmanager
def _mapped(memory: Path) -> Iterator[tuple[Tables, Txn]]:
    try:
        mapped = MappedEnvironment(memory, identity_of(memory), map_bytes=MAP_BYTES)
    except Exception as error:
        if not isinstance(error, FileNotFoundError) and not is_unusable(error):
            raise
        # Its keeper has not made all of it yet, or has just given it up.
        raise EnvironmentReplaced(f"{memory} is not there: {error}") from error
    try:
        txn = mapped.read()
        try:
            yield mapped, txn
        finally:
            txn.abort()
    finally:
        mapped.close()


async def _copy_within(
    mapped: Tables, txn: Txn, copy: _Copy, clock: Clock, limits: CopyLimits
) -> Checkpoint:
    """Write a checkpoint; break it off where it keeps pages for too long."""
    before = mapped.used_bytes
    growth_max = max(limits.growth_bytes, before // 4)
    started_s = clock.monotonic_s()
    pace = prompt_pace()
    sequence, directory, sealer = copy
    work = asyncio.ensure_future(
        asyncio.to_thread(
            write_checkpoint, mapped, txn, sequence, directory, sealer=sealer, pace=pace
        )
    )
    broken_off = ""
    try:
        while not work.done() and not broken_off:
            await asyncio.wait([work], timeout=CHECK_S)
            grown, took_s = mapped.used_bytes - before, clock.monotonic_s() - started_s
            if grown > growth_max:
                broken_off = f"the replica's files grew by {grown >> 20} MiB meanwhile"
            elif took_s > limits.seconds:
                broken_off = f"it took more than {limits.seconds:g} s"
    finally:
        # It uses what is closed behind us.
        pace.stop()
        await asyncio.wait([work])
    try:
        return work.result()
    except CheckpointStopped:
        raise SnapshotFailed(
            f"copying {mapped.path} was broken off, as {broken_off}: save to a faster disk, or "
            "when less is written"
        ) from None


async def copy_stopped(places: Places, port: JournalPort, directory: Path) -> Checkpoint:
    """Make the state of a partition that nobody keeps: its newest checkpoint, then the log.

    Args:
        places: a scratch directory for the environment, removed afterwards; and the partition's
            checkpoints, which are only read, but for the damaged: see storage/recovery.py.
        port: its stream.
        directory: for the new checkpoint.

    Raises:
        RecoveryRefused: see `recover`. JournalError: the log can't be read.
        OSError, StorageFull: no space.
    """
    recovered = await recover(places, port, map_bytes=MAP_BYTES)
    environment = recovered.environment
    try:
        # No index is wanted here, and whoever opens the copy makes those that it wants.
        types = TypeTable({})
        applier = Applier(environment, types, port.codec.decode)
        rebuild_indexes(environment, types)
        if applier.position.applied_sequence < recovered.tail:
            async with port.reading(applier.position.applied_sequence + 1) as log:
                async for batches in log:
                    for entries in passes(batches):
                        applier.apply(entries)
                    if applier.position.applied_sequence >= recovered.tail:
                        break
        sequence = applier.position.applied_sequence
        if not sequence:
            raise SnapshotFailed(f"partition {port.stream} has never been written to")
        return await asyncio.to_thread(write_state, environment, sequence, directory, places.sealer)
    finally:
        environment.close()
        shutil.rmtree(places.memory, ignore_errors=True)

"""A partition's state on its way into a snapshot, and from there into a log of its own.

A state travels as a checkpoint, which storage/checkpoint.py makes and installs; nothing here knows
what such a file looks like. After it was made it is installed once, in a scratch directory, and
read: so a copy that can't be read is noticed while the original is there, and the long look at
every object is taken at the copy, not at the replica that serves.

What is sealed in a cluster's checkpoints is sealed in a snapshot. In scratch it is in the clear, so
whoever has sealers gives scratch on tmpfs.

While a copy is made of a running replica its files grow, as pages that are given up can't be used
again. So a copy that takes too long, or costs too much, is broken off (`CopyLimits`).
"""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from xxhash import xxh3_128

from runtime.clock import Clock
from storage.applier import Applier, rebuild_indexes
from storage.checkpoint import (
    Checkpoint,
    install_checkpoint,
    list_checkpoints,
    write_checkpoint,
)
from storage.checkpoint_copy import BYTES_PER_SECOND_MAX, Pace
from storage.checkpoint_seal import check_seal
from storage.environment import (
    MAP_BYTES,
    Environment,
    EnvironmentReplaced,
    MappedEnvironment,
    Tables,
    Txn,
    identity_of,
    is_unusable,
)
from storage.errors import CheckpointStopped, StorageError
from storage.journal_port import JournalPort
from storage.partition import passes
from storage.position import READABLE_FORMATS, Position, put_position, read_position
from storage.recovery import Places, recover
from storage.sealing import Sealer, Sealers
from storage.snapshot_manifest import PartitionFacts
from storage.state_hash import complete_position
from storage.txn import Compact, digest_of, encode
from storage.types_table import TypeTable

CHECK_S: Final = 0.05
_OBJECTS_PER_WORD: Final = 4096
_LENGTHS: Final = struct.Struct("<II")
_REVISION: Final = struct.Struct("<Q")
Counted = Callable[[int], None]
"""Hears of so many objects more."""


class SnapshotFailed(StorageError):
    """A snapshot can't be made now, or not used; nothing was changed. The message says why."""


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


@dataclass(frozen=True, slots=True)
class Origin:
    """A log that goes on where another one ended: its first entry, and what stands for the past.

    Attributes:
        sequence: of the first entry, and the revision at which the state is.
        record: the entry: it says that everything before it is compacted.
        timestamp_ms: when the journal took it.
        identity: the log's name.
    """

    sequence: int
    record: bytes
    timestamp_ms: int
    identity: bytes


def origin_record(sequence: int, transaction_id: bytes) -> bytes:
    """Return the first record of a log that begins at a sequence."""
    return encode((Compact(sequence),), transaction_id)


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
    pace = _pace()
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


def _pace() -> Pace:
    # Somebody waits for it, and it does not come every few minutes.
    return Pace(verify_bytes_per_second=BYTES_PER_SECOND_MAX)


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
        txn = environment.read()
        try:
            return await asyncio.to_thread(
                write_checkpoint,
                environment,
                txn,
                sequence,
                directory,
                sealer=places.sealer,
                pace=_pace(),
            )
        finally:
            txn.abort()
    finally:
        environment.close()
        shutil.rmtree(places.memory, ignore_errors=True)


def inspect_checkpoint(
    name: str,
    checkpoint: Checkpoint,
    file: str,
    scratch: Path,
    counted: Counted = lambda _: None,
    sealers: Sealers | None = None,
) -> PartitionFacts:
    """Install a checkpoint in a scratch directory, read every object, and say what it holds.

    Blocks: for a thread. The scratch directory is removed.

    Raises:
        SnapshotFailed: it can't be read. SealBroken: there is no key for it.
        OSError: there is no space to install it.
    """
    try:
        environment = _install(checkpoint, scratch, sealers)
        try:
            return _facts(name, environment, file, counted)
        finally:
            environment.close()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def restamp(
    facts: PartitionFacts,
    checkpoint: Checkpoint,
    origin: Origin,
    places: Places,
    counted: Counted = lambda _: None,
) -> Checkpoint:
    """Write a partition's state as a checkpoint of a new log, at the revision where that begins.

    Objects keep their revisions. All history goes, and the state's revision becomes the oldest that
    can be asked for: whoever saw an earlier one, or one that the snapshot never knew, lists again.
    Blocks: for a thread. The scratch directory is removed.

    Args:
        facts: which state the checkpoint is said to be.
        checkpoint: the snapshot's.
        origin: the new log's beginning.
        places: scratch for an environment; where the new checkpoint goes; what opens the one and
            seals the other.
        counted: hears of objects read.

    Raises:
        SnapshotFailed: the checkpoint can't be read, or is not that state; nothing was written.
        SealBroken: there is no key for it, or it is in the clear and may not be.
        OSError, StorageFull: no space.
    """
    scratch = places.memory
    try:
        environment = _install(checkpoint, scratch, places.sealers)
        try:
            found = _facts(facts.name, environment, facts.file, counted)
            if found != facts:
                raise SnapshotFailed(
                    f"partition {facts.name} of the snapshot is not the state that its manifest "
                    f"says: {found} instead of {facts}"
                )
            complete_position(environment)
            with environment.write() as txn:
                txn.drop(environment.events, delete=False)
                txn.drop(environment.versions, delete=False)
                position = read_position(environment, txn)
                put_position(environment, txn, _begin(position, origin))
            txn = environment.read()
            try:
                return write_checkpoint(
                    environment,
                    txn,
                    origin.sequence,
                    places.checkpoints,
                    sealer=places.sealer,
                    pace=_pace(),
                )
            finally:
                txn.abort()
        finally:
            environment.close()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _begin(position: Position, origin: Origin) -> Position:
    # What it says of the objects stays.
    return position._replace(
        applied_sequence=origin.sequence,
        compact_revision=origin.sequence,
        event_count=0,
        timestamp_ms=origin.timestamp_ms,
        digest=digest_of(origin.record),
        identity=origin.identity,
    )


def _install(checkpoint: Checkpoint, scratch: Path, sealers: Sealers | None) -> Environment:
    check_seal(checkpoint, sealers)
    sealer = None if sealers is None else sealers.checkpoints
    if not install_checkpoint(checkpoint, scratch, sealer=sealer):
        raise SnapshotFailed(f"checkpoint {checkpoint.path.name} of the snapshot is damaged")
    try:
        return Environment(scratch)
    except Exception as error:
        if not is_unusable(error):
            raise
        raise SnapshotFailed(
            f"checkpoint {checkpoint.path.name} of the snapshot is none of ours: {error}"
        ) from error


def _facts(name: str, environment: Environment, file: str, counted: Counted) -> PartitionFacts:
    """Read everything that an environment holds."""
    txn = environment.read()
    try:
        try:
            position = read_position(environment, txn)
        except struct.error as error:
            raise SnapshotFailed(f"partition {name} is damaged: {error}") from error
        if position.format_version not in READABLE_FORMATS:
            raise SnapshotFailed(
                f"partition {name} is of format {position.format_version}, which this program does "
                "not know: use the version of ultraplane that wrote it, or a newer one"
            )
        types = TypeTable({})
        types.load(environment, txn)
        objects: Counter[bytes] = Counter()
        digest, plain, untold = xxh3_128(), environment.values.plain, 0
        for key, stored in txn.cursor(environment.objects):
            value = plain(stored)
            digest.update(_LENGTHS.pack(len(key), len(value)) + key + value)
            objects[key[:2]] += 1
            untold += 1
            if untold == _OBJECTS_PER_WORD:
                counted(untold)
                untold = 0
        counted(untold)
        digest.update(_REVISION.pack(position.applied_sequence))
    finally:
        txn.abort()
    return PartitionFacts(
        name=name,
        revision=position.applied_sequence,
        compact_revision=position.compact_revision,
        timestamp_ms=position.timestamp_ms,
        identity=position.identity.hex(),
        objects=dict(sorted((types.of_key(key).resource, objects[key]) for key in objects)),
        state_hash=digest.hexdigest(),
        file=file,
    )


def checkpoint_in(directory: Path) -> Checkpoint:
    """Return the one checkpoint in a directory.

    Raises:
        SnapshotFailed: there is none.
    """
    found = list_checkpoints(directory)
    if not found:
        raise SnapshotFailed(f"there is no checkpoint in {directory}")
    return found[0]

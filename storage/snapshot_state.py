"""A partition's state in a snapshot: what it holds, and how it becomes that of a new log.

A state travels as a checkpoint, which storage/checkpoint.py makes and installs; nothing here knows
what such a file looks like. After it was made (storage/snapshot_copy.py) it is installed once, in a
scratch directory, and read: so a copy that can't be read is noticed while the original is there,
and the long look at every object is taken at the copy, not at the replica that serves.

What is sealed in a cluster's checkpoints is sealed in a snapshot. In scratch it is in the clear, so
whoever has sealers gives scratch on tmpfs.
"""

from __future__ import annotations

import shutil
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xxhash import xxh3_128

from storage.checkpoint import (
    Checkpoint,
    install_checkpoint,
    list_checkpoints,
    write_checkpoint,
)
from storage.checkpoint_copy import BYTES_PER_SECOND_MAX, Pace
from storage.checkpoint_seal import check_seal
from storage.environment import (
    Environment,
    is_unusable,
)
from storage.errors import SnapshotFailed
from storage.position import READABLE_FORMATS, Position, put_position, read_position
from storage.recovery import Places
from storage.sealing import Sealer, Sealers
from storage.snapshot_manifest import PartitionFacts
from storage.state_hash import complete_position
from storage.txn import Compact, digest_of, encode
from storage.types_table import TypeTable

_OBJECTS_PER_WORD: Final = 4096
_LENGTHS: Final = struct.Struct("<II")
_REVISION: Final = struct.Struct("<Q")
Counted = Callable[[int], None]
"""Hears of so many objects more."""


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


def prompt_pace() -> Pace:
    """Return the pace of a checkpoint that somebody waits for."""
    return Pace(verify_bytes_per_second=BYTES_PER_SECOND_MAX)


def write_state(
    environment: Environment, sequence: int, directory: Path, sealer: Sealer | None
) -> Checkpoint:
    """Write what an environment holds as a checkpoint. Blocks: for a thread.

    Raises:
        OSError: no space.
    """
    txn = environment.read()
    try:
        return write_checkpoint(
            environment, txn, sequence, directory, sealer=sealer, pace=prompt_pace()
        )
    finally:
        txn.abort()


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
            return write_state(environment, origin.sequence, places.checkpoints, places.sealer)
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

"""A replica's copies on disk: written beside traffic, whole or absent, verified before they count.

A checkpoint is one file (storage/checkpoint_file.py), named `<applied sequence>-<digest>.ckpt`. It
is written under another name from one read transaction, flushed in steps, read back and verified,
and only then renamed and the directory fsynced; older ones go after that. So a disk that does not
keep what it was given costs the new checkpoint, never the ones before. The two newest are kept:
should the newest turn out to be damaged later, there is another one. One that was found damaged is
renamed to `*.damaged` and counts no more, so the log is kept from an intact one on.

Those of the former format are plain LMDB files, `<applied sequence>-<xxh3_64 of the file>.mdb`.
They are read, and replaced by the next ones.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from xxhash import xxh3_64

from storage.checkpoint_copy import Copier, Pace, forget_cached, remove_gently
from storage.checkpoint_file import CHUNK_BYTES, Description, read_chunks, read_header, write_chunks
from storage.environment import DATA_NAME, Tables, Txn, replace_data
from storage.errors import CheckpointDamaged
from storage.sealing import Sealer
from storage.state_hash import stored_hash

_log = logging.getLogger(__name__)

KEPT: Final = 2
SUFFIX: Final = ".ckpt"
FORMER_SUFFIX: Final = ".mdb"
DAMAGED_SUFFIX: Final = ".damaged"
DAMAGED_KEPT: Final = 1
_FORMER_VERSION: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A finished checkpoint's file."""

    sequence: int
    digest: str
    path: Path


def list_checkpoints(directory: Path) -> list[Checkpoint]:
    """Return the finished checkpoints, newest first."""
    found = []
    for path in directory.glob("*-*"):
        sequence, _, digest = path.stem.partition("-")
        if path.suffix in (SUFFIX, FORMER_SUFFIX) and sequence.isdigit():
            found.append(Checkpoint(int(sequence), digest, path))
    return sorted(found, reverse=True)


def needed_from(directory: Path) -> int:
    """Return the first sequence of the log that the checkpoints in a directory need."""
    kept = list_checkpoints(directory)
    return max(1, kept[KEPT - 1].sequence) if len(kept) >= KEPT else 1


def write_checkpoint(
    environment: Tables,
    txn: Txn,
    sequence: int,
    directory: Path,
    *,
    sealer: Sealer | None = None,
    pace: Pace | None = None,
) -> Checkpoint:
    """Write what `txn` sees, durably, and drop older checkpoints; blocks: for a thread.

    `txn` ends as soon as its pages are copied: pages that are given up meanwhile can't be used
    again, and the replica's file, which never shrinks, grows by as many.

    Args:
        environment: what is copied.
        txn: as it is seen here.
        sequence: applied in it.
        directory: of the partition's checkpoints.
        sealer: seals the chunks.
        pace: how fast, and until when; as fast as traffic bears.

    Raises:
        CheckpointStopped: the pace was told to; as if it had never begun.
        OSError, CheckpointDamaged, SealUnavailable, SealBroken: there is no new one; the older
            ones are untouched.
    """
    pace = pace or Pace()
    _make_directory(directory)
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    temporary = directory / f"{sequence:020d}.tmp"
    state = stored_hash(environment, txn)
    about = Description(0, directory.name, sequence, state, 0, 0, sealed=False)
    try:
        with FileIO(temporary, "x+") as file:
            # It holds what the cluster keeps secret.
            os.fchmod(file.fileno(), 0o600)
            with Copier(environment, txn) as copier:
                pace.begin()

                def on_chunk(plain_bytes: int) -> None:
                    forget_cached(file.fileno())
                    pace.wait(plain_bytes)

                written = write_chunks(file, about, copier.read, sealer, on_chunk)
            txn.abort()
            os.fsync(file.fileno())
            # What is read now comes from the disk, as far as the system lets us say so.
            forget_cached(file.fileno())
            # Slowly: no snapshot is held any more, and reads delay the journal's writes.
            pace.begin_verifying()
            _verify(temporary, sealer, pace)
        path = directory / f"{sequence:020d}-{written.digest}{SUFFIX}"
        temporary.rename(path)
    except BaseException:
        # On a full disk, what was written of it would be missing to the journal.
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(directory)
    _log.info(
        "checkpoint of %s at %d: %d bytes, %d of the replica's, state %s",
        directory.name,
        sequence,
        written.stored_bytes,
        written.plain_bytes,
        state,
    )
    _drop_older(directory, path, sequence)
    return Checkpoint(sequence, written.digest, path)


def set_aside(checkpoint: Checkpoint) -> None:
    """Have a checkpoint that can't be used count no more; it stays, for those who want to look."""
    path = checkpoint.path.with_name(checkpoint.path.name + DAMAGED_SUFFIX)
    try:
        checkpoint.path.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        # On such a disk there will be no further one either, and the log stays.
        _log.error("%s can't be used, and was not set aside: %s", checkpoint.path, error)
    else:
        _log.error("%s can't be used, and was set aside as %s", checkpoint.path, path)


def _drop_older(directory: Path, path: Path, sequence: int) -> None:
    # One of the same state, which may be stored differently, is no second one.
    others = [kept for kept in list_checkpoints(directory) if kept.path != path]
    distinct = [kept for kept in others if kept.sequence != sequence][: KEPT - 1]
    for kept in others:
        if kept not in distinct:
            remove_gently(kept.path)
    for damaged in sorted(directory.glob(f"*{DAMAGED_SUFFIX}"), reverse=True)[DAMAGED_KEPT:]:
        remove_gently(damaged)


def verify_checkpoint(path: Path, *, sealer: Sealer | None = None) -> Description:
    """Read all of a checkpoint, and return what it says of itself; blocks: for a thread.

    A sealed one is taken apart if there is a sealer; without, its bytes are compared with the
    checksums of what was stored.

    Raises:
        CheckpointDamaged: it is not what was written. UnsupportedState: a newer program wrote it.
        OSError: it can't be read.
    """
    if path.suffix == FORMER_SUFFIX:
        size_bytes = sum(len(block) for block in _read_former(path))
        sequence_text = path.stem.partition("-")[0]
        if not sequence_text.isdecimal():
            raise CheckpointDamaged(path, 0, "its name does not tell its sequence")
        sequence = int(sequence_text)
        partition = path.parent.name
        return Description(_FORMER_VERSION, partition, sequence, "", size_bytes, 0, sealed=False)
    return _verify(path, sealer, None)


def _verify(path: Path, sealer: Sealer | None, pace: Pace | None) -> Description:
    with FileIO(path) as file:
        about = read_header(file, path)
        file.seek(0)
        opened = sealer is not None or not about.sealed
        done_bytes = 0
        for part in read_chunks(file, path, sealer, opened=opened):
            done_bytes += len(part)
            if pace is not None:
                # A little each time: all at the end would take tens of milliseconds.
                forget_cached(file.fileno())
                pace.wait(done_bytes)
    return about


def install_checkpoint(
    checkpoint: Checkpoint, environment_path: Path, *, sealer: Sealer | None = None
) -> bool:
    """Put a checkpoint where an environment will be opened; return whether it is intact.

    Blocks: for a thread. The environment must not be open; it is replaced if the copy is whole.

    Raises:
        UnsupportedState: a newer program wrote it.
        SealBroken: it is intact, and its key is missing or another one; nothing was touched.
        OSError: it can't be read, or there is no space for it.
    """
    environment_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = environment_path / f"{DATA_NAME}.tmp"
    try:
        with temporary.open("wb", buffering=0) as target:
            os.fchmod(target.fileno(), 0o600)
            for plain in _read_plain(checkpoint.path, sealer):
                target.write(plain)
        replace_data(environment_path, temporary)
    except CheckpointDamaged as error:
        _log.error("a checkpoint can't be used: %s", error)
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read_plain(path: Path, sealer: Sealer | None) -> Iterator[bytes]:
    """Yield the LMDB file that a checkpoint holds; raises at its end at the latest."""
    if path.suffix == FORMER_SUFFIX:
        yield from _read_former(path)
        return
    with FileIO(path) as file:
        yield from read_chunks(file, path, sealer)


def _read_former(path: Path) -> Iterator[bytes]:
    digest, size_bytes = xxh3_64(), 0
    with FileIO(path) as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
            size_bytes += len(block)
            yield block
    if digest.hexdigest() != path.stem.partition("-")[2]:
        raise CheckpointDamaged(path, size_bytes, "the whole does not have the digest in its name")


def _make_directory(directory: Path) -> None:
    """Make a directory, and those above it, such that a crash of the machine leaves them there."""
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    # A file is only as durable as the way to it, and the log is trimmed on its strength.
    _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    directory_fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)

"""A replica's copies on disk: written beside traffic, whole or absent, verified when used.

A checkpoint is one LMDB file, compact, named `<applied sequence>-<xxh3_64 of the file>.mdb`: one
rename makes it exist together with its digest. Where anything is encrypted, it is sealed in chunks:
a magic, and for each chunk its length, u32, and the sealed bytes; the digest is that of the sealed
file, so a key that does not open it is never taken for damage. It is written under another name
from one read transaction in a thread, fsynced, hashed, renamed, and the directory fsynced.

The two newest are kept, and the journal is trimmed to the older one's sequence (whose entry stays,
as recovery compares it with the checkpoint): should the newest turn out to be damaged, the other
still has its log. What this replica needs is held in the journal and said again every minute, so
that another replica, which may be ahead, does not trim it. Trimming is the only thing that waits
for checkpoints. Compaction need not: a Compact is an entry of the log, and a replica restored from
an older checkpoint meets it again.

While its pages are copied, the replica's files grow by all that is written, and never shrink again:
each entry changes about five pages, and none that is given up meanwhile can be used. So where much
is written a checkpoint waits for a quieter moment, within limits, unless what it would cost is
there to be used: the pages that an earlier one has cost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from xxhash import xxh3_64

from journal.errors import JournalError
from runtime.clock import Clock
from storage.codec import WAY_OUT
from storage.environment import DATA_NAME, Environment, Txn, replace_data
from storage.errors import SealBroken, SealUnavailable
from storage.partition import Partition
from storage.seal_head import HEAD_BYTES_MAX, key_of
from storage.sealing import Sealer

_log = logging.getLogger(__name__)

KEPT: Final = 2
OBJECTS_PER_ENTRY: Final = 4
"""A checkpoint copies all objects: it waits until at least a quarter as many entries are new."""
POSTPONED_ENTRIES_MAX: Final = 2_000_000
"""A log that is longer than this, and than there are objects, is copied at once, whatever it costs:
to apply it again after the machine was started takes as long as it took to write the objects."""
POSTPONED_BYTES_MAX: Final = 4 << 30
"""Likewise: the journal's disk has to hold it."""
POSTPONED_INTERVALS_MAX: Final = 2
GROWTH_BYTES_MAX: Final = 64 << 20
"""What a checkpoint may cost at any time; or an eighth of the files, where that is more."""
GROWTH_PART: Final = 8
ENTRY_BYTES: Final = 20_000
"""What an entry makes the files grow by while they are copied: leaf and branches of its object, and
of the indexed fields. Measured with pods."""
COPY_BYTES_PER_SECOND: Final = 250e6
"""Beside a load that keeps all cores busy; alone it is four times as much."""
CHECK_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 60.0
"""How often the journal is told what is still needed; it waits an hour by default."""
RETRY_SECONDS: Final = 30.0
"""After a failed one: it has cost as much as one that succeeds."""
_COPY_BYTES: Final = 1 << 20
_SEALED_MAGIC: Final = b"UPSEALD\n"
_LENGTH: Final = struct.Struct("<I")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A finished checkpoint's file."""

    sequence: int
    digest: str
    path: Path


def list_checkpoints(directory: Path) -> list[Checkpoint]:
    """Return the finished checkpoints, newest first."""
    found = []
    for path in directory.glob("*-*.mdb"):
        sequence, _, digest = path.stem.partition("-")
        if sequence.isdigit():
            found.append(Checkpoint(int(sequence), digest, path))
    return sorted(found, reverse=True)


def needed_from(directory: Path) -> int:
    """Return the first sequence of the log that the checkpoints in a directory need."""
    kept = list_checkpoints(directory)
    return max(1, kept[KEPT - 1].sequence) if len(kept) >= KEPT else 1


def write_checkpoint(
    environment: Environment,
    txn: Txn,
    sequence: int,
    directory: Path,
    *,
    sealer: Sealer | None = None,
) -> Checkpoint:
    """Write what `txn` sees, durably, and drop older checkpoints; blocks: for a thread.

    `txn` ends as soon as its pages are copied: pages that are given up meanwhile can't be used
    again, and the replica's file, which never shrinks, grows by as many.
    """
    _make_directory(directory)
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    temporary = directory / f"{sequence:020d}.tmp"
    try:
        with temporary.open("xb", buffering=0) as file:
            # It holds what the cluster keeps secret.
            os.fchmod(file.fileno(), 0o600)
            if sealer is None:
                environment.copy_to(file.fileno(), txn)
            else:
                context = f"{directory.name}/{sequence}/"
                _copy_sealed(environment, txn, file, sealer, context)
            txn.abort()
            os.fsync(file.fileno())
        digest = _digest_of(temporary)
        path = directory / f"{sequence:020d}-{digest}.mdb"
        temporary.rename(path)
    except (OSError, SealUnavailable):
        # On a full disk, what was written of it would be missing to the journal.
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(directory)
    # One of the same state, which may be stored differently, is no second one.
    others = [kept for kept in list_checkpoints(directory) if kept.path != path]
    distinct = [kept for kept in others if kept.sequence != sequence][: KEPT - 1]
    for kept in others:
        if kept not in distinct:
            kept.path.unlink()
    return Checkpoint(sequence, digest, path)


def _copy_sealed(
    environment: Environment, txn: Txn, file: RawIOBase, sealer: Sealer, context: str
) -> None:
    """Write a sealed copy: no byte of it is on the disk in the clear, not even for a moment."""
    read_fd, write_fd = os.pipe()

    def copy() -> None:
        try:
            environment.copy_to(write_fd, txn)
        finally:
            os.close(write_fd)

    with ThreadPoolExecutor(1) as pool, open(read_fd, "rb", buffering=_COPY_BYTES) as source:
        copied = pool.submit(copy)
        with source:
            _write_all(file, _SEALED_MAGIC)
            index = 0
            while plain := source.read(_COPY_BYTES):
                sealed = sealer.seal(plain, f"{context}{index}".encode())
                _write_all(file, _LENGTH.pack(len(sealed)) + sealed)
                index += 1
        # Where writing failed, the pipe is closed by now: the copy ends with an error of its own.
        copied.result()


def _write_all(file: RawIOBase, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]


def install_checkpoint(
    checkpoint: Checkpoint, environment_path: Path, *, sealer: Sealer | None = None
) -> bool:
    """Copy a checkpoint to where an environment will be opened; return whether it is intact.

    Blocks: for a thread. The environment must not be open; it is replaced if the copy is whole.

    Raises:
        SealBroken: it is intact, and its key is missing or another one; nothing was touched.
    """
    if _digest_of(checkpoint.path) != checkpoint.digest:
        return False
    environment_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = environment_path / f"{DATA_NAME}.tmp"
    try:
        with checkpoint.path.open("rb") as source, temporary.open("wb") as target:
            os.fchmod(target.fileno(), 0o600)
            for block in _plain_blocks(source, checkpoint, sealer):
                target.write(block)
        replace_data(environment_path, temporary)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def is_sealed(path: Path) -> bool:
    """Return whether a checkpoint is sealed."""
    with path.open("rb") as file:
        return file.read(len(_SEALED_MAGIC)) == _SEALED_MAGIC


def is_stale(checkpoint: Checkpoint, sealer: Sealer | None) -> bool:
    """Return whether a checkpoint is sealed with another key than the next one would be."""
    if sealer is None:
        return False
    try:
        wanted = key_of(sealer.seal(b"", b""))
    except SealUnavailable:
        return False
    found = b""
    if is_sealed(checkpoint.path):
        with checkpoint.path.open("rb") as source:
            source.seek(len(_SEALED_MAGIC) + _LENGTH.size)
            found = source.read(HEAD_BYTES_MAX)
    return key_of(found) != wanted


def check_seal(checkpoint: Checkpoint, sealer: Sealer | None) -> None:
    """Look whether a checkpoint's first chunk opens, if it is intact.

    Raises:
        SealBroken: its key is missing or another one.
    """
    with checkpoint.path.open("rb") as source:
        try:
            next(_plain_blocks(source, checkpoint, sealer), None)
        except SealBroken:
            # Damage is none of a key's faults; where there is another checkpoint, that is used.
            if _digest_of(checkpoint.path) == checkpoint.digest:
                raise
        except struct.error:
            return


def _plain_blocks(
    source: BinaryIO, checkpoint: Checkpoint, sealer: Sealer | None
) -> Iterator[bytes]:
    path = checkpoint.path
    if not is_sealed(path):
        while block := source.read(_COPY_BYTES):
            yield block
        return
    source.read(len(_SEALED_MAGIC))
    index = 0
    while length := source.read(_LENGTH.size):
        sealed = source.read(_LENGTH.unpack(length)[0])
        if sealer is None:
            raise SealBroken(f"it is sealed with {key_of(sealed)}. {WAY_OUT}", str(path))
        context = f"{path.parent.name}/{checkpoint.sequence}/{index}".encode()
        try:
            yield sealer.open(sealed, context)
        except SealBroken as error:
            raise SealBroken(f"{error.reason}. {WAY_OUT}", str(path)) from error
        index += 1


class Checkpointer:
    """Writes a partition's checkpoints and trims its log behind them.

    Attributes:
        last_sequence: of the newest checkpoint, 0 if there is none.
        last_error: why the last attempt failed, "" if it did not.
    """

    def __init__(
        self,
        partition: Partition,
        directory: Path,
        clock: Clock,
        *,
        entries_max: int,
        seconds_max: float,
        sealer: Sealer | None = None,
    ) -> None:
        self._sealer = sealer
        self._partition = partition
        self._directory = directory
        self._clock = clock
        self._entries_max = entries_max
        self._seconds_max = seconds_max
        self._last_s = self._held_s = self._seen_s = clock.monotonic_s()
        self._seen_revision, self._entries_per_s = partition.revision, 0.0
        self._last_log_bytes = partition.log_bytes
        existing = list_checkpoints(directory) if directory.exists() else []
        self.last_sequence = existing[0].sequence if existing else 0
        self.last_error = ""
        # Else the key of a partition that nobody writes to would be needed for ever.
        self._is_stale = bool(existing) and is_stale(existing[0], sealer)

    @property
    def due(self) -> bool:
        """Whether enough has changed, or anything long enough ago."""
        behind = self._partition.revision - self.last_sequence
        waited_s = self._clock.monotonic_s() - self._last_s
        if self.last_error and waited_s < RETRY_SECONDS:
            return False
        if self._is_stale:
            return True
        objects = sum(entry.count for entry in self._partition.types)
        enough = max(self._entries_max, objects // OBJECTS_PER_ENTRY)
        if behind < enough and (behind <= 0 or waited_s < self._seconds_max):
            return False
        return (
            waited_s >= POSTPONED_INTERVALS_MAX * self._seconds_max
            or behind >= max(POSTPONED_ENTRIES_MAX, objects)
            or self._partition.log_bytes - self._last_log_bytes >= POSTPONED_BYTES_MAX
            or self._is_cheap()
        )

    def look(self) -> None:
        """Learn how much is written, since the last look."""
        now_s, revision = self._clock.monotonic_s(), self._partition.revision
        if now_s > self._seen_s:
            self._entries_per_s = (revision - self._seen_revision) / (now_s - self._seen_s)
            self._seen_s, self._seen_revision = now_s, revision

    def _is_cheap(self) -> bool:
        environment = self._partition.environment
        used_bytes = environment.used_bytes
        entries = self._entries_per_s * used_bytes / COPY_BYTES_PER_SECOND
        growth_bytes = entries * ENTRY_BYTES - environment.spare_bytes()
        return growth_bytes <= max(GROWTH_BYTES_MAX, used_bytes // GROWTH_PART)

    async def run(self) -> None:
        """Write checkpoints when due; a failed one is tried again after a while."""
        while True:
            await self._clock.sleep(CHECK_SECONDS)
            self.look()
            hold_due = self._clock.monotonic_s() - self._held_s >= HOLD_SECONDS
            if not self.due and not hold_due:
                continue
            try:
                if self.due:
                    await self.write()
                else:
                    await self._hold(needed_from(self._directory))
            except (OSError, SealUnavailable) as error:
                self._failed(error)
            except JournalError as error:
                # The checkpoint is good; only the log stays longer than it has to. What was not
                # held again has lost a minute of many.
                _log.warning("%s: the log was not trimmed: %s", self._partition.name, error)

    async def write(self) -> Checkpoint:
        """Write one now, and trim.

        Raises:
            OSError, SealUnavailable: it was not written; the older ones and the log are untouched.
            JournalError: it was, but the log was not trimmed.
        """
        partition = self._partition
        self._last_s = self._clock.monotonic_s()
        txn, sequence = partition.environment.read(), partition.revision
        log_bytes = partition.log_bytes
        try:
            checkpoint = await _in_thread(
                lambda: write_checkpoint(
                    partition.environment, txn, sequence, self._directory, sealer=self._sealer
                )
            )
        finally:
            txn.abort()
        self.last_sequence, self.last_error, self._is_stale = sequence, "", False
        self._last_log_bytes = log_bytes
        needed = needed_from(self._directory)
        await self._hold(needed)
        if needed > 1:
            await partition.port.trim(needed)
        return checkpoint

    async def _hold(self, needed: int) -> None:
        self._held_s = self._clock.monotonic_s()
        await self._partition.port.hold(needed)

    def _failed(self, error: Exception) -> None:
        self.last_error = str(error)
        _log.error("%s: no checkpoint was written: %s", self._partition.name, error)


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Run blocking work; if cancelled, still wait for its end, as it uses the environment."""
    future = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        raise


def _digest_of(path: Path) -> str:
    digest = xxh3_64()
    with path.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
    return digest.hexdigest()


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

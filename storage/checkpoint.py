"""A replica's copies on disk: written beside traffic, whole or absent, verified when used.

A checkpoint is one LMDB file, compact, named `<applied sequence>-<xxh3_64 of the file>.mdb`: one
rename makes it exist together with its digest. It is written under another name from one read
transaction in a thread, fsynced, hashed, renamed, and the directory fsynced.

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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from xxhash import xxh3_64

from journal.errors import JournalError
from runtime.clock import Clock
from storage.environment import DATA_NAME, Environment, Txn, replace_data
from storage.partition import Partition

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
    environment: Environment, txn: Txn, sequence: int, directory: Path
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
            environment.copy_to(file.fileno(), txn)
            txn.abort()
            os.fsync(file.fileno())
        digest = _digest_of(temporary)
        path = directory / f"{sequence:020d}-{digest}.mdb"
        temporary.rename(path)
    except OSError:
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


def install_checkpoint(checkpoint: Checkpoint, environment_path: Path) -> bool:
    """Copy a checkpoint to where an environment will be opened; return whether it is intact.

    Blocks: for a thread. The environment must not be open; it is replaced if the copy is whole.
    """
    environment_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = environment_path / f"{DATA_NAME}.tmp"
    digest = xxh3_64()
    with checkpoint.path.open("rb") as source, temporary.open("wb") as target:
        while block := source.read(_COPY_BYTES):
            digest.update(block)
            target.write(block)
    if digest.hexdigest() != checkpoint.digest:
        temporary.unlink()
        return False
    temporary.chmod(0o600)
    replace_data(environment_path, temporary)
    return True


class Checkpointer:
    """Writes a partition's checkpoints and trims its log behind them.

    Attributes:
        last_sequence: of the newest checkpoint, 0 if there is none.
        last_error: why the last attempt failed, "" if it did not.
        last_bytes, last_seconds: how large the newest is, and how long it took to write.
        written_at_ms: when that was, 0 if there is none.
        due_since_ms: since when there is something that no checkpoint has, 0 if there is nothing.
        failures: attempts that failed.
        pressed: whether the log has no space: what lets it be trimmed is worth any cost.
    """

    def __init__(
        self,
        partition: Partition,
        directory: Path,
        clock: Clock,
        *,
        entries_max: int,
        seconds_max: float,
    ) -> None:
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
        self.last_seconds = 0.0
        self.failures = self.due_since_ms = self.last_bytes = self.written_at_ms = 0
        self.pressed = False
        if existing:
            found = existing[0].path.stat()
            self.last_bytes, self.written_at_ms = found.st_size, round(found.st_mtime * 1000)

    @property
    def due(self) -> bool:
        """Whether enough has changed, or anything long enough ago."""
        behind = self._partition.revision - self.last_sequence
        waited_s = self._clock.monotonic_s() - self._last_s
        if self.last_error and waited_s < RETRY_SECONDS:
            return False
        if self.pressed and behind > 0 and waited_s >= RETRY_SECONDS:
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
        if revision <= self.last_sequence:
            self.due_since_ms = 0
        elif not self.due_since_ms:
            self.due_since_ms = self._clock.now_ms()
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
            except OSError as error:
                self._failed(error)
            except JournalError as error:
                # The checkpoint is good; only the log stays longer than it has to. What was not
                # held again has lost a minute of many.
                _log.warning("%s: the log was not trimmed: %s", self._partition.name, error)

    async def write(self) -> Checkpoint:
        """Write one now, and trim.

        Raises:
            OSError: it was not written; the older ones and the log are untouched.
            JournalError: it was, but the log was not trimmed.
        """
        partition = self._partition
        self._last_s, began_ms = self._clock.monotonic_s(), self._clock.now_ms()
        txn, sequence = partition.environment.read(), partition.revision
        log_bytes = partition.log_bytes
        try:
            checkpoint = await _in_thread(
                lambda: write_checkpoint(partition.environment, txn, sequence, self._directory)
            )
        finally:
            txn.abort()
        self.last_sequence, self.last_error = sequence, ""
        self.last_seconds = self._clock.monotonic_s() - self._last_s
        self.last_bytes = checkpoint.path.stat().st_size
        self.written_at_ms = self._clock.now_ms()
        self.due_since_ms = began_ms if partition.revision > sequence else 0
        self._last_log_bytes = log_bytes
        needed = needed_from(self._directory)
        await self._hold(needed)
        if needed > 1:
            await partition.port.trim(needed)
        return checkpoint

    async def _hold(self, needed: int) -> None:
        self._held_s = self._clock.monotonic_s()
        await self._partition.port.hold(needed)

    def _failed(self, error: OSError) -> None:
        self.last_error = str(error)
        self.failures += 1
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

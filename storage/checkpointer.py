"""When a partition's checkpoints are written, and the log trimmed behind them.

The journal is trimmed to the older one's sequence (whose entry stays, as recovery compares it with
the checkpoint): should the newest turn out to be damaged, the other still has its log. What this
replica needs is held in the journal and said again every minute, so that another replica, which may
be ahead, does not trim it. Trimming is the only thing that waits for checkpoints. Compaction need
not: a Compact is an entry of the log, and a replica restored from an older checkpoint meets it
again.

While its pages are copied, the replica's files grow by all that is written, and never shrink again:
each entry changes about five pages, and none that is given up meanwhile can be used. So where much
is written a checkpoint waits for a quieter moment, within limits, unless what it would cost is
there to be used: the pages that an earlier one has cost.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Final

from journal.errors import JournalError
from runtime.clock import Clock
from storage.background import in_background
from storage.checkpoint import Checkpoint, list_checkpoints, needed_from, write_checkpoint
from storage.checkpoint_copy import BYTES_PER_SECOND_MAX, BYTES_PER_SECOND_MIN, Pace
from storage.checkpoint_seal import is_stale
from storage.errors import CheckpointDamaged, SealBroken, SealUnavailable
from storage.partition import Partition
from storage.sealing import Sealer

_log = logging.getLogger(__name__)

OBJECTS_PER_ENTRY: Final = 4
"""A checkpoint copies all objects: it waits until at least a quarter as many entries are new."""
POSTPONED_ENTRIES_MAX: Final = 300_000
"""A log that is longer than this, and than a third of the objects, is copied at once, whatever it
costs: applied again after the machine was started, at 30,000 entries a second, it takes as long as
to install what was copied, or ten seconds."""
POSTPONED_OBJECTS_PER_ENTRY: Final = 3
POSTPONED_BYTES_MAX: Final = 4 << 30
"""Likewise: the journal's disk has to hold it."""
POSTPONED_INTERVALS_MAX: Final = 2
GROWTH_BYTES_MAX: Final = 64 << 20
"""What a checkpoint may cost at any time; or an eighth of the files, where that is more."""
GROWTH_PART: Final = 8
ENTRY_BYTES: Final = 20_000
"""What an entry makes the files grow by while they are copied: leaf and branches of its object, and
of the indexed fields. Measured with pods."""
COPY_BYTES_PER_SECOND: Final = BYTES_PER_SECOND_MAX
"""What can be reached beside a load that keeps all cores busy."""
CHECK_SECONDS: Final = 1.0
HOLD_SECONDS: Final = 60.0
"""How often the journal is told what is still needed; it waits an hour by default."""
RETRY_SECONDS: Final = 30.0
"""After a failed one: it has cost as much as one that succeeds."""


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
        self.last_seconds = 0.0
        self.failures = self.due_since_ms = self.last_bytes = self.written_at_ms = 0
        self.pressed = False
        if existing:
            found = existing[0].path.stat()
            self.last_bytes, self.written_at_ms = found.st_size, round(found.st_mtime * 1000)
        # Else the key of a partition that nobody writes to would be needed for ever.
        self._is_stale = bool(existing) and is_stale(existing[0], sealer)

    @property
    def due(self) -> bool:
        """Whether enough has changed, or anything long enough ago."""
        behind = self._partition.revision - self.last_sequence
        waited_s = self._clock.monotonic_s() - self._last_s
        if self.last_error and waited_s < RETRY_SECONDS:
            return False
        if self._is_stale or (self.pressed and behind > 0 and waited_s >= RETRY_SECONDS):
            return True
        objects = sum(entry.count for entry in self._partition.types)
        enough = max(self._entries_max, objects // OBJECTS_PER_ENTRY)
        if behind < enough and (behind <= 0 or waited_s < self._seconds_max):
            return False
        return (
            waited_s >= POSTPONED_INTERVALS_MAX * self._seconds_max
            or behind >= max(POSTPONED_ENTRIES_MAX, objects // POSTPONED_OBJECTS_PER_ENTRY)
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
        return self._needed_pace() <= COPY_BYTES_PER_SECOND

    def _needed_pace(self) -> float:
        """Return how many bytes a second must be copied so that the files grow by no more."""
        environment = self._partition.environment
        used_bytes = environment.used_bytes
        growth_bytes = max(GROWTH_BYTES_MAX, used_bytes // GROWTH_PART) + environment.spare_bytes()
        growing = self._entries_per_s * ENTRY_BYTES
        return growing * used_bytes / growth_bytes if growth_bytes else math.inf

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
            except (OSError, CheckpointDamaged, SealUnavailable, SealBroken) as error:
                self._failed(error)
            except JournalError as error:
                # The checkpoint is good; only the log stays longer than it has to. What was not
                # held again has lost a minute of many.
                _log.warning("%s: the log was not trimmed: %s", self._partition.name, error)

    async def write(self) -> Checkpoint:
        """Write one now, and trim.

        Raises:
            OSError, CheckpointDamaged, SealUnavailable, SealBroken: it was not written; the older
                ones and the log are untouched.
            JournalError: it was, but the log was not trimmed.
        """
        partition = self._partition
        self._last_s, began_ms = self._clock.monotonic_s(), self._clock.now_ms()
        # As slow as it may be, as it is not alone.
        pace = Pace(min(max(self._needed_pace(), BYTES_PER_SECOND_MIN), BYTES_PER_SECOND_MAX))
        txn, sequence = partition.environment.read(), partition.revision
        log_bytes = partition.log_bytes
        try:
            checkpoint = await in_background(
                lambda: write_checkpoint(
                    partition.environment,
                    txn,
                    sequence,
                    self._directory,
                    sealer=self._sealer,
                    pace=pace,
                ),
                pace.stop,
            )
        finally:
            txn.abort()
        self.last_sequence, self.last_error, self._is_stale = sequence, "", False
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

    def _failed(self, error: Exception) -> None:
        self.last_error = str(error)
        self.failures += 1
        _log.error("%s: no checkpoint was written: %s", self._partition.name, error)

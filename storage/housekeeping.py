"""What a partition does by itself: forget old history, delete what has expired.

Both act through the log, so that all replicas stay alike; any number of replicas may run this at
once, as the second of two equal entries is without effect.

Compaction drops history that is older than an age, or beyond a number of changes or of bytes. Age
is how long ago this process saw a change, by a clock that never jumps: were it by the time of day,
one that is set forward by an hour would take all history from under watches and paged lists, and
so would a server whose clock is ahead of the journal's. It goes in steps, each of a bounded number
of changes and bytes, because the entry that drops them is applied in one piece by every replica:
2,000 changes take about 5 ms.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

from runtime.clock import Clock
from storage.errors import CommitTimeout, JournalUnavailable
from storage.event import EVENT_KEY, REVISION
from storage.partition import Partition
from storage.txn import Compact, Delete

_log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
STEP_CHANGES: Final = 2000
STEP_BYTES: Final = 64 << 20
STEPS_PER_TICK: Final = 32
EXPIRED_PER_ROUND: Final = 512
ROUNDS_PER_TICK: Final = 16
COMMIT_SECONDS: Final = 10.0
SIGHTINGS_MAX: Final = 64
"""What is kept to tell how old a change is; so it may be older by a 64th before it is dropped."""
PRESSED_SECONDS: Final = 10.0
"""How much history is kept when memory runs short: deletes give their pages back only then."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much history is kept."""

    seconds: float = 300.0
    changes_max: int = 200_000
    bytes_max: int = 2 << 30
    """Of the history's pages, which share the tmpfs with the objects. A full tmpfs stops applying,
    and compaction with it: it has to come before."""


class Housekeeper:
    """Keeps one partition small.

    Attributes:
        pressed: whether memory runs short: little history is kept for watchers and lists then.
    """

    def __init__(self, partition: Partition, clock: Clock, retention: Retention) -> None:
        self._partition = partition
        self._clock = clock
        self._retention = retention
        self._sightings: deque[tuple[float, int]] = deque()
        """Moments and the revision seen at each; the first is old enough, once any is."""
        self.pressed = False

    async def run(self) -> None:
        """Look once a second; what fails is tried again at the next look."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._partition.snapshots.sweep()
            self._partition.hub.sweep()
            # Whoever copies the files from outside may be killed while it does.
            self._partition.environment.forget_dead()
            if not self._partition.ready:
                continue
            try:
                await self.expire()
                await self.compact()
            except (CommitTimeout, JournalUnavailable) as error:
                _log.warning("%s: housekeeping waits: %s", self._partition.name, error)

    async def compact(self) -> None:
        """Drop the history that is too old or too much."""
        for _ in range(STEPS_PER_TICK):
            revision = self.compaction_target()
            if revision is None:
                return
            await self._partition.commit((Compact(revision),), COMMIT_SECONDS)

    def compaction_target(self) -> int | None:
        """Return up to where the next step drops history; None if nothing is due."""
        partition, retention = self._partition, self._retention
        surplus = min(partition.position.event_count - retention.changes_max, STEP_CHANGES)
        old_revision = self._old_revision()
        txn = partition.environment.read()
        target, step_bytes = None, 0
        try:
            surplus_bytes = partition.environment.history_bytes(txn) - retention.bytes_max
            for count, (key, row) in enumerate(txn.cursor(partition.environment.events)):
                if count >= STEP_CHANGES or step_bytes >= STEP_BYTES:
                    break
                revision = EVENT_KEY.unpack(key)[0]
                is_old = revision <= old_revision
                if not is_old and count >= surplus and step_bytes >= surplus_bytes:
                    break
                target = revision
                step_bytes += len(row)
        finally:
            txn.abort()
        return target

    def _old_revision(self) -> int:
        """Return the newest revision that was seen long enough ago; 0 if none was."""
        now_s, sightings = self._clock.monotonic_s(), self._sightings
        age_s = self._retention.seconds
        kept_s = min(age_s, PRESSED_SECONDS) if self.pressed else age_s
        if not sightings or now_s - sightings[-1][0] >= age_s / SIGHTINGS_MAX:
            sightings.append((now_s, self._partition.revision))
        while len(sightings) > 1 and now_s - sightings[1][0] >= age_s:
            sightings.popleft()
        found = 0
        for seen_s, revision in sightings:
            if now_s - seen_s < kept_s:
                break
            found = revision
        return found

    async def expire(self) -> None:
        """Delete the objects whose time has come, unless they are changed meanwhile."""
        for _ in range(ROUNDS_PER_TICK):
            deletes = self.expired()
            if not deletes:
                return
            # One transaction each: an object that was just renewed must not save the others.
            await asyncio.gather(
                *(self._partition.commit((delete,), COMMIT_SECONDS) for delete in deletes)
            )

    def expired(self) -> list[Delete]:
        """Return deletes of objects that have expired, at most `EXPIRED_PER_ROUND`."""
        partition = self._partition
        environment, types = partition.environment, partition.types
        now_ms = self._clock.now_ms()
        deletes: list[Delete] = []
        txn = environment.read()
        try:
            for key in txn.cursor(environment.expiry).iternext(values=False):
                if REVISION.unpack(key[:8])[0] > now_ms or len(deletes) == EXPIRED_PER_ROUND:
                    break
                object_key = key[8:]
                value = txn.get(object_key, db=environment.objects)
                assert value is not None, "an expiry names an object that is gone"
                resource = types.of_key(object_key).resource
                record = environment.values.parse(resource, object_key, value)
                deletes.append(
                    Delete(record.resource, record.namespace, record.name, record.mod_revision)
                )
        finally:
            txn.abort()
        return deletes

"""Looks at what is left of memory, disks and quotas, and at what else may be wrong.

Once a second, and whenever who writes has used up what he was told is left (`look`). What changes
is logged once. A process that keeps the replica acts on it too: where memory or the log's space run
short, history is compacted sooner, and checkpoints are written that let the log be trimmed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any, Final, NamedTuple

from journal.client import JournalClient
from journal.engine import Journal
from journal.errors import JournalError
from runtime.clock import Clock
from storage import alarms as al
from storage.alarms import Alarm, Disk, Distance, Level, LogFigures, Quotas
from storage.errors import StorageError
from storage.store_view import StoreView

_log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
JOURNAL_SECONDS: Final = 2.0
JOURNAL_ANSWER_S_MAX: Final = 5.0
AWAY_S_MAX: Final = 5.0
"""A journal that is started again is back within a second or two: nobody need be sent away."""
_OF_MEMORY: Final = frozenset({al.MEMORY_QUOTA, al.MEMORY_SPACE})
_OF_THE_LOG: Final = frozenset({al.LOG_QUOTA, al.LOG_SPACE})


class Paths(NamedTuple):
    """On which file systems to look."""

    memory: Path
    """Of the replica."""
    data: Path
    """Of its checkpoints."""


class SpaceWatch:
    """What is left, and what is wrong.

    Args of the constructor:
        store: whose.
        journal: of the store; one that has no counters is not asked.
        paths: where to look.
        quotas: the limits.
        clock: for pauses and ages.

    Attributes:
        alarms: of the last look.
        distance: to the next limit that refuses something.
        journal: the journal's counters as it told last, None if it does not.
        log: the same, condensed.
        away_s: for how long there has been no connection to the journal.
        lag_s: by partition, for how long it has not been applying what it knows of.
    """

    def __init__(
        self,
        store: StoreView,
        journal: Journal,
        paths: Paths,
        quotas: Quotas,
        clock: Clock,
    ) -> None:
        self.quotas = quotas
        self.alarms: tuple[Alarm, ...] = ()
        self.distance = Distance(al.UNLIMITED, al.UNLIMITED)
        self.journal: dict[str, Any] | None = None
        self.log: LogFigures | None = None
        self.away_s = 0.0
        self.lag_s: dict[str, float] = {}
        self.memory = self.data = Disk(al.UNLIMITED, 0)
        self._store = store
        self._journal = journal
        self._paths = paths
        self._clock = clock
        self._space: list[Alarm] = []
        self._others: list[Alarm] = []
        self._told: dict[tuple[str, str, str], Level] = {}
        # By partition: the entry that waits to be applied, and since when.
        self._waiting: dict[str, tuple[int, float]] = {}
        self._seen_s = clock.monotonic_s()
        self._syncs = (0, 0.0)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the journal now."""
        return bool(getattr(self._journal, "connected", True))

    async def run(self) -> None:
        """Look once a second."""
        while True:
            await self._clock.sleep(TICK_SECONDS)
            await self.look_at_all()

    async def run_journal(self) -> None:
        """Ask the journal how it is, every two seconds."""
        while isinstance(self._journal, JournalClient):
            await self.ask_journal(self._journal)
            await self._clock.sleep(JOURNAL_SECONDS)

    async def ask_journal(self, journal: JournalClient) -> None:
        """Ask the journal how it is."""
        try:
            async with asyncio.timeout(JOURNAL_ANSWER_S_MAX):
                told = await journal.stats()
            self.log = self._condense(told)
            self.journal = told
        except (JournalError, TimeoutError, KeyError, TypeError, ValueError) as error:
            # Away, or of another version: its space is not known then, and it refuses by itself.
            _log.debug("the journal does not tell how it is: %s", error)
            self.journal = self.log = None

    async def look_at_all(self) -> None:
        """Look at everything, tell what changed, and act on it."""
        now_s = self._clock.monotonic_s()
        if self.is_connected:
            self.away_s = 0.0
        else:
            self.away_s += now_s - self._seen_s
        self._seen_s = now_s
        try:
            # A disk may hang.
            self.data = await asyncio.to_thread(_disk, self._paths.data)
            self._look_at_replica(now_s)
        except (OSError, StorageError) as error:
            _log.warning("what is left of the disk or the replica is not known: %s", error)
        self.look()
        self._tell()
        self._press()

    def look(self) -> None:
        """Look at what is left; a tenth of a millisecond."""
        try:
            self.memory = _disk(self._paths.memory)
            figures = self._store.figures()
        except (OSError, StorageError) as error:
            _log.warning("what is left of memory is not known: %s", error)
            return
        self._space, self.distance = al.judge_space(figures, self.memory, self.log, self.quotas)
        self.alarms = (*self._space, *self._others)

    def _look_at_replica(self, now_s: float) -> None:
        others = list(al.judge_journal(self.log, self.away_s, AWAY_S_MAX))
        now_ms = self._clock.now_ms()
        for name, known in self._store.status().items():
            self.lag_s[name] = self._lag(name, known["revision"], known["journal_tail"], now_s)
            others += al.judge_replica(name, known, self.lag_s[name], now_ms)
            others += al.judge_checkpoint(name, known, now_ms, self.quotas)
        largest = max((one.used_bytes for one in self._store.figures()), default=0)
        others += al.judge_data(self.data, largest + al.reserve_of(self.data, al.RESERVE_BYTES))
        self._others = others

    def _lag(self, name: str, revision: int, tail: int, now_s: float) -> float:
        """Return for how long an entry that is known of has not been applied."""
        target, since_s = self._waiting.get(name, (0, now_s))
        if revision >= target:
            target, since_s = tail, now_s
        self._waiting[name] = (target, since_s)
        return 0.0 if revision >= target else now_s - since_s

    def _condense(self, told: dict[str, Any]) -> LogFigures:
        streams = told["streams"]
        syncs = sum(one["syncs"] for one in streams.values())
        seconds = sum(one["syncSeconds"] for one in streams.values())
        before, self._syncs = self._syncs, (syncs, seconds)
        # After a restart the journal counts from none again.
        fresh = syncs - before[0] if syncs >= before[0] else 0
        disk = told.get("disk")
        return LogFigures(
            sum(one["retainedBytes"] for one in streams.values()),
            None if disk is None else Disk(disk["freeBytes"], disk["sizeBytes"]),
            {name: one["closed"] for name, one in streams.items() if one["closed"]},
            (seconds - before[1]) / fresh if fresh else 0.0,
        )

    def _tell(self) -> None:
        """Log what has begun, changed its level, or is over."""
        now = {alarm.key: alarm for alarm in self.alarms}
        for key, alarm in now.items():
            if self._told.get(key) != alarm.level:
                where = f" ({alarm.partition})" if alarm.partition else ""
                log = _log.warning if alarm.level == Level.WARNING else _log.error
                log("alarm %s%s, %s: %s", alarm.name, where, alarm.level.text, alarm.text)
        for key in self._told.keys() - now.keys():
            _log.warning("alarm %s is over", " ".join(filter(None, key)))
        self._told = {key: alarm.level for key, alarm in now.items()}

    def _press(self) -> None:
        short = [alarm for alarm in self.alarms if alarm.level > Level.WARNING]
        memory = [alarm.partition for alarm in short if alarm.name in _OF_MEMORY]
        log = any(alarm.name in _OF_THE_LOG for alarm in short)
        self._store.press(memory=memory, log=log)


def _disk(path: Path) -> Disk:
    """Return what is left of a file system."""
    found = os.statvfs(_existing(path))
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _existing(path: Path) -> Path:
    # Before the first start there may be nothing yet.
    while not path.exists() and path != path.parent:
        path = path.parent
    return path

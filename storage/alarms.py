"""Which limits are near or reached: figures in, alarms out. Pure; who measures is storage/space.py.

Two kinds of limits. A *quota* is what an operator grants: a warning at four fifths, read-only from
there on. *Space* is what there is: a reserve of it is kept for what gives space back.

    room         level           what is refused, by whoever proposes a write
    ----------   -------------   ---------------------------------------------------------------
    2 reserves   warning         nothing
    1 reserve    read-only       new objects, and updates that let one grow
    1/4 reserve  deletes-only    all updates but those that shrink an object or help it go
    0            -               nothing can be written: the reserve is there to never get so far

The decision is never part of applying: replicas have different memory, and must stay alike. It is
made before a transaction is appended. Deletes and compaction are entries of the log as well and
need pages of memory, which is what the reserve is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, NamedTuple

SOFT_PARTS: Final = (4, 5)
"""Of a quota, at which it is warned of."""
RESERVE_PART: Final = 8
"""The reserve is at most this part of a file system: small ones need room to work in."""
FLOOR_PART: Final = 4
"""The part of the reserve that only deletes may use."""
SPARE_PART: Final = 4
"""Of pages given up that are counted on, unless they are half of the file."""
RESERVE_BYTES: Final = 256 << 20
LAG_S_MAX: Final = 10.0
CLOCK_AHEAD_S_MAX: Final = 10.0
SYNC_S_MAX: Final = 0.1
CHECKPOINT_INTERVALS_MAX: Final = 4
"""A checkpoint is written after one interval, or two where that is dear."""


class Level(IntEnum):
    """How far it has come; the higher, the worse."""

    WARNING = 1
    READ_ONLY = 2
    DELETES_ONLY = 3

    @property
    def text(self) -> str:
        """The level as people read it."""
        return self.name.lower().replace("_", "-")


MEMORY_QUOTA: Final = "memory-quota"
MEMORY_SPACE: Final = "memory-space"
OBJECTS_QUOTA: Final = "objects-quota"
LOG_QUOTA: Final = "log-quota"
LOG_SPACE: Final = "log-space"
DATA_SPACE: Final = "data-space"
CHECKPOINT_OLD: Final = "checkpoint-old"
REPLICA_LAG: Final = "replica-lag"
REPLICA_STOPPED: Final = "replica-stopped"
JOURNAL_AWAY: Final = "journal-away"
LOG_CLOSED: Final = "log-closed"
DISK_SLOW: Final = "disk-slow"
CLOCK: Final = "clock"
ALARMS: Final = (
    *(MEMORY_QUOTA, MEMORY_SPACE, OBJECTS_QUOTA, LOG_QUOTA, LOG_SPACE, DATA_SPACE),
    *(CHECKPOINT_OLD, REPLICA_LAG, REPLICA_STOPPED, JOURNAL_AWAY, LOG_CLOSED, DISK_SLOW, CLOCK),
)
"""Every alarm there is; docs/runbook.md has an entry for each."""
REFUSING: Final = frozenset({MEMORY_QUOTA, MEMORY_SPACE, OBJECTS_QUOTA, LOG_QUOTA, LOG_SPACE})
"""Those that refuse writes from the level read-only on."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What is granted, and what is kept free. 0: no such limit."""

    memory_bytes: int = 0
    """Of all partitions' tables."""
    objects: int = 0
    objects_of: Mapping[str, int] = field(default_factory=dict)
    """By storage resource."""
    log_bytes: int = 0
    """Of all streams' files."""
    memory_reserve_bytes: int = RESERVE_BYTES
    """Kept free of the file system the replica is on."""
    log_reserve_bytes: int = 2 * RESERVE_BYTES
    """Kept free of the journal's disk."""
    checkpoint_interval_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Alarm:
    """A limit that is near or reached.

    Attributes:
        name: one of `ALARMS`.
        level: how far.
        text: what is the matter, with figures.
        partition: the only one concerned, "" for all.
        resource: the only one concerned, "" for all.
        is_growth: whether it is what objects take that is limited, not their number.
    """

    name: str
    level: Level
    text: str
    partition: str = ""
    resource: str = ""
    is_growth: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other alarms, whatever its level."""
        return (self.name, self.partition, self.resource)

    def to_json(self) -> dict[str, Any]:
        """Return the alarm for a status."""
        return {
            "name": self.name,
            "level": self.level.text,
            "partition": self.partition,
            "resource": self.resource,
            "text": self.text,
        }


class Disk(NamedTuple):
    """A file system."""

    free_bytes: int
    size_bytes: int


class PartitionFigures(NamedTuple):
    """A partition, as it is in this process."""

    name: str
    file_bytes: int
    spare_bytes: int
    """Of pages given up: what is written next takes them first."""
    map_bytes: int
    """The largest its file may be."""
    objects: Mapping[str, int]

    @property
    def used_bytes(self) -> int:
        """Bytes of pages that hold something."""
        return self.file_bytes - self.spare_bytes

    def growth_bytes(self, memory: Disk) -> int:
        """Return by how much its file may grow."""
        return min(memory.free_bytes, self.map_bytes - self.file_bytes)

    def room_bytes(self, memory: Disk) -> int:
        """Return how much more it can take.

        Values of more than a page need several in a row. Where few are spare, the file grows for
        them all the same, and what is left for that is all that the other partitions have.
        """
        growth_bytes = self.growth_bytes(memory)
        if 2 * self.spare_bytes < self.file_bytes:
            return growth_bytes + self.spare_bytes // SPARE_PART
        return growth_bytes + self.spare_bytes


class LogFigures(NamedTuple):
    """The journal, as it said last."""

    log_bytes: int
    disk: Disk | None
    closed: Mapping[str, str]
    """By stream, why it takes no more appends."""
    sync_s: float
    """A durable write took so long on average since it was asked before."""


class Distance(NamedTuple):
    """How much may still be written before the next limit refuses something."""

    size_bytes: int
    objects: int


UNLIMITED: Final = 1 << 62


def reserve_of(disk: Disk, wanted_bytes: int) -> int:
    """Return how much of a file system is kept for what gives space back."""
    return min(wanted_bytes, disk.size_bytes // RESERVE_PART)


def judge_space(
    partitions: Iterable[PartitionFigures], memory: Disk, log: LogFigures | None, quotas: Quotas
) -> tuple[list[Alarm], Distance]:
    """Return which limits are near or reached, and how far the nearest one is."""
    partitions = list(partitions)
    alarms: list[Alarm] = []
    sizes, counts = [UNLIMITED], [UNLIMITED]
    used_bytes = sum(one.used_bytes for one in partitions)
    alarms += _quota(MEMORY_QUOTA, used_bytes, quotas.memory_bytes, "of memory")
    sizes.append(_left(used_bytes, quotas.memory_bytes))
    reserve_bytes = reserve_of(memory, quotas.memory_reserve_bytes)
    for one in partitions:
        room_bytes = one.room_bytes(memory)
        what = f"for partition {one.name} in memory"
        alarms += _space(MEMORY_SPACE, room_bytes, reserve_bytes, what, one.name)
        sizes.append(room_bytes - reserve_bytes)
    for resource, count, limit in _object_limits(partitions, quotas):
        alarms += _objects(resource, count, limit)
        counts.append(_left(count, limit))
    if log is not None:
        alarms += _quota(LOG_QUOTA, log.log_bytes, quotas.log_bytes, "of log")
        sizes.append(_left(log.log_bytes, quotas.log_bytes))
        if log.disk is not None:
            reserve_bytes = reserve_of(log.disk, quotas.log_reserve_bytes)
            what = "on the journal's disk"
            alarms += _space(LOG_SPACE, log.disk.free_bytes, reserve_bytes, what)
            sizes.append(log.disk.free_bytes - reserve_bytes)
    return alarms, Distance(min(sizes), min(counts))


def judge_journal(log: LogFigures | None, away_s: float, away_s_max: float) -> Iterator[Alarm]:
    """Yield what is wrong with the journal besides its space."""
    if away_s > away_s_max:
        yield Alarm(JOURNAL_AWAY, Level.WARNING, f"no connection for {away_s:.0f} s")
    if log is None:
        return
    for stream, why in log.closed.items():
        yield Alarm(LOG_CLOSED, Level.WARNING, why, stream)
    if log.sync_s > SYNC_S_MAX:
        text = f"a durable write takes {log.sync_s * 1000:.0f} ms"
        yield Alarm(DISK_SLOW, Level.WARNING, text)


def judge_data(disk: Disk, needed_bytes: int) -> Iterator[Alarm]:
    """Yield whether there is no room for the next checkpoint."""
    if disk.free_bytes < needed_bytes:
        text = (
            f"{mib(disk.free_bytes)} are left on the disk of the checkpoints, "
            f"the next one needs {mib(needed_bytes)}"
        )
        yield Alarm(DATA_SPACE, Level.WARNING, text)


def judge_replica(
    name: str, known: Mapping[str, Any], lag_s: float, now_ms: int
) -> Iterator[Alarm]:
    """Yield what is wrong with a partition.

    Args:
        name: the partition's.
        known: its status.
        lag_s: for how long it has not been applying what it knows of.
        now_ms: by our clock.
    """
    if known["failure"]:
        yield Alarm(REPLICA_STOPPED, Level.WARNING, known["failure"], name)
    if lag_s > LAG_S_MAX:
        behind = known["journal_tail"] - known["revision"]
        yield Alarm(REPLICA_LAG, Level.WARNING, f"{behind} entries, {lag_s:.0f} s behind", name)
    ahead_s = (known["timestamp_ms"] - now_ms) / 1000
    if ahead_s > CLOCK_AHEAD_S_MAX:
        text = f"the last entry is from {ahead_s:.0f} s ahead of this machine's clock"
        yield Alarm(CLOCK, Level.WARNING, text, name)


def judge_checkpoint(
    name: str, known: Mapping[str, Any], now_ms: int, quotas: Quotas
) -> Iterator[Alarm]:
    """Yield whether a partition's newest checkpoint is too old: the log is kept from there on."""
    if known["checkpoint_error"]:
        yield Alarm(CHECKPOINT_OLD, Level.WARNING, known["checkpoint_error"], name)
        return
    since_ms = known["checkpoint_due_since_ms"]
    waited_s = (now_ms - since_ms) / 1000 if since_ms else 0.0
    if waited_s > CHECKPOINT_INTERVALS_MAX * quotas.checkpoint_interval_s:
        text = f"none was written for {waited_s:.0f} s"
        yield Alarm(CHECKPOINT_OLD, Level.WARNING, text, name)


def mib(size_bytes: int) -> str:
    """Return a size for people."""
    return f"{size_bytes / (1 << 20):,.1f} MiB"


def _object_limits(
    partitions: list[PartitionFigures], quotas: Quotas
) -> Iterator[tuple[str, int, int]]:
    counts: dict[str, int] = {}
    for one in partitions:
        counts.update(one.objects)
    yield "", sum(counts.values()), quotas.objects
    for resource, limit in quotas.objects_of.items():
        yield resource, counts.get(resource, 0), limit


def _objects(resource: str, count: int, limit: int) -> Iterator[Alarm]:
    if (level := _quota_level(count, limit)) is not None:
        text = f"there are {count:,} {resource or 'objects'}, the quota is {limit:,}"
        yield Alarm(OBJECTS_QUOTA, level, text, resource=resource, is_growth=False)


def _quota(name: str, used: int, limit: int, what: str) -> Iterator[Alarm]:
    if (level := _quota_level(used, limit)) is not None:
        yield Alarm(name, level, f"{mib(used)} {what} are used, the quota is {mib(limit)}")


def _quota_level(used: int, limit: int) -> Level | None:
    if not limit:
        return None
    if used >= limit:
        return Level.READ_ONLY
    parts, whole = SOFT_PARTS
    return Level.WARNING if used * whole >= limit * parts else None


def _space(
    name: str, room_bytes: int, reserve_bytes: int, what: str, partition: str = ""
) -> Iterator[Alarm]:
    if room_bytes < reserve_bytes // FLOOR_PART:
        level = Level.DELETES_ONLY
    elif room_bytes < reserve_bytes:
        level = Level.READ_ONLY
    elif room_bytes < 2 * reserve_bytes:
        level = Level.WARNING
    else:
        return
    text = f"{mib(max(room_bytes, 0))} are left {what}, the reserve is {mib(reserve_bytes)}"
    yield Alarm(name, level, text, partition)


def _left(used: int, limit: int) -> int:
    return limit - used if limit else UNLIMITED

"""Which limits are near or reached, by figures alone."""

from __future__ import annotations

import pytest

from storage.alarms import (
    CHECKPOINT_OLD,
    CLOCK,
    LOG_CLOSED,
    LOG_QUOTA,
    LOG_SPACE,
    MEMORY_QUOTA,
    MEMORY_SPACE,
    OBJECTS_QUOTA,
    REPLICA_LAG,
    Disk,
    Level,
    LogFigures,
    PartitionFigures,
    Quotas,
    judge_checkpoint,
    judge_journal,
    judge_replica,
    judge_space,
)

_MIB = 1 << 20
_PLENTY = Disk(1 << 40, 1 << 41)


def _partition(used_mib: int, spare_mib: int = 0, map_mib: int = 1 << 20) -> PartitionFigures:
    file_bytes = (used_mib + spare_mib) * _MIB
    return PartitionFigures("default", file_bytes, spare_mib * _MIB, map_mib * _MIB, {"pods": 5})


@pytest.mark.parametrize(
    ("free_mib", "level"),
    [(600, None), (511, Level.WARNING), (255, Level.READ_ONLY), (63, Level.DELETES_ONLY)],
)
def test_space_has_a_warning_a_reserve_and_a_last_reserve(
    free_mib: int, level: Level | None
) -> None:
    memory = Disk(free_mib * _MIB, 1 << 40)
    alarms, _ = judge_space([_partition(1)], memory, None, Quotas())
    assert [(alarm.name, alarm.level) for alarm in alarms] == (
        [] if level is None else [(MEMORY_SPACE, level)]
    )


def test_pages_given_up_are_room_and_no_use() -> None:
    quotas = Quotas(memory_bytes=100 * _MIB)
    full = Disk(0, 1 << 40)
    alarms, distance = judge_space([_partition(50, spare_mib=600)], full, None, quotas)
    assert alarms == []
    assert distance.size_bytes == 50 * _MIB


def test_the_map_is_a_limit_as_memory_is() -> None:
    alarms, _ = judge_space([_partition(900, map_mib=1000)], _PLENTY, None, Quotas())
    assert [(alarm.name, alarm.level) for alarm in alarms] == [(MEMORY_SPACE, Level.READ_ONLY)]


def test_a_small_file_system_keeps_an_eighth() -> None:
    alarms, distance = judge_space([_partition(1)], Disk(40 * _MIB, 64 * _MIB), None, Quotas())
    assert alarms == []
    assert distance.size_bytes == 32 * _MIB


@pytest.mark.parametrize(("limit", "level"), [(101, Level.WARNING), (100, Level.READ_ONLY)])
def test_a_quota_warns_at_four_fifths_and_refuses_at_its_end(limit: int, level: Level) -> None:
    log = LogFigures(100 * _MIB, None, {}, 0.0)
    quotas = Quotas(memory_bytes=limit * _MIB, log_bytes=limit * _MIB)
    alarms, _ = judge_space([_partition(100)], _PLENTY, log, quotas)
    assert {alarm.name: alarm.level for alarm in alarms} == {MEMORY_QUOTA: level, LOG_QUOTA: level}


def test_objects_are_limited_in_all_and_by_resource() -> None:
    quotas = Quotas(objects=100, objects_of={"pods": 5, "events": 5})
    alarms, distance = judge_space([_partition(1)], _PLENTY, None, quotas)
    assert [(alarm.name, alarm.resource, alarm.level) for alarm in alarms] == [
        (OBJECTS_QUOTA, "pods", Level.READ_ONLY)
    ]
    assert distance.objects == 0


def test_the_disk_of_the_log_is_looked_at_by_what_the_journal_says() -> None:
    log = LogFigures(0, Disk(100 * _MIB, 1 << 40), {}, 0.0)
    alarms, _ = judge_space([_partition(1)], _PLENTY, log, Quotas())
    assert [(alarm.name, alarm.level) for alarm in alarms] == [(LOG_SPACE, Level.DELETES_ONLY)]


def test_a_closed_stream_is_told_of() -> None:
    log = LogFigures(0, None, {"pods": "fsync failed"}, 0.0)
    (alarm,) = judge_journal(log, 0.0, 5.0)
    assert (alarm.name, alarm.partition, alarm.text) == (LOG_CLOSED, "pods", "fsync failed")


def test_lag_and_a_clock_that_was_set_back_are_told_of() -> None:
    known = {"failure": "", "journal_tail": 9, "revision": 2, "timestamp_ms": 70_000}
    names = [alarm.name for alarm in judge_replica("default", known, 11.0, 50_000)]
    assert names == [REPLICA_LAG, CLOCK]
    assert not list(judge_replica("default", known, 9.0, 65_000))


def test_a_checkpoint_is_old_once_it_was_due_for_long() -> None:
    known = {"checkpoint_error": "", "checkpoint_due_since_ms": 1}
    quotas = Quotas(checkpoint_interval_s=10)
    assert not list(judge_checkpoint("default", known, 40_000, quotas))
    (alarm,) = judge_checkpoint("default", known, 41_000, quotas)
    assert alarm.name == CHECKPOINT_OLD

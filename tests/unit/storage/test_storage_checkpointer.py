"""When checkpoints are written: often enough, and not where they cost too much."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.checkpointer import Checkpointer
from storage.txn import ANY, Compact, Delete
from tests.unit.storage.replicas import BODY, Replica, put


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica with something in it."""
    one = Replica(tmp_path / "replica")
    for name in ("a", "b", "c"):
        one.run(put(name, node="n1"))
    yield one
    one.close()


def test_a_large_replica_is_copied_when_a_quarter_of_its_objects_was_written(
    replica: Replica, tmp_path: Path
) -> None:
    partition, clock = replica.partition, replica.clock
    for number in range(40):
        replica.run(put(f"p{number}"))
    checkpointer = Checkpointer(
        partition, tmp_path / "checkpoints", clock, entries_max=2, seconds_max=600
    )
    checkpointer.last_sequence = partition.revision
    objects = partition.count("pods", None)
    for number in range(objects // 4 - 1):
        replica.run(put(f"p{number}"))
        assert not checkpointer.due
    replica.run(put("p0"))
    assert checkpointer.due


def pass_time(replica: Replica, seconds: float) -> None:
    """Move a replica's clock."""
    asyncio.run(replica.clock.advance(seconds))


def busy(replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpointer:
    """Return who writes checkpoints of a replica that changes much, whose log is long enough."""
    monkeypatch.setattr("storage.checkpointer.GROWTH_BYTES_MAX", 0)
    monkeypatch.setattr("storage.checkpointer.ENTRY_BYTES", 1 << 30)
    checkpointer = Checkpointer(
        replica.partition, tmp_path / "checkpoints", replica.clock, entries_max=2, seconds_max=600
    )
    pass_time(replica, 1)
    for number in range(20):
        replica.run(put(f"p{number}"))
    checkpointer.look()
    return checkpointer


def test_a_checkpoint_that_would_cost_much_waits_until_less_is_written(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = busy(replica, tmp_path, monkeypatch)
    assert not checkpointer.due
    pass_time(replica, 1)
    checkpointer.look()
    assert checkpointer.due


def test_a_checkpoint_waits_for_less_writing_no_longer_than_two_intervals(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = busy(replica, tmp_path, monkeypatch)
    pass_time(replica, 1198)
    assert not checkpointer.due
    pass_time(replica, 1)
    assert checkpointer.due


def test_a_checkpoint_waits_for_less_writing_until_the_log_is_too_long(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = busy(replica, tmp_path, monkeypatch)
    assert not checkpointer.due
    monkeypatch.setattr("storage.checkpointer.POSTPONED_ENTRIES_MAX", 20)
    assert checkpointer.due


def test_a_checkpoint_waits_for_less_writing_until_the_log_is_too_large(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = busy(replica, tmp_path, monkeypatch)
    monkeypatch.setattr("storage.checkpointer.POSTPONED_BYTES_MAX", 1 << 20)
    assert not checkpointer.due
    replica.run(put("large")._replace(body=BODY + b" " * (1 << 20)))
    assert checkpointer.due


def test_a_checkpoint_that_spare_pages_pay_for_does_not_wait(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpointer = busy(replica, tmp_path, monkeypatch)
    monkeypatch.setattr("storage.checkpointer.ENTRY_BYTES", 30_000)
    monkeypatch.setattr("storage.checkpointer.COPY_BYTES_PER_SECOND", 1e6)
    large = put("large")._replace(body=BODY + b" " * (4 << 20))
    replica.run(large)
    assert not checkpointer.due
    replica.run(Delete("pods", "default", "large", ANY))
    replica.run(Compact(replica.partition.revision))
    assert checkpointer.due

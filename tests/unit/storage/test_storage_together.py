"""Mapped replicas, compression and scans, where one meets the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from storage import mapped_partition
from storage.dictionaries import add_dictionary, load_dictionary
from storage.environment import (
    DATA_NAME,
    Environment,
    EnvironmentReplaced,
    MappedEnvironment,
)
from storage.errors import CommitTimeout, DictionaryDamaged, StorageFull, TooManySnapshots
from storage.mapped_store import MappedStore
from storage.record import Record
from storage.scan import Query, RecordScan, Scan
from storage.scan_forms import CountScan, Forms, FormScan
from storage.txn import Compact, Delete
from tests.unit.storage.mapped import Keepers, keepers, mapped, mapping
from tests.unit.storage.replicas import (
    MappedReplica,
    Replica,
    begin_scan,
    drain,
    options,
    put,
    record_of,
)
from tests.unit.storage.test_storage_compressing import until

__all__ = ["keepers"]

_COUNT = 20


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a keeper's replica of some pods."""
    one = Replica(tmp_path / "replica")
    one.apply_records([record_of(put(f"p{number:02}")) for number in range(_COUNT)])
    yield one
    one.close()


@pytest.fixture
def mapper(replica: Replica) -> Iterator[MappedReplica]:
    """Return who maps it."""
    one = MappedReplica(replica)
    yield one
    one.close()


def _names(records: list[Record]) -> list[str]:
    return [record.name for record in records]


def test_values_compressed_between_two_snapshots_are_read_in_both(
    replica: Replica, mapper: MappedReplica
) -> None:
    partition = mapper.partition
    before = drain(begin_scan(partition, Query("pods")))
    old = begin_scan(partition, Query("pods"))
    replica.compress()
    assert replica.compressed() == _COUNT
    # The same snapshot, then a new one at the same revision, then one with a new value.
    assert drain(begin_scan(partition, Query("pods"))) == before
    partition.advance()
    assert drain(begin_scan(partition, Query("pods"))) == before
    replica.run(put("q"))
    mapper.follow()
    assert drain(begin_scan(partition, Query("pods")))[:_COUNT] == before
    assert drain(begin_scan(partition, Query("pods", revision=_COUNT))) == before
    assert drain(old) == before
    assert partition.state_hash() == replica.partition.state_hash()


def test_a_mapper_finds_a_dictionary_that_is_newer_than_its_snapshot(
    replica: Replica, mapper: MappedReplica
) -> None:
    environment = mapper.partition.views.environment
    with replica.partition.rewriting() as txn:
        number = add_dictionary(replica.environment, txn, b"\0\0", 0.5, b"words" * 100)
    assert load_dictionary(environment, number) == b"words" * 100
    with pytest.raises(DictionaryDamaged):
        load_dictionary(environment, number + 1)


def test_a_mapper_that_hears_of_nothing_lets_go_of_what_was_rewritten(
    keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_partition, "SWEEP_SECONDS", 0.001)

    async def scenario() -> None:
        async with mapping(keepers) as store:
            views = mapped(store).views
            old = views.current
            # Rewriting moves nothing on, so nobody is told of it.
            await until(lambda: views.current is not old)
            assert views._users == {}

    asyncio.run(scenario())


def test_a_snapshot_at_the_same_revision_is_one_step_for_those_who_read(
    replica: Replica, mapper: MappedReplica
) -> None:
    partition = mapper.partition
    scan, old = begin_scan(partition, Query("pods")), partition.views.current
    partition.advance()
    assert partition.views.current is not old
    assert partition.views._users == {old: 1}
    assert (partition.revision, len(drain(scan))) == (_COUNT, _COUNT)
    assert partition.views._users == {}


def _scans(partition: mapped_partition.MappedPartition, revision: int) -> list[Scan[object]]:
    views, pool = partition.views, partition.snapshots
    forms = Forms({}, lambda key, *_: key)
    query = Query("pods", revision=revision)
    return [
        RecordScan(views, pool, query, revision),  # type: ignore[list-item]
        FormScan(views, pool, query, revision, forms),  # type: ignore[list-item]
        CountScan(views, pool, query, revision),  # type: ignore[list-item]
    ]


def test_scans_go_on_when_other_files_take_the_place_of_those_they_began_with(
    replica: Replica, mapper: MappedReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan.CHUNK_BYTES", 1)
    monkeypatch.setattr("storage.scan_forms.CHUNK_BYTES", 1)
    monkeypatch.setattr("storage.scan_forms._LOOKED_AT_MAX", 1)
    partition = mapper.partition
    scans = _scans(partition, _COUNT)
    found = [list(next(scan)) for scan in scans]
    other = Replica(tmp_path / "other", compressing=True)
    other.apply_records([record_of(put(f"p{number:02}")) for number in range(_COUNT)])
    other.run(Delete("pods", "default", "p07"))
    mapper.map(other)
    mapper.follow()
    assert partition.revision == _COUNT + 1
    found = [some + drain(scan) for some, scan in zip(found, scans, strict=True)]
    assert [len(some) for some in found] == [_COUNT] * 3
    # And so does one that is begun and taken back later.
    late = begin_scan(partition, Query("pods"))
    late.release()
    assert len(drain(late)) == _COUNT - 1
    assert len(partition.snapshots) == 0
    mapper.close()
    other.close()


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["records", "forms", "count"])
def test_a_scan_released_at_every_pause_comes_to_its_end(
    replica: Replica, mapper: MappedReplica, monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr("storage.walks.PASSED_MAX", 2)
    monkeypatch.setattr("storage.reads.PASSED_MAX", 2)
    replica.compress()
    first = Query("pods", revision=_COUNT)
    # Nothing of that revision is left but at the end, behind much that has to be passed over.
    for number in range(3 * _COUNT):
        replica.run(put(f"o{number:02}"))
    replica.run(Delete("pods", "default", "p19"))
    mapper.follow()
    wanted = _names(drain(begin_scan(mapper.partition, first)))
    scan = _scans(mapper.partition, _COUNT)[kind]
    count = 0
    for turn, chunk in enumerate(scan):
        count += len(chunk)
        # It finds two pauses on each snapshot.
        if turn % 2:
            scan.release()
        assert turn < 200, "it begins again and again"
    assert count == len(wanted) == _COUNT


def test_a_scan_goes_on_rightly_after_a_pass_that_found_no_space(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan.CHUNK_BYTES", 1)
    scan = replica.scan(Query("pods"))
    expected = drain(replica.scan(Query("pods")))
    found = next(scan)
    with monkeypatch.context() as patch:
        patch.setattr(Environment, "write", _no_space)
        with pytest.raises(StorageFull):
            replica.run(put("p00"))
    # The table of types was loaded anew; what changes from now on is not known to the old one.
    scan.release()
    replica.run(put("p19", node="n1"))
    replica.run(Delete("pods", "default", "p18"))
    assert found + drain(scan) == expected


def _no_space(_environment: Environment) -> None:
    raise StorageFull("no space")


@pytest.mark.parametrize("renewed", [False, True])
def test_a_scan_that_gets_no_snapshot_takes_no_place(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, *, renewed: bool
) -> None:
    pool = replica.partition.snapshots
    slow = replica.scan(Query("pods"))
    slow.release()

    def none_left() -> None:
        raise TooManySnapshots("all slots are taken")

    with monkeypatch.context() as patch:
        patch.setattr(replica.partition.views.environment, "read", none_left)
        with pytest.raises(TooManySnapshots):
            next(slow) if renewed else replica.scan(Query("pods"))
    assert len(pool) == 0
    assert len(drain(slow)) == _COUNT


def test_a_commit_whose_outcome_cannot_be_read_is_answered(
    keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise DictionaryDamaged("dictionary 1 is missing")

    async def scenario() -> None:
        async with mapping(keepers) as store:
            monkeypatch.setattr(mapped_partition, "outcome_at", damaged)
            async with asyncio.timeout(20):
                with pytest.raises(CommitTimeout, match="dictionary 1"):
                    await store.commit((put("a"),), 60)

    asyncio.run(scenario())


def test_a_mapper_that_cannot_move_on_says_so_once_and_stops(
    keepers: Keepers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> None:
        raise DictionaryDamaged("dictionary 1 is missing")

    async def scenario() -> None:
        keeper, crashes = await keepers.start(), []
        store = MappedStore(keepers.journal, options(keepers.path), "test", on_crash=crashes.append)
        await store.start()
        monkeypatch.setattr(mapped_partition, "read_position", damaged)
        await keeper.commit((put("a"),), 5)
        await until(lambda: crashes)
        assert "dictionary 1" in str(mapped(store).failure)
        await store.stop()
        await keepers.stop()
        assert len(crashes) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("gone", [False, True])
def test_files_that_go_while_they_are_opened_are_not_taken_for_damaged(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, *, gone: bool
) -> None:
    identity = replica.environment.identity

    def fails(path: str, **_: object) -> None:
        if gone:
            (Path(path) / DATA_NAME).rename(Path(path) / "elsewhere")
        raise lmdb.Error("No such file or directory")

    monkeypatch.setattr(lmdb, "open", fails)
    with pytest.raises(EnvironmentReplaced if gone else lmdb.Error):
        MappedEnvironment(replica.path, identity, map_bytes=64 << 20)


def test_a_commit_whose_history_is_compacted_says_so_with_compressed_values(
    replica: Replica, mapper: MappedReplica
) -> None:
    partition = mapper.partition
    replica.compress()
    loop = asyncio.new_event_loop()
    commits = [partition._commits.begin(loop, (put("p00", expected=1),), 60) for _ in range(2)]
    told = [replica.run(*commit.ops) for commit in commits]
    replica.run(Compact(_COUNT))
    mapper.follow()
    for sequence, commit in enumerate(commits, _COUNT + 1):
        partition._settle(sequence, commit)
    assert [commit.future.result() for commit in commits] == told
    late = partition._commits.begin(loop, (put("p00", expected=1),), 60)
    replica.run(*late.ops)
    replica.run(put("p00"))
    replica.run(Compact(replica.partition.revision + 1))
    mapper.follow()
    partition._settle(_COUNT + 4, late)
    with pytest.raises(CommitTimeout, match="compacted"):
        late.future.result()
    loop.close()


def test_a_mapper_tells_its_journal_how_far_the_log_is_known_to_be_durable(
    replica: Replica, mapper: MappedReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []
    monkeypatch.setattr(mapper.partition.port, "learn", learned.append)
    replica.run(put("a"))
    mapper.follow()
    assert learned == [_COUNT + 1]

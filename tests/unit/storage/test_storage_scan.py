"""Scans: chunks, limits, places, snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import Compacted, PartitionFailed, TooManySnapshots
from storage.record import Record
from storage.scan import CHUNK_BYTES, Query, RecordScan, SnapshotPool
from storage.txn import ANY, Compact, Delete, Put
from tests.unit.storage.replicas import SPLICE_AT, Replica, drain, put, record_of


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """Return a replica of ten pods in each of two namespaces."""
    one = Replica(tmp_path / "replica", compressing=request.param)
    one.apply_records(
        [
            record_of(put(f"p{number}", namespace=space, labels=f"n={number % 2}"))
            for space in ("a", "b")
            for number in range(10)
        ]
    )
    yield one
    one.close()


def test_a_scan_yields_all_in_key_order(replica: Replica) -> None:
    expected = [f"{space}/p{number}" for space in ("a", "b") for number in range(10)]
    assert replica.names(Query("pods")) == expected
    assert replica.names(Query("pods", "b")) == expected[10:]
    assert replica.names(Query("nodes")) == []
    assert replica.names(Query("pods", "c")) == []


def test_chunks_are_bounded_by_bytes(replica: Replica) -> None:
    body = b'{"metadata":{"resourceVersion":""}}' + b" " * 100_000
    for number in range(9):
        replica.run(Put("big", "", f"b{number}", b"", body, SPLICE_AT, ANY))
    chunks = list(replica.scan(Query("big")))
    assert [len(chunk) for chunk in chunks] == [3, 3, 3]
    assert all(sum(len(record.body) for record in chunk) > CHUNK_BYTES for chunk in chunks)


def test_a_filter_that_lets_nothing_through_still_yields_the_loop(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan._LOOKED_AT_MAX", 6)
    chunks = list(replica.scan(Query("pods", match=lambda _: False)))
    assert chunks == [[], [], []]


def test_large_objects_left_out_end_a_chunk_as_well(replica: Replica) -> None:
    body = b'{"metadata":{"resourceVersion":""}}' + b" " * 1_000_000
    for number in range(20):
        replica.run(Put("big", "", f"b{number:02d}", b"", body, SPLICE_AT, ANY))
    query = Query("big", match=lambda _: False)
    # Reading 4,096 of them in one piece would hold the loop for seconds.
    assert list(replica.scan(query)) == [[], []]
    assert list(replica.bodies(query)) == [[], []]


def test_a_match_sees_only_meta(replica: Replica) -> None:
    found = replica.names(Query("pods", "a", match=lambda meta: b"\0n=1\0" in meta))
    assert found == [f"a/p{number}" for number in range(1, 10, 2)]


def test_pages_joined_are_the_whole_list(replica: Replica) -> None:
    for limit in (1, 3, 10, 20, 50):
        found: list[str] = []
        after = None
        remaining = -1
        while remaining:
            with replica.scan(Query("pods", start_after=after, limit=limit)) as scan:
                for chunk in scan:
                    found += [f"{record.namespace}/{record.name}" for record in chunk]
                    if scan.returned == limit:
                        break
                remaining, after = scan.remaining(), scan.last_key
                assert remaining == 20 - len(found)
        assert found == replica.names(Query("pods"))


def test_what_remains_of_an_older_list_is_counted_at_its_revision(replica: Replica) -> None:
    replica.run(Delete("pods", "a", "p5"))
    replica.run(put("p99", namespace="b"))
    with replica.scan(Query("pods", revision=20, limit=4)) as scan:
        assert len(next(scan)) == 4
        assert scan.remaining() == 16


def test_bodies_come_without_their_head(replica: Replica) -> None:
    (first, *_), *_ = replica.bodies(Query("pods", limit=1), strip=12)
    assert first == b'{"resourceVersion":"1"}}'


def test_a_scan_shows_one_revision_while_others_are_applied(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan.CHUNK_BYTES", 1)
    with replica.scan(Query("pods")) as scan:
        seen = next(scan)
        replica.run(Delete("pods", "a", "p1"))
        replica.run(put("p00", namespace="a"))
        replica.run(Compact(22))
        seen += drain(scan)
    assert scan.revision == 20
    assert len(seen) == 20


def test_a_list_at_an_older_revision_shows_deleted_and_earlier_states(replica: Replica) -> None:
    replica.run(Delete("pods", "a", "p1"))
    replica.run(put("p2", namespace="a", labels="changed=yes"))
    replica.run(put("p00", namespace="a"))
    then = drain(replica.scan(Query("pods", "a", revision=20)))
    assert [record.name for record in then] == [f"p{number}" for number in range(10)]
    assert all(record.mod_revision <= 20 for record in then)
    assert not any(b"changed" in record.meta for record in then)


def test_a_compacted_revision_cannot_be_listed(replica: Replica) -> None:
    replica.run(put("p1", namespace="a"))
    replica.run(Compact(21))
    with pytest.raises(Compacted) as caught:
        replica.scan(Query("pods", revision=20))
    assert (caught.value.revision, caught.value.compact_revision) == (20, 21)
    assert len(drain(replica.scan(Query("pods", revision=21)))) == 20


def pool_of(replica: Replica, **limits: float) -> SnapshotPool:
    """Return a pool of its own for scans of a replica."""
    check = replica.partition.check_retained
    return SnapshotPool(replica.clock.monotonic_s, check, **limits)  # type: ignore[arg-type]


def test_an_old_snapshot_is_taken_back_and_its_scan_goes_on(replica: Replica) -> None:
    clock, partition = replica.clock, replica.partition
    pool = pool_of(replica, age_s_max=10)
    old = RecordScan(partition.views, pool, Query("pods", limit=3), 20)
    young = RecordScan(partition.views, pool, Query("pods"), 20)
    old.release()
    assert len(pool) == 1
    clock._elapsed_s = 11
    assert len(next(old)) == 3  # from a snapshot that is young
    pool.sweep()
    assert len(pool) == 1
    assert len(drain(young)) == 20
    assert drain(old) == []
    assert len(pool) == 0


def change(replica: Replica) -> None:
    """Change what a scan at revision 20 shows, in every way, both behind and before it."""
    replica.run(Delete("pods", "a", "p0"))
    replica.run(Delete("pods", "b", "p8"))
    replica.run(put("p00", namespace="a"))
    replica.run(put("p77", namespace="b"))
    for number in range(3):
        replica.run(put("p2", namespace="a", labels=f"n=9,round={number}"))
        replica.run(put("p7", namespace="b", labels=f"n=9,round={number}"))


@pytest.mark.parametrize("chunk_bytes", [1, 300, 1000])
@pytest.mark.parametrize(
    "query",
    [
        Query("pods"),
        Query("pods", "b"),
        Query("pods", start_after=("a", "p4"), limit=9),
        Query("pods", match=lambda meta: b"\0n=1\0" in meta),
    ],
)
def test_a_scan_that_lost_its_snapshot_shows_the_same_as_one_that_kept_it(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, query: Query, chunk_bytes: int
) -> None:
    monkeypatch.setattr("storage.scan.CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr("storage.walks.PASSED_MAX", 2)
    monkeypatch.setattr("storage.reads.PASSED_MAX", 2)
    expected = drain(replica.scan(query))
    for changes_after in range(0, 20, 3):
        found: list[Record] = []
        partition = replica.partition
        scan = RecordScan(partition.views, partition.snapshots, query, 20)
        for turn, chunk in enumerate(scan):
            found += chunk
            if turn == changes_after and partition.revision == 20:
                change(replica)
            if chunk:
                scan.release()
        assert found == expected


def test_a_scan_whose_revision_was_compacted_meanwhile_has_expired(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan.CHUNK_BYTES", 1)
    scan, kept = replica.scan(Query("pods")), replica.scan(Query("pods"))
    next(scan)
    change(replica)
    replica.run(Compact(21))
    scan.release()
    with pytest.raises(Compacted):
        next(scan)
    assert len(drain(kept)) == 20


def test_what_follows_is_known_though_much_is_passed_over(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(replica)
    for number in range(10):
        replica.run(put(f"p{number}", namespace="a", labels="later=yes"))
    monkeypatch.setattr("storage.walks.PASSED_MAX", 1)
    monkeypatch.setattr("storage.reads.PASSED_MAX", 1)
    with replica.scan(Query("pods", revision=20, limit=7)) as scan:
        while scan.returned < 7:
            next(scan)
        assert scan.has_more()
        assert scan.remaining() == 13


def test_objects_changed_since_are_passed_over_in_steps(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    for space in ("a", "b"):
        for number in range(10):
            replica.run(put(f"p{number}", namespace=space, labels="later=yes"))
    replica.run(put("p-new", namespace="c"))
    monkeypatch.setattr("storage.walks.PASSED_MAX", 4)
    chunks = list(replica.scan(Query("pods", revision=20)))
    # Reading thousands of them in one piece would hold the loop.
    assert len(chunks) > 4
    assert sum(len(chunk) for chunk in chunks) == 20


def test_a_stopped_partition_ends_its_scans(replica: Replica) -> None:
    scan, slow = replica.scan(Query("pods")), replica.scan(Query("pods"))
    slow.release()
    replica.partition.snapshots.close()
    for one in (scan, slow):
        with pytest.raises(PartitionFailed):
            next(one)
    # What asks for any state is answered by a partition that has failed, too.
    assert len(drain(replica.scan(Query("pods")))) == 20


def test_open_scans_are_limited_and_ended_ones_do_not_count(replica: Replica) -> None:
    partition = replica.partition
    pool = pool_of(replica, count_max=2)
    scans = [RecordScan(partition.views, pool, Query("pods"), 20) for _ in range(2)]
    with pytest.raises(TooManySnapshots):
        RecordScan(partition.views, pool, Query("pods"), 20)
    drain(scans[0])
    scans[1].close()
    assert len(pool) == 0
    assert len(drain(RecordScan(partition.views, pool, Query("pods"), 20))) == 20

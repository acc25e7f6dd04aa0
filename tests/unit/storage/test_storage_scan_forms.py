"""Scans of another form and of nothing: the same objects as other scans, and their number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.scan import Query
from storage.scan_forms import CountScan, Forms, FormScan, revision_bytes
from storage.txn import ANY, Delete, Put
from tests.unit.storage.replicas import SPLICE_AT, Replica, body_at, drain, put, record_of

QUERIES = [
    Query("pods"),
    Query("pods", "b"),
    Query("pods", "c"),
    Query("nodes"),
    Query("pods", start_after=("a", "p7")),
    Query("pods", "b", start_after=("b", "p7")),
    Query("pods", match=lambda meta: b"\0n=1\0" in meta),
    Query("pods", index=("spec.nodeName", "n1")),
    Query("pods", limit=7),
]


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica of ten pods in each of two namespaces, half of them on node n1."""
    one = Replica(tmp_path / "replica")
    one.apply_records(
        [
            record_of(
                put(f"p{n}", namespace=space, labels=f"n={n % 2}", node="n1" if n % 2 else "")
            )
            for space in ("a", "b")
            for n in range(10)
        ]
    )
    yield one
    one.close()


def shown(key: bytes, revision: bytes, body: bytes) -> bytes:
    """Make a form that tells what it was made of."""
    return b"%b@%b %b" % (key, revision, body)


def formed(
    replica: Replica, query: Query, held: dict[bytes, tuple[bytes, bytes]] | None = None
) -> FormScan:
    partition = replica.partition
    revision = partition.revision if query.revision is None else query.revision
    forms = Forms(held or {}, shown)
    return FormScan(partition.views, partition.snapshots, query, revision, forms)


def counted(replica: Replica, query: Query) -> int:
    partition = replica.partition
    revision = partition.revision if query.revision is None else query.revision
    with CountScan(partition.views, partition.snapshots, query, revision) as scan:
        drain(scan)
        return scan.returned


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("step", [2, 4096])
def test_all_kinds_of_scans_find_the_same(
    replica: Replica, query: Query, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan_forms._LOOKED_AT_MAX", step)
    records = drain(replica.scan(query))
    scan = formed(replica, query)
    known = scan.known_rest()
    assert drain(scan) == [
        shown(f"{r.namespace}\0{r.name}".encode(), revision_bytes(r.mod_revision), r.body)
        for r in records
    ]
    assert counted(replica, query) == len(records)
    assert known in (None, len(records))


def test_the_number_of_a_whole_type_is_known_at_once(replica: Replica) -> None:
    with formed(replica, Query("pods")) as scan:
        assert scan.known_rest() == 20
    with formed(replica, Query("pods", "a")) as scan:
        assert scan.known_rest() is None


def test_an_older_state_is_counted_as_it_was(replica: Replica) -> None:
    revision = replica.partition.revision
    replica.run(put("p0", namespace="a", labels="n=1"))
    replica.run(Delete("pods", "a", "p1", ANY))
    replica.run(put("p99", namespace="b"))
    past = Query("pods", revision=revision)
    assert formed(replica, past).known_rest() is None
    assert counted(replica, past) == 20
    assert drain(formed(replica, past))[0] == shown(b"a\0p0", revision_bytes(1), body_at(1))
    after = Query("pods", revision=revision, start_after=("a", "p0"))
    assert counted(replica, after) == 19


def test_a_form_held_is_taken_if_it_is_of_the_right_revision(replica: Replica) -> None:
    held = {
        b"a\0p0": (revision_bytes(1), b"held"),
        b"a\0p1": (revision_bytes(1), b"older"),
        b"a\0p2": (revision_bytes(999), b"newer"),
        b"b\0p3": (revision_bytes(14), b"held too"),
    }
    found = drain(formed(replica, Query("pods"), held))
    assert found[0] == b"held"
    assert found[1:3] == [
        shown(f"a\0p{n}".encode(), revision_bytes(n + 1), body_at(n + 1)) for n in (1, 2)
    ]
    assert found[13] == b"held too"


def test_what_follows_a_scan_is_counted_from_its_last_object(replica: Replica) -> None:
    with formed(replica, Query("pods", limit=7)) as scan:
        drain(scan)
        assert scan.last_key == ("a", "p6")
        assert counted(replica, Query("pods", start_after=scan.last_key)) == 13


def test_counting_gives_the_loop_back_though_nothing_matches(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.scan_forms._LOOKED_AT_MAX", 6)
    partition = replica.partition
    query = Query("pods", match=lambda _: False)
    scan = CountScan(partition.views, partition.snapshots, query, partition.revision)
    assert list(scan) == [[], [], []]
    assert scan.returned == 0


def test_chunks_are_bounded_by_bytes_and_shorter_where_forms_are_made(replica: Replica) -> None:
    body = b'{"metadata":{"resourceVersion":""}}' + b" " * 50_000
    for number in range(12):
        replica.run(Put("big", "", f"b{number:02}", b"", body, SPLICE_AT, ANY))
    assert [len(chunk) for chunk in formed(replica, Query("big"))] == [2] * 6
    first = replica.partition.revision - 11
    held = {f"\0b{n:02}".encode(): (revision_bytes(first + n), b"held") for n in range(12)}
    assert [len(chunk) for chunk in formed(replica, Query("big"), held)] == [6, 6]


def test_counting_large_objects_gives_the_loop_back_as_well(replica: Replica) -> None:
    body = b'{"metadata":{"resourceVersion":""}}' + b" " * 1_000_000
    for number in range(20):
        replica.run(Put("big", "", f"b{number:02d}", b"", body, SPLICE_AT, ANY))
    partition = replica.partition
    query = Query("big", match=lambda _: True)
    scan = CountScan(partition.views, partition.snapshots, query, partition.revision)
    assert [len(chunk) for chunk in scan] == [9, 9, 2]

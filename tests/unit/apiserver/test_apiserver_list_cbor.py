"""Lists in CBOR, part by part: the bytes of the whole, whatever is held and however it is cut."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from apiserver.cbor_cache import CborCache
from apiserver.parts import Part
from apiserver.resources import Catalog
from apiserver.verbs.list_cbor import CborList
from kube import codec_cbor
from kube.builtin_kinds import builtin_registry
from kube.json_types import JsonObject
from storage.record import Record
from storage.scan import Query, RecordScan
from storage.scan_forms import CountScan, Forms, FormScan
from storage.txn import ANY, Delete, Put
from tests.unit.storage.replicas import Replica, drain, record_of

RESOURCE = Catalog(builtin_registry()).by_version["", "v1"]["configmaps"]
STORAGE = RESOURCE.storage
COUNT = 30


def put(name: str, namespace: str, text: str) -> Put:
    labels = {"odd": "yes"} if int(name[1:]) % 2 else {}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    body, meta = RESOURCE.encode({"metadata": metadata, "data": {"k": text}})
    return Put(STORAGE, namespace, name, meta, body, RESOURCE.splice_at, ANY)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica of ConfigMaps in two namespaces."""
    one = Replica(tmp_path / "replica")
    one.apply_records(
        [record_of(put(f"c{n:02}", space, str(n) * 99)) for space in "ab" for n in range(COUNT)]
    )
    yield one
    one.close()


class Source:
    """What a list of one query reads."""

    resource = RESOURCE
    revision = 0

    def __init__(self, query: Query, partition: Any) -> None:
        self._query = query
        self._partition = partition

    def again(self) -> Source:
        return self

    def records(self) -> Generator[list[Record], None, None]:
        partition = self._partition
        revision = self._query.revision or partition.revision
        scan = RecordScan(partition.views, partition.snapshots, self._query, revision)
        self.revision = revision
        yield from scan

    def query(self) -> Query:
        return self._query

    def meta(self) -> JsonObject:
        return {"resourceVersion": str(self.revision)}


class Lists:
    """Lists over a replica."""

    def __init__(self, replica: Replica, cache: CborCache) -> None:
        self._partition = replica.partition
        self.counted = 0
        self._server: Any = SimpleNamespace(store=self, cbor=cache)

    def _revision(self, query: Query) -> int:
        return self._partition.revision if query.revision is None else query.revision

    def scan_forms(self, query: Query, forms: Forms) -> FormScan:
        partition = self._partition
        revision = self._revision(query)
        return FormScan(partition.views, partition.snapshots, query, revision, forms)

    def scan_counts(self, query: Query) -> CountScan:
        self.counted += 1
        partition = self._partition
        return CountScan(partition.views, partition.snapshots, query, self._revision(query))

    def parts(self, query: Query) -> Iterator[bytes]:
        return driven(self.list(query).parts())

    def list(self, query: Query) -> CborList:
        return CborList(self._server, Source(query, self._partition))  # type: ignore[arg-type]


def driven(parts: Iterator[Part]) -> Iterator[bytes]:
    """Yield parts as they are written: what is still to be made is made."""
    return (part if isinstance(part, bytes) else part() for part in parts)


def expected(replica: Replica, query: Query) -> bytes:
    """Return the list encoded in one piece."""
    items = [orjson.loads(record.body) for record in drain(replica.scan(query))]
    for item in items:
        del item["kind"], item["apiVersion"]
    revision = replica.partition.revision if query.revision is None else query.revision
    return codec_cbor.encode(
        {
            "kind": "ConfigMapList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(revision)},
            "items": items,
        }
    )


QUERIES = [
    Query(STORAGE),
    Query(STORAGE, "a"),
    Query(STORAGE, "c"),
    Query("secrets"),
    Query(STORAGE, match=lambda meta: b"odd=yes" in meta),
    Query(STORAGE, "b", match=lambda meta: b"odd=yes" in meta),
    Query(STORAGE, match=lambda _: False),
    Query(STORAGE, start_after=("a", "c20")),
    Query(STORAGE, revision=COUNT),
    Query(STORAGE, "a", revision=COUNT, match=lambda meta: b"odd=yes" in meta),
]
LIMITS = [(1 << 16, 1 << 20), (0, 1 << 20), (7, 1 << 20), (1 << 16, 0), (1 << 16, 700)]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("cache_bytes", [1 << 20, 8_000, 0])
def test_parts_joined_are_the_whole_list(
    replica: Replica,
    query: Query,
    limits: tuple[int, int],
    cache_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apiserver.verbs.list_cbor._GATHERED_MAX", limits[0])
    monkeypatch.setattr("apiserver.verbs.list_cbor._MADE_BYTES_MAX", limits[1])
    monkeypatch.setattr("storage.scan_forms._LOOKED_AT_MAX", 5)
    monkeypatch.setattr("storage.scan_forms.CHUNK_BYTES", 3_000)
    lists = Lists(replica, CborCache(cache_bytes))
    for _ in range(3):
        assert b"".join(lists.parts(query)) == expected(replica, query)


def test_a_list_goes_on_in_its_state_whatever_is_written_meanwhile(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apiserver.verbs.list_cbor._GATHERED_MAX", 0)
    monkeypatch.setattr("storage.scan_forms.CHUNK_BYTES", 1_000)
    lists = Lists(replica, CborCache())
    wanted = expected(replica, Query(STORAGE, "b"))
    parts = lists.parts(Query(STORAGE, "b"))
    taken = [next(parts)]
    replica.run(Delete(STORAGE, "b", "c29", ANY))
    replica.run(put("c28", "b", "changed"))
    replica.run(put("c99", "b", "new"))
    # What was written since is counted as it was.
    assert b"".join([*taken, *parts]) == wanted
    assert lists.counted == 1


def test_a_whole_type_and_what_the_cache_holds_are_not_counted(replica: Replica) -> None:
    lists = Lists(replica, CborCache())
    list(lists.parts(Query(STORAGE)))
    assert lists.counted == 0
    for query in (Query(STORAGE, "a"), Query(STORAGE, match=lambda meta: b"odd" in meta)):
        assert b"".join(lists.parts(query)) == expected(replica, query)
    assert lists.counted == 0


@pytest.mark.parametrize("large_bytes", [0, 250])
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("limits", LIMITS)
def test_large_items_are_made_in_their_turn_and_kept(
    replica: Replica,
    query: Query,
    limits: tuple[int, int],
    large_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apiserver.verbs.list_cbor._GATHERED_MAX", limits[0])
    monkeypatch.setattr("apiserver.verbs.list_cbor._MADE_BYTES_MAX", limits[1])
    monkeypatch.setattr("apiserver.verbs.list_cbor._GATHERED_BYTES_MAX", limits[1])
    for module in ("late_items", "list_cbor"):
        monkeypatch.setattr(f"apiserver.verbs.{module}.LARGE_BYTES", large_bytes)
    lists = Lists(replica, CborCache())
    wanted = expected(replica, query)
    items = codec_cbor.decode(wanted)["items"]
    parts = list(lists.list(query).parts())
    late = [part for part in parts if not isinstance(part, bytes)]
    assert bool(late) is any(len(orjson.dumps(item)) > large_bytes for item in items)
    for _ in range(2):
        assert b"".join(lists.parts(query)) == wanted
    # The second time all was kept.
    assert all(isinstance(part, bytes) for part in lists.list(query).parts())
    for cache in (CborCache(), CborCache(0)):
        pages = Lists(replica, cache)
        assert b"".join(driven(pages.list(query).page_parts())) == wanted
        records = drain(replica.scan(query))
        listed = pages.list(query)
        listed._source.revision = query.revision or replica.partition.revision
        assert b"".join(driven(listed.record_parts(records))) == wanted

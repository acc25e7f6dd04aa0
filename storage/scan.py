"""Listing: a walk over objects in key order on one LMDB snapshot, in chunks.

Invariants:
    - All chunks of a scan show the same revision, whatever is applied meanwhile.
    - A chunk is bounded by bytes and by objects looked at, so that a scan, however few objects its
      filter lets through, never holds the event loop for long; chunks may therefore be empty.
    - Nothing is shown twice or left out when a scan goes on from another snapshot.
    - No object is parsed: filters see `meta` only, and `BodyScan` copies nothing but bodies.

A snapshot keeps LMDB from reusing pages, so open ones are limited in number and age: see
`SnapshotPool`. A scan whose snapshot was taken back, as its reader is slow, goes on from a new one:
what has changed since is found in history, as long as the scan's revision is retained. A scan that
came to its end has closed its snapshot already.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Generic, TypeVar

from storage.environment import Txn
from storage.errors import PartitionFailed, TooManySnapshots
from storage.reads import Views
from storage.record import HEADER, HEADER_BYTES, Record, field_needle, field_value
from storage.types_table import INDEX_VALUE_BYTES_MAX, TypeEntry
from storage.values import COMPRESSED, META_BYTES_MAX
from storage.walks import (
    Paced,
    Walk,
    all_objects,
    count_keys,
    key_prefix,
    walk_at,
    walk_index,
    walk_latest,
)

Match = Callable[[bytes], bool]
CHUNK_BYTES: Final = 256 << 10
_LOOKED_AT_MAX: Final = 4096
# What a filter leaves out was read all the same: 8 MiB of it end a chunk as 256 KiB let through do.
_SKIPPED_SHIFT: Final = 5
# Twice the time, where it had to be decompressed to be left out: 2.5 instead of 1.3 µs for a pod.
_UNPACKED_SHIFT: Final = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Query:
    """What to list."""

    resource: str
    namespace: str | None = None
    start_after: tuple[str, str] | None = None
    """Namespace and name of the last object already seen."""
    revision: int | None = None
    """None: the latest."""
    limit: int | None = None
    """None or 0: all."""
    match: Match | None = None
    """Called with each object's meta."""
    index: tuple[str, str] | None = None
    """A field and its value; from the index if the field has one, by search otherwise."""


class SnapshotPool:
    """The open snapshots of a partition: how many, and how old, they may be.

    Args of the constructor:
        monotonic_s: the time.
        check_retained: raises Compacted for a revision that can no longer be read.
    """

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        check_retained: Callable[[int], None],
        *,
        count_max: int = 512,
        age_s_max: float = 5.0,
    ) -> None:
        self.check_retained = check_retained
        self.is_closed = False
        self._monotonic_s = monotonic_s
        self._count_max = count_max
        self._age_s_max = age_s_max
        self._open: dict[Scan[Any], float] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, scan: Scan[Any]) -> None:
        """Count a scan as open.

        Raises:
            TooManySnapshots: the limit is reached, and no open scan is too old.
        """
        if len(self._open) >= self._count_max:
            self.sweep()
            if len(self._open) >= self._count_max:
                raise TooManySnapshots(f"{self._count_max} scans are open")
        self._open[scan] = self._monotonic_s()

    def discard(self, scan: Scan[Any]) -> None:
        """Count a scan as closed."""
        self._open.pop(scan, None)

    def sweep(self) -> None:
        """Take snapshots back that have been open for too long; their scans go on from new ones."""
        # Scans are in the order in which they were opened.
        oldest_s = self._monotonic_s() - self._age_s_max
        for scan, opened_s in tuple(self._open.items()):
            if opened_s > oldest_s:
                break
            scan.release()

    def release(self) -> None:
        """Take all snapshots back; their scans go on from new ones."""
        for scan in tuple(self._open):
            scan.release()

    def close(self) -> None:
        """End all scans; theirs raise PartitionFailed, those without a snapshot too."""
        self.is_closed = True
        for scan in tuple(self._open):
            scan.stop()


class Scan(ABC, Generic[_T]):
    """An iterator over chunks, and a context manager; see the module's head.

    Attributes:
        revision: the state that the scan shows.
        returned: how many objects its chunks held so far.
    """

    def __init__(
        self, views: Views, pool: SnapshotPool, query: Query, revision: int, *, strip: int = 0
    ) -> None:
        self.revision = revision
        self.returned = 0
        self._views = views
        self._pool = pool
        self._query = query
        self._strip = strip
        self._last = self._seen = b""
        self._released = self._stopped = False
        self._prefix = b""
        self._match: Match | None = None
        self._txn: Txn | None = None
        self._source: Walk = iter(())
        self._searched = self._by_index = False
        self._count = 0
        entry = views.types.find(query.resource)
        if entry is not None:
            self._count = entry.count
            self._open(entry)

    def _open(self, entry: TypeEntry) -> None:
        views, query = self._views, self._query
        self._pool.add(self)
        try:
            self._txn = txn = views.begin()
        except BaseException:
            # Without a snapshot there is nothing that would take it out of the pool later.
            self._pool.discard(self)
            raise
        self._prefix = prefix = key_prefix(entry, query.namespace)
        start = prefix
        if query.start_after is not None:
            start = max(start, entry.object_key(*query.start_after))
        start = max(start, self._seen, self._last)
        # If nothing of the type has changed since, the latest state is the one asked for.
        self._searched = self.revision < entry.changed_revision
        self._by_index = False
        self._match, index_key = _filters(entry, query, searched=self._searched)
        if self._searched:
            self._source = Paced(walk_at(views, txn, prefix, start, self.revision))
        elif index_key:
            self._by_index = True
            self._source = walk_index(views, txn, index_key, prefix, start)
        else:
            self._source = walk_latest(views, txn, start)

    @property
    def last_key(self) -> tuple[str, str] | None:
        """Namespace and name of the last object returned."""
        if not self._last:
            return None
        namespace, _, name = self._last[2:].decode().partition("\0")
        return namespace, name

    def __iter__(self) -> Iterator[list[_T]]:
        return self

    def __next__(self) -> list[_T]:
        """Return the next chunk.

        Raises:
            Compacted: the reader was so slow that the scan's revision is no longer retained.
            TooManySnapshots: of a slow reader, too; it may be tried again.
            PartitionFailed: the partition was stopped.
        """
        if self._txn is None:
            self._renew()
        room = _LOOKED_AT_MAX
        if self._query.limit:
            room = min(room, self._query.limit - self.returned)
        if not room:
            self.close()
            raise StopIteration
        source = self._source
        chunk, ended = self._fill(room)
        if isinstance(source, Paced):
            ended = ended and not source.has_paused
            # So that one that is often released comes to an end, however much it passes over.
            self._seen = max(self._seen, source.passed)
        self.returned += len(chunk)
        if ended:
            self.close()
            if not chunk:
                raise StopIteration
        return chunk

    def _renew(self) -> None:
        """Go on from a new snapshot if the last one was taken back."""
        if self._stopped or (self._released and self._pool.is_closed):
            raise PartitionFailed("the partition was stopped while the list was read")
        # Not the entry that we began with: a table of types that was loaded anew has others.
        entry = self._views.types.find(self._query.resource)
        if not self._released or entry is None:
            raise StopIteration
        self._pool.check_retained(self.revision)
        self._open(entry)
        self._released = False

    @abstractmethod
    def _fill(self, room: int) -> tuple[list[_T], bool]:
        """Return up to `room` objects, and whether there are no more."""

    def has_more(self) -> bool:
        """Return whether an object follows the last one returned; `match` is not applied to it.

        To be asked when `remaining` may be; known at once.
        """
        source = all_objects(self._source)
        following = next(source, None)
        if following is None or not following[0].startswith(self._prefix):
            return False
        self._source = chain((following,), source)
        return True

    def remaining(self) -> int:
        """Return how many objects follow the last one returned; `match` is not applied to them.

        To be asked once `limit` objects were returned, before the next chunk or `close`; 0 after.
        Known at once for the first page of a whole resource, else 0.1 µs for each of them (more at
        an older revision).
        """
        txn, start_after = self._txn, self._query.start_after
        if txn is None:
            return 0
        if self._searched or self._by_index:
            # The walk goes on behind the last chunk; it is used up by this.
            objects = all_objects(self._source)
            return sum(1 for key, _ in objects if key.startswith(self._prefix))
        if start_after is None and self._query.namespace is None and self._match is None:
            return self._count - self.returned
        return count_keys(self._views, txn, self._prefix, self._last or self._prefix)

    def known_rest(self) -> int | None:
        """Return how many objects the next chunks hold, where that is known without counting.

        To be asked before the first chunk is taken.
        """
        query = self._query
        if self._txn is None:
            return 0
        if self._searched or self._by_index or self._match is not None:
            return None
        if query.start_after is not None or query.namespace is not None:
            return None
        return min(self._count, query.limit or self._count)

    def close(self) -> None:
        """End the scan and give its snapshot back. May be repeated."""
        self._released = False
        self._give_back()

    def release(self) -> None:
        """Give the snapshot back; the next chunk comes from a new one, at the same revision."""
        self._released = self._txn is not None
        self._give_back()

    def stop(self) -> None:
        """Close because nothing can be read any more: the next chunk raises PartitionFailed."""
        self._stopped = True
        self.close()

    def _give_back(self) -> None:
        txn, self._txn = self._txn, None
        self._source = iter(())
        if txn is not None:
            self._views.end(txn)
            self._pool.discard(self)

    def __enter__(self) -> Scan[_T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RecordScan(Scan[Record]):
    """Chunks of records."""

    def _fill(self, room: int) -> tuple[list[Record], bool]:
        prefix, match, resource = self._prefix, self._match, self._query.resource
        unpack, size = HEADER.unpack_from, 0
        chunk: list[Record] = []
        content_of = self._views.environment.values.content
        for looked_at, (key, stored) in enumerate(self._source, 1):
            if not key.startswith(prefix):
                break
            create, mod, expires_at_ms, splice_at, shape = unpack(stored)
            value, meta_at, body_at = stored, HEADER_BYTES, HEADER_BYTES + shape
            if shape >= COMPRESSED:
                meta_at, body_at = 0, shape & META_BYTES_MAX
                value = content_of(shape, stored)
            meta = value[meta_at:body_at]
            if match is None or match(meta):
                namespace, _, name = key[2:].decode().partition("\0")
                body = value[body_at:]
                chunk.append(
                    Record(
                        resource,
                        namespace,
                        name,
                        create,
                        mod,
                        meta,
                        body,
                        splice_at,
                        expires_at_ms,
                    )
                )
                self._last = key
                size += len(value)
            else:
                size += len(value) >> (_SKIPPED_SHIFT if value is stored else _UNPACKED_SHIFT)
            if size >= CHUNK_BYTES or len(chunk) == room or looked_at >= _LOOKED_AT_MAX:
                self._seen = key
                return chunk, False
        return chunk, True


class BodyScan(Scan[bytes]):
    """Chunks of bodies without their first `strip` bytes: what a JSON list is joined from."""

    def _fill(self, room: int) -> tuple[list[bytes], bool]:
        prefix, match, strip = self._prefix, self._match, self._strip
        unpack, size = HEADER.unpack_from, 0
        chunk: list[bytes] = []
        content_of = self._views.environment.values.content
        for looked_at, (key, stored) in enumerate(self._source, 1):
            if not key.startswith(prefix):
                break
            shape = unpack(stored)[4]
            value, meta_at, body_at = stored, HEADER_BYTES, HEADER_BYTES + shape
            if shape >= COMPRESSED:
                meta_at, body_at = 0, shape & META_BYTES_MAX
                value = content_of(shape, stored)
            if match is None or match(value[meta_at:body_at]):
                chunk.append(value[body_at + strip :])
                self._last = key
                size += len(value)
            else:
                size += len(value) >> (_SKIPPED_SHIFT if value is stored else _UNPACKED_SHIFT)
            if size >= CHUNK_BYTES or len(chunk) == room or looked_at >= _LOOKED_AT_MAX:
                self._seen = key
                return chunk, False
        return chunk, True


def _filters(entry: TypeEntry, query: Query, *, searched: bool) -> tuple[Match | None, bytes]:
    """Return the filter on meta, and the index key to walk instead of all objects (or b"")."""
    match = query.match
    if query.index is None:
        return match, b""
    needle, value = field_needle(query.index[0]), query.index[1].encode()
    index_key = entry.index_key(needle, value)
    if index_key is not None and not searched and len(value) < INDEX_VALUE_BYTES_MAX:
        return match, index_key
    if match is None:
        return (lambda meta: field_value(meta, needle) == value), b""
    return (lambda meta: field_value(meta, needle) == value and match(meta)), b""

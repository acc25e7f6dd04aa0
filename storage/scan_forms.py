"""Scans for readers who keep another form of the objects, and scans that only count.

Whoever keeps another form needs a value only where that form is missing or old. Chunks are bounded
as those of other scans (storage/scan.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice, repeat
from typing import Final, NamedTuple

from storage.environment import Txn
from storage.reads import Views
from storage.record import REVISIONS
from storage.scan import CHUNK_BYTES, Query, Scan, SnapshotPool
from storage.types_table import TypeEntry
from storage.walks import Walk

# They may all have to be decompressed: 5 ms.
_LOOKED_AT_MAX: Final = 2048
# What a filter leaves out was read all the same; see storage/scan.py.
_SKIPPED_SHIFT: Final = 5
# What has to be made takes several times as long as what is at hand.
_MADE_SHIFT: Final = 2


# Slices that are made once: a list of 10,000 objects takes hundreds of them in a millisecond.
_OBJECT_KEY: Final = slice(2, None)
_REVISION: Final = slice(REVISIONS.size // 2, REVISIONS.size)


def revision_bytes(revision: int) -> bytes:
    """Return a mod revision as it stands in stored values."""
    return revision.to_bytes(8, "little")


class Forms(NamedTuple):
    """Another form of a type's objects.

    Attributes:
        held: the form by key (namespace, NUL, name), behind the `revision_bytes` it is of.
        make: called with key, `revision_bytes` and body to make a form that is missing.
    """

    held: Mapping[bytes, tuple[bytes, bytes]]
    make: Callable[[bytes, bytes, bytes], bytes]


class FormScan(Scan[bytes]):
    """Chunks of objects in another form."""

    def __init__(
        self, views: Views, pool: SnapshotPool, query: Query, revision: int, forms: Forms
    ) -> None:
        self._forms = forms
        super().__init__(views, pool, query, revision)

    def _fill(self, room: int) -> tuple[list[bytes], bool]:
        prefix, match, (held, make) = self._prefix, self._match, self._forms
        find, values = held.get, self._views.environment.values
        chunk: list[bytes] = []
        append, size, key = chunk.append, 0, b""
        # The bound on objects looked at is the slice's: nothing to count in a loop this hot.
        for key, value in islice(self._source, room if match is None else _LOOKED_AT_MAX):
            if not key.startswith(prefix):
                return chunk, True
            if match is not None and not match(values.meta(value)):
                size += len(value) >> _SKIPPED_SHIFT
            else:
                found = find(key[_OBJECT_KEY])
                if found is not None and found[0] == value[_REVISION]:
                    append(found[1])
                    size += len(value)
                else:
                    append(make(key[_OBJECT_KEY], value[_REVISION], values.body(value)))
                    size += len(value) << _MADE_SHIFT
                self._last = key
                if match is not None and len(chunk) == room:
                    break
            if size >= CHUNK_BYTES:
                break
        self._seen = max(self._seen, key)
        return chunk, not key


class CountScan(Scan[None]):
    """Chunks of nothing, one for each object: their number, found in steps."""

    _has_keys_only = False

    def _open(self, entry: TypeEntry) -> None:
        super()._open(entry)
        txn = self._txn
        looks = self._searched or self._by_index or self._match is not None
        self._has_keys_only = not looks
        if txn is None or looks:
            return
        # Nothing but keys is wanted: 0.1 instead of 0.5 µs for each. All that was seen was counted.
        start = max(self._prefix, self._last)
        if self._query.start_after is not None:
            start = max(start, entry.object_key(*self._query.start_after))
        self._source = _keys(self._views, txn, start)

    def _fill(self, room: int) -> tuple[list[None], bool]:
        prefix, match = self._prefix, self._match
        if self._has_keys_only:
            keys = [key for key, _ in islice(self._source, room)]
            if keys and keys[-1].startswith(prefix):
                # Keys come in order: those before begin like that, too.
                self._last = keys[-1]
                return [None] * len(keys), False
            return [None] * sum(key.startswith(prefix) for key in keys), True
        count = size = 0
        values = self._views.environment.values
        for looked_at, (key, value) in enumerate(self._source, 1):
            if not key.startswith(prefix):
                break
            if match is None or match(values.meta(value)):
                count += 1
                self._last = key
            size += len(value) >> _SKIPPED_SHIFT
            if size >= CHUNK_BYTES or count == room or looked_at >= _LOOKED_AT_MAX:
                self._seen = key
                return [None] * count, False
        return [None] * count, True


def _keys(views: Views, txn: Txn, start: bytes) -> Walk:
    """Return the keys after `start` with nothing for values; goes on into other resources."""
    cursor = txn.cursor(views.environment.objects)
    if not cursor.set_range(start) or (cursor.key() == start and not cursor.next()):
        return iter(())
    return zip(cursor.iternext(values=False), repeat(b""))

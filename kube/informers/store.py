"""The objects of a type in little memory: their bytes, and what finds them.

An object is kept as the JSON it came in and decoded when somebody asks for it: a decoded pod takes
six times its bytes. Beside it are its revision, what indexers said of it, and the generation in
which it was told last. Invariants:
    - The indexes hold exactly what the entries say (`check`).
    - No step takes longer the more there is: entries are in many small dictionaries, as one large
      one that grows is copied, which takes 40 ms at a million.
Entries are tuples of what holds nothing else, which Python's garbage collector does not look at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

import orjson

from kube.json_types import JsonObject

Indexer = Callable[[JsonObject], str | Iterable[str]]
"""Says under which value, or values, an object is to be found."""

_SHARDS: Final = 64
_SLICE: Final = 64
_Values = tuple[str | tuple[str, ...], ...]
_Entry = tuple[bytes, str, _Values, int]
_Bucket = dict[str, str | set[str]]


class Before(NamedTuple):
    """What was there before a write: the bytes and the revision."""

    raw: bytes
    revision: str


class Store:
    """See the module's head. Only its informer writes; others read."""

    def __init__(self, indexers: Mapping[str, Indexer] | None = None) -> None:
        self._indexers = dict(indexers or {})
        self._functions = tuple(self._indexers.values())
        # A value of one object, as owners often are, needs no set.
        self._indexes: dict[str, _Bucket] = {name: {} for name in self._indexers}
        self._shards: tuple[dict[str, _Entry], ...] = tuple({} for _ in range(_SHARDS))
        self._generation = 0

    def __len__(self) -> int:
        return sum(len(shard) for shard in self._shards)

    def __contains__(self, key: str) -> bool:
        return key in self._shard(key)

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """Index by more; nothing may be stored yet."""
        assert not len(self), "an index must see every object"
        self._indexers |= indexers
        self._functions = tuple(self._indexers.values())
        self._indexes = {name: {} for name in self._indexers}

    def get(self, key: str) -> JsonObject | None:
        """Return an object, decoded for the caller to keep."""
        entry = self._shard(key).get(key)
        return None if entry is None else orjson.loads(entry[0])

    def raw(self, key: str) -> bytes | None:
        """Return an object's JSON."""
        entry = self._shard(key).get(key)
        return None if entry is None else entry[0]

    def keys(self, index: str, value: str) -> tuple[str, ...]:
        """Return the keys of the objects that an index has under a value."""
        found = self._indexes[index].get(value, ())
        return (found,) if isinstance(found, str) else tuple(found)

    def count(self, index: str, value: str) -> int:
        """Return how many objects an index has under a value."""
        found = self._indexes[index].get(value, ())
        return 1 if isinstance(found, str) else len(found)

    def find(self, index: str, value: str) -> Iterator[JsonObject]:
        """Yield the objects that an index has under a value, each decoded when its turn comes."""
        for key in self.keys(index, value):
            if (obj := self.get(key)) is not None:
                yield obj

    def all_keys(self) -> Iterator[str]:
        """Yield all keys; what is written meanwhile may be missed."""
        for shard in self._shards:
            yield from tuple(shard)

    def slices(self) -> Iterator[tuple[str, ...]]:
        """Yield all keys, few at a time; what is written meanwhile may be missed."""
        keys = self.all_keys()
        while found := tuple(islice(keys, _SLICE)):
            yield found

    def put(self, key: str, obj: JsonObject, raw: bytes) -> Before | None:
        """Store an object; return what was there before."""
        revision = obj["metadata"].get("resourceVersion", "")
        shard = self._shard(key)
        old = shard.get(key)
        if old is not None and old[1] == revision:
            # As it was: only that it is still there is news.
            shard[key] = (old[0], old[1], old[2], self._generation)
            return Before(old[0], old[1])
        values = self._values(obj)
        if old is None:
            values = self._index(key, values)
        elif old[2] == values:
            values = old[2]
        else:
            self._unindex(key, old[2])
            values = self._index(key, values)
        # A copy, as what orjson returns takes up to three times its length when it is kept.
        kept = raw or bytes(memoryview(orjson.dumps(obj)))
        shard[key] = (kept, revision, values, self._generation)
        return None if old is None else Before(old[0], old[1])

    def drop(self, key: str) -> bytes | None:
        """Forget an object; return its bytes."""
        entry = self._shard(key).pop(key, None)
        if entry is None:
            return None
        self._unindex(key, entry[2])
        return entry[0]

    def begin(self) -> None:
        """Begin a generation: what is not put again in it is old."""
        self._generation += 1

    def old(self) -> Iterator[list[str]]:
        """Yield, in small parts, the keys of what was not put since `begin`."""
        generation = self._generation
        for shard in self._shards:
            yield [key for key, entry in shard.items() if entry[3] != generation]

    def check(self) -> None:
        """Assert the invariants; for tests."""
        wanted: dict[str, dict[str, set[str]]] = {name: {} for name in self._indexers}
        for shard in self._shards:
            for key, entry in shard.items():
                for name, value in zip(self._indexers, entry[2], strict=True):
                    for one in (value,) if isinstance(value, str) else value:
                        wanted[name].setdefault(one, set()).add(key)
        shown = {
            name: {value: set(self.keys(name, value)) for value in bucket}
            for name, bucket in self._indexes.items()
        }
        assert shown == wanted, (shown, wanted)

    def _shard(self, key: str) -> dict[str, _Entry]:
        return self._shards[hash(key) % _SHARDS]

    def _values(self, obj: JsonObject) -> _Values:
        found: list[str | tuple[str, ...]] = []
        for indexer in self._functions:
            value = indexer(obj)
            if not isinstance(value, str):
                value = tuple(value)
                if len(value) == 1:
                    value = value[0]
            found.append(value)
        return tuple(found)

    def _index(self, key: str, values: _Values) -> _Values:
        """Put a key under values; return them as they are kept: many objects share each."""
        kept: list[str | tuple[str, ...]] = []
        for bucket, value in zip(self._indexes.values(), values, strict=True):
            if isinstance(value, str):
                kept.append(one := sys.intern(value))
                _put(bucket, one, key)
                continue
            several = tuple(map(sys.intern, value))
            kept.append(several)
            for one in several:
                _put(bucket, one, key)
        return tuple(kept)

    def _unindex(self, key: str, values: _Values) -> None:
        for bucket, value in zip(self._indexes.values(), values, strict=True):
            for one in (value,) if isinstance(value, str) else value:
                found = bucket.get(one)
                if isinstance(found, set):
                    found.discard(key)
                    if not found:
                        del bucket[one]
                elif found == key:
                    del bucket[one]


def _put(bucket: _Bucket, value: str, key: str) -> None:
    found = bucket.get(value)
    if found is None:
        bucket[value] = key
    elif isinstance(found, set):
        found.add(key)
    elif found != key:
        bucket[value] = {found, key}

"""managedFields as they are stored, read and written again entry by entry.

Entries are bytes of which most are shared by many objects: all but the time depends on the writer
and on the shape of what it wrote. So what stands between two times is parsed once, and an entry
that a write leaves as it is is never encoded again.

    [{"manager":"a","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fields…}]
     ^------------------ head ----------------------------^--------- time -------------^-- tail --^

Times are told without looking at what is in between: nothing in a set is a string but its keys,
which colons and braces follow, and a quote inside of a key is escaped.

Invariants: what is read here and written again is what `entries.decode_stored` and
`entries.encode` make of the same entries, to the byte. What is remembered is bounded in number and
in size.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from kube.json_types import JsonObject
from kube.managed.entries import FIELDS_TYPE, UPDATE, Identity, Managers, Owned, entry_of, order_of
from kube.managed.sets import FieldSet

_TIME: Final = b'"time":"'
_TIME_BYTES: Final = len("2026-01-01T00:00:00Z")
_TAIL: Final = b'","fieldsType":"FieldsV1","fieldsV1":{'
_HEADS_MAX: Final = 1024
_TAILS_MAX: Final = 512
_RAWS_MAX: Final = 512
_RAW_BYTES_MAX: Final = 4096
_SHAPES_MAX: Final = 512
_SHAPE_BYTES_MAX: Final = 8192
_FINDINGS_MAX: Final = 16
_UNKNOWN: Final = -1
_TAIL_BYTES_MAX: Final = 4096
"""Sets of parsed tails take some ten times as much memory as their bytes."""
_HEAD_KEYS: Final = frozenset({"manager", "operation", "apiVersion", "time"})
_TAIL_KEYS: Final = frozenset({"fieldsType", "fieldsV1", "subresource"})


class _Head(NamedTuple):
    """An entry up to its time.

    Attributes:
        manager, operation, version: that it names.
        text: its bytes, the quote before the time included.
    """

    manager: str
    operation: str
    version: str
    text: bytes


class _Tail(NamedTuple):
    """What follows an entry's time.

    Attributes:
        fields: the set.
        subresource: that was written, "" for the object itself.
        text: its bytes from the quote after the time on.
        following: the head of the next entry, None after the last.
    """

    fields: FieldSet
    subresource: str
    text: bytes
    following: _Head | None


class Entry(NamedTuple):
    """One entry but for its time.

    Attributes:
        who: manages.
        version: apiVersion of the fields.
        fields: that are managed.
        head: its bytes up to the time.
        tail: its bytes from there on.
    """

    who: Identity
    version: str
    fields: FieldSet
    head: bytes
    tail: bytes

    def at(self, time: str) -> bytes:
        """Return the entry's bytes with a time."""
        return b"".join((self.head, time.encode(), self.tail))

    def order(self, time: str) -> tuple[str, ...]:
        """Return what it is sorted by."""
        return order_of(self.who, Owned(self.version, self.fields, time))


class Shape:
    """What is between the times of managedFields: many objects share it.

    Attributes:
        entries: without times.
    """

    __slots__ = ("_findings", "entries")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries
        self._findings: dict[Hashable, int | None] = {}

    def found(self, key: Hashable, find: Callable[[], int | None]) -> int | None:
        """Return what is found by `find`, which looks at the shape and at what `key` says alone."""
        known = self._findings.get(key, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        if len(self._findings) >= _FINDINGS_MAX:
            self._findings.clear()
        made = self._findings[key] = find()
        return made


class Stored(NamedTuple):
    """The managedFields of an object.

    Attributes:
        raw: as JSON.
        shape: all of them but the times.
        times: of the entries.
    """

    raw: bytes
    shape: Shape
    times: list[str]

    def managers(self) -> Managers:
        """Return the managers they tell of."""
        return {
            one.who: Owned(one.version, one.fields, time)
            for one, time in zip(self.shape.entries, self.times, strict=True)
        }

    def renewed(self, index: int, now: str) -> bytes:
        """Return them with another time in one entry."""
        entries = self.shape.entries
        if len(entries) == 1:
            return b"[%b]" % entries[0].at(now)
        times = [*self.times]
        times[index] = now
        return _in_order(
            [(one.order(time), one.at(time)) for one, time in zip(entries, times, strict=True)]
        )

    def joined(self, who: Identity, version: str, now: str, fields: bytes) -> bytes:
        """Return them with one more entry.

        Args:
            who: of the new one.
            version: of the new one.
            now: its time.
            fields: its set as JSON.
        """
        head, tail = _ends(who, version)
        added = b"".join((head, now.encode(), _SET, fields, tail))
        entries = self.shape.entries
        if who.operation == UPDATE and now > max(self.times):
            return b"%b,%b]" % (self.raw[:-1], added)
        texts = [(one.order(at), one.at(at)) for one, at in zip(entries, self.times, strict=True)]
        return _in_order([*texts, (order_of(who, Owned(version, {}, now)), added)])

    def changed(self, before: Managers, after: Managers) -> bytes:
        """Return managedFields of other managers; what did not change is copied.

        Args:
            before: what `managers` has given.
            after: as they are to be; managers that are the same objects did not change.
        """
        known = {entry.who: entry for entry in self.shape.entries}
        texts = []
        for who in sorted(after, key=lambda who: order_of(who, after[who])):
            owned = after[who]
            if owned is before.get(who):
                texts.append(known[who].at(owned.time))
            else:
                texts.append(orjson.dumps(entry_of(who, owned)))
        return b"[%b]" % b",".join(texts)


def read(raw: bytes) -> Stored | None:
    """Return the managedFields of an object that the server has written.

    Of objects that are written in a rhythm, as Leases are, even the times are often the same.

    Args:
        raw: as JSON.

    Returns:
        None where they are not as they are written now: without times, without sets.
    """
    return (_read_cached if len(raw) <= _RAW_BYTES_MAX else _read)(raw)


def _read(raw: bytes) -> Stored | None:
    first, *parts = raw.split(_TIME)
    texts = (first, *[part[_TIME_BYTES:] for part in parts])
    shape = (_shape_cached if len(raw) <= _SHAPE_BYTES_MAX else _shape)(texts)
    if shape is None:
        return None
    return Stored(raw, shape, [part[:_TIME_BYTES].decode() for part in parts])


_read_cached: Final = lru_cache(maxsize=_RAWS_MAX)(_read)


def _shape(texts: tuple[bytes, ...]) -> Shape | None:
    """Return what is between times; None: it is not as it is written now."""
    head = _first_head(texts[0])
    last = len(texts) - 1
    if head is None or last < 1:
        return None
    entries = []
    for index, text in enumerate(texts[1:], 1):
        found = (_tail_cached if len(text) <= _TAIL_BYTES_MAX else _tail)(text, index == last)
        if found is None or head is None:
            return None
        fields, subresource, tail, following = found
        manager, operation, version, start = head
        who = Identity(manager, operation, version if operation == UPDATE else "", subresource)
        entries.append(Entry(who, version, fields, start, tail))
        head = following
    return Shape(tuple(entries))


_shape_cached: Final = lru_cache(maxsize=_SHAPES_MAX)(_shape)


@lru_cache(maxsize=_HEADS_MAX)
def _first_head(text: bytes) -> _Head | None:
    if text[:1] != b"[":
        return None
    try:
        named = orjson.loads(text[1:] + b'"time":""}')
    except orjson.JSONDecodeError:
        return None
    head = _head_of(named)
    return head if head is not None and text[1:] + _TIME == head.text else None


def _head_of(named: Any) -> _Head | None:
    """Return the beginning of an entry that has nothing but a beginning."""
    if named.__class__ is not dict or not named.keys() <= _HEAD_KEYS:
        return None
    version = named.get("apiVersion")
    if not version or named.get("time") != "":
        return None
    text = orjson.dumps(named)[: -len(b'"}')]
    return _Head(named.get("manager", ""), named.get("operation", ""), version, text)


def _tail(text: bytes, is_last: bool) -> _Tail | None:  # noqa: FBT001 (of a cached function)
    """Return what follows a time, up to the next."""
    if not text.startswith(_TAIL):
        return None
    closing = b"" if is_last else b'"time":""}]'
    try:
        found = orjson.loads(b"[{" + text[2:] + closing)
    except orjson.JSONDecodeError:
        return None
    if len(found) != (1 if is_last else 2) or not found[0].keys() <= _TAIL_KEYS:
        return None
    head = None
    end = len(b"]")
    if not is_last:
        head = _head_of(found[1])
        if head is None or not text.endswith(b"," + head.text[: -len(_TIME)]):
            return None
        end = len(head.text) - len(_TIME) + 1
    return _Tail(found[0]["fieldsV1"], found[0].get("subresource", ""), text[:-end], head)


_tail_cached: Final = lru_cache(maxsize=_TAILS_MAX)(_tail)


def _in_order(texts: list[tuple[tuple[str, ...], bytes]]) -> bytes:
    texts.sort(key=lambda one: one[0])
    return b"[%b]" % b",".join([text for _, text in texts])


_SET: Final = b'","fieldsType":"%b","fieldsV1":' % FIELDS_TYPE.encode()


@lru_cache(maxsize=_HEADS_MAX)
def _ends(who: Identity, version: str) -> tuple[bytes, bytes]:
    """Return the bytes of an entry before its time, and after its set."""
    named: JsonObject = entry_of(who, Owned(version, {}, "-"))
    del named["fieldsType"], named["fieldsV1"]
    subresource = named.pop("subresource", "")
    end = b',"subresource":%b}' % orjson.dumps(subresource) if subresource else b"}"
    return orjson.dumps(named)[: -len(b'-"}')], end

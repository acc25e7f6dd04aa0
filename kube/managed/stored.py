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

from collections.abc import Iterable, Sequence
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
    """One entry.

    Attributes:
        who: manages.
        owned: what and since when.
        head: its bytes up to the time.
        tail: its bytes from there on.
    """

    who: Identity
    owned: Owned
    head: bytes
    tail: bytes

    def at(self, time: str) -> bytes:
        """Return the entry's bytes with a time."""
        return b"".join((self.head, time.encode(), self.tail))


def read(raw: bytes) -> list[Entry] | None:
    """Return the entries of an object that the server has written.

    Args:
        raw: its managedFields as JSON.

    Returns:
        None where they are not as they are written now: without times, without sets.
    """
    first, *parts = raw.split(_TIME)
    head = _first_head(first)
    last = len(parts) - 1
    if head is None or last < 0:
        return None
    entries = []
    for index, part in enumerate(parts):
        text = part[_TIME_BYTES:]
        found = (_tail_cached if len(text) <= _TAIL_BYTES_MAX else _tail)(text, index == last)
        if found is None or head is None:
            return None
        fields, subresource, tail, following = found
        manager, operation, version, start = head
        who = Identity(manager, operation, version if operation == UPDATE else "", subresource)
        owned = Owned(version, fields, part[:_TIME_BYTES].decode())
        entries.append(Entry(who, owned, start, tail))
        head = following
    return entries


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


def managers_of(entries: Iterable[Entry]) -> Managers:
    """Return the managers that entries tell of."""
    return {entry.who: entry.owned for entry in entries}


def write(managers: Managers, entries: Iterable[Entry]) -> bytes:
    """Return managedFields of these managers; what did not change is copied.

    Args:
        managers: as they are to be.
        entries: as they were read.
    """
    known = {entry.who: entry for entry in entries}
    texts = []
    for who in sorted(managers, key=lambda who: order_of(who, managers[who])):
        owned, before = managers[who], known.get(who)
        if before is not None and owned is before.owned:
            texts.append(before.at(owned.time))
        else:
            texts.append(orjson.dumps(entry_of(who, owned)))
    return b"[%b]" % b",".join(texts)


def renewed(entries: Sequence[Entry], own: Entry, now: str) -> bytes:
    """Return managedFields one of whose entries has another time, and nothing else has changed."""
    if len(entries) == 1:
        return b"[%b]" % own.at(now)
    texts = []
    for entry in entries:
        owned = entry.owned._replace(time=now) if entry is own else entry.owned
        texts.append((order_of(entry.who, owned), entry.at(owned.time)))
    return _in_order(texts)


def joined(entries: Sequence[Entry], who: Identity, version: str, now: str, fields: bytes) -> bytes:
    """Return managedFields to which an entry is added.

    Args:
        entries: as they are.
        who: of the new one.
        version: of the new one.
        now: its time.
        fields: its set as JSON.
    """
    head, tail = _ends(who, version)
    added = b"".join((head, now.encode(), _SET, fields, tail))
    texts = [(order_of(who, Owned(version, {}, now)), added)]
    texts += [(order_of(one.who, one.owned), one.at(one.owned.time)) for one in entries]
    return _in_order(texts)


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

"""Watch events on the wire, in each encoding; what can be shared is kept on the event."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol

import orjson

from apiserver.cbor_cache import CborCache
from apiserver.resources import Resource
from apiserver.verbs.answer import META_VERSIONS
from apiserver.verbs.bookmarks import bookmark_object
from apiserver.verbs.cbor_events import CBOR_SEQUENCE_TYPE, CborEvents, wrapped
from kube import status as st
from kube.json_types import JsonObject
from kube.managed.cut import without_own_entries
from kube.media import MediaType
from kube.table.documents import IncludeObject, event_table_bytes, table_options
from kube.table.partial import partial_object_metadata
from runtime.clock import Clock
from storage.event import Event, EventKind
from storage.record import Record

_HEADS: Final = {
    kind: b'{"type":"%b","object":' % kind.encode()
    for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
}
_TAIL: Final = b"}\n"


class EventEncoder(Protocol):
    """How one watch writes its events."""

    content_type: bytes
    api_version: str
    shape: Hashable
    """What tells the encoding from others: watches of equal shape write the same bytes."""
    is_shared: bool
    """Whether they do so now: the first event of a Table watch is its own."""

    def event(self, event: Event, kind: str) -> bytes:
        """Return an event of the given type (ADDED, MODIFIED, DELETED)."""
        ...

    def added(self, record: Record) -> bytes:
        """Return the ADDED event of an object of the initial state."""
        ...

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """Return a bookmark; `initial_end` marks the end of the initial state."""
        ...

    def wrap(self, kind: str, document: JsonObject) -> bytes:
        """Return an event around any document."""
        ...


def make_encoder(
    resource: Resource, media: MediaType, include_object: str, clock: Clock, cbor: CborCache
) -> EventEncoder:
    """Return the encoder for what was negotiated.

    Raises:
        StatusError: 400 or 406, as for a Table.
    """
    if media.is_plain_json:
        # How members of custom types are called is not known: there the cut is not certain.
        return JsonEvents(resource, is_bare=media.is_bare and not resource.info.custom)
    if media.is_plain_cbor:
        return CborEvents(resource, cbor)
    return ShapedEvents(resource, media, include_object, clock)


def plain_type(event: Event) -> str:
    """Return the type of an event that no selector looks at."""
    if event.kind is EventKind.DELETE:
        return "DELETED"
    return "ADDED" if event.previous is None else "MODIFIED"


def error_line(error: st.StatusError, encoder: EventEncoder) -> bytes:
    """Return the ERROR event that carries a Status."""
    return encoder.wrap("ERROR", error.status)


class JsonEvents:
    """Plain JSON: the stored bytes between two constants, made once for all watchers.

    Args of the constructor:
        is_bare: whether they are without managedFields, up to half of an object, which controllers
            do not look at.
    """

    content_type = b"application/json"
    is_shared = True

    def __init__(self, resource: Resource, *, is_bare: bool = False) -> None:
        self._resource = resource
        self._is_bare = is_bare
        same = not resource.converted and resource.prefix == resource.served_prefix
        self._is_stored = same
        self.api_version = resource.api_version
        self.shape: Hashable = ("json", resource.api_version, is_bare)

    def event(self, event: Event, kind: str) -> bytes:
        """Return an event, from the cache it carries where it was made before."""
        # A DELETED by selector shows the previous object under this event's revision.
        key = (self.shape, kind)
        line: bytes | None = event.cache.get(key)
        if line is None:
            record = event.record
            if kind == "DELETED" and event.previous is not None:
                body = redated(event.previous, event.revision)
            else:
                body = record.body
            line = event.cache[key] = _HEADS[kind] + self._shown(body) + _TAIL
        return line

    def added(self, record: Record) -> bytes:
        """Return the ADDED event of an object of the initial state."""
        return _HEADS["ADDED"] + self._shown(record.body) + _TAIL

    def _shown(self, body: bytes) -> bytes:
        if self._is_bare:
            body = without_own_entries(body, self._resource.prefix)
        return body if self._is_stored else self._resource.serve(body)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """Return a bookmark."""
        return self.wrap(
            "BOOKMARK", bookmark_object(self._resource, revision, initial_end=initial_end)
        )

    def wrap(self, kind: str, document: JsonObject) -> bytes:
        """Return an event around any document."""
        return _HEADS[kind] + orjson.dumps(document) + _TAIL


def redated(record: Record, revision: int) -> bytes:
    """Return a record's body under another revision."""
    body, at = record.body, record.splice_at
    end = at + len(str(record.mod_revision))
    return b"%b%d%b" % (body[:at], revision, body[end:])


class ShapedEvents:
    """Tables and PartialObjectMetadata: made once for all watches of equal shape.

    The ages in a Table's row are then those of when it was made first, as upstream.
    """

    def __init__(
        self, resource: Resource, media: MediaType, include_object: str, clock: Clock
    ) -> None:
        self._resource = resource
        self.api_version = resource.api_version
        self._media = media
        self._clock = clock
        self._is_first = True
        self._printer = resource.printer
        self.shape: Hashable = (media, include_object, resource.api_version)
        # The first event of a Table watch, and no other, defines its columns.
        self.is_shared = media.kind != "Table"
        if media.kind == "Table":
            self._table = table_options(include_object, media.version)
        match media.encoding:
            case "cbor":
                self.content_type = CBOR_SEQUENCE_TYPE
            case _:
                self.content_type = b"application/json"
        self._head = b""
        if media.kind == "PartialObjectMetadata" and media.encoding == "json":
            self._head = orjson.dumps(partial_object_metadata({}, META_VERSIONS[media.version]))
            self._head = self._head.removesuffix(b'"metadata":{}}')

    def event(self, event: Event, kind: str) -> bytes:
        """Return an event, from the cache it carries where it was made before."""
        key = (self.shape, kind)
        line: bytes | None = event.cache.get(key) if self.is_shared else None
        if line is None:
            record, is_shared = event.record, self.is_shared
            if kind == "DELETED" and event.previous is not None:
                line = self._line(kind, redated(event.previous, event.revision))
            else:
                line = self._line(kind, record.body)
            if is_shared:
                event.cache[key] = line
        return line

    def added(self, record: Record) -> bytes:
        """Return the ADDED event of an object of the initial state."""
        return self._line("ADDED", record.body)

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """Return a bookmark."""
        obj = bookmark_object(self._resource, revision, initial_end=initial_end)
        if self._media.kind == "Table":
            return self._tabulate("BOOKMARK", obj)
        return self.wrap("BOOKMARK", self._shape(obj))

    def wrap(self, kind: str, document: JsonObject) -> bytes:
        """Return an event around any document."""
        match self._media.encoding:
            case "cbor":
                return wrapped(kind, document)
            case _:
                return _HEADS[kind] + orjson.dumps(document) + _TAIL

    def _line(self, kind: str, body: bytes) -> bytes:
        if self._media.kind == "Table":
            # Cells are those of the stored shape; the row carries the version asked for.
            whole = self._table.include is IncludeObject.OBJECT
            shown = self._resource.serve(body) if whole else None
            return self._tabulate(kind, orjson.loads(body), shown)
        if self._head:
            metadata = self._resource.metadata_of(body)
            if metadata is not None:
                return b"%b%b%b}}\n" % (_HEADS[kind], self._head, metadata)
        return self.wrap(kind, self._shape(self._resource.decode_stored(body)))

    def _tabulate(self, kind: str, obj: JsonObject, body: bytes | None = None) -> bytes:
        now_s, is_first = self._clock.now_s(), self._is_first
        table = event_table_bytes(
            self._printer, obj, now_s, self._table, is_first=is_first, body=body
        )
        self._is_first, self.is_shared = False, True
        if self._media.encoding == "json":
            return _HEADS[kind] + table + _TAIL
        return self.wrap(kind, orjson.loads(table))

    def _shape(self, obj: JsonObject) -> JsonObject:
        if self._media.kind == "PartialObjectMetadata":
            return partial_object_metadata(obj, META_VERSIONS[self._media.version])
        return obj

"""Watch events in CBOR: a sequence of self-described items (RFC 8742), as upstream writes it.

    d9 d9 f7 | a2 "type" "ADDED" "object" | d9 d9 f7 | the object

The object inside is self-described too: it is encoded before the event that carries it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from apiserver.cbor_cache import CborCache, CborForm
from apiserver.resources import Resource
from apiserver.verbs.bookmarks import bookmark_object
from kube.cbor_items import encode_item, map_head
from kube.codec_cbor import PREFIX
from kube.json_types import JsonObject
from storage.event import Event
from storage.record import Record, as_deleted

CBOR_SEQUENCE_TYPE: Final = b"application/cbor-seq"
_HEADS: Final = {
    kind: PREFIX + map_head(2) + b"".join(map(encode_item, ("type", kind, "object")))
    for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
}


class CborEvents:
    """Plain CBOR: objects from the cache behind a constant, made once for all watchers."""

    content_type = CBOR_SEQUENCE_TYPE
    is_shared = True

    def __init__(self, resource: Resource, cache: CborCache) -> None:
        self._resource = resource
        self._cache = cache
        self._form: CborForm = cache.form_of(resource)
        self.api_version = resource.api_version
        self.shape: Hashable = ("cbor", resource.api_version)

    def event(self, event: Event, kind: str) -> bytes:
        """Return an event, from the cache it carries where it was made before."""
        key = (self.shape, kind)
        item: bytes | None = event.cache.get(key)
        if item is None:
            form = self._form
            if kind == "DELETED" and event.previous is not None:
                # Nobody will ask for it again.
                last = form.item(as_deleted(event.previous, event.revision).body)
            else:
                last = self._cache.item(form, event.record)
            item = event.cache[key] = _HEADS[kind] + form.whole(last)
        return item

    def added(self, record: Record) -> bytes:
        """Return the ADDED event of an object of the initial state."""
        form = self._form
        return _HEADS["ADDED"] + form.whole(self._cache.item(form, record, is_listed=True))

    def bookmark(self, revision: int, *, initial_end: bool = False) -> bytes:
        """Return a bookmark."""
        return self.wrap(
            "BOOKMARK", bookmark_object(self._resource, revision, initial_end=initial_end)
        )

    def wrap(self, kind: str, document: JsonObject) -> bytes:
        """Return an event around any document."""
        return wrapped(kind, document)


def wrapped(kind: str, document: JsonObject) -> bytes:
    """Return an event around any document."""
    return _HEADS[kind] + PREFIX + encode_item(document)

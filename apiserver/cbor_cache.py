"""Objects in CBOR, kept: what is stored is JSON, and making CBOR of it takes 10 to 30 µs a time.

An object is kept as the item of a list, without kind and apiVersion, with the form of its type and
version, by its key, together with its revision. What a key held at one revision never changes, so
nothing has to be forgotten when objects change: a newer revision takes the place of an older one.

    held    | a3 metadata... spec... status...
    whole   | d9 d9 f7 | a5 kind... apiVersion... metadata... spec... status...

Invariants: what is held is limited in bytes, and the oldest goes first; nothing is made for clients
that do not ask for CBOR. A list longer than all that can be held must not drive out, item by item,
what it will ask for in its next run: when the cache is full, a list may replace only every eighth
item it has missed, so that a part that fits stays.
"""

from __future__ import annotations

from typing import Final

from apiserver.aside import LARGE_BYTES
from apiserver.resources import Resource
from kube.cbor_items import encode_item, map_head
from kube.cbor_pieces import Pieces
from kube.codec_cbor import PREFIX
from kube.json_types import JsonObject
from kube.schema.blobs import blob_paths, unpack_blobs
from kube.schema.compile import builtin_schemas
from storage.record import Record
from storage.scan_forms import Forms, revision_bytes

HELD_BYTES_MAX: Final = 64 << 20
_ENTRY_BYTES: Final = 450
"""What an entry takes besides its bytes: two dict slots, two tuples, key, revision."""
_SHARE_MAX: Final = 16
"""A single object may take so small a part of the cache."""
_PASSED_OVER: Final = 8
_TYPE_MEMBERS: Final = 2
_SHORT_MAP_MEMBERS: Final = 24
_SHORT_MAP: Final = map_head(_SHORT_MAP_MEMBERS)[0]


class CborForm:
    """How the objects of one resource in one version look in CBOR.

    Attributes:
        held: what the cache holds of them; only the cache changes it.
        resource: whose objects.
    """

    __slots__ = ("_blobs", "_pieces", "_starts", "_type_members", "held", "resource")

    def __init__(self, resource: Resource, pieces: Pieces) -> None:
        self.resource = resource
        self._pieces = pieces
        self.held: dict[bytes, tuple[bytes, bytes]] = {}
        members = encode_item({"kind": resource.kind, "apiVersion": resource.api_version})
        self._type_members = members[1:]
        self._starts = {
            map_head(count)[0]: PREFIX + map_head(count + _TYPE_MEMBERS) + self._type_members
            for count in range(_SHORT_MAP_MEMBERS)
        }
        schemas, name = builtin_schemas(), resource.info.schema_name
        self._blobs = blob_paths(schemas.struct(name)) if name in schemas else ()

    def item(self, body: bytes) -> bytes:
        """Return a stored body as an item of a list: without kind and apiVersion."""
        obj = self.decode(body)
        # Large ones are made by a thread, and pieces belong to the event loop.
        return encode_item(self._bare(obj)) if len(body) > LARGE_BYTES else self.item_of(obj)

    def decode(self, body: bytes) -> JsonObject:
        """Return a stored body as an object of this version."""
        return self.resource.decode_stored(body)

    def item_of(self, obj: JsonObject) -> bytes:
        """Return an object of this version as an item of a list; `obj` is used up."""
        bare = self._bare(obj)
        self._pieces.put_into(bare)
        return encode_item(bare)

    def _bare(self, obj: JsonObject) -> JsonObject:
        """Return an object as it is encoded, changed in place."""
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        for path in self._blobs:
            unpack_blobs(obj, path)
        return obj

    def whole(self, item: bytes) -> bytes:
        """Return the object that `item` is of, self-described."""
        first = item[0]
        if first < _SHORT_MAP:
            return self._starts[first] + item[1:]
        count, head_bytes = _map_head_of(item)
        head = map_head(count + _TYPE_MEMBERS)
        return b"".join((PREFIX, head, self._type_members, item[head_bytes:]))


def _map_head_of(item: bytes) -> tuple[int, int]:
    """Return how many pairs a map of ours has, and how long its head is."""
    first = item[0] & 0x1F
    if first < 24:
        return first, 1
    width = 1 << (first - 24)
    return int.from_bytes(item[1 : 1 + width], "big"), 1 + width


def place_of(record: Record) -> tuple[bytes, bytes]:
    """Return by what key an object is kept, and at which revision."""
    key = f"{record.namespace}\0{record.name}".encode()
    return key, revision_bytes(record.mod_revision)


class CborCache:
    """See the module's head.

    Attributes:
        held_bytes: what is held now.
    """

    def __init__(self, bytes_max: int = HELD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._pieces = Pieces()
        self._order: dict[tuple[CborForm, bytes], None] = {}
        self._forms: dict[bytes, CborForm] = {}
        self._passed_over = 0
        self.held_bytes = 0

    def form_of(self, resource: Resource) -> CborForm:
        """Return the form of a resource: one for each that was ever asked for."""
        # Copies of a resource share these bytes, which name its kind and version.
        form = self._forms.get(resource.list_head)
        if form is None or (form.resource is not resource and resource.info.custom):
            if form is not None:
                self._forget(form)
            form = self._forms[resource.list_head] = CborForm(resource, self._pieces)
        return form

    def _forget(self, form: CborForm) -> None:
        """Drop what is held of a custom type that is served otherwise now."""
        for key in tuple(form.held):
            self._drop(form, key)

    def item(self, form: CborForm, record: Record, *, is_listed: bool = False) -> bytes:
        """Return a stored object as an item of a list, made now if it is not held.

        Args:
            form: of its resource.
            record: that holds it.
            is_listed: one of perhaps many.
        """
        key, revision = place_of(record)
        held = form.held.get(key)
        if held is not None and held[0] == revision:
            return held[1]
        item = form.item(record.body)
        keep = self.keep_listed if is_listed else self._keep
        keep(form, key, revision, item)
        return item

    def held(self, form: CborForm, record: Record) -> bytes | None:
        """Return a stored object as an item of a list if it is held."""
        key, revision = place_of(record)
        held = form.held.get(key)
        return held[1] if held is not None and held[0] == revision else None

    def keep(self, form: CborForm, record: Record, item: bytes) -> None:
        """Keep an item that was made of a stored object elsewhere."""
        self._keep(form, *place_of(record), item)

    def learn(self, form: CborForm, body: bytes) -> bytes:
        """Return an object just written, as it is stored, as an item of a list."""
        obj = form.decode(body)
        metadata = obj["metadata"]
        key = f"{metadata.get('namespace', '')}\0{metadata['name']}".encode()
        revision = revision_bytes(int(metadata["resourceVersion"]))
        held = form.held.get(key)
        if held is not None and held[0] == revision:
            return held[1]  # a watch was quicker
        item = form.item_of(obj)
        self._keep(form, key, revision, item)
        return item

    def forms_of(self, form: CborForm) -> Forms:
        """Return what a scan needs to list a resource in CBOR: items held, and how to make one."""

        def make(key: bytes, revision: bytes, body: bytes) -> bytes:
            item = form.item(body)
            self.keep_listed(form, key, revision, item)
            return item

        return Forms(form.held, make)

    def keep_listed(self, form: CborForm, key: bytes, revision: bytes, item: bytes) -> None:
        """Keep an item that a list has missed, if there is room or it is its turn."""
        if self.held_bytes + len(item) + _ENTRY_BYTES > self._bytes_max:
            self._passed_over = (self._passed_over + 1) % _PASSED_OVER
            if self._passed_over:
                return
        self._keep(form, key, revision, item)

    def _keep(self, form: CborForm, key: bytes, revision: bytes, item: bytes) -> None:
        if len(item) > self._bytes_max // _SHARE_MAX:
            return
        old = form.held.get(key)
        if old is not None:
            if int.from_bytes(old[0], "little") >= int.from_bytes(revision, "little"):
                return  # a reader of the past
            self._drop(form, key)
        self.held_bytes += len(item) + _ENTRY_BYTES
        while self.held_bytes > self._bytes_max:
            self._drop(*next(iter(self._order)))
        form.held[key] = (revision, item)
        self._order[form, key] = None

    def _drop(self, form: CborForm, key: bytes) -> None:
        del self._order[form, key]
        self.held_bytes -= len(form.held.pop(key)[1]) + _ENTRY_BYTES

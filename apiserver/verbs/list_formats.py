"""How lists are written: a shape (objects, metadata only, a Table) in an encoding, piece by piece.

A list is the opening of its layout, groups of items with `between` between two, and the ending;
without any item it is `empty`. Invariant: however the items are grouped, the bytes are those of the
whole document encoded in one piece, so nobody can tell how a list was made.

To add an encoding is to add a function that returns a `Format` for a `Shape`, and to name it in
`list_format`. What drives a format is in read.py, and knows nothing of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import orjson

from apiserver.exchange import JSON_TYPE, Exchange
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.verbs.answer import META_VERSIONS, YAML_TYPE
from kube import codec_yaml
from kube import status as st
from kube.json_types import JsonObject
from kube.media import MediaType
from kube.table.documents import IncludeObject, row, table_document, table_options
from kube.table.partial import partial_list, partial_object_metadata

_JSON_TURN_BYTES: Final = 64 << 10
# A hundred times as long for each byte as the others.
_YAML_TURN_BYTES: Final = 4 << 10
_INDENT: Final = orjson.OPT_INDENT_2


class Layout(NamedTuple):
    """What stands around the items of one list."""

    opening: bytes
    between: bytes
    ending: bytes
    empty: bytes
    """The whole list, if it has no items."""


class Format(NamedTuple):
    """One way to write lists.

    Attributes:
        content_type: of the answer.
        layout: from the list's metadata to what stands around its items.
        items: from stored bodies, at least one, to their bytes.
        turn_bytes: how much of stored bodies `items` is given at a time, None: as much as there is.
        strips: whether it wants bodies without the kind and apiVersion they are stored with.
    """

    content_type: bytes
    layout: Callable[[JsonObject], Layout]
    items: Callable[[Sequence[bytes]], bytes]
    turn_bytes: int | None
    strips: bool = False


class Shape(NamedTuple):
    """What a list is to show of its objects.

    Attributes:
        head: from the list's metadata to the document, still without items.
        key: of the items in it.
        item: from a stored body to what the list has of it.
        order: from a stored body to what items are sorted by; None: they are in their order.
    """

    head: Callable[[JsonObject], JsonObject]
    key: str
    item: Callable[[bytes], JsonObject]
    order: Callable[[bytes], Any] | None = None


def list_format(
    server: Server, exchange: Exchange, resource: Resource, media: MediaType
) -> Format | Shape:
    """Return how a list is to be written; a shape alone if only the whole of it can be encoded.

    Raises:
        StatusError: 406, a list has not the shape asked for; 400, options of a Table are wrong.
    """
    if media.encoding == "json" and not media.kind and not resource.converted:
        return _indented_stored(resource) if media.pretty else _stored(resource)
    shape = list_shape(server, exchange, resource, media)
    if shape.order is not None:
        return shape
    if media.encoding == "yaml":
        return _as_yaml(shape)
    if media.encoding == "json":
        return _indented(shape) if media.pretty else _compact(shape)
    return shape


def list_shape(server: Server, exchange: Exchange, resource: Resource, media: MediaType) -> Shape:
    """Return what a list is to show; raises as `list_format`."""
    if media.kind == "Table":
        return _table(server, exchange, resource, media)
    if media.kind == "PartialObjectMetadata":
        raise st.wrong_shape(media.kind, resource.group, resource.info.list_kind, is_list=True)
    if media.kind == "PartialObjectMetadataList":
        version = META_VERSIONS[media.version]
        return Shape(
            lambda meta: _without(partial_list([], meta, version), "items"),
            "items",
            lambda body: partial_object_metadata(resource.decode_stored(body), version),
        )
    document: JsonObject = orjson.loads(resource.list_head + b"}")
    return Shape(
        lambda meta: {**document, "metadata": meta},
        "items",
        lambda body: _without(resource.decode_stored(body), "kind", "apiVersion"),
    )


def _table(server: Server, exchange: Exchange, resource: Resource, media: MediaType) -> Shape:
    options = table_options(exchange.parameter("includeObject"), media.version)
    printer, now_s = resource.printer, server.clock.now_s()
    # The cells are made from the stored shape.
    decode = orjson.loads if resource.converted else resource.decode_stored
    shows = resource.converted and options.include is IncludeObject.OBJECT
    order = printer.order

    def item(body: bytes) -> JsonObject:
        shown = resource.decode_stored(body) if shows else None
        return row(printer, decode(body), now_s, options, shown)

    return Shape(
        lambda meta: _without(table_document(printer, (), meta, now_s, options), "rows"),
        "rows",
        item,
        None if order is None else lambda body: order(decode(body)),
    )


def _without(document: JsonObject, *keys: str) -> JsonObject:
    for key in keys:
        document.pop(key, None)
    return document


def _framed(opening: bytes, between: bytes, ending: bytes, empty_ending: bytes = b"") -> Layout:
    return Layout(opening, between, ending, opening.rstrip() + (empty_ending or ending))


@lru_cache(maxsize=1024)
def _stored(resource: Resource) -> Format:
    """Compact JSON joined from stored bodies: an item is `{` and its stripped body."""

    def layout(meta: JsonObject) -> Layout:
        head = resource.list_head + b',"metadata":' + orjson.dumps(meta) + b',"items":['
        return _framed(head, b",", b"]}\n")

    return Format(
        JSON_TYPE, layout, lambda bodies: b"{" + b",{".join(bodies), turn_bytes=None, strips=True
    )


def _indented_stored(resource: Resource) -> Format:
    document: JsonObject = orjson.loads(resource.list_head + b"}")

    def items(bodies: Sequence[bytes]) -> bytes:
        return _indented_items([orjson.loads(b"{" + body) for body in bodies])

    layout = partial(_indented_layout, lambda meta: {**document, "metadata": meta}, "items")
    return Format(JSON_TYPE, layout, items, _JSON_TURN_BYTES, strips=True)


def _compact(shape: Shape) -> Format:
    def layout(meta: JsonObject) -> Layout:
        head = orjson.dumps(shape.head(meta))[:-1] + b',"%b":[' % shape.key.encode()
        return _framed(head, b",", b"]}\n")

    def items(bodies: Sequence[bytes]) -> bytes:
        return b",".join([orjson.dumps(shape.item(body)) for body in bodies])

    return Format(JSON_TYPE, layout, items, _JSON_TURN_BYTES)


def _indented(shape: Shape) -> Format:
    def items(bodies: Sequence[bytes]) -> bytes:
        return _indented_items([shape.item(body) for body in bodies])

    layout = partial(_indented_layout, shape.head, shape.key)
    return Format(JSON_TYPE, layout, items, _JSON_TURN_BYTES)


def _indented_layout(
    head: Callable[[JsonObject], JsonObject], key: str, meta: JsonObject
) -> Layout:
    whole = orjson.dumps(head(meta), option=_INDENT).removesuffix(b"\n}")
    opening = b'%b,\n  "%b": [\n    ' % (whole, key.encode())
    return _framed(opening, b",\n    ", b"\n  ]\n}", b"]\n}")


def _indented_items(objects: Sequence[JsonObject]) -> bytes:
    # No string of JSON holds a line break as it is: each one is the layout's.
    texts = [orjson.dumps(obj, option=_INDENT) for obj in objects]
    return b",\n".join(texts).replace(b"\n", b"\n    ")


def _as_yaml(shape: Shape) -> Format:
    """YAML: keys are sorted, so that what is around the items comes before and after them."""

    def layout(meta: JsonObject) -> Layout:
        empty = codec_yaml.encode({**shape.head(meta), shape.key: []})
        # All that is deeper is indented, or begins with a dash.
        line = b"\n%b: []\n" % shape.key.encode()
        before, found, after = empty.partition(line)
        assert found, "the items of a list are not where they should be"
        return Layout(before + line.replace(b" []", b""), b"", after, empty)

    def items(bodies: Sequence[bytes]) -> bytes:
        return codec_yaml.encode([shape.item(body) for body in bodies])

    return Format(YAML_TYPE, layout, items, _YAML_TURN_BYTES)

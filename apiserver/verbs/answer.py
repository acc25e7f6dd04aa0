"""Answers with one object: in JSON as stored, or as YAML, CBOR, Table or metadata only."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import orjson

from apiserver.aside import LARGE_BYTES, rendered
from apiserver.cbor_cache import CborForm
from apiserver.exchange import JSON_TYPE, Exchange
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.verbs.bringing import answered
from apiserver.verbs.negotiation import media_of, media_of_error
from kube import codec_cbor, codec_yaml
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import split_group_version
from kube.media import MediaType
from kube.table.documents import Show, table_document, table_options
from kube.table.layout import Printer
from kube.table.partial import partial_list, partial_object_metadata
from kube.table.printers import printer_for
from storage.record import Record

YAML_TYPE: Final = b"application/yaml"
CBOR_TYPE: Final = b"application/cbor"
META_VERSIONS: Final = {"v1": "meta.k8s.io/v1", "v1beta1": "meta.k8s.io/v1beta1"}


async def respond_object(
    server: Server,
    exchange: Exchange,
    resource: Resource,
    body: bytes,
    code: int = 200,
    *,
    record: Record | None = None,
) -> None:
    """Answer with a stored object as the client asked to see it.

    Args:
        server: the server.
        exchange: the request.
        resource: the type, in the request's version.
        body: in the storage version; of a custom type, as it was stored or is shown.
        code: of the answer.
        record: that holds `body`; None: it is not stored, or not like that (a dry run).

    Raises:
        StatusError: 406.
    """
    media = media_of(exchange)
    if resource.info.custom:
        body = await answered(resource, body)
        record = None if record is None else record._replace(body=body)
    if media.is_plain_json:
        # Objects end in a line feed, as Go's encoder writes them; stored ones do not.
        await exchange.respond(code, resource.serve(body), end=b"\n")
        return
    if media.is_plain_cbor:
        form = server.cbor.form_of(resource)
        item = await _cbor_item(server, form, body, record)
        await exchange.respond(code, form.whole(item), CBOR_TYPE)
        return
    if media.kind == "PartialObjectMetadataList":
        raise st.wrong_shape(media.kind, resource.group, resource.kind, is_list=False)
    if len(body) > LARGE_BYTES:
        made, content_type = await rendered(_render, server, exchange, resource, body, media)
    else:
        made, content_type = _render(server, exchange, resource, body, media)
    await exchange.respond(code, made, content_type)


def _render(
    server: Server, exchange: Exchange, resource: Resource, body: bytes, media: MediaType
) -> tuple[bytes, bytes]:
    """Return a stored object in another shape or encoding, and its content type."""
    obj = resource.decode_stored(body)
    if media.kind == "Table":
        stored = orjson.loads(body) if resource.converted else obj
        show = resource.from_storage if resource.converted else None
        obj = _table_of(server, exchange, media, stored, resource.printer, show)
    elif media.kind == "PartialObjectMetadata":
        obj = partial_object_metadata(obj, META_VERSIONS[media.version])
    return _encode(media, obj)


async def _cbor_item(server: Server, form: CborForm, body: bytes, record: Record | None) -> bytes:
    """Return an object as an item of a list; a large one is made aside, and kept like others."""
    if len(body) <= LARGE_BYTES:
        return form.item(body) if record is None else server.cbor.item(form, record)
    item = None if record is None else server.cbor.held(form, record)
    if item is None:
        item = await rendered(form.item, body)
        if record is not None:
            server.cbor.keep(form, record, item)
    return item


def respond_created(
    server: Server, exchange: Exchange, resource: Resource, body: bytes, *, dry_run: bool
) -> Awaitable[None]:
    """Answer with a new object; one of a dry run was never written and shows no revision.

    Raises:
        StatusError: 406.
    """
    if not dry_run:
        if CBOR_TYPE in exchange.accept and not resource.info.custom:
            return _respond_new(server, exchange, resource, body)
        return respond_object(server, exchange, resource, body, 201)
    document: JsonObject = orjson.loads(resource.serve(body))
    del document["metadata"]["resourceVersion"]
    return _respond_dry(exchange, document, is_large=len(body) > LARGE_BYTES)


async def _respond_dry(exchange: Exchange, document: JsonObject, *, is_large: bool) -> None:
    await respond_negotiated(exchange, media_of(exchange), document, 201, is_large=is_large)


async def _respond_new(server: Server, exchange: Exchange, resource: Resource, body: bytes) -> None:
    if not media_of(exchange).is_plain_cbor:
        await respond_object(server, exchange, resource, body, 201)
        return
    form = server.cbor.form_of(resource)
    if len(body) > LARGE_BYTES:
        item = await rendered(form.item, body)
    else:
        item = server.cbor.learn(form, body)
    await exchange.respond(201, form.whole(item), CBOR_TYPE)


async def respond_printed(
    server: Server, exchange: Exchange, document: JsonObject, printer_name: str
) -> None:
    """Answer with an object or list that is not stored but can be had as a Table.

    Args:
        printer_name: of its printer, as `kube.table.printers.printer_for` knows it.

    Raises:
        StatusError: 406.
    """
    media = media_of(exchange)
    if media.kind == "Table":
        document = _table_of(server, exchange, media, document, printer_for(printer_name))
    elif media.kind.startswith("PartialObjectMetadata"):
        kind: str = document["kind"]
        if (is_list := kind.endswith("List")) != media.kind.endswith("List"):
            group = split_group_version(document["apiVersion"])[0]
            raise st.wrong_shape(media.kind, group, kind, is_list=is_list)
        if is_list:
            version = META_VERSIONS[media.version]
            document = partial_list(document["items"], document["metadata"], version)
        else:
            document = partial_object_metadata(document, META_VERSIONS[media.version])
    await respond_negotiated(exchange, media, document, 200)


def _table_of(
    server: Server,
    exchange: Exchange,
    media: MediaType,
    document: JsonObject,
    printer: Printer,
    show: Show | None = None,
) -> JsonObject:
    """Return the Table of one object, or of a list."""
    options = table_options(exchange.parameter("includeObject"), media.version)
    version = document["metadata"].get("resourceVersion")
    list_meta = {"resourceVersion": version} if version else {}
    shown = document["items"] if document["kind"].endswith("List") else [document]
    return table_document(printer, shown, list_meta, server.clock.now_s(), options, show=show)


async def respond_document(exchange: Exchange, document: JsonObject, code: int = 200) -> None:
    """Answer with a document that is no stored object: a Status, a Scale, a review.

    Raises:
        StatusError: 406.
    """
    media = media_of(exchange)
    await respond_negotiated(exchange, media, document, code)


async def respond_error(exchange: Exchange, error: st.StatusError) -> None:
    """Answer with a Status, in an encoding that the client accepts if there is one."""
    exchange.headers.extend(error.headers)
    await respond_negotiated(exchange, media_of_error(exchange), error.status, error.code)


async def respond_negotiated(
    exchange: Exchange,
    media: MediaType,
    document: JsonObject,
    code: int,
    *,
    is_large: bool = False,
) -> None:
    """Write `document` in the negotiated encoding; a large one is encoded aside."""
    if is_large:
        body, content_type = await rendered(_encode, media, document)
    else:
        body, content_type = _encode(media, document)
    await exchange.respond(code, body, content_type)


def _encode(media: MediaType, document: JsonObject) -> tuple[bytes, bytes]:
    """Return a document in the negotiated encoding, and its content type."""
    if media.encoding == "yaml":
        return codec_yaml.encode(document), YAML_TYPE
    if media.encoding == "cbor":
        return codec_cbor.encode(document), CBOR_TYPE
    # Upstream ends only what is not indented with a newline.
    end, indent = (b"", orjson.OPT_INDENT_2) if media.pretty else (b"\n", 0)
    return orjson.dumps(document, option=indent) + end, JSON_TYPE

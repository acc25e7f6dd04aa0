"""scale: how many pods a workload wants, read and written as a Scale of its own.

Whoever manages the workload's replicas manages those of its Scale: managedFields are seen through
that one field, and brought back when the Scale was written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import orjson

from apiserver.documents import decode_object, read_request
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.tracking import ScaleVersions, scale_writer
from apiserver.types.workloads.scale import validate_scale
from apiserver.verbs.answer import respond_printed
from apiserver.verbs.apply import APPLY_TYPES, prepare
from apiserver.verbs.bringing import answered, bring
from apiserver.verbs.patching import Patch, decode_patched, patch_type_of
from apiserver.verbs.put import check_name
from apiserver.verbs.update import Change, writing_of
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import SubresourceInfo
from kube.managed import entries as book
from kube.managed import tracking
from kube.managed.scale import to_object, to_scale
from kube.managed.tracking import Application
from kube.table.printers import SCALE
from storage.record import Record


async def get_scale(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with an object's Scale."""
    resource = target.resource
    record = await server.read(resource, target.namespace, target.name)
    obj = orjson.loads((await bring(resource, record)).body)
    await respond_printed(server, exchange, resource.scaling.scale_of(obj), SCALE)


class _Wanted(NamedTuple):
    """How a request makes the wanted Scale, managedFields included, of the Scale that there is."""

    scale: Callable[[JsonObject], JsonObject]
    options: WriteOptions


async def write_scale(server: Server, exchange: Exchange, target: Target) -> None:
    """Update, patch or apply an object's Scale."""
    resource = target.resource
    scaling = resource.scaling
    part = target.subresource_info
    assert part is not None
    wanted = await _wanted(server, exchange, target, part)

    def produce(_record: Record, old: JsonObject) -> JsonObject:
        managers = book.decode_stored(old["metadata"].get("managedFields") or ())
        live = scaling.live_scale(old)
        live["metadata"]["managedFields"] = book.encode(to_scale(managers, scaling.path))
        return wanted.scale(live)

    def finish(scale: JsonObject, old: JsonObject) -> JsonObject:
        faults = validate_scale(scale)
        if faults:
            raise st.invalid("autoscaling", "Scale", target.name, faults)
        managers = book.decode_stored(old["metadata"].get("managedFields") or ())
        new: JsonObject = orjson.loads(orjson.dumps(old))
        scaling.apply_scale(new, scale)
        if managers:
            left = book.decode_stored(scale["metadata"].get("managedFields") or ())
            after = to_object(managers, left, resource.api_version, scaling.path)
            new["metadata"]["managedFields"] = book.encode(after)
        return new

    change = Change(
        server,
        exchange,
        resource,
        produce,
        wanted.options,
        tracks=False,
        subresource="scale",
        finish=finish,
        shown=scaling.scale_of,
    )
    updated = await change.apply(target.namespace, target.name)
    body = await answered(resource, updated.body)
    await respond_printed(server, exchange, scaling.scale_of(orjson.loads(body)), SCALE)


async def _wanted(
    server: Server, exchange: Exchange, target: Target, part: SubresourceInfo
) -> _Wanted:
    resource = target.resource
    versions = ScaleVersions(part.schema_name)
    if exchange.method == "PATCH" and patch_type_of(exchange.content_type) in APPLY_TYPES:
        return await _applied(server, exchange, target, part, versions)
    make: Callable[[JsonObject], JsonObject]
    if exchange.method == "PATCH":
        options = write_options(exchange, "PatchOptions")
        body = await exchange.body()
        change = Patch(resource, exchange.content_type, body, schema=part.schema_name)
        change.check_strictly(exchange, options)

        def make(live: JsonObject) -> JsonObject:
            before = orjson.dumps(live)
            return decode_patched(
                exchange, resource, lambda: change.apply(orjson.loads(before)), options, part
            )

    else:
        options = write_options(exchange, "UpdateOptions")
        given = await read_request(exchange, resource, options.field_validation, part)
        check_name(given, target.namespace, target.name)
        pristine = orjson.dumps(given)

        def make(_live: JsonObject) -> JsonObject:
            copied: JsonObject = orjson.loads(pristine)
            return copied

    writer = scale_writer(writing_of(server, exchange, options, target.subresource))

    def tracked(live: JsonObject) -> JsonObject:
        before: JsonObject = orjson.loads(orjson.dumps(live))
        scale = make(live)
        scale["metadata"]["managedFields"] = tracking.update(versions, before, scale, writer)
        return scale

    return _Wanted(tracked, options)


async def _applied(
    server: Server,
    exchange: Exchange,
    target: Target,
    part: SubresourceInfo,
    versions: ScaleVersions,
) -> _Wanted:
    options = write_options(exchange, "PatchOptions", apply=True)
    body = await exchange.body()
    writer = scale_writer(writing_of(server, exchange, options, target.subresource))

    def make(config: JsonObject) -> Application:
        return Application(versions, config, writer, bool(options.force), {})

    request = prepare(exchange, part, body, make, options)

    def applied(live: JsonObject) -> JsonObject:
        scale, _ = decode_object(target.resource, request.onto(live), part)
        check_name(scale, target.namespace, target.name)
        return scale

    return _Wanted(applied, options)

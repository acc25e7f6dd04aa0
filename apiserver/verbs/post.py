"""create: POST of an object, the quick way for one whose like was created before."""

from __future__ import annotations

from typing import Any

from apiserver.aside import aside
from apiserver.documents import (
    JSON,
    check_readable,
    check_strictly,
    check_version_kind,
    decode_object,
    parse_for,
    read_strictly,
)
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.twins import Twin, Twins
from apiserver.verbs.answer import respond_created
from apiserver.verbs.create import create_object
from kube import status as st
from kube.schema.decode import Decoded, DecodeError, refusal


async def post(server: Server, exchange: Exchange, target: Target) -> None:
    """Create an object from the request's body."""
    resource = target.resource
    options = write_options(exchange, "CreateOptions")
    media_type = check_readable(exchange, resource)
    body = exchange.body_at_hand()
    if body is None:
        body = await exchange.body()
    twins = server.twins.get(resource.storage) if media_type == JSON else None
    if twins is None or exchange.is_large:
        if exchange.is_large:
            obj = await aside(read_strictly, exchange, resource, body, options.field_validation)
        else:
            obj = read_strictly(exchange, resource, body, options.field_validation)
        stored = await create_object(server, exchange, resource, target.namespace, obj, options)
    else:
        stored = await _create_like(server, exchange, target, twins, (body, options))
    await respond_created(server, exchange, resource, stored, dry_run=options.dry_run)


async def _create_like(
    server: Server,
    exchange: Exchange,
    target: Target,
    twins: Twins,
    request: tuple[bytes, WriteOptions],
) -> bytes:
    """Create an object of a type made from templates; return its stored body."""
    resource, namespace = target.resource, target.namespace
    body, options = request
    found = twins.stencils.find(body)
    if found is not None:
        stencil, name = found
        obj = stencil.fill(name)
        return await create_object(server, exchange, stencil.resource, namespace, obj, options)
    parsed: Any = parse_for(resource, body, JSON)
    key = twins.key_of(parsed)
    twin = twins.find(key)
    if twin is not None:
        obj, decoded, resource = parsed, _complete(twin, parsed), twin.resource
    else:
        obj, decoded = decode_object(resource, parsed)
    name = obj["metadata"].get("name", "")
    check_strictly(exchange, resource, body, (decoded, None), options.field_validation)
    stored = await create_object(server, exchange, resource, namespace, obj, options)
    if key is not None and not (decoded.unknown or options.dry_run):
        if twin is None:
            twins.remember(key, obj, stored)
        else:
            twins.learn(twin, body, name)
    return stored


def _complete(twin: Twin, obj: Any) -> Decoded:
    """Make a twin of what was remembered, in place.

    Raises:
        StatusError: 400, the metadata does not fit.
    """
    resource = twin.resource
    check_version_kind(resource, obj)
    try:
        return twin.complete(obj)
    except DecodeError as error:
        raise st.bad_request(refusal(resource.kind, resource.version, error)) from error

"""create: POST of an object, the quick way for one whose like was created before."""

from __future__ import annotations

from typing import Any

from apiserver.documents import (
    JSON,
    check_strictly,
    check_version_kind,
    decode_object,
    media_type_of,
    parse_for,
)
from apiserver.exchange import Exchange
from apiserver.options import write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.twins import Twin
from apiserver.verbs.answer import respond_created
from apiserver.verbs.create import create_object
from kube import status as st
from kube.schema.decode import Decoded, DecodeError, refusal


async def post(server: Server, exchange: Exchange, target: Target) -> None:
    """Create an object from the request's body."""
    resource = target.resource
    options = write_options(exchange, "CreateOptions")
    media_type = media_type_of(exchange.content_type)
    body = await exchange.body()
    obj: Any = parse_for(resource, body, media_type)
    twins = server.twins.get(resource.storage) if media_type == JSON else None
    key = twins.key_of(obj) if twins is not None else None
    twin = twins.find(key) if twins is not None else None
    if twin is not None:
        decoded = _complete(twin, obj)
        resource = twin.resource
    else:
        obj, decoded = decode_object(resource, obj)
    check_strictly(exchange, resource, body, (decoded, None), options.field_validation)
    stored = await create_object(server, exchange, resource, target.namespace, obj, options)
    is_clean = not (decoded.unknown or options.dry_run)
    if twins is not None and key is not None and twin is None and is_clean:
        twins.remember(key, obj)
    dry_run = options.dry_run
    await respond_created(server, exchange, resource, stored, dry_run=dry_run)


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

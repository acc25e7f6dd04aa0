"""update: PUT of a whole object."""

from __future__ import annotations

import orjson

from apiserver.asked import attributes_of
from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.options import write_options
from apiserver.resources import Resource, Target
from apiserver.server import Server
from apiserver.verbs.answer import respond_created, respond_object
from apiserver.verbs.create import create_object
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube.json_types import JsonObject
from storage.record import Record


def check_name(obj: JsonObject, namespace: str, name: str) -> None:
    """Check that the object is the one that the URL names.

    Raises:
        StatusError: 400.
    """
    metadata = obj["metadata"]
    given = metadata.get("name", "")
    if not given:
        raise st.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: "
            "name must be provided"
        )
    if given != name:
        raise st.bad_request(
            f"the name of the object ({given}) does not match the name on the URL ({name})"
        )
    space = metadata.get("namespace", "")
    if namespace and space and space != namespace:
        raise st.bad_request(
            f"the namespace of the object ({space}) does not match the namespace on the request "
            f"({namespace})"
        )


async def put(server: Server, exchange: Exchange, target: Target) -> None:
    """Replace an object, or its status."""
    resource = target.resource
    options = write_options(exchange, "UpdateOptions")
    obj = await read_request(exchange, resource, options.field_validation)
    check_name(obj, target.namespace, target.name)
    part = Part.STATUS if target.subresource == "status" else Part.MAIN
    key = (target.namespace, target.name)
    if part is Part.MAIN and resource.hooks.allow_create_on_update:
        await server.fresh(resource)
        if server.peek(resource, *key) is None:
            await server.permit(exchange.user, attributes_of(exchange, target, "create"))
            refuse_stale_create(resource, obj, target.name)
            body = await create_object(server, exchange, resource, target.namespace, obj, options)
            dry_run = options.dry_run
            await respond_created(server, exchange, resource, body, dry_run=dry_run)
            return
    produce = once_then_copies(resource, obj)
    updated = await Change(server, exchange, resource, produce, options, part).apply(*key)
    await respond_object(server, exchange, resource, updated.body, record=updated.record)


def refuse_stale_create(resource: Resource, obj: JsonObject, name: str) -> None:
    """A resourceVersion or uid says that the object was there: it is gone.

    Raises:
        StatusError: 404 or 409.
    """
    metadata = obj["metadata"]
    if metadata.pop("resourceVersion", "0") not in ("", "0"):
        raise st.not_found(resource.group, resource.plural, name)
    if uid := metadata.get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
        raise st.conflict(resource.group, resource.plural, name, why)


class once_then_copies:  # noqa: N801 (used as a function)
    """A producer that gives the request's object; fresh copies when asked again."""

    def __init__(self, resource: Resource, obj: JsonObject) -> None:
        obj = resource.to_storage(obj)
        resource.hooks.default(obj)
        self._first: JsonObject | None = obj
        self._pristine = orjson.dumps(obj)

    def __call__(self, _record: Record, _old: JsonObject) -> JsonObject:
        first, self._first = self._first, None
        if first is not None:
            return first
        copied: JsonObject = orjson.loads(self._pristine)
        return copied

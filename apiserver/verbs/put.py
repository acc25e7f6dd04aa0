"""update: PUT of a whole object."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from apiserver.aside import aside
from apiserver.asked import attributes_of
from apiserver.documents import check_readable, media_type_of, read_object, read_strictly
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
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
    """Replace an object, or its status; of some types, create it where it is not there."""
    resource = target.resource
    options = write_options(exchange, "UpdateOptions")
    check_readable(exchange, resource)
    body = exchange.body_at_hand()
    if body is None:
        body = await exchange.body()
    if exchange.is_large:
        obj = await aside(read_strictly, exchange, resource, body, options.field_validation)
    else:
        obj = read_strictly(exchange, resource, body, options.field_validation)
    check_name(obj, target.namespace, target.name)
    part = Part.STATUS if target.subresource == "status" else Part.MAIN
    key = (target.namespace, target.name)
    creates = part is Part.MAIN and resource.hooks.allow_create_on_update
    # What the local replica has is looked at again when the write is decided, so only what it has
    # not is asked for: a Lease that is renewed is nearly always there.
    known = server.peek(resource, *key)
    if creates and known is None and await _is_absent(server, resource, key):
        await _create(server, exchange, target, obj, options)
        return

    def again() -> JsonObject:
        return read_object(resource, body, media_type_of(exchange.content_type))[0]

    produce = once_then_again(resource, obj, again)
    try:
        change = Change(server, exchange, resource, produce, options, part)
        updated = await change.apply(*key, known)
    except st.StatusError as error:
        if not (creates and error.code == HTTPStatus.NOT_FOUND):
            raise
        if not await _is_absent(server, resource, key):
            raise
        await _create(server, exchange, target, again(), options)  # it went in between
        return
    await respond_object(server, exchange, resource, updated.body, record=updated.record)


async def _is_absent(server: Server, resource: Resource, key: tuple[str, str]) -> bool:
    """Tell whether an object is not there, certainly."""
    await server.fresh(resource)
    return server.peek(resource, *key) is None


async def _create(
    server: Server, exchange: Exchange, target: Target, obj: JsonObject, options: WriteOptions
) -> None:
    """Create an object that was to be replaced and is not there.

    Raises:
        StatusError: its user may not; what was sent says that it was there; it is refused.
    """
    resource = target.resource
    await server.permit(exchange.user, attributes_of(exchange, target, "create"))
    refuse_stale_create(resource, obj, target.name)
    body = await create_object(server, exchange, resource, target.namespace, obj, options)
    await respond_created(server, exchange, resource, body, dry_run=options.dry_run)


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


class once_then_again:  # noqa: N801 (used as a function)
    """A producer that gives the request's object, read again each time it is asked again."""

    def __init__(
        self, resource: Resource, obj: JsonObject, again: Callable[[], JsonObject]
    ) -> None:
        """Take the object as it was read, which is used up, and what reads it again."""
        self._resource = resource
        self._first: JsonObject | None = obj
        self._again = again

    def __call__(self, _record: Record, _old: JsonObject) -> JsonObject:
        first, self._first = self._first, None
        obj = self._resource.to_storage(self._again() if first is None else first)
        self._resource.hooks.default(obj)
        return obj

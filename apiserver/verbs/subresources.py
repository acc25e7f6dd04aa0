"""Subresources with verbs of their own: binding, ephemeralcontainers, resize, finalize, approval.

Status goes the ordinary way of update and patch; scale is in `apiserver.verbs.scaling`.

Each is a way to read a part of an object, and to write that part by its own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from apiserver.documents import decode_object, read_request
from apiserver.exchange import Exchange
from apiserver.metadata import ensure_namespace
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.types import certificates
from apiserver.types.core import namespaces
from apiserver.types.pods import resize
from apiserver.types.pods import subresources as pod_parts
from apiserver.verbs.admitting import admit
from apiserver.verbs.answer import respond_document, respond_object
from apiserver.verbs.apply import APPLY_TYPES, applying
from apiserver.verbs.managing import track
from apiserver.verbs.patching import Patch, decode_patched, patch_type_of
from apiserver.verbs.put import check_name
from apiserver.verbs.update import (
    Change,
    Part,
    check_changed,
    check_revision,
    keep_system_fields,
    writing_of,
)
from kube import status as st
from kube import times
from kube.field import FieldError
from kube.json_types import JsonObject
from storage.record import Record

Prepare = Callable[[JsonObject, JsonObject], None]
Validate = Callable[[JsonObject, JsonObject], list[FieldError]]


@dataclass(frozen=True, slots=True)
class PartRules:
    """A subresource that is the whole object with only a part of it writable."""

    prepare: Prepare
    validate: Validate


async def bind(server: Server, exchange: Exchange, target: Target) -> None:
    """Assign a pod to a node: POST to pods/binding, or to bindings with the pod's name inside."""
    pods = server.catalog.by_storage["pods"]
    options = write_options(exchange, "CreateOptions")
    part = target.subresource_info
    binding = await read_request(exchange, target.resource, options.field_validation, part)
    ensure_namespace(pods, target.namespace, binding["metadata"])
    name = target.name or binding["metadata"].get("name", "")
    pod_parts.check_binding_name(name, binding)
    faults = pod_parts.validate_binding(binding)
    if faults:
        raise st.invalid("", "Binding", name, faults)
    now = times.format_seconds(int(server.clock.now_s()))

    def produce(_record: Record, old: JsonObject) -> JsonObject:
        new = pod_parts.unshared(old)
        pod_parts.assign_pod_to_node(new, binding, now)
        return new

    binding = await admit(server, exchange, target, binding, options)
    change = Change(server, exchange, pods, produce, options, Part.OWN, admitted=False)
    change.hides_managers = True
    await change.apply(target.namespace, name)
    success = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await respond_document(exchange, success, 201)


async def write_part(server: Server, exchange: Exchange, target: Target, rules: PartRules) -> None:
    """Update, patch or apply a part of an object by rules of its own."""
    resource = target.resource
    maker = await _maker(server, exchange, target)
    options = maker.options
    writing = writing_of(server, exchange, options, target.subresource)

    def produce(record: Record, old: JsonObject) -> JsonObject:
        new = maker.make(record)
        check_name(new, target.namespace, target.name)
        new = resource.to_storage(new)
        resource.hooks.default(new)
        if not options.applies:
            track(resource, new, old, writing)
        return new

    def finish(new: JsonObject, old: JsonObject) -> JsonObject:
        managers = new["metadata"].get("managedFields")
        check_revision(resource, new, old)
        rules.prepare(new, old)
        if resource.hooks.stamp_status is not None:
            resource.hooks.stamp_status(new, old, writing.now)
        keep_system_fields(new["metadata"], old["metadata"])
        if managers:
            new["metadata"]["managedFields"] = managers
        check_changed(resource, new, old, rules.validate(new, old))
        return new

    change = Change(
        server,
        exchange,
        resource,
        produce,
        options,
        Part.OWN,
        subresource=target.subresource,
        finish=finish,
    )
    updated = await change.apply(target.namespace, target.name)
    await respond_object(server, exchange, resource, updated.body, record=updated.record)


class _Maker(NamedTuple):
    """What makes the wanted object of the stored one: a patch, an apply, or the body itself."""

    make: Callable[[Record], JsonObject]
    options: WriteOptions


async def _maker(server: Server, exchange: Exchange, target: Target) -> _Maker:
    resource = target.resource
    if exchange.method != "PATCH":
        options = write_options(exchange, "UpdateOptions")
        given = orjson.dumps(await read_request(exchange, resource, options.field_validation))
        return _Maker(lambda _record: orjson.loads(given), options)
    if patch_type_of(exchange.content_type) in APPLY_TYPES:
        request = await applying(server, exchange, resource, target.subresource)

        def applied(record: Record) -> JsonObject:
            return decode_object(resource, request.onto(resource.decode_stored(record.body)))[0]

        return _Maker(applied, request.options)
    options = write_options(exchange, "PatchOptions")
    change = Patch(resource, exchange.content_type, await exchange.body())
    change.check_strictly(exchange, options)

    def patched(record: Record) -> JsonObject:
        def changed() -> Any:
            return change.apply(resource.decode_stored(record.body))

        return decode_patched(exchange, resource, changed, options)

    return _Maker(patched, options)


def _approve(new: JsonObject, old: JsonObject) -> None:
    """certificatesigningrequests/approval writes conditions only."""
    conditions = new.get("status", {}).get("conditions")
    new["spec"] = old["spec"]
    new["status"] = dict(old.get("status", {}))
    if conditions:
        new["status"]["conditions"] = conditions
    else:
        new["status"].pop("conditions", None)


PARTS: Final[dict[tuple[str, str], PartRules]] = {
    ("pods", "ephemeralcontainers"): PartRules(
        pod_parts.prepare_ephemeral_containers, pod_parts.validate_ephemeral_containers
    ),
    ("pods", "resize"): PartRules(resize.prepare_resize, resize.validate_resize),
    ("namespaces", "finalize"): PartRules(
        namespaces.prepare_finalize, namespaces.validate_finalize
    ),
    ("certificates.k8s.io/certificatesigningrequests", "approval"): PartRules(
        _approve, certificates.validate_approval
    ),
}

"""Subresources with verbs of their own: scale, binding, ephemeralcontainers, resize, finalize,
approval. Status goes the ordinary way of update and patch.

Each is a way to read a part of an object, and to write that part by its own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson

from apiserver.documents import read_request
from apiserver.exchange import Exchange
from apiserver.metadata import ensure_namespace
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.types import certificates
from apiserver.types.core import namespaces
from apiserver.types.pods import resize
from apiserver.types.pods import subresources as pod_parts
from apiserver.types.workloads.scale import apply_scale, scale_of, validate_scale
from apiserver.verbs.answer import respond_document, respond_object, respond_printed
from apiserver.verbs.patching import Patch, decode_patched, patch_type_of
from apiserver.verbs.put import check_name
from apiserver.verbs.update import (
    Change,
    Part,
    check_changed,
    check_revision,
    keep_system_fields,
)
from kube import status as st
from kube import times
from kube.field import FieldError
from kube.json_types import JsonObject
from kube.table.printers import SCALE
from storage.record import Record

Prepare = Callable[[JsonObject, JsonObject], None]
Validate = Callable[[JsonObject, JsonObject], list[FieldError]]


@dataclass(frozen=True, slots=True)
class PartRules:
    """A subresource that is the whole object with only a part of it writable."""

    prepare: Prepare
    validate: Validate


async def get_scale(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with an object's Scale."""
    record = await server.read(target.resource, target.namespace, target.name)
    await respond_printed(server, exchange, scale_of(orjson.loads(record.body)), SCALE)


async def write_scale(server: Server, exchange: Exchange, target: Target) -> None:
    """Update or patch an object's Scale."""
    resource = target.resource
    is_patch = exchange.method == "PATCH"
    options = write_options(exchange, "PatchOptions" if is_patch else "UpdateOptions")
    part = target.subresource_info
    assert part is not None
    if is_patch:
        patch_type_of(exchange.content_type)
        body = await exchange.body()
        change = Patch(resource, exchange.content_type, body, schema=part.schema_name)
        change.check_strictly(exchange, options)
    else:
        given = await read_request(exchange, resource, options.field_validation, part)
        check_name(given, target.namespace, target.name)
        pristine = orjson.dumps(given)

    def produce(_record: Record, old: JsonObject) -> JsonObject:
        if is_patch:
            scale = change.apply(scale_of(old))
            scale = decode_patched(exchange, resource, scale, options, part)
        else:
            scale = orjson.loads(pristine)
        faults = validate_scale(scale)
        if faults:
            raise st.invalid("autoscaling", "Scale", target.name, faults)
        new: JsonObject = orjson.loads(orjson.dumps(old))
        apply_scale(new, scale)
        return new

    updated = await Change(server, exchange, resource, produce, options).apply(
        target.namespace, target.name
    )
    await respond_printed(server, exchange, scale_of(orjson.loads(updated.body)), SCALE)


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
        new: JsonObject = orjson.loads(orjson.dumps(old))
        pod_parts.assign_pod_to_node(new, binding, now)
        return new

    await Change(server, exchange, pods, produce, options, Part.OWN).apply(target.namespace, name)
    success = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "code": 201,
    }
    await respond_document(exchange, success, 201)


async def write_part(server: Server, exchange: Exchange, target: Target, rules: PartRules) -> None:
    """Update or patch a part of an object by rules of its own."""
    resource = target.resource
    is_patch = exchange.method == "PATCH"
    options = write_options(exchange, "PatchOptions" if is_patch else "UpdateOptions")
    make = await _maker(exchange, target, options, is_patch=is_patch)
    now = times.format_seconds(int(server.clock.now_s()))

    def produce(record: Record, old: JsonObject) -> JsonObject:
        new = make(record)
        check_name(new, target.namespace, target.name)
        new = resource.to_storage(new)
        resource.hooks.default(new)
        check_revision(resource, new, old)
        server.guard(exchange.user, resource, new, old, target.subresource)
        rules.prepare(new, old)
        if resource.hooks.stamp_status is not None:
            resource.hooks.stamp_status(new, old, now)
        keep_system_fields(new["metadata"], old["metadata"])
        check_changed(resource, new, old, rules.validate(new, old))
        return new

    updated = await Change(server, exchange, resource, produce, options, Part.OWN).apply(
        target.namespace, target.name
    )
    await respond_object(server, exchange, resource, updated.body, record=updated.record)


async def _maker(
    exchange: Exchange, target: Target, options: WriteOptions, *, is_patch: bool
) -> Callable[[Record], JsonObject]:
    """Return what makes the wanted object of the stored one: a patch, or the body itself."""
    resource = target.resource
    if not is_patch:
        given = orjson.dumps(await read_request(exchange, resource, options.field_validation))
        return lambda _record: orjson.loads(given)
    patch_type_of(exchange.content_type)
    change = Patch(resource, exchange.content_type, await exchange.body())
    change.check_strictly(exchange, options)

    def patched(record: Record) -> JsonObject:
        changed = change.apply(resource.decode_stored(record.body))
        return decode_patched(exchange, resource, changed, options)

    return patched


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

"""patch: JSON patch, merge patch and strategic merge patch of an object or a part of it.

Server-side apply, which comes as a patch too, is in `apiserver.verbs.apply`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from apiserver.admission.attributes import UPDATE
from apiserver.aside import aside
from apiserver.documents import decode_object, parse
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Resource, Target
from apiserver.server import Server
from apiserver.types.hooks import leave, leave_both
from apiserver.verbs.answer import respond_object
from apiserver.verbs.apply import APPLY_TYPES, apply
from apiserver.verbs.put import check_name
from apiserver.verbs.status_patch import is_of_status, with_status
from apiserver.verbs.update import Change, Part
from kube import field as fld
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import SubresourceInfo
from kube.managed.cut import cut
from kube.patch import json_patch, merge_patch, strategic_merge, unknown_operation_fields
from kube.schema.compile import builtin_schemas
from kube.schema.decode import strict_refusal
from kube.schema.model import Struct
from storage.record import Record

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
_TYPES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, *APPLY_TYPES)


def patch_type_of(header: bytes) -> str:
    """Return the patch type a Content-Type header names.

    Raises:
        StatusError: 415 with the types that are taken.
    """
    text = header.split(b";", 1)[0].strip().lower().decode("latin-1")
    if text not in _TYPES:
        raise st.unsupported_media_type(_TYPES)
    return text


class Patch:
    """A parsed patch, applied to whatever the object is by then.

    Attributes:
        document: parsed.
        names_managers: whether it may be about managedFields.

    Raises (at making):
        StatusError: 400 for what is no patch, 415 for an unknown type.
    """

    def __init__(self, resource: Resource, header: bytes, body: bytes, schema: str = "") -> None:
        self.kind = patch_type_of(header)
        # Written with an escape, the word would not be found: then anything may be meant.
        self.names_managers = b"managedFields" in body or b"\\u" in body
        self._resource = resource
        self._struct: Struct | None = None
        if self.kind == STRATEGIC_PATCH:
            if resource.info.custom:
                raise st.unsupported_media_type((JSON_PATCH, MERGE_PATCH, *APPLY_TYPES))
            self._struct = builtin_schemas().struct(schema or resource.info.schema_name)
        try:
            self.document: Any = parse(body, "application/json")
        except ValueError as error:
            raise st.bad_request(f"error decoding patch: {error}") from error
        wanted = list if self.kind == JSON_PATCH else dict
        if not isinstance(self.document, wanted):
            name = "array of operations" if wanted is list else "JSON object"
            raise st.bad_request(f"error decoding patch: the patch must be an {name}")

    def check_strictly(self, exchange: Exchange, options: WriteOptions) -> None:
        """Refuse or warn of unknown members of JSON patch operations.

        Raises:
            StatusError: 422 under Strict.
        """
        if self.kind != JSON_PATCH or options.field_validation == "Ignore":
            return
        found = unknown_operation_fields(self.document)
        if found and options.field_validation == "Strict":
            text = f"strict decoding error: {', '.join(found)}"
            raise _invalid(orjson.dumps(self.document), text)
        for text in found:
            exchange.warn(text)

    @property
    def leaves_rest_alone(self) -> bool:
        """Whether it looks at nothing that it does not name; a JSON patch may copy and test."""
        return self.kind != JSON_PATCH and not self.names_managers

    def names_status_alone(self) -> bool:
        """Tell whether, as one of the status, it can be applied to that and metadata alone."""
        return self.leaves_rest_alone and is_of_status(self._resource, self.document)

    def apply(self, obj: JsonObject) -> Any:
        """Return the patched object; `obj` is used up.

        Raises:
            StatusError: 422 or 400, worded as upstream.
        """
        match self.kind:
            case "application/json-patch+json":
                return json_patch(obj, self.document)
            case "application/merge-patch+json":
                return merge_patch(obj, self.document)
            case _:
                assert self._struct is not None
                return strategic_merge(obj, self.document, self._struct)


async def patch(server: Server, exchange: Exchange, target: Target) -> None:
    """Patch an object, or its status."""
    resource = target.resource
    if patch_type_of(exchange.content_type) in APPLY_TYPES:
        await apply(server, exchange, target)
        return
    body = exchange.body_at_hand()
    if body is None:
        body = await exchange.body()
    options = write_options(exchange, "PatchOptions")
    if exchange.is_large:
        change = await aside(Patch, resource, exchange.content_type, body)
        await aside(change.check_strictly, exchange, options)
    else:
        change = Patch(resource, exchange.content_type, body)
        change.check_strictly(exchange, options)
    part = Part.STATUS if target.subresource == "status" else Part.MAIN
    is_of_status = part is Part.STATUS and change.names_status_alone()
    is_plain = part is Part.MAIN and change.leaves_rest_alone and _is_plain(resource)

    # Of what a large one waits for, while it is looked at aside, admission may come to be part.
    may_share = (is_of_status or is_plain) and not exchange.is_large

    def produce(record: Record, old: JsonObject) -> JsonObject:
        shares = may_share and not _may_be_changed(server, target)
        if is_of_status and shares:
            made = with_status(resource, old, change.document, change.apply)
            if made is not None:
                check_name(made, target.namespace, target.name)
                return made

        def patched() -> Any:
            if is_plain and shares:
                return change.apply(_unmanaged(resource, old))
            return change.apply(_current(resource, record, old, change))

        obj = decode_patched(exchange, resource, patched, options)
        check_name(obj, target.namespace, target.name)
        obj = resource.to_storage(obj)
        resource.hooks.default(obj)
        return obj

    change_made = Change(server, exchange, resource, produce, options, part)
    updated = await change_made.apply(target.namespace, target.name)
    await respond_object(server, exchange, resource, updated.body, record=updated.record)


def _is_plain(resource: Resource) -> bool:
    """Tell whether nothing of the type's is done to a patched object before it is compared.

    Then it may share with the old one what the patch leaves alone.
    """
    hooks = resource.hooks
    is_left = hooks.default is leave and hooks.prepare_update is leave_both
    return is_left and not (resource.info.custom or resource.converted)


def _unmanaged(resource: Resource, old: JsonObject) -> JsonObject:
    """Return an object without its managedFields, in the request's version; the rest is shared."""
    metadata = old["metadata"].copy()
    metadata.pop("managedFields", None)
    return {**old, "apiVersion": resource.api_version, "metadata": metadata}


def _current(resource: Resource, record: Record, old: JsonObject, change: Patch) -> JsonObject:
    """Return a stored object for a patch to use up."""
    body = record.body
    # What is left as it is need be neither parsed nor checked again.
    is_left = not change.names_managers
    is_known = not resource.info.custom  # how members are called
    if is_left and is_known and old["metadata"].get("managedFields"):
        body, _ = cut(body, resource.prefix)
    current = resource.decode_stored(body)
    if is_left:
        current["metadata"].pop("managedFields", None)
    return current


def _may_be_changed(server: Server, target: Target) -> bool:
    """Tell whether admission may change an object in place, which then must not be shared."""
    plan = server.admission.plan(target.resource, target.subresource, UPDATE)
    return plan is not None and plan.changes


def decode_patched(
    exchange: Exchange,
    resource: Resource,
    patched: Callable[[], Any],
    options: WriteOptions,
    part: SubresourceInfo | None = None,
) -> JsonObject:
    """Decode what a patch has made, of the kind of `part` where that has a kind of its own.

    Args:
        exchange: the request.
        resource: the type, in the request's version.
        patched: makes what is to be decoded; asked once more if it has to be shown.
        options: of the request.
        part: the subresource, where that has a kind of its own.

    Raises:
        StatusError: 422 with the field "patch", as upstream.
    """
    made = patched()
    try:
        obj, decoded = decode_object(resource, made, part)
    except st.StatusError as error:
        raise _invalid(orjson.dumps(patched()), error.message) from error
    unknown = decoded.unknown
    if unknown and options.field_validation == "Strict":
        wanted = part or resource
        text = strict_refusal(wanted.kind, wanted.version, unknown)
        raise _invalid(orjson.dumps(patched()), text.partition(": ")[2])
    if options.field_validation == "Warn":
        for text in unknown:
            exchange.warn(text)
    return obj


def _invalid(shown: bytes, why: str) -> st.StatusError:
    fault = fld.invalid("patch", shown.decode(), why)
    return st.invalid("", "", "", [fault])

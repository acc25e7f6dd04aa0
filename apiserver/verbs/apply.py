"""apply: server-side apply of an object, its status, its scale or another part of it.

What is applied is merged into the object by its schema; managedFields say who answers for which
fields, and an apply that would change another's is a conflict unless it is forced. An object that
is not there is created.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from apiserver.aside import aside
from apiserver.asked import attributes_of
from apiserver.documents import decode_object
from apiserver.exchange import Exchange
from apiserver.options import WriteOptions, write_options
from apiserver.resources import Resource, Target
from apiserver.server import UPDATE_ATTEMPTS_MAX, Server
from apiserver.verbs.answer import respond_created, respond_object
from apiserver.verbs.create import create_object
from apiserver.verbs.put import check_name, refuse_stale_create
from apiserver.verbs.update import Change, Part, writing_of
from kube import codec_cbor, codec_json, codec_yaml
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject
from kube.kinds import SubresourceInfo, split_group_version
from kube.managed import sets
from kube.managed.atoms import TypedError
from kube.managed.entries import UPDATE, Identity
from kube.managed.tracking import Application
from kube.managed.updater import Conflict, Conflicts
from kube.patch.plain import go_text
from kube.schema.duplicates import may_have_duplicates
from kube.schema.normalize import count_keys
from storage.record import Record

APPLY_YAML: Final = "application/apply-patch+yaml"
APPLY_CBOR: Final = "application/apply-patch+cbor"
APPLY_TYPES: Final = (APPLY_YAML, APPLY_CBOR)
_ALREADY_EXISTS: Final = "AlreadyExists"
_NOT_FOUND: Final = "NotFound"


class Configuration:
    """What is applied, read once.

    Attributes:
        document: the parsed body.
        complaint: what a strict reading finds, "" if nothing.

    Raises (at making):
        StatusError: 400, it is malformed or no object.
    """

    def __init__(self, media_type: str, body: bytes) -> None:
        self.complaint = ""
        try:
            if media_type == APPLY_CBOR:
                document: Any = codec_cbor.decode(body)
            else:
                document, self.complaint = _read_yaml(body)
        except ValueError as error:
            raise st.bad_request(f"error decoding patch: {error}") from error
        if document.__class__ is not dict:
            what = "array" if isinstance(document, list) else "string"
            why = f"json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
            raise st.bad_request(f"error decoding patch: {why}")
        self.document: JsonObject = document

    def check_strictly(self, exchange: Exchange, options: WriteOptions) -> None:
        """Refuse or warn of keys that are there twice, as fieldValidation says.

        Raises:
            StatusError: 400 under Strict.
        """
        if not self.complaint or options.field_validation == "Ignore":
            return
        text = f"error converting YAML to JSON: {self.complaint}"
        if options.field_validation == "Strict":
            raise st.bad_request(f"error strict decoding patch: {text}")
        for line in self.complaint.split("\n")[1:]:
            exchange.warn(line.strip())


def _read_yaml(body: bytes) -> tuple[Any, str]:
    """Return what YAML says, and what is wrong with it though it can be read.

    Most clients send JSON, which is YAML, and is read in a hundredth of the time.
    """
    if body[:1] == b"{":
        try:
            document = codec_json.decode(body)
        except ValueError:
            return codec_yaml.decode_strict(body)
        if not may_have_duplicates(body, count_keys(document)):
            return document, ""
    return codec_yaml.decode_strict(body)


def check_header(wanted: Resource | SubresourceInfo, config: JsonObject) -> None:
    """Check what the configuration says it is, and that it leaves managedFields alone.

    Raises:
        StatusError: 400.
    """
    version, kind = config.get("apiVersion") or "", config.get("kind") or ""
    if version != wanted.api_version or kind != wanted.kind:
        raise st.bad_request(f"invalid object type: {_kind_text(version, kind)}")
    metadata = config.get("metadata")
    if metadata.__class__ is dict and metadata.get("managedFields") is not None:
        raise st.bad_request("metadata.managedFields must be nil")


def _kind_text(version: object, kind: object) -> str:
    try:
        group, plain = split_group_version(str(version))
    except ValueError:
        group, plain = "", str(version)
    return f"{group}/{plain}, Kind={kind}"


@dataclass(frozen=True, slots=True)
class Applying:
    """One apply in progress: a configuration that was read and checked."""

    exchange: Exchange
    options: WriteOptions
    config: Configuration
    application: Application

    def onto(self, live: JsonObject) -> JsonObject:
        """Return a live object with the configuration merged into it, managedFields set.

        Raises:
            StatusError: 400; 409, others manage what would change.
        """
        try:
            merged = self.application.onto(live)
        except Conflicts as conflicts:
            raise _conflict(conflicts.found) from conflicts
        except TypedError as error:
            text = f"failed to create typed live object ({_named(live)}): {error}"
            raise st.bad_request(text) from error
        self.config.check_strictly(self.exchange, self.options)
        # What is merged shares its parts with what it was made of.
        own: JsonObject = orjson.loads(orjson.dumps(merged))
        return own


def prepare(
    exchange: Exchange,
    wanted: Resource | SubresourceInfo,
    body: bytes,
    make: Any,
    options: WriteOptions,
) -> Applying:
    """Read and check what is to be applied.

    Args:
        exchange: the request.
        wanted: of whose kind it has to be.
        body: of the request.
        make: makes an `Application` of a configuration.
        options: of the request.

    Raises:
        StatusError: 400.
    """
    config = Configuration(exchange.content_type.split(b";", 1)[0].strip().lower().decode(), body)
    check_header(wanted, config.document)
    application: Application = make(config.document)
    try:
        application.check()
    except TypedError as error:
        text = f"failed to create typed patch object ({_named(config.document)}): {error}"
        raise st.bad_request(text) from error
    return Applying(exchange, options, config, application)


def _named(obj: JsonObject) -> str:
    """Return an object's namespace, name and kind as messages have them."""
    metadata = obj.get("metadata")
    found = metadata if isinstance(metadata, dict) else {}
    namespace, name = (go_text(found.get(key) or "") for key in ("namespace", "name"))
    kind = _kind_text(obj.get("apiVersion", ""), obj.get("kind", ""))
    return f"{namespace}/{name}; {kind}"


async def applying(
    server: Server, exchange: Exchange, resource: Resource, subresource: str
) -> Applying:
    """Read and check a request that applies an object, or a part that is of its own kind.

    Raises:
        StatusError: 400, 413 or 422.
    """
    options = write_options(exchange, "PatchOptions", apply=True)
    body = await exchange.body()
    writing = writing_of(server, exchange, options, subresource)

    def make(config: JsonObject) -> Application:
        return resource.tracker.application(config, writing, force=bool(options.force))

    if exchange.is_large:
        return await aside(prepare, exchange, resource, body, make, options)
    return prepare(exchange, resource, body, make, options)


async def apply(server: Server, exchange: Exchange, target: Target) -> None:
    """Apply an object, or its status; an object that is not there is created."""
    resource, key = target.resource, (target.namespace, target.name)
    request = await applying(server, exchange, resource, target.subresource)
    part = Part.STATUS if target.subresource == "status" else Part.MAIN

    def produce(record: Record, _old: JsonObject) -> JsonObject:
        return completed(resource, target, request.onto(resource.decode_stored(record.body)))

    change = Change(server, exchange, resource, produce, request.options, part, tracks=False)
    for _ in range(UPDATE_ATTEMPTS_MAX):
        if part is Part.MAIN and server.peek(resource, *key) is None:
            await server.fresh(resource)
            if server.peek(resource, *key) is None:
                body = await _create(server, exchange, target, request)
                if body is None:
                    continue
                dry_run = request.options.dry_run
                await respond_created(server, exchange, resource, body, dry_run=dry_run)
                return
        try:
            updated = await change.apply(*key)
        except st.StatusError as error:
            if error.reason != _NOT_FOUND or part is not Part.MAIN:
                raise
            continue  # deleted meanwhile
        await respond_object(server, exchange, resource, updated.body, record=updated.record)
        return
    raise st.conflict(resource.group, resource.plural, target.name)


def completed(resource: Resource, target: Target, merged: JsonObject) -> JsonObject:
    """Return what an apply has made, decoded and defaulted, in the storage version.

    Raises:
        StatusError: 400, it does not fit its type.
    """
    obj, _ = decode_object(resource, merged)
    check_name(obj, target.namespace, target.name)
    obj = resource.to_storage(obj)
    resource.hooks.default(obj)
    return obj


async def _create(
    server: Server, exchange: Exchange, target: Target, request: Applying
) -> bytes | None:
    """Create what is applied, if its user may; None: somebody else was quicker."""
    resource = target.resource
    await server.permit(exchange.user, attributes_of(exchange, target, "create"))
    empty = request.application.empty
    if exchange.is_large:
        merged = await aside(request.onto, empty)
    else:
        merged = request.onto(empty)
    obj, _ = decode_object(resource, merged)
    check_name(obj, target.namespace, target.name)
    metadata = obj["metadata"]
    if uid := metadata.get("uid"):
        why = (
            f"uid mismatch: the provided object specified uid {uid}, "
            "and no existing object was found"
        )
        raise st.conflict(resource.group, resource.plural, target.name, why)
    refuse_stale_create(resource, obj, target.name)
    try:
        return await create_object(
            server, exchange, resource, target.namespace, obj, request.options
        )
    except st.StatusError as error:
        if error.reason != _ALREADY_EXISTS or "is being deleted" in error.message:
            raise
        return None


def _conflict(found: Sequence[Conflict]) -> st.StatusError:
    """Return upstream's 409 with a cause for each field."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_shown(who)}",
            "field": sets.show_path(path),
        }
        for who, path in found
    ]
    if len(found) == 1:
        cause = causes[0]
        text = f"Apply failed with 1 conflict: {cause['message']}: {cause['field']}"
        return st.apply_conflict(causes, text)
    lines = []
    last: Identity | None = None
    for who, path in found:
        if who != last:
            lines.append(f"conflicts with {_shown(who)}:")
            last = who
        lines.append(f"- {sets.show_path(path)}")
    text = "\n".join(lines)
    return st.apply_conflict(causes, f"Apply failed with {len(found)} conflicts: {text}")


def _shown(who: Identity) -> str:
    text = quote(who.manager)
    if who.subresource:
        text += f" with subresource {quote(who.subresource)}"
    return f"{text} using {who.version}" if who.operation == UPDATE else text

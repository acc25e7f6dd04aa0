"""create: from a decoded object to a committed one."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from apiserver.admission.attributes import CREATE, Attributes
from apiserver.admission.chain import Plan
from apiserver.admission.requesters import SIGNING_REQUESTS, name_requester
from apiserver.aside import aside
from apiserver.authn import User
from apiserver.companions import NO_CLAIMS, Claims, Companion
from apiserver.exchange import Caller
from apiserver.metadata import (
    ensure_namespace,
    fill_system_fields,
    generate_name,
    wipe_system_fields,
)
from apiserver.options import WriteOptions
from apiserver.resources import Resource
from apiserver.server import UPDATE_ATTEMPTS_MAX, Server
from apiserver.tracking import manager_of
from apiserver.types import conversion
from apiserver.types.meta import validate_name, validate_object_meta
from apiserver.verbs.bringing import creation_guards, kept, make_ready
from kube import status as st
from kube import times
from kube.json_types import JsonArray, JsonObject
from kube.managed.entries import asks_for_reset
from storage.record import Record
from storage.txn import ABSENT, Committed, KeyedOp, Put

_NAME_ATTEMPTS_MAX: Final = 8
"""Upstream's maxNameGenerationCreateAttempts."""


async def create_object(
    server: Server,
    exchange: Caller,
    resource: Resource,
    namespace: str,
    obj: JsonObject,
    options: WriteOptions,
) -> bytes:
    """Create an object.

    Args:
        server: the server.
        exchange: the request, for its user and its warnings.
        resource: the type, in the request's version.
        namespace: of the request, "" for cluster-scoped types.
        obj: decoded, in the request's version; changed in place.
        options: of the request.

    Returns:
        The stored body, in the storage version.

    Raises:
        StatusError: the object is refused, exists, or the write failed.
    """
    if resource.info.custom:
        await make_ready(resource)
        creation_guards(server.store, resource)
    obj = resource.to_storage(obj)
    metadata: JsonObject = obj["metadata"]
    version = metadata.get("resourceVersion")
    if version and version != "0":
        raise st.bad_request("resourceVersion should not be set on objects to be created")
    wipe_system_fields(metadata)
    ensure_namespace(resource, namespace, metadata)
    if exchange.is_large:
        await aside(resource.hooks.default, obj)
    else:
        resource.hooks.default(obj)
    manager = options.field_manager or manager_of(exchange.user_agent)
    tracked = _Tracked(resource, obj, manager, _now(server), applies=options.applies)
    obj = await _mutate(server, exchange, resource, obj, options, tracked)
    await server.guard_new(exchange.user, resource, obj)
    prefix = obj["metadata"].get("generateName", "")
    generated = bool(prefix) and not obj["metadata"].get("name")
    pristine = orjson.dumps(obj) if generated else b""
    for attempt in range(_NAME_ATTEMPTS_MAX):
        if attempt:
            obj = orjson.loads(pristine)
        if generated:
            obj["metadata"]["name"] = generate_name(prefix)
        _prepare_new(server, exchange.user, resource, obj)
        body = await _store(server, exchange, resource, obj, tracked, dry_run=options.dry_run)
        if isinstance(body, bytes):
            _warn(server, exchange, resource, obj)
            return body
        if not generated:
            raise _already_exists(resource, obj, body)
    raise st.generate_name_conflict(resource.group, resource.plural, obj["metadata"]["name"])


async def _mutate(
    server: Server,
    exchange: Caller,
    resource: Resource,
    obj: JsonObject,
    options: WriteOptions,
    tracked: _Tracked,
) -> JsonObject:
    """Let the mutating phase of admission complete the object, and return it.

    What is left to be done for the validating phase is kept in `tracked`.

    Raises:
        StatusError: a plugin refuses.
    """
    plan = server.admission.plan(resource, "", CREATE)
    if plan is not None and resource.is_twin:
        plan = plan.of_twins
    if plan is None:
        return obj
    metadata = obj["metadata"]
    key = metadata.get("namespace", ""), metadata.get("name", "")
    attributes = Attributes(exchange, CREATE, resource, key, (obj, None), options)
    if plan.is_dynamic:
        # Webhooks and policies are shown them, as updates show them anyway.
        metadata["managedFields"] = tracked.plain_entries(_now(server))
    waiting = plan.mutate(attributes)
    if waiting is not None:
        await waiting
    assert attributes.obj is not None
    if plan.is_dynamic:
        attributes.obj["metadata"].pop("managedFields", None)
    if plan.validating:
        tracked.check = _Check(plan, attributes)
    return attributes.obj


class _Check(NamedTuple):
    """The validating phase of admission."""

    plan: Plan
    attributes: Attributes

    async def run(self, obj: JsonObject, tracked: _Tracked) -> None:
        """Let the plugins look at the prepared object.

        Raises:
            StatusError: one refuses.
        """
        attributes = self.attributes
        attributes.obj = obj
        if self.plan.is_dynamic:
            metadata = obj["metadata"]
            managed = tracked.plain_entries(metadata["creationTimestamp"])
            attributes.obj = {**obj, "metadata": {**metadata, "managedFields": managed}}
        attributes.name = obj["metadata"].get("name", "")
        waiting = self.plan.validate(attributes)
        if waiting is not None:
            await waiting


class _Tracked:
    """What a new object's managedFields are to be, found out once, before anything is prepared.

    Attributes:
        check: the validating phase of admission, None if nobody is interested.
    """

    __slots__ = ("_fields", "_given", "_manager", "_resource", "check")

    def __init__(
        self, resource: Resource, obj: JsonObject, manager: str, now: str, *, applies: bool
    ) -> None:
        self._resource, self._manager = resource, manager
        self.check: _Check | None = None
        self._fields = b""
        given = obj["metadata"].pop("managedFields", None)
        self._given: JsonArray | None = None
        if applies:
            self._given = given or []
        elif given is None or asks_for_reset(given):
            self._fields = resource.fields_of_new(obj)
        else:
            self._given = resource.tracker.created_over(obj, given, manager, now)

    def entries(self, now: str) -> object:
        """Return them as of `now`; None: there are none."""
        if self._given is not None:
            return self._given or None
        return self._resource.tracker.entry_of_new(self._fields, self._manager, now)

    def plain_entries(self, now: str) -> JsonArray:
        """Return the same as values that may be looked into."""
        found: JsonArray = orjson.loads(orjson.dumps(self.entries(now) or []))
        return found


def _warn(server: Server, exchange: Caller, resource: Resource, obj: JsonObject) -> None:
    for text in resource.hooks.warnings(obj, None):
        exchange.warn(text)
    if server.quota.warning:
        exchange.warn(server.quota.warning)


def _prepare_new(server: Server, user: User, resource: Resource, obj: JsonObject) -> None:
    """Fill in what the server owns, in place."""
    metadata = obj["metadata"]
    fill_system_fields(metadata, _now(server))
    if resource.storage == SIGNING_REQUESTS:
        name_requester(user, obj)
    hooks = resource.hooks
    hooks.prepare_create(obj)
    if hooks.generation:
        metadata["generation"] = 1


def _now(server: Server) -> str:
    return times.format_seconds(int(server.clock.now_s()))


def check_new(resource: Resource, obj: JsonObject) -> None:
    """Validate a prepared new object.

    Raises:
        StatusError: 422 with all its faults.
    """
    metadata = obj["metadata"]
    hooks = resource.hooks
    if resource.known_meta is None:
        faults = validate_object_meta(
            metadata, namespaced=resource.namespaced, name_check=hooks.name_check
        )
    else:
        faults = validate_name(metadata.get("name", ""), hooks.name_check)
    faults += hooks.validate_create(obj)
    if (stricter := conversion.version_checks(resource.info)) is not None:
        faults += stricter[0](obj)
    if faults:
        raise st.invalid(resource.group, resource.kind, metadata.get("name", ""), faults)


async def _store(
    server: Server,
    exchange: Caller,
    resource: Resource,
    obj: JsonObject,
    tracked: _Tracked,
    *,
    dry_run: bool,
) -> bytes | Record:
    """Commit a new object; return its body, or the object that is there already."""
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    if not name:
        check_new(resource, obj)
    if server.peek(resource, namespace, name) is not None or dry_run:
        # A local hit may be stale: look again before saying no. It spares the journal a record.
        await server.fresh(resource)
        found = server.peek(resource, namespace, name)
        if found is not None:
            return found
    managed = tracked.entries(metadata["creationTimestamp"])
    companion = server.companions.get(resource.storage)
    asked = orjson.dumps(obj["spec"]) if companion is not None else b""
    for _ in range(UPDATE_ATTEMPTS_MAX):
        claims = _claims_of(server, resource, obj, companion, asked)
        await _check(exchange, resource, obj, tracked)
        if dry_run:
            return resource.encode_shown(obj, managed)
        stored = await kept(resource, obj, managed) if resource.info.custom else obj
        ops = (_put_of(server, resource, stored, managed), *claims.ops)
        outcome = await server.commit(resource, ops)
        if isinstance(outcome, Committed):
            record = outcome.records[0]
            assert record is not None
            return record.body
        if outcome.op_index == 0:
            assert outcome.actual is not None
            return outcome.actual
        if companion is not None:
            _check_lost(companion, claims, ops[outcome.op_index], obj)
    raise st.conflict(resource.group, resource.plural, name)


async def _check(exchange: Caller, resource: Resource, obj: JsonObject, tracked: _Tracked) -> None:
    """Validate a prepared object, and let the validating phase of admission look at it, once.

    Raises:
        StatusError: it is refused.
    """
    if exchange.is_large:
        await aside(check_new, resource, obj)
    else:
        check_new(resource, obj)
    if tracked.check is not None:
        await tracked.check.run(obj, tracked)
        tracked.check = None


def _claims_of(
    server: Server, resource: Resource, obj: JsonObject, companion: Companion | None, asked: bytes
) -> Claims:
    """Return what goes with the write of a new object, completed in place.

    Args:
        server: the server.
        resource: its type.
        obj: the object.
        companion: of the type, if it has one.
        asked: the spec as it was before the companion looked at it.

    Raises:
        StatusError: it cannot be had.
    """
    if companion is not None:
        obj["spec"] = orjson.loads(asked)
        return companion.on_create(obj, obj["metadata"]["creationTimestamp"])
    if resource.info.custom:
        return Claims(creation_guards(server.store, resource))
    return NO_CLAIMS


def _check_lost(companion: Companion, claims: Claims, lost: KeyedOp, obj: JsonObject) -> None:
    """Another write was quicker to claim what `lost` was to: choose again, if we chose it.

    Raises:
        StatusError: the client did.
    """
    if isinstance(lost, Put) and lost.name not in claims.chosen:
        raise companion.explain(lost, obj)


def _put_of(server: Server, resource: Resource, obj: JsonObject, managed: object) -> Put:
    metadata = obj["metadata"]
    ttl_s = resource.hooks.ttl_s
    expires_at_ms = server.clock.now_ms() + ttl_s * 1000 if ttl_s else 0
    body, meta = resource.encode(obj, managed)
    return Put(
        resource.storage,
        metadata.get("namespace", ""),
        metadata["name"],
        meta,
        body,
        resource.splice_at,
        ABSENT,
        expires_at_ms,
    )


def _already_exists(resource: Resource, obj: JsonObject, found: Record) -> st.StatusError:
    error = st.already_exists(resource.group, resource.plural, obj["metadata"]["name"])
    if orjson.loads(found.body)["metadata"].get("deletionTimestamp"):
        error.status["message"] = f"object is being deleted: {error.message}"
    return error

"""Read-modify-write: what update, patch and the writing subresources have in common.

A change is computed from the object as the local replica has it and committed on the condition that
the object is still at that revision; when another write came in between, it is computed again from
the newer object. A refusal found on a local, perhaps stale, object is looked at again after a
consistent read before the client hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, assert_never

import orjson

from apiserver.admission.attributes import UPDATE, Attributes
from apiserver.admission.chain import Plan
from apiserver.aside import aside
from apiserver.authn import NotYet
from apiserver.authz import Attributes as Asked
from apiserver.companions import NO_CLAIMS, Claims
from apiserver.exchange import Caller
from apiserver.guard import Writer
from apiserver.metadata import ensure_namespace, spec_changed
from apiserver.node_access.judge import is_node
from apiserver.options import WriteOptions
from apiserver.resources import Resource
from apiserver.server import UPDATE_ATTEMPTS_MAX, Server
from apiserver.tracking import Writing, manager_of
from apiserver.types import conversion
from apiserver.types.meta import validate_object_meta_update
from apiserver.verbs.bringing import bring, is_kept_alike, kept, make_ready, prepared
from apiserver.verbs.managing import hidden, keep_times, show_entries, track
from kube import field as fld
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from storage.record import Record
from storage.txn import Committed, Delete, Put

Produce = Callable[[Record, JsonObject], JsonObject]
"""From the stored record and its decoded object (for keeps) to the wanted one, both in the storage
version; may raise StatusError."""


Finish = Callable[[JsonObject, JsonObject], JsonObject]
"""From what was wanted, as admission left it, and the old object to the one to be stored; may raise
StatusError."""


class Part(Enum):
    """Which part of an object a write may change."""

    MAIN = "main"
    STATUS = "status"
    OWN = "own"
    """The object is prepared and checked by rules of its own: the producer's, or `finish`."""


class Updated(NamedTuple):
    """The outcome: the body to show, in the storage version, and the record that holds it."""

    body: bytes
    deleted: bool = False
    record: Record | None = None
    """None: nothing is stored like that."""


async def find(server: Server, resource: Resource, namespace: str, name: str) -> Record:
    """Return an object to be changed: the local one, or after a consistent read.

    Raises:
        StatusError: 404.
    """
    record = server.peek(resource, namespace, name)
    return record if record is not None else await server.read(resource, namespace, name)


# Not frozen: that would take a microsecond of every write.
@dataclass(slots=True)
class Change:
    """One write in progress; nothing of it changes.

    Attributes:
        produce: makes the wanted object of the stored one.
        part: what the write may change.
        options: of the request.
        tracks: whether to find out who manages what then: no if the producer has. Writes by rules
            of their own (Part.OWN) are never tracked here.
        admitted: whether admission looks at it: not where it looked at a whole request before.
        subresource: which one is written, where `part` does not say so.
        finish: makes the object of what `produce` gave, once admission has seen that.
        hides_managers: whether `produce` leaves managedFields as they are, so that they need not be
            parsed. Of what is tracked here they are not, as far as they need not be.
        shown: what admission sees of an object, where that is not the object itself.
        said: what somebody far away said of the writer, while this went on.
    """

    server: Server
    exchange: Caller
    resource: Resource
    produce: Produce
    options: WriteOptions
    part: Part = Part.MAIN
    tracks: bool = True
    admitted: bool = True
    subresource: str = ""
    finish: Finish | None = None
    hides_managers: bool = False
    shown: Callable[[JsonObject], JsonObject] | None = None
    said: dict[Asked, bool] = field(default_factory=dict)

    async def apply(self, namespace: str, name: str, known: Record | None = None) -> Updated:
        """Change the object to what `produce` makes of it.

        Args:
            namespace: of the object.
            name: of the object.
            known: the object as the local replica has it, if that was looked for.

        Raises:
            StatusError: refused by `produce` or by the type's rules, absent, or in conflict.
        """
        server, resource = self.server, self.resource
        record = known or await find(server, resource, namespace, name)
        certain = False
        for _ in range(UPDATE_ATTEMPTS_MAX):
            try:
                outcome = await self._attempt(record)
            except st.StatusError:
                if certain:
                    raise
                # The refusal was found on an object that may be stale.
                latest = await server.read(resource, namespace, name)
                certain = True
                if latest.mod_revision == record.mod_revision:
                    raise
                record = latest
                continue
            except NotYet as cause:
                await cause.ready
                continue
            if isinstance(outcome, Updated):
                return outcome
            if outcome is None:
                raise st.not_found(resource.group, resource.plural, name)
            record, certain = outcome, True
        raise st.conflict(resource.group, resource.plural, name)

    async def _attempt(self, record: Record) -> Updated | Record | None:
        """Try once; a record is the newer state to try again from, None: the object is gone."""
        server, resource = self.server, self.resource
        is_alike = True
        if resource.info.custom:
            await make_ready(resource)
            is_alike = is_kept_alike(resource, record)
            record = await bring(resource, record)
        # Custom objects may have any members; others look into managedFields themselves.
        is_hidden = self.hides_managers or (self.tracks and self.part is not Part.OWN)
        is_bytes = is_hidden and not resource.info.custom
        old = hidden(resource, record.body) if is_bytes else orjson.loads(record.body)
        new, claims = await self._new(record, old)
        keep_times(new, old)
        if is_finalized(resource, new, old):
            return await self._remove(record, new, old)
        if new == old and is_alike:
            return await self._confirm(record)
        if self.options.dry_run:
            new["metadata"]["resourceVersion"] = str(record.mod_revision)
            return Updated(orjson.dumps(new))
        stored_new = await kept(resource, new) if resource.info.custom else new
        ops = (put_of(server, resource, record, stored_new), *claims.ops)
        outcome = await server.commit(resource, ops)
        if isinstance(outcome, Committed):
            stored = outcome.records[0]
            assert stored is not None
            return Updated(stored.body, record=stored)
        if outcome.op_index == 0:
            return outcome.actual
        lost = ops[outcome.op_index]
        if isinstance(lost, Put) and lost.name not in claims.chosen:
            raise server.companions[resource.storage].explain(lost, new)
        return record

    async def _new(self, record: Record, old: JsonObject) -> tuple[JsonObject, Claims]:
        """Return the new object, admitted and checked, and the operations that go with its write.

        Raises:
            StatusError: it is refused.
        """
        server, resource = self.server, self.resource
        elsewhere = None
        if resource.info.custom and resource.needs_calls:
            # Managers are compared in their versions: a thread may wait for the webhook.
            elsewhere = prepared
        elif self.exchange.is_large and resource.storage not in server.companions:
            elsewhere = aside
        if elsewhere is not None:
            new = await elsewhere(self._wanted, record, old)
        else:
            new = self._wanted(record, old)
        subresource = "status" if self.part is Part.STATUS else self.subresource
        plan = self._plan(subresource)
        attributes = None
        if plan is not None:
            if plan.is_dynamic:
                show_entries(new, old)
            attributes = self._attributes(subresource, new, old)
            waiting = plan.mutate(attributes)
            if waiting is not None:
                await waiting
            assert attributes.obj is not None
            new = attributes.obj
        if elsewhere is not None:
            new, claims = await elsewhere(self._prepare, new, old)
        else:
            new, claims = self._prepare(new, old)
        if attributes is not None and plan is not None and plan.validating:
            await self._validate(plan, attributes, new)
        return new, claims

    def _plan(self, subresource: str) -> Plan | None:
        """Return who is to look at the write, None if nobody is."""
        if not self.admitted:
            return None
        plan = self.server.admission.plan(self.resource, subresource, UPDATE)
        if plan is None or plan.for_all or is_node(self.exchange.user):
            return plan
        return None

    def _wanted(self, record: Record, old: JsonObject) -> JsonObject:
        """Return what is wanted, as admission is to see it."""
        new = self.produce(record, old)
        if self.finish is None:
            new["kind"], new["apiVersion"] = old["kind"], old["apiVersion"]
        if self.tracks and self.part is not Part.OWN:
            subresource = "status" if self.part is Part.STATUS else ""
            track(self.resource, new, old, self.writing(subresource))
        return new

    def _attributes(self, subresource: str, new: JsonObject, old: JsonObject) -> Attributes:
        metadata = old["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        seen = old if self.shown is None else self.shown(old)
        found = Attributes(self.exchange, UPDATE, self.resource, key, (new, seen), self.options)
        found.subresource = subresource
        if self.shown is not None:
            found.part = self.resource.info.subresources.get(subresource)
        return found

    async def _validate(self, plan: Plan, attributes: Attributes, new: JsonObject) -> None:
        """Let the validating phase of admission look at the prepared object.

        Raises:
            StatusError: a plugin refuses.
        """
        attributes.obj = new if self.shown is None else self.shown(new)
        waiting = plan.validate(attributes)
        if waiting is not None:
            await waiting

    def _prepare(self, new: JsonObject, old: JsonObject) -> tuple[JsonObject, Claims]:
        """Return the checked new object, and the operations that go with its write."""
        resource = self.resource
        if self.finish is not None:
            new = self.finish(new, old)
            new["kind"], new["apiVersion"] = old["kind"], old["apiVersion"]
        match self.part:
            case Part.MAIN:
                check_revision(resource, new, old)
                if resource.storage in self.server.guards:
                    self.server.guard(self._writer(), resource, new, old)
                companion = self.server.companions.get(resource.storage)
                claims = NO_CLAIMS
                if companion is not None:
                    claims = companion.on_update(new, old, self._now())
                prepare_main(resource, new, old)
                for text in resource.hooks.warnings(new, old):
                    self.exchange.warn(text)
                return new, claims
            case Part.STATUS:
                check_revision(resource, new, old)
                if resource.storage in self.server.guards:
                    self.server.guard(self._writer(), resource, new, old, "status")
                return prepare_status(resource, new, old, self._now()), NO_CLAIMS
            case Part.OWN:
                return new, NO_CLAIMS
            case _:
                assert_never(self.part)

    def _writer(self) -> Writer:
        return Writer(self.exchange.user, self.said)

    def writing(self, subresource: str) -> Writing:
        """Return who writes, and when."""
        return writing_of(self.server, self.exchange, self.options, subresource)

    def _now(self) -> str:
        return times.format_seconds(int(self.server.clock.now_s()))

    async def _confirm(self, record: Record) -> Updated | Record | None:
        """Answer a write that changes nothing, once it is certain that the object is still so."""
        await self.server.fresh(self.resource)
        latest = self.server.peek(self.resource, record.namespace, record.name)
        if latest is not None and latest.mod_revision == record.mod_revision:
            return Updated(record.body, record=record)
        return latest

    async def _remove(
        self, record: Record, new: JsonObject, old: JsonObject
    ) -> Updated | Record | None:
        """Delete an object whose last finalizer has just gone; answer with what was asked for."""
        resource = self.resource
        new["metadata"]["resourceVersion"] = str(record.mod_revision)
        if self.options.dry_run:
            return Updated(orjson.dumps(new), deleted=True)
        companion = self.server.companions.get(resource.storage)
        claims = companion.on_delete(old) if companion is not None else ()
        delete = Delete(resource.storage, record.namespace, record.name, record.mod_revision)
        outcome = await self.server.commit(resource, (delete, *claims))
        if isinstance(outcome, Committed):
            return Updated(orjson.dumps(new), deleted=True)
        # Lost what went along: the object is as it was, and is looked at again.
        return outcome.actual if outcome.op_index == 0 else record


def writing_of(
    server: Server, exchange: Caller, options: WriteOptions, subresource: str
) -> Writing:
    """Return who writes what by a request, and when."""
    manager = options.field_manager or manager_of(exchange.user_agent)
    return Writing(manager, times.format_seconds(int(server.clock.now_s())), subresource)


def put_of(server: Server, resource: Resource, record: Record, new: JsonObject) -> Put:
    """Return the operation that replaces `record` by `new`."""
    ttl_s = resource.hooks.ttl_s
    expires_at_ms = server.clock.now_ms() + ttl_s * 1000 if ttl_s else 0
    body, meta = resource.encode(new)
    return Put(
        resource.storage,
        record.namespace,
        record.name,
        meta,
        body,
        resource.splice_at,
        record.mod_revision,
        expires_at_ms,
    )


def check_revision(resource: Resource, new: JsonObject, old: JsonObject) -> None:
    """Check uid and resourceVersion that the client gives against the stored object.

    Raises:
        StatusError: 409, they differ; 422, this type demands a resourceVersion.
    """
    new_meta, old_meta = new["metadata"], old["metadata"]
    name = old_meta["name"]
    uid = new_meta.get("uid")
    if uid and uid != old_meta["uid"]:
        why = (
            f"Precondition failed: UID in precondition: {uid}, "
            f"UID in object meta: {old_meta['uid']}"
        )
        raise st.conflict(resource.group, resource.plural, name, why)
    version = new_meta.get("resourceVersion")
    if version in (None, "", "0"):
        if not resource.hooks.allow_unconditional_update:
            text = "must be specified for an update"
            faults = [fld.invalid("metadata.resourceVersion", 0, text)]
            raise st.invalid(resource.group, resource.plural, name, faults)
        new_meta["resourceVersion"] = old_meta["resourceVersion"]
    elif version != old_meta["resourceVersion"]:
        if not version.isdecimal():
            raise st.bad_request(f"invalid resource version {fld.quote(version)}")
        raise st.conflict(resource.group, resource.plural, name)


def keep_system_fields(new_meta: JsonObject, old_meta: JsonObject) -> None:
    """Carry over what an update can neither set nor drop."""
    new_meta.setdefault("uid", old_meta["uid"])
    new_meta["creationTimestamp"] = old_meta["creationTimestamp"]
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if key in old_meta:
            new_meta[key] = old_meta[key]
        else:
            new_meta.pop(key, None)
    new_meta.pop("selfLink", None)


def prepare_main(resource: Resource, new: JsonObject, old: JsonObject) -> None:
    """Prepare and validate a write of the main resource, in place.

    Raises:
        StatusError: 400 or 422.
    """
    hooks = resource.hooks
    new_meta, old_meta = new["metadata"], old["metadata"]
    ensure_namespace(resource, old_meta.get("namespace", ""), new_meta)
    generation = old_meta.get("generation")
    if generation is None:
        new_meta.pop("generation", None)
    else:
        new_meta["generation"] = generation
    if hooks.has_status:
        if "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
    hooks.prepare_update(new, old)
    keep_system_fields(new_meta, old_meta)
    if hooks.generation and spec_changed(resource, new, old):
        new_meta["generation"] = (generation or 0) + 1
    faults = hooks.validate_update(new, old)
    if (stricter := conversion.version_checks(resource.info)) is not None:
        faults += stricter[1](new, old)
    check_changed(resource, new, old, faults)


def prepare_status(resource: Resource, new: JsonObject, old: JsonObject, now: str) -> JsonObject:
    """Return the old object with the new one's status (and metadata), prepared and validated.

    Raises:
        StatusError: 400 or 422.
    """
    hooks = resource.hooks
    merged = dict(old)
    merged["metadata"] = new_meta = new["metadata"]
    if "status" in new:
        merged["status"] = new["status"]
    else:
        merged.pop("status", None)
    old_meta = old["metadata"]
    ensure_namespace(resource, old_meta.get("namespace", ""), new_meta)
    if "generation" in old_meta:
        new_meta["generation"] = old_meta["generation"]
    hooks.prepare_status(merged, old)
    if hooks.stamp_status is not None:
        hooks.stamp_status(merged, old, now)
    keep_system_fields(new_meta, old_meta)
    check_changed(resource, merged, old, hooks.validate_status(merged, old))
    return merged


def check_changed(
    resource: Resource, new: JsonObject, old: JsonObject, faults: list[fld.FieldError]
) -> None:
    """Refuse a change whose metadata or type rules fail.

    Raises:
        StatusError: 422 with all faults, the metadata's first.
    """
    found = validate_object_meta_update(new["metadata"], old["metadata"])
    if found or faults:
        name = old["metadata"]["name"]
        raise st.invalid(resource.group, resource.kind, name, [*found, *faults])


def is_finalized(resource: Resource, new: JsonObject, old: JsonObject) -> bool:
    """Tell whether this change removes the last thing that held a deleted object."""
    old_meta = old["metadata"]
    if not old_meta.get("deletionTimestamp") or new["metadata"].get("finalizers"):
        return False
    if resource.storage == "namespaces" and new.get("spec", {}).get("finalizers"):
        return False
    return not old_meta.get("deletionGracePeriodSeconds")

"""delete: grace periods, finalizers, propagation and preconditions."""

from __future__ import annotations

from typing import Final, NamedTuple

import orjson

from apiserver.admission.attributes import DELETE, Attributes
from apiserver.admission.chain import Plan
from apiserver.custom.conditions import begin_deletion
from apiserver.custom.definition import DEFINITIONS
from apiserver.documents import media_type_of, parse
from apiserver.exchange import Caller, Exchange
from apiserver.options import DeleteOptions, delete_options
from apiserver.resources import Resource, Target
from apiserver.server import UPDATE_ATTEMPTS_MAX, Server
from apiserver.verbs.answer import respond_document, respond_object
from apiserver.verbs.bringing import bring, kept
from apiserver.verbs.update import find
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from storage.record import Record
from storage.txn import Committed, Delete, Put

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_RETURNS_OBJECT: Final = frozenset(
    {
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "storage.k8s.io/csidrivers",
        "storage.k8s.io/csinodes",
        "storage.k8s.io/storageclasses",
        "storage.k8s.io/volumeattachments",
    }
)
"""Types whose delete answers with the object; the others answer with a Status."""
_ORPHANED_BY_DEFAULT: Final = frozenset({"batch/jobs", "replicationcontrollers"})
_NOT_COLLECTED: Final = frozenset({"events"})


class Deleted(NamedTuple):
    """The outcome: the last body in the storage version, and whether the object is gone."""

    record: Record
    body: bytes
    gone: bool


class _Step(NamedTuple):
    """What one look at the object says is to be done: write `update`, or delete, or nothing."""

    update: JsonObject | None
    remove: bool


async def delete(server: Server, exchange: Exchange, target: Target) -> None:
    """Delete one object."""
    resource = target.resource
    options = await read_options(exchange)
    key = target.namespace, target.name
    outcome = await delete_object(server, exchange, resource, key, options)
    code = 200
    if not outcome.gone:
        if options.orphan_dependents is False:
            code = 202
        await respond_object(server, exchange, resource, outcome.body, code)
    elif resource.storage in _RETURNS_OBJECT:
        await respond_object(server, exchange, resource, outcome.body, code)
    else:
        await respond_document(exchange, _success(resource, outcome), code)


def _success(resource: Resource, outcome: Deleted) -> JsonObject:
    details = {"name": outcome.record.name}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    details["uid"] = orjson.loads(outcome.body)["metadata"]["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


async def read_options(exchange: Exchange) -> DeleteOptions:
    """Return the options of a delete, from its body or its query.

    Raises:
        StatusError: 400 or 422, they make no sense.
    """
    body = await exchange.body()
    if not body:
        return delete_options(exchange, None)
    media_type = media_type_of(exchange.content_type)
    try:
        document = parse(body, media_type)
    except ValueError as error:
        raise st.bad_request(str(error)) from error
    if not isinstance(document, dict):
        raise st.bad_request("decoded object cannot be converted to DeleteOptions")
    kind = document.get("kind", "DeleteOptions")
    if kind != "DeleteOptions":
        api_version = document.get("apiVersion", "")
        raise st.bad_request(
            f'no kind "{kind}" is registered for version "{api_version}" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme"'
        )
    return delete_options(exchange, document)


async def delete_object(
    server: Server,
    caller: Caller | None,
    resource: Resource,
    key: tuple[str, str],
    options: DeleteOptions,
) -> Deleted:
    """Delete an object, or mark it as being deleted.

    Args:
        server: the server.
        caller: on whose behalf; None: admission has looked at it already.
        resource: its type.
        key: its namespace and name.
        options: of the request; changed in place.

    Raises:
        StatusError: 404, 409 for preconditions, 403 by admission.
    """
    plan = server.admission.plan(resource, "", DELETE) if caller is not None else None
    # What webhooks and policies decide on has to be certain; what plugins look at does not change.
    is_certain = plan is not None and plan.is_dynamic
    record = await (Server.read if is_certain else find)(server, resource, *key)
    companion = server.companions.get(resource.storage)
    for _ in range(UPDATE_ATTEMPTS_MAX):
        record, old = await _checked(server, resource, record, options)
        if plan is not None and caller is not None:
            attributes = Attributes(caller, DELETE, resource, key, (None, old), options)
            await _admit(plan, attributes)
        step = _decide(server, resource, orjson.loads(record.body), options)
        if options.dry_run:
            return Deleted(record, _shown(step, record), step.remove)
        if step.update is not None:
            update = await kept(resource, step.update) if resource.info.custom else step.update
            body, meta = resource.encode(update)
            put = Put(
                resource.storage,
                *key,
                meta,
                body,
                resource.splice_at,
                record.mod_revision,
                record.expires_at_ms,
            )
            outcome = await server.commit(resource, (put,))
        elif step.remove:
            claims = companion.on_delete(old) if companion is not None else ()
            remove = Delete(resource.storage, *key, record.mod_revision)
            outcome = await server.commit(resource, (remove, *claims))
        else:
            # Nothing is written that would find out that the object is stale here.
            latest = await server.read(resource, *key)
            if latest.mod_revision == record.mod_revision:
                return Deleted(record, record.body, gone=False)
            record = latest
            continue
        if isinstance(outcome, Committed):
            stored = outcome.records[0]
            assert stored is not None
            return Deleted(stored, stored.body, gone=step.remove)
        if outcome.actual is None and outcome.op_index == 0:
            raise st.not_found(resource.group, resource.plural, key[1])
        record = await server.read(resource, *key)
    raise st.conflict(resource.group, resource.plural, key[1])


async def _checked(
    server: Server, resource: Resource, record: Record, options: DeleteOptions
) -> tuple[Record, JsonObject]:
    """Return an object that is to be deleted, as it is and decoded, once preconditions hold.

    Raises:
        StatusError: 409, they do not; 404.
    """
    if options.uid or options.resource_version:
        record = await server.read(resource, record.namespace, record.name)
    if resource.info.custom:
        record = await bring(resource, record)
    old: JsonObject = orjson.loads(record.body)
    _check_preconditions(resource, old, options)
    return record, old


async def _admit(plan: Plan, attributes: Attributes) -> None:
    for phase in (plan.mutate, plan.validate):
        waiting = phase(attributes)
        if waiting is not None:
            await waiting


def _shown(step: _Step, record: Record) -> bytes:
    if step.update is None:
        return record.body
    step.update["metadata"]["resourceVersion"] = str(record.mod_revision)
    return orjson.dumps(step.update)


def _check_preconditions(resource: Resource, obj: JsonObject, options: DeleteOptions) -> None:
    metadata = obj["metadata"]
    for field, wanted, hint in (
        ("uid", options.uid, "deleted and then recreated"),
        ("resourceVersion", options.resource_version, "modified"),
    ):
        if wanted is not None and wanted != metadata[field]:
            shown = "UID" if field == "uid" else "ResourceVersion"
            why = (
                f"the {shown} in the precondition ({wanted}) does not match the {shown} in record "
                f"({metadata[field]}). The object might have been {hint}"
            )
            raise st.conflict(resource.group, resource.kind, metadata["name"], why)


def _decide(server: Server, resource: Resource, obj: JsonObject, options: DeleteOptions) -> _Step:
    """Say what a delete request does to `obj`, which is changed in place (rest.BeforeDelete)."""
    now_s = int(server.clock.now_s())
    metadata = obj["metadata"]
    graceful, pending, grace_s = _grace(resource, obj, options, now_s)
    if pending:
        return _Step(None, remove=False)
    if resource.storage == "namespaces" and obj.get("spec", {}).get("finalizers"):
        return _end_namespace(resource, obj, options, now_s)
    changed = _set_collector_finalizers(resource, metadata, options)
    if resource.storage == DEFINITIONS and "deletionTimestamp" not in metadata:
        begin_deletion(obj, times.format_seconds(now_s))
        return _Step(obj, remove=False)
    finalizers = metadata.get("finalizers")
    if graceful and (finalizers or grace_s > 0):
        return _Step(obj, remove=False)
    if finalizers:
        was_marked = metadata.get("deletionGracePeriodSeconds") == 0
        if was_marked and "deletionTimestamp" in metadata and not changed:
            return _Step(None, remove=False)
        _mark(metadata, now_s)
        return _Step(obj, remove=False)
    return _Step(None, remove=True)


def _end_namespace(
    resource: Resource, obj: JsonObject, options: DeleteOptions, now_s: int
) -> _Step:
    """A namespace stays, Terminating, until what is in it is gone and its finalizers with it.

    How its dependents are treated is settled by the first delete.
    """
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return _Step(None, remove=False)
    _set_collector_finalizers(resource, metadata, options)
    metadata["deletionTimestamp"] = times.format_seconds(now_s)
    obj.setdefault("status", {})["phase"] = "Terminating"
    return _Step(obj, remove=False)


def _grace(
    resource: Resource, obj: JsonObject, options: DeleteOptions, now_s: int
) -> tuple[bool, bool, int]:
    """Return whether the delete is graceful, is pending already, and its grace in seconds."""
    default = resource.hooks.grace_period
    wanted = options.grace_period_s
    if wanted is not None and wanted < 0:
        wanted = 1
    if default is None:
        return False, False, 0
    metadata = obj["metadata"]
    if metadata.get("deletionTimestamp"):
        return _shorten(metadata, wanted, now_s)
    grace_s = default(obj, wanted)
    metadata["deletionTimestamp"] = times.format_seconds(now_s + grace_s)
    metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1
    return True, False, grace_s


def _shorten(metadata: JsonObject, wanted: int | None, now_s: int) -> tuple[bool, bool, int]:
    """A second delete can only bring the end nearer."""
    current = metadata.get("deletionGracePeriodSeconds")
    if not current:
        return False, False, 0
    if wanted is None or wanted >= current:
        return False, True, current
    end_s = times.epoch_seconds(metadata["deletionTimestamp"]) - current + wanted
    if end_s < now_s:
        end_s = now_s
        wanted = 1 if wanted else 0
    metadata["deletionTimestamp"] = times.format_seconds(end_s)
    metadata["deletionGracePeriodSeconds"] = wanted
    return True, False, wanted


def _mark(metadata: JsonObject, now_s: int) -> None:
    """Mark an object without grace as being deleted (registry.markAsDeleting)."""
    until = metadata.get("deletionTimestamp")
    if until is None and metadata.get("generation"):
        metadata["generation"] += 1
    if until is None or times.epoch_seconds(until) > now_s:
        metadata["deletionTimestamp"] = times.format_seconds(now_s)
    metadata["deletionGracePeriodSeconds"] = 0


def _set_collector_finalizers(
    resource: Resource, metadata: JsonObject, options: DeleteOptions
) -> bool:
    """Set the finalizers by which the garbage collector knows the propagation wanted."""
    if resource.storage in _NOT_COLLECTED:
        return False
    before = metadata.get("finalizers", [])
    orphan, foreground = _propagation(resource, before, options)
    after = [name for name in before if name not in (ORPHAN, FOREGROUND)]
    if orphan:
        after.append(ORPHAN)
    if foreground:
        after.append(FOREGROUND)
    if set(after) == set(before):
        return False
    if after:
        metadata["finalizers"] = after
    else:
        metadata.pop("finalizers", None)
    return True


def _propagation(
    resource: Resource, finalizers: list[str], options: DeleteOptions
) -> tuple[bool, bool]:
    """Return whether dependents are orphaned, and whether they are waited for."""
    if options.orphan_dependents is not None:
        return options.orphan_dependents, False
    match options.propagation_policy:
        case "Orphan":
            return True, False
        case "Foreground":
            return False, True
        case "Background":
            return False, False
        case _:
            for name in finalizers:
                if name in (ORPHAN, FOREGROUND):
                    return name == ORPHAN, name == FOREGROUND
            return resource.storage in _ORPHANED_BY_DEFAULT, False

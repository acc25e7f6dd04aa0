"""delete and deletecollection: grace periods, finalizers, propagation and preconditions."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Final, NamedTuple

import orjson

from apiserver import admission
from apiserver.custom.conditions import begin_deletion
from apiserver.custom.definition import DEFINITIONS
from apiserver.custom.resource import CustomResource
from apiserver.documents import media_type_of, parse
from apiserver.exchange import Exchange
from apiserver.options import DeleteOptions, delete_options, list_options
from apiserver.resources import Resource, Target
from apiserver.server import UPDATE_ATTEMPTS_MAX, Server
from apiserver.verbs.answer import respond_document, respond_object
from apiserver.verbs.bringing import bring, kept
from apiserver.verbs.list_answer import answer_records
from apiserver.verbs.list_formats import list_format
from apiserver.verbs.list_source import ListSource
from apiserver.verbs.negotiation import media_of
from apiserver.verbs.plan import plan_list
from apiserver.verbs.read import expired
from apiserver.verbs.selection import select
from apiserver.verbs.update import find
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from storage.errors import Compacted
from storage.record import Record
from storage.txn import Committed, Delete, Put

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_COLLECTION_WORKERS: Final = 64
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
    options = await _read_options(exchange)
    outcome = await delete_object(server, resource, (target.namespace, target.name), options)
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


async def _read_options(exchange: Exchange) -> DeleteOptions:
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
    server: Server, resource: Resource, key: tuple[str, str], options: DeleteOptions
) -> Deleted:
    """Delete an object, or mark it as being deleted.

    Raises:
        StatusError: 404, 409 for preconditions, 403 by admission.
    """
    admission.admit_delete(resource, key[1])
    record = await find(server, resource, *key)
    companion = server.companions.get(resource.storage)
    for _ in range(UPDATE_ATTEMPTS_MAX):
        if options.uid or options.resource_version:
            record = await server.read(resource, *key)
        if resource.info.custom:
            record = await bring(resource, record)
        old: JsonObject = orjson.loads(record.body)
        _check_preconditions(resource, old, options)
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
    changed = _set_collector_finalizers(resource, metadata, options)
    if resource.storage == "namespaces":
        return _delete_namespace(obj, now_s, changed=changed)
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


def _delete_namespace(obj: JsonObject, now_s: int, *, changed: bool) -> _Step:
    """A namespace stays, Terminating, until what is in it is gone and its finalizers with it."""
    metadata = obj["metadata"]
    if not obj.get("spec", {}).get("finalizers") and not metadata.get("finalizers"):
        return _Step(None, remove=True)
    status = obj.setdefault("status", {})
    if metadata.get("deletionTimestamp") and status.get("phase") == "Terminating" and not changed:
        return _Step(None, remove=False)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = times.format_seconds(now_s)
    status["phase"] = "Terminating"
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
    grace_s = default(obj)
    # A pod that runs nowhere needs no time to stop, whatever was asked for.
    if wanted is not None and grace_s:
        grace_s = wanted
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


async def delete_collection(server: Server, exchange: Exchange, target: Target) -> None:
    """Delete every object that the list options select, and answer with their list.

    With a limit they are those of one page, as they are of an exact revision if one is named.
    """
    resource = target.resource
    media = media_of(exchange)
    listing = list_options(exchange)
    chosen = select(resource, target, listing)
    options = await _read_options(exchange)
    plan = await plan_list(
        server, target, listing, is_single=chosen.is_single(namespaced=resource.namespaced)
    )
    how = list_format(server, exchange, resource, media)
    source = ListSource(server.store, resource, chosen, plan)
    found: list[Record] = []
    try:
        with closing(source.records()) as chunks:
            for chunk in chunks:
                found += chunk
                await server.list_steps.next()
    except Compacted as error:
        raise expired(plan) from error
    shown = found
    if isinstance(resource, CustomResource) and resource.needs_calls:
        # Before anything is deleted: the webhook may fail.
        shown = await resource.brought(found)
    for start in range(0, len(found), _COLLECTION_WORKERS):
        batch = found[start : start + _COLLECTION_WORKERS]
        await asyncio.gather(
            *(_delete_found(server, resource, record, options.copy()) for record in batch)
        )
    await answer_records(server, exchange, source, shown, how, media)


async def _delete_found(
    server: Server, resource: Resource, record: Record, options: DeleteOptions
) -> None:
    try:
        await delete_object(server, resource, (record.namespace, record.name), options)
    except st.StatusError as error:
        if error.code != 404:
            raise

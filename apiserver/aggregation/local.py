"""The APIServices of what this server serves itself: made by it, and kept as they are to be.

As upstream's autoregister: those of built-in types are seen to at the start only, so that they may
be given to somebody else; those of custom types are there as long as the types are.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

import orjson

from apiserver.aggregation.model import OWN_GROUP, STORAGE
from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE, DeleteOptions
from apiserver.server import Server
from apiserver.verbs.create import create_object
from apiserver.verbs.delete import delete_object
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube.json_types import JsonObject
from kube.kinds import Registry
from storage.record import Record
from storage.scan import Query

MANAGED: Final = "kube-aggregator.kubernetes.io/automanaged"
AT_START: Final = "onstart"
ALWAYS: Final = "true"
_MANAGED_VALUES: Final = frozenset({AT_START, ALWAYS})
_LOST: Final = frozenset({"AlreadyExists", "Conflict", "NotFound"})
"""Reasons of refusals that mean: another server was quicker."""
_log: Final = logging.getLogger(__name__)


def wanted_services(registry: Registry) -> dict[str, JsonObject]:
    """Return the APIServices that a registry's groups are to have, by name.

    That of APIServices themselves has none, as upstream.
    """
    custom = {(info.group, info.version) for info in registry.all() if info.custom}
    found: dict[str, JsonObject] = {}
    for group in registry.groups.values():
        if group.name == OWN_GROUP:
            continue
        for version in group.versions:
            name = f"{version}.{group.name}"
            how = ALWAYS if (group.name, version) in custom else AT_START
            spec: JsonObject = {"group": group.name} if group.name else {}
            spec |= {
                "version": version,
                "groupPriorityMinimum": group.priority,
                "versionPriority": group.version_priorities.get(version, 1),
            }
            found[name] = {"metadata": {"name": name, "labels": {MANAGED: how}}, "spec": spec}
    return found


async def sync_local_services(server: Server, *, at_start: bool) -> None:
    """Make, correct and delete APIServices of our own groups.

    Args:
        server: the server.
        at_start: whether those of built-in types are seen to as well.

    Raises:
        StatusError: the store is not to be written to now.
    """
    resource = server.catalog.by_storage.get(STORAGE)
    if resource is None:
        return
    present = {obj["metadata"]["name"]: obj for obj in stored_services(server)}
    wanted = wanted_services(server.catalog.registry)
    for name, obj in wanted.items():
        if not at_start and _management(obj) == AT_START:
            continue
        current = present.get(name)
        if current is None:
            await _unless_lost(
                create_object(server, ServerItself(), resource, "", obj, PLAIN_WRITE)
            )
        elif _management(current) in _MANAGED_VALUES and not _has_spec(current, obj["spec"]):
            await _unless_lost(_correct(server, name, obj["spec"]))
    for name, current in present.items():
        how = _management(current)
        if name not in wanted and (how == ALWAYS or (at_start and how == AT_START)):
            _log.info("APIService %s goes, as what it is of is no more", name)
            metadata = current["metadata"]
            options = DeleteOptions(
                uid=metadata["uid"], resource_version=metadata["resourceVersion"]
            )
            await _unless_lost(delete_object(server, resource, ("", name), options))


def stored_services(server: Server) -> list[JsonObject]:
    """Return all APIServices, as the replica has them now.

    Raises:
        StorageError: they cannot be read.
    """
    with server.store.scan(Query(STORAGE)) as scan:
        return [orjson.loads(record.body) for chunk in scan for record in chunk]


def _management(obj: JsonObject) -> str:
    found: str = (obj["metadata"].get("labels") or {}).get(MANAGED, "")
    return found


def _has_spec(obj: JsonObject, spec: JsonObject) -> bool:
    return {key: value for key, value in obj["spec"].items() if value} == spec


async def _correct(server: Server, name: str, spec: JsonObject) -> object:
    def produce(_record: Record, old: JsonObject) -> JsonObject:
        new: JsonObject = orjson.loads(orjson.dumps(old))
        new["spec"] = dict(spec)
        return new

    resource = server.catalog.by_storage[STORAGE]
    change = Change(server, ServerItself(), resource, produce, PLAIN_WRITE, Part.MAIN)
    return await change.apply("", name)


async def _unless_lost(writing: Awaitable[object]) -> None:
    try:
        await writing
    except st.StatusError as error:
        if error.reason not in _LOST:
            raise

"""Makes the default roles and bindings, and gives them back what they have lost.

As upstream at every start: what an administrator added stays; missing rules, subjects, labels and
annotations come back, unless the object is annotated as not to be updated. A binding that names
another role is made anew, as that can't be changed. Several servers may do the same at once:
whoever comes second finds nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE, DeleteOptions
from apiserver.rbac.coverage import missing_parts
from apiserver.rbac.policy import AUTO_UPDATE, default_objects
from apiserver.rbac.rules import compile_rules
from apiserver.server import Server
from apiserver.verbs.create import create_object
from apiserver.verbs.delete import delete_object
from apiserver.verbs.update import Change
from kube import status as st
from kube.json_types import JsonObject
from storage.record import Record

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 64
_HARMLESS: Final = frozenset({"AlreadyExists", "Conflict", "NotFound"})
"""Another server was quicker."""


async def reconcile_policy(server: Server) -> None:
    """Make the cluster's roles and bindings what they should be at least.

    Raises:
        StatusError: the store is not to be written to now.
    """
    due = [
        (storage, namespace, obj)
        for storage, namespace, obj in default_objects()
        if storage in server.catalog.by_storage and _is_due(server, storage, namespace, obj)
    ]
    # Those that wait for the disk together share its sync.
    for start in range(0, len(due), _AT_ONCE):
        some = due[start : start + _AT_ONCE]
        await asyncio.gather(*(_reconcile(server, *one) for one in some))


def _is_due(server: Server, storage: str, namespace: str, wanted: JsonObject) -> bool:
    record = server.store.get(storage, namespace, wanted["metadata"]["name"])
    return record is None or reconciled(orjson.loads(record.body), wanted) is not None


async def _reconcile(server: Server, storage: str, namespace: str, wanted: JsonObject) -> None:
    resource, caller = server.catalog.by_storage[storage], ServerItself()
    name = wanted["metadata"]["name"]
    _log.info("reconciling %s %s", resource.plural, name)
    try:
        record = server.store.get(storage, namespace, name)
        if record is not None and _names_other_role(orjson.loads(record.body), wanted):
            await delete_object(server, caller, resource, (namespace, name), DeleteOptions())
            record = None
        if record is None:
            obj = orjson.loads(orjson.dumps(wanted))
            await create_object(server, caller, resource, namespace, obj, PLAIN_WRITE)
            return

        def produce(_record: Record, old: JsonObject) -> JsonObject:
            updated: JsonObject = orjson.loads(orjson.dumps(reconciled(old, wanted) or old))
            return updated

        await Change(server, caller, resource, produce, PLAIN_WRITE).apply(namespace, name)
    except st.StatusError as error:
        if error.reason not in _HARMLESS:
            raise


def reconciled(current: JsonObject, wanted: JsonObject) -> JsonObject | None:
    """Return an object with what it lacks, None if it lacks nothing or is to be left alone."""
    metadata = current["metadata"]
    if (metadata.get("annotations") or {}).get(AUTO_UPDATE) == "false":
        return None
    if _names_other_role(current, wanted):
        return current
    new = {**current, "metadata": dict(metadata)}
    for key in ("labels", "annotations"):
        merged = {**wanted["metadata"][key], **(metadata.get(key) or {})}
        new["metadata"][key] = merged
    if "roleRef" in wanted:
        _add(new, "subjects", _missing(current.get("subjects"), wanted.get("subjects")))
    elif "aggregationRule" in wanted:
        _complete_aggregation(new, wanted["aggregationRule"])
    else:
        owned = compile_rules(current.get("rules"))
        _add(new, "rules", [part.as_rule() for part in missing_parts(owned, wanted["rules"])])
    return new if _differs(new, current) else None


def _names_other_role(current: JsonObject, wanted: JsonObject) -> bool:
    return "roleRef" in wanted and current.get("roleRef") != wanted["roleRef"]


def _complete_aggregation(new: JsonObject, wanted: JsonObject) -> None:
    """Add the selectors that are missing; what the role has of rules is the controller's."""
    rule = dict(new.get("aggregationRule") or {})
    _add(
        rule,
        "clusterRoleSelectors",
        _missing(rule.get("clusterRoleSelectors"), wanted["clusterRoleSelectors"]),
    )
    new["aggregationRule"] = rule


def _missing(have: object, wanted: Sequence[JsonObject] | None) -> list[JsonObject]:
    present: Sequence[JsonObject] = have if isinstance(have, list) else []
    return [one for one in wanted or () if one not in present]


def _add(obj: JsonObject, key: str, more: list[JsonObject]) -> None:
    if more:
        obj[key] = [*(obj.get(key) or ()), *more]


def _differs(new: JsonObject, current: JsonObject) -> bool:
    return any(new.get(key) != current.get(key) for key in _compared(new))


def _compared(obj: JsonObject) -> Iterator[str]:
    yield from (key for key in obj if key not in ("kind", "apiVersion"))

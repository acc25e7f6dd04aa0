"""Ends definitions that are being deleted: their objects first, then themselves.

    marked -> objects deleted, batch by batch -> none is left -> the finalizer goes, and the name

Objects that have finalizers of their own are marked and waited for. No create gets in between, so
an empty type stays empty (apiserver.verbs.bringing.creation_guards). What was begun by a process
that is gone is taken on by the others after a while; to do it twice does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import orjson

from apiserver.custom.conditions import Said, with_status
from apiserver.custom.definition import CLEANUP, DEFINITIONS, ESTABLISHED, TERMINATING, Definition
from apiserver.custom.resource import CustomResource
from apiserver.custom.served import Served
from apiserver.custom.writes import NAMES, status_put
from apiserver.options import DeleteOptions
from apiserver.server import Server
from apiserver.verbs.delete import delete_object
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from runtime.tasks import TaskScope
from storage.errors import StorageError
from storage.record import Record
from storage.scan import Query
from storage.txn import Committed, Delete, KeyedOp

_log: Final = logging.getLogger(__name__)
_OTHERS_WAIT_S: Final = 10.0
_LOOK_S_MIN: Final = 0.1
_LOOK_S_MAX: Final = 2.0
_PASS_S: Final = 30.0
"""So often all that is left is deleted again: some of it may have failed."""
_FRESH_S: Final = 3.0
_AT_ONCE: Final = 64
_BATCH: Final = 512
_DEFINITIONS_AT_ONCE: Final = 4
_IN_PROGRESS: Final[Said] = (
    TERMINATING,
    "True",
    "InstanceDeletionInProgress",
    "CustomResource deletion is in progress",
)
_DONE: Final[Said] = (TERMINATING, "False", "InstanceDeletionCompleted", "removed all instances")
_NEVER: Final[Said] = (TERMINATING, "False", "NeverEstablished", "resource was never established")
_OVERLAPS: Final[Said] = (
    TERMINATING,
    "False",
    "OverlappingBuiltInResource",
    "instances overlap with built-in resources in storage",
)


class Cleanup:
    """See the module's head."""

    def __init__(self, server: Server, served: Served) -> None:
        self._server = server
        self._served = served
        self._under_way: dict[str, asyncio.Event] = {}
        self._turns = asyncio.Semaphore(_DEFINITIONS_AT_ONCE)
        self._scope: TaskScope | None = None

    def start(self, scope: TaskScope) -> None:
        """Do what `begin` is told of in `scope`."""
        self._scope = scope

    def begin(self, name: str, *, is_ours: bool) -> None:
        """End a definition, unless that is under way; later, if others are likely to do it."""
        assert self._scope is not None, "it has been started"
        is_due = self._under_way.get(name)
        if is_due is None:
            is_due = self._under_way[name] = asyncio.Event()
            self._scope.spawn(self._end(name, is_due), name=f"end {name}")
        if is_ours:
            is_due.set()

    async def _end(self, name: str, is_due: asyncio.Event) -> None:
        clock = self._server.clock
        look_s, passed_s = _LOOK_S_MIN, -_PASS_S
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_OTHERS_WAIT_S * (1 + random.random())):
                    await is_due.wait()
            while True:
                try:
                    async with self._turns:
                        now_s = clock.monotonic_s()
                        is_pass = now_s - passed_s >= _PASS_S
                        if is_pass:
                            passed_s = now_s
                        if await self._advance(name, is_pass=is_pass):
                            return
                except (StorageError, st.StatusError) as error:
                    _log.warning("the objects of %s cannot be deleted: %s", name, error)
                await clock.sleep(look_s)
                look_s = min(2 * look_s, _LOOK_S_MAX)
        finally:
            del self._under_way[name]

    async def _advance(self, name: str, *, is_pass: bool) -> bool:
        """Bring a definition nearer to its end; return whether there is nothing left to do."""
        definition = self._served.current(name)
        if definition is None or not (definition.is_deleted and definition.has_cleanup):
            return True
        if definition.conditions.get(TERMINATING, {}).get("reason") == "InstanceDeletionPending":
            await self._say(definition, _IN_PROGRESS)
            definition = self._served.current(name) or definition
        resource = self._served.stored(name)
        if not definition.holds(ESTABLISHED):
            said = _NEVER
        elif resource is None:
            said = _OVERLAPS
        else:
            if is_pass:
                await self._delete_all(resource)
            if not await self._is_empty(resource):
                return False
            said = _DONE
        return await self._let_go(definition, said)

    async def _delete_all(self, resource: CustomResource) -> None:
        store, after = self._server.store, None
        while True:
            query = Query(resource.storage, limit=_BATCH, start_after=after)
            with store.scan(query) as scan:
                records = [record for chunk in scan for record in chunk]
            if not records:
                return
            after = (records[-1].namespace, records[-1].name)
            for start in range(0, len(records), _AT_ONCE):
                some = records[start : start + _AT_ONCE]
                await asyncio.gather(*(self._delete(resource, record) for record in some))

    async def _delete(self, resource: CustomResource, record: Record) -> None:
        if not orjson.loads(record.body)["metadata"].get("finalizers"):
            # As it is, whatever its version: a webhook that is gone must not keep it.
            remove = Delete(record.resource, record.namespace, record.name, record.mod_revision)
            outcome = await self._server.commit(resource, (remove,))
            if isinstance(outcome, Committed) or outcome.actual is None:
                return
        try:
            key = (record.namespace, record.name)
            await delete_object(self._server, None, resource, key, DeleteOptions())
        except st.StatusError as error:
            if error.reason != "NotFound":
                raise

    async def _is_empty(self, resource: CustomResource) -> bool:
        store = self._server.store
        await store.fresh(resource.storage, _FRESH_S)
        return store.count(resource.storage) == 0

    async def _say(self, definition: Definition, said: Said) -> None:
        found = self._read(definition)
        if found is not None:
            record, old = found
            now = self._now()
            new = with_status(old, None, [said], [], now)
            await self._commit((status_put(self._server, record, new, old, now),))

    async def _let_go(self, definition: Definition, said: Said) -> bool:
        """Take the finalizer off, and the definition away if that was the last; True: done."""
        found = self._read(definition)
        if found is None:
            return False
        record, old = found
        left = [name for name in old["metadata"].get("finalizers") or () if name != CLEANUP]
        ops: list[KeyedOp] = [Delete(DEFINITIONS, "", record.name, record.mod_revision)]
        if not left:
            ops += self._last_of_group(definition)
        else:
            now = self._now()
            new = with_status(old, None, [said], [], now)
            new["metadata"] = {**old["metadata"], "finalizers": left}
            ops = [status_put(self._server, record, new, old, now)]
        if not isinstance(await self._commit(ops), Committed):
            return False
        _log.info("%s is deleted: %s", record.name, said[3])
        return True

    def _last_of_group(self, definition: Definition) -> list[KeyedOp]:
        """Return what else goes with the last definition of a group: what orders its names."""
        if len(self._served.by_group.get(definition.group, ())) > 1:
            return []
        names = self._server.store.get(NAMES, "", definition.group)
        return [] if names is None else [Delete(NAMES, "", names.name, names.mod_revision)]

    def _read(self, definition: Definition) -> tuple[Record, JsonObject] | None:
        record = self._server.store.get(DEFINITIONS, "", definition.name)
        if record is None or record.mod_revision != definition.revision:
            return None
        return record, orjson.loads(record.body)

    async def _commit(self, ops: Sequence[KeyedOp]) -> object:
        return await self._server.commit(self._server.catalog.by_storage[DEFINITIONS], ops)

    def _now(self) -> str:
        return times.format_seconds(int(self._server.clock.now_s()))

"""Keeps the filter in step with its objects: reads them when they change, and writes what it owns.

Four rhythms: a change of an object is taken on at once (a watch on the local replica, nothing is
asked for each request); seats are lent anew every ten seconds; default objects are looked after
once a minute, and a mandatory one that was deleted is made again at once; and what is in use is
looked at four times a second, for metrics. Several servers may do
the same: whoever comes second finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from apiserver.bootstrap import ServerItself
from apiserver.fairness.figures import FairnessFigures
from apiserver.fairness.flows import Flows
from apiserver.fairness.levels import borrow
from apiserver.fairness.model import (
    CATCH_ALL,
    EXEMPT,
    LEVELS,
    SCHEMAS,
    LevelSpec,
    Malformed,
    SchemaSpec,
    parse_level,
    parse_schema,
)
from apiserver.fairness.samples import Samples
from apiserver.fairness.upkeep import DEFAULTS, Task, tasks
from apiserver.options import PLAIN_WRITE, DeleteOptions
from apiserver.server import Server
from apiserver.verbs.create import create_object
from apiserver.verbs.delete import delete_object
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from runtime.tasks import TaskScope
from storage.errors import StorageError
from storage.record import Record
from storage.scan import Query
from storage.watcher import Scope

_log: Final = logging.getLogger(__name__)
BORROW_INTERVAL_S: Final = 10.0
UPKEEP_INTERVAL_S: Final = 60.0
SAMPLE_INTERVAL_S: Final = 0.25
_RETRY_S: Final = 1.0
_CAPACITY: Final = 1000
_STATUS_WRITES_MAX: Final = 6
_STATUS_WRITES_S: Final = 60.0
_MANDATORY: Final = frozenset({CATCH_ALL, EXEMPT})
_NEW: Final[JsonObject] = {"type": "Dangling"}


class Keeper:
    """Looks after the objects of priority and fairness."""

    def __init__(
        self, server: Server, flows: Flows, figures: FairnessFigures, samples: Samples
    ) -> None:
        self._server = server
        self._flows = flows
        self._figures = figures
        self._samples = samples
        self._caller = ServerItself()
        self._changed = asyncio.Event()
        self._written_s: dict[str, deque[float]] = {}
        self._is_incomplete = False

    @property
    def is_served(self) -> bool:
        """Whether this server has the types at all; they can be switched off."""
        return all(storage in self._server.catalog.by_storage for storage in (SCHEMAS, LEVELS))

    async def run(self) -> None:
        """Keep the filter in step, until cancelled; the store must have been started."""
        if not self.is_served:
            return
        async with TaskScope("fairness") as scope:
            for storage in (SCHEMAS, LEVELS):
                scope.spawn(self._follow(storage), name=f"follow {storage}")
            scope.spawn(self._take_on_changes(), name="configuration")
            scope.spawn(self._lend(), name="seats")
            scope.spawn(self._sample(), name="samples")
            scope.spawn(self._look_after(), name="upkeep")

    async def ensure(self) -> None:
        """Make and update default objects as they shall be.

        Raises:
            StatusError: the store is not to be written to now.
        """
        if not self.is_served:
            return
        for storage in DEFAULTS:
            present = {obj["metadata"]["name"]: obj for obj in self._objects(storage)}
            for task, obj in tasks(storage, present):
                try:
                    await self._do(storage, task, obj)
                except st.StatusError as error:
                    # Another server was quicker; the next round sees what it made of it.
                    if error.reason not in ("AlreadyExists", "Conflict", "NotFound"):
                        raise
        self.digest()

    def digest(self) -> list[tuple[str, JsonObject]]:
        """Take on the objects as the replica has them now.

        Returns:
            The conditions to be written: (schema, condition).
        """
        levels = list(_parsed_levels(self._objects(LEVELS)))
        known = {spec.name for spec in levels}
        schemas: list[SchemaSpec] = []
        conditions: list[tuple[str, JsonObject]] = []
        for obj in self._objects(SCHEMAS):
            spec = parse_schema(obj)
            schemas.append(spec)
            wanted = _dangling(spec.level, is_found=spec.level in known)
            if any(wanted[key] != _condition_of(obj).get(key) for key in wanted):
                conditions.append((spec.name, wanted))
        found = {spec.name for spec in schemas}
        self._is_incomplete = not (known >= _MANDATORY and found >= _MANDATORY)
        self._flows.configure(levels, schemas, self._server.clock.monotonic_s())
        return conditions

    def _objects(self, storage: str) -> Iterator[JsonObject]:
        with self._server.store.scan(Query(storage)) as scan:
            for chunk in scan:
                for record in chunk:
                    yield orjson.loads(record.body)

    async def _do(self, storage: str, task: Task, obj: JsonObject) -> None:
        server = self._server
        resource = server.catalog.by_storage[storage]
        name = obj["metadata"]["name"]
        _log.info("%s of %s %s", task.value, resource.plural, name)
        match task:
            case Task.CREATE:
                await create_object(server, self._caller, resource, "", obj, PLAIN_WRITE)
            case Task.UPDATE:
                await self._write(storage, name, Part.MAIN, obj)
            case Task.DELETE:
                metadata = obj["metadata"]
                options = DeleteOptions(
                    uid=metadata["uid"], resource_version=metadata["resourceVersion"]
                )
                await delete_object(server, self._caller, resource, ("", name), options)

    async def _write(self, storage: str, name: str, part: Part, obj: JsonObject) -> None:
        """Replace an object, if it is still what `obj` was made of."""

        def produce(_record: Record, _old: JsonObject) -> JsonObject:
            copied: JsonObject = orjson.loads(orjson.dumps(obj))
            return copied

        resource = self._server.catalog.by_storage[storage]
        change = Change(self._server, self._caller, resource, produce, PLAIN_WRITE, part)
        await change.apply("", name)

    async def _follow(self, storage: str) -> None:
        """Tell of changes of one type."""
        store, clock = self._server.store, self._server.clock
        while True:
            try:
                watcher = store.watch(
                    Scope(storage),
                    from_revision=store.current_revision(storage),
                    capacity=_CAPACITY,
                )
                self._changed.set()
                try:
                    while True:
                        await watcher.next_batch()
                        self._changed.set()
                finally:
                    watcher.close()
            except StorageError as error:
                # What was missed meanwhile is read as it is then.
                _log.info("watching %s again: %s", storage, error)
                await clock.sleep(_RETRY_S)

    async def _take_on_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                conditions = self.digest()
                if self._is_incomplete:
                    await self.ensure()
                if await self._write_conditions(conditions):
                    continue
            except (StorageError, st.StatusError) as error:
                _log.warning("priority and fairness cannot follow its objects: %s", error)
            else:
                continue
            await self._server.clock.sleep(_RETRY_S)
            self._changed.set()

    async def _write_conditions(self, conditions: list[tuple[str, JsonObject]]) -> bool:
        """Write Dangling conditions; False: some were left for later."""
        now_s = self._server.clock.monotonic_s()
        whole = True
        for name, wanted in conditions:
            if not self._may_write(name, now_s):
                whole = False
                continue
            stamp = times.format_seconds(int(self._server.clock.now_s()))
            condition = {**wanted, "lastTransitionTime": stamp}
            try:
                await self._write_condition(name, condition)
            except st.StatusError as error:
                if error.reason not in ("Conflict", "NotFound"):
                    raise
        return whole

    async def _write_condition(self, name: str, condition: JsonObject) -> None:
        def produce(_record: Record, old: JsonObject) -> JsonObject:
            new: JsonObject = orjson.loads(orjson.dumps(old))
            status = new.setdefault("status", {})
            others = [
                one for one in status.get("conditions") or () if one.get("type") != "Dangling"
            ]
            status["conditions"] = [*others, condition]
            return new

        resource = self._server.catalog.by_storage[SCHEMAS]
        change = Change(self._server, self._caller, resource, produce, PLAIN_WRITE, Part.STATUS)
        await change.apply("", name)

    def _may_write(self, name: str, now_s: float) -> bool:
        """Tell whether a schema's status was not written too often: servers may disagree."""
        if name not in self._written_s:
            # A name lives here for a minute: the table is bounded by what can be written in one.
            for other, times_s in list(self._written_s.items()):
                if now_s - times_s[-1] > _STATUS_WRITES_S:
                    del self._written_s[other]
        written_s = self._written_s.setdefault(name, deque(maxlen=_STATUS_WRITES_MAX))
        if len(written_s) == _STATUS_WRITES_MAX and now_s - written_s[0] < _STATUS_WRITES_S:
            return False
        written_s.append(now_s)
        return True

    async def _lend(self) -> None:
        clock = self._server.clock
        while True:
            await clock.sleep(BORROW_INTERVAL_S)
            levels = list(self._flows.levels.values())
            self._figures.fair_part = borrow(levels, clock.monotonic_s())
            if self._flows.has_left():
                self._changed.set()

    async def _sample(self) -> None:
        clock = self._server.clock
        while True:
            await clock.sleep(SAMPLE_INTERVAL_S)
            self._samples.take(clock.monotonic_s())

    async def _look_after(self) -> None:
        clock = self._server.clock
        while True:
            await clock.sleep(UPKEEP_INTERVAL_S)
            try:
                await self.ensure()
            except (StorageError, st.StatusError) as error:
                _log.warning("default priority levels cannot be looked after: %s", error)


def _parsed_levels(objects: Iterable[JsonObject]) -> Iterator[LevelSpec]:
    for obj in objects:
        try:
            yield parse_level(obj)
        except Malformed as error:
            _log.warning("%s; it is left out", error)


def _condition_of(obj: JsonObject) -> JsonObject:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == "Dangling"), _NEW)


def _dangling(level: str, *, is_found: bool) -> JsonObject:
    text = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if is_found:
        status, reason, end = "False", "Found", "and it exists"
    else:
        status, reason, end = "True", "NotFound", "but there is no such object"
    return {"type": "Dangling", "status": status, "reason": reason, "message": f"{text} {end}"}

"""Keeps up with APIServices: who serves what, whether they can be asked, and what they say of it.

    APIServices change   -> the table of extensions and discovery are made anew, at once
    their Services do    -> looked at within a second, and so is whoever serves there
    nothing does         -> looked at every half minute, discovery every minute

Every worker has the table and the discovery documents; one of a server's writes conditions. Looks
are bounded in time and in number, and whoever fails is asked less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import orjson

from apiserver.aggregation.availability import (
    LOCAL,
    Condition,
    condition_of_discovery,
    condition_of_service,
)
from apiserver.aggregation.discovery_cache import fetch_entry, stale_entry
from apiserver.aggregation.extensions import Extension, Extensions, Unreachable
from apiserver.aggregation.local import stored_services, sync_local_services
from apiserver.aggregation.merged_discovery import MergedDiscovery
from apiserver.aggregation.model import STORAGE, ApiService, available_condition, parse
from apiserver.aggregation.openapi import RemoteOpenApi
from apiserver.aggregation.trust import sync_trust
from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE
from apiserver.proxying.kubelets import show_certificate, unverified_context
from apiserver.proxying.wire import Address, BackendFailed, Backends
from apiserver.server import Server
from apiserver.verbs.update import Change, Part
from apiserver.wakes import run_wakes
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from kube.kinds import Registry
from runtime.tasks import TaskScope
from storage.errors import StorageError
from storage.record import Record

TICK_S: Final = 1.0
LOOK_S: Final = 30.0
REFRESH_S: Final = 60.0
_RETRY_S_MIN: Final = 1.0
_GATHER_S: Final = 0.05
_LOOKS_MAX: Final = 8
_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """One extension's state.

    Attributes:
        due_s: when it is looked at next, on the monotonic clock.
        fetched_s: when its discovery was heard last.
        mark: what its Service was made of then.
        failures: in a row.
    """

    due_s: float = 0.0
    fetched_s: float = float("-inf")
    mark: tuple[str, ...] = ()
    failures: int = 0
    is_looked_at: bool = False


@dataclass(slots=True)
class _State:
    entries: dict[str, JsonObject] = field(default_factory=dict)
    watched: dict[str, _Watched] = field(default_factory=dict)
    conditions: dict[str, JsonObject] = field(default_factory=dict)


class AggregationKeeper:
    """See the module's head."""

    def __init__(
        self,
        server: Server,
        extensions: Extensions,
        discovery: MergedDiscovery,
        openapi: RemoteOpenApi,
        registry: Callable[[], Registry],
        backends: Backends,
    ) -> None:
        self._server = server
        self._extensions = extensions
        self._discovery = discovery
        self._openapi = openapi
        self._backends = backends
        self._state = _State()
        self._changed = asyncio.Event()
        self._served = registry
        self._registry: Registry | None = None
        self._looks = asyncio.Semaphore(_LOOKS_MAX)
        extensions.catch_up = self._catch_up
        aggregation = server.settings.aggregation
        context = unverified_context()
        with suppress(OSError):
            show_certificate(
                context, aggregation.client_certificate_file, aggregation.client_key_file
            )
        self._unverified = Address("", 0, context)

    @property
    def is_writer(self) -> bool:
        """Whether this worker writes conditions."""
        return self._server.settings.worker_index <= 1

    async def start(self) -> None:
        """Make the APIServices of our own groups, and tell whom to believe.

        Raises:
            StatusError: the store is not to be written to now.
        """
        self._registry = registry = self._served()
        if self.is_writer:
            await sync_local_services(self._server, registry, at_start=True)
            await sync_trust(self._server)
        if STORAGE in self._server.catalog.by_storage:
            self._digest()

    def wake(self) -> None:
        """Look at once what is served: it has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Keep up, until cancelled."""
        if STORAGE not in self._server.catalog.by_storage:
            return
        try:
            async with TaskScope("aggregation") as scope:
                following = run_wakes(
                    self._server.store, self._server.clock, STORAGE, self.wake, TICK_S
                )
                scope.spawn(following, name="follow APIServices")
                scope.spawn(self._keep(scope), name="extensions")
                if self.is_writer:
                    scope.spawn(self._keep_trust(), name="trust")
        finally:
            self._extensions.endpoints.close()

    async def _keep_trust(self) -> None:
        while True:
            await self._server.clock.sleep(REFRESH_S)
            try:
                await sync_trust(self._server)
            except (StorageError, st.StatusError) as error:
                _log.warning("whom extensions are to believe cannot be written: %s", error)

    async def _keep(self, scope: TaskScope) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._changed.wait()
                # Types come in crowds, and a step looks at all of them.
                await self._server.clock.sleep(_GATHER_S)
            try:
                await self._step(scope)
            except (StorageError, st.StatusError) as error:
                _log.warning("extension API servers cannot be kept up with: %s", error)
                self._changed.set()
                await self._server.clock.sleep(TICK_S)

    async def _step(self, scope: TaskScope) -> None:
        registry = self._served()
        if self._changed.is_set() or registry is not self._registry:
            self._changed.clear()
            self._registry = registry
            if self.is_writer:
                await sync_local_services(self._server, registry, at_start=False)
            self._digest()
            if self.is_writer:
                await self._write_local_conditions()
        self._extensions.endpoints.settle()
        now_s = self._server.clock.monotonic_s()
        for extension in self._extensions.all():
            watched = self._state.watched[extension.api.name]
            mark = self._mark(extension.api)
            if mark != watched.mark:
                watched.mark, watched.due_s, watched.failures = mark, now_s, 0
            if watched.due_s <= now_s and not watched.is_looked_at:
                watched.is_looked_at = True
                scope.spawn(self._look(extension, watched), name=extension.api.name)

    def _catch_up(self) -> None:
        """Take on what was told of already, and waits for more to be taken on together."""
        if self._changed.is_set():
            with suppress(StorageError):
                self._digest()

    def _digest(self) -> None:
        """Take on the APIServices as the replica has them now."""
        objects = stored_services(self._server)
        apis = [parse(obj) for obj in objects]
        local = self._server.catalog.by_version.keys()
        before = {one.api.name: one.api for one in self._extensions.all()}
        self._extensions.replace(apis, local)
        extensions = self._extensions.all()
        state = self._state
        state.conditions = {obj["metadata"]["name"]: available_condition(obj) for obj in objects}
        names = {one.api.name for one in extensions}
        state.watched = {name: watched for name, watched in state.watched.items() if name in names}
        state.entries = {name: entry for name, entry in state.entries.items() if name in names}
        for extension in extensions:
            api = extension.api
            watched = state.watched.setdefault(api.name, _Watched())
            known = before.get(api.name)
            if known is None or known._replace(is_available=api.is_available) != api:
                watched.due_s, watched.fetched_s = 0.0, float("-inf")
            elif known != api and not self.is_writer:
                # Who writes knows; and where two of them disagree, neither is to be woken by that.
                watched.due_s = 0.0
        self._show()

    def _show(self) -> None:
        apis = [one.api for one in self._extensions.all()]
        self._discovery.replace(apis, self._state.entries)
        self._openapi.keep_only(apis)

    def _mark(self, api: ApiService) -> tuple[str, ...]:
        """Return what a Service is made of now: another mark, and it is looked at again."""
        assert api.service is not None
        endpoints = self._extensions.endpoints
        service = endpoints.service(api.service)
        objects = [*([service] if service else []), *endpoints.slices(api.service)]
        return tuple(sorted(one["metadata"]["resourceVersion"] for one in objects))

    async def _look(self, extension: Extension, watched: _Watched) -> None:
        """Look at one extension: whether it can be asked, and what it says."""
        api = extension.api
        is_well = False
        try:
            async with self._looks:
                is_well = api.is_available
                if self.is_writer:
                    condition = await self._condition(api)
                    is_well = condition.is_met
                    await self._write_condition(api.name, condition)
                is_well = await self._hear(extension, watched, is_available=is_well)
        except (StorageError, st.StatusError) as error:
            _log.warning("APIService %s: %s", api.name, error)
            is_well = False
        except Exception:  # noqa: BLE001 (whatever an extension says, this server goes on)
            _log.exception("APIService %s cannot be looked at", api.name)
            is_well = False
        finally:
            watched.is_looked_at = False
        watched.failures = 0 if is_well else watched.failures + 1
        pause_s = LOOK_S
        if not is_well:
            pause_s = min(LOOK_S, _RETRY_S_MIN * 2 ** min(watched.failures - 1, 10))
        watched.due_s = self._server.clock.monotonic_s() + pause_s

    async def _condition(self, api: ApiService) -> Condition:
        assert api.service is not None
        endpoints = self._extensions.endpoints
        condition = condition_of_service(api.service, endpoints)
        if condition is not None:
            return condition
        address = self._unverified._replace(server_name=api.service.server_name)
        return await condition_of_discovery(api, endpoints, self._backends, address)

    async def _hear(self, extension: Extension, watched: _Watched, *, is_available: bool) -> bool:
        """Ask for discovery if it is time; return whether all is well."""
        api = extension.api
        now_s = self._server.clock.monotonic_s()
        if is_available and now_s - watched.fetched_s < REFRESH_S - TICK_S:
            return True
        try:
            if not is_available:
                raise Unreachable("service unavailable")
            address = self._extensions.address(extension)
            entry = await fetch_entry(self._backends, address, api)
            await self._openapi.refresh(api, address)
            watched.fetched_s = now_s
        except (Unreachable, BackendFailed) as error:
            _log.info("discovery of %s: %s", api.name, error)
            entry = stale_entry(api.version)
            watched.fetched_s = float("-inf")
            is_available = False
        if api.name in self._state.watched:
            self._state.entries[api.name] = entry
            self._show()
        return is_available

    async def _write_local_conditions(self) -> None:
        """Say of what this server serves that it is available; somebody may have had it before."""
        extensions = {one.api.name for one in self._extensions.all()}
        for name, shown in list(self._state.conditions.items()):
            if name not in extensions and not LOCAL.matches(shown):
                await self._write_condition(name, LOCAL)

    async def _write_condition(self, name: str, condition: Condition) -> None:
        if condition.matches(self._state.conditions.get(name, {})):
            return
        stamp = times.format_seconds(int(self._server.clock.now_s()))
        _log.info("APIService %s: %s %s: %s", name, *condition)

        def produce(_record: Record, old: JsonObject) -> JsonObject:
            new: JsonObject = orjson.loads(orjson.dumps(old))
            before = available_condition(new)
            since = stamp
            if before.get("status") == condition.status:
                since = before.get("lastTransitionTime") or stamp
            shown = {
                "type": "Available",
                "status": condition.status,
                "lastTransitionTime": since,
                "reason": condition.reason,
                "message": condition.message,
            }
            status = new.setdefault("status", {})
            known = status.get("conditions") or ()
            others = [one for one in known if one.get("type") != "Available"]
            status["conditions"] = [*others, shown]
            return new

        server = self._server
        resource = server.catalog.by_storage[STORAGE]
        change = Change(server, ServerItself(), resource, produce, PLAIN_WRITE, Part.STATUS)
        try:
            await change.apply("", name)
        except st.StatusError as error:
            if error.reason not in ("Conflict", "NotFound"):
                raise

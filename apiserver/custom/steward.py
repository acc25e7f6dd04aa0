"""Looks after definitions: says which names they get, and ends those that are being deleted.

Every API server process has one, and all may do the same at once: a write is conditional on the
definition being as it was looked at, and one that gives names also on nobody having given any in
the group since (`NAMES`, an object for each group that is written along). Whoever comes second
finds nothing left to do. To spare the journal that, the process that took the client's write acts
at once (`kick`), and the others only where nothing has come of it for a while: that process may
have been killed. The first look at a start takes on all that was left.

A definition that is deleted stays until its objects are gone: its creates are refused from the
write on that marks it, as each create is conditional on the definition too
(apiserver/verbs/bringing.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import Final

import orjson

from apiserver.custom.cleanup import Cleanup
from apiserver.custom.conditions import Taken, decide, with_status
from apiserver.custom.definition import DEFINITIONS, Definition
from apiserver.custom.served import Served
from apiserver.custom.writes import NAMES, status_put
from apiserver.server import Server
from apiserver.wakes import run_wakes
from kube import status as st
from kube import times
from kube.json_types import JsonObject
from runtime.tasks import TaskScope
from storage.errors import StorageError
from storage.txn import ABSENT, Committed, KeyedOp, Put

_HEAD: Final = b'{"metadata":{"resourceVersion":"'
_WAIT_S: Final = 0.5
"""How long the process that took a write has before others do what follows from it."""
_LOOK_S: Final = 2.0
_RETRY_S: Final = 0.2
_AGAIN_S: Final = 2.0
"""How long a definition that cannot be written is left alone."""
_log: Final = logging.getLogger(__name__)


class Steward:
    """See the module's head."""

    def __init__(self, server: Server, served: Served) -> None:
        self._server = server
        self._served = served
        self._cleanup = Cleanup(server, served)
        self._wake = asyncio.Event()
        self._is_ours = True
        self._open_since_s: dict[str, tuple[int, float]] = {}

    def kick(self) -> None:
        """Act at once: this process has taken a write of a definition."""
        self._is_ours = True
        self._wake.set()

    async def run(self) -> None:
        """Look after definitions, forever."""
        async with TaskScope("custom resource definitions") as scope:
            store, clock = self._server.store, self._server.clock
            following = run_wakes(store, clock, DEFINITIONS, self._wake.set, _RETRY_S)
            scope.spawn(following, name="follow definitions")
            self._cleanup.start(scope)
            while True:
                await self._look()
                try:
                    async with asyncio.timeout(self._rest_s()):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()

    def _rest_s(self) -> float:
        """Return when to look again: soon where something is left to others, who may be gone."""
        return _WAIT_S / 2 if self._open_since_s else _LOOK_S

    async def _look(self) -> None:
        is_ours, self._is_ours = self._is_ours, False
        served = self._served
        served.settle()
        for name in served.ending:
            self._cleanup.begin(name, is_ours=is_ours)
        now_s = self._server.clock.monotonic_s()
        left: dict[str, tuple[int, float]] = {}
        for definition in tuple(self._open()):
            revision, since_s = self._open_since_s.get(definition.name, (0, 0.0))
            if revision != definition.revision:
                # Servers do not all come at the same moment.
                since_s = now_s + random.random() * _WAIT_S
            left[definition.name] = (definition.revision, since_s)
            if is_ours or now_s - since_s >= _WAIT_S:
                try:
                    await self._settle(definition.name)
                except (StorageError, st.StatusError) as error:
                    _log.warning("%s cannot be looked after: %s", definition.name, error)
                    left[definition.name] = (definition.revision, now_s + _AGAIN_S)
        self._open_since_s = {one.name: left[one.name] for one in self._open() if one.name in left}

    def _open(self) -> Iterator[Definition]:
        """Yield the definitions of which something is to be said."""
        for name in self._served.unsettled:
            definition = self._served.definitions[name]
            if self._is_due(definition):
                yield definition

    def _is_due(self, definition: Definition) -> bool:
        """Tell whether a write would say anything new."""
        names, said, gone = decide(definition, self._taken(definition.group))
        return bool(said or gone or names != definition.names)

    def _taken(self, group: str) -> Taken:
        return Taken(one.names for one in self._served.by_group.get(group, {}).values())

    async def _settle(self, name: str) -> None:
        """Say of a definition what there is to say, unless it changes meanwhile."""
        server, served = self._server, self._served
        served.settle()
        definition = served.definitions.get(name)
        record = server.store.get(DEFINITIONS, "", name)
        if definition is None or record is None or record.mod_revision != definition.revision:
            return  # it is looked at again
        names, said, gone = decide(definition, self._taken(definition.group))
        if not (said or gone or names != definition.names):
            return
        old: JsonObject = orjson.loads(record.body)
        now = times.format_seconds(int(server.clock.now_s()))
        new = with_status(old, names, said, gone, now)
        ops: list[KeyedOp] = [status_put(server, record, new, old, now)]
        if names != definition.names:
            ops.append(self._names_put(definition.group))
        outcome = await server.commit(server.catalog.by_storage[DEFINITIONS], ops)
        if isinstance(outcome, Committed):
            _log.info("%s: %s", name, ", ".join(f"{one[0]}={one[1]}" for one in said))

    def _names_put(self, group: str) -> Put:
        """Return the write that fails where names were given in a group since we looked."""
        known = self._server.store.get(NAMES, "", group)
        expected = ABSENT if known is None else known.mod_revision
        return Put(NAMES, "", group, b"\x00\x01", _HEAD + b'"}}', len(_HEAD), expected)

"""Registers the machines of a provider: a Node and its Lease each, many at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

import orjson

from controllers.fleet.heartbeats import LEASES, Heartbeats
from controllers.fleet.machines import USER_AGENT, Machine, Provider
from controllers.fleet.nodes import PATH, NodeBook
from kube.access import Access
from kube.client import JSON, Unreachable
from kube.pipe import Pipe
from runtime.clock import Clock
from runtime.tasks import TaskScope

_CREATED: Final = 201
_PRESENT: Final = 409
_PAUSE_S: Final = 1.0
_PAUSE_S_MAX: Final = 60.0
_log = logging.getLogger(__name__)


class Registration:
    """See the module's head.

    Attributes:
        done: set once all machines are nodes.
    """

    def __init__(
        self, access: Access, provider: Provider, book: NodeBook, beats: Heartbeats, clock: Clock
    ) -> None:
        self.done = asyncio.Event()
        self._access = access
        self._machines = provider.machines()
        self._book = book
        self._beats = beats
        self._clock = clock
        self._registered = self._running = 0
        self._started_s = 0.0

    def start(self, scope: TaskScope, writers: int) -> None:
        """Register all that are not nodes yet; the book knows those that are."""
        self._started_s = self._clock.monotonic_s()
        self._running = writers
        machines = self._missing()
        for number in range(writers):
            scope.spawn(self._run(machines), name=f"registration {number}")

    def _missing(self) -> Iterator[Machine]:
        for machine in self._machines:
            node = self._book.nodes.get(machine.name)
            if node is None or not node.is_alive:
                yield machine

    async def _run(self, machines: Iterator[Machine]) -> None:
        pipe = Pipe(self._access, USER_AGENT)
        try:
            for machine in machines:
                pause_s = _PAUSE_S
                while not await self._register(pipe, machine):
                    await self._clock.sleep(pause_s)
                    pause_s = min(_PAUSE_S_MAX, pause_s * 2)
        finally:
            pipe.close()
        self._running -= 1
        if not self._running:
            took_s = self._clock.monotonic_s() - self._started_s
            _log.info("%d nodes registered in %.1f s", self._registered, took_s)
            self.done.set()

    async def _register(self, pipe: Pipe, machine: Machine) -> bool:
        """Make a node; return whether there is one now."""
        body = self._book.new_node(machine)
        try:
            answer = await pipe.request("POST", PATH, body, JSON)
            if answer.code == _PRESENT:
                return True
            if answer.code != _CREATED:
                text = answer.body[:300].decode(errors="replace")
                _log.warning("node %s is refused: %d %s", machine.name, answer.code, text)
                return False
            node = self._book.nodes[machine.name]
            node.uid = orjson.loads(answer.body)["metadata"]["uid"]
            self._registered += 1
            # A Lease that is there already belongs to a node of that name that is gone.
            await pipe.request("POST", LEASES, self._beats.new_lease(node), JSON)
        except Unreachable as error:
            _log.info("node %s: %s", machine.name, error)
            return False
        return True

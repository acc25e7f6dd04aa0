"""Follows the nodes and pods of the local replica while somebody looks, and only then.

The first who looks has all of them read, in pieces of a millisecond or two with pauses as long, so
that requests go on. After that a change costs one look at its object. When nobody has looked for a
while, all is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import orjson

from apiserver.console.cells import Book, Viewer
from runtime.clock import Clock
from runtime.tasks import TaskCrashed, TaskScope
from storage.errors import StorageError
from storage.event import EventKind
from storage.record import Record
from storage.scan import Query
from storage.store_view import StoreView
from storage.watcher import Scope, Watcher

LINGER_S: Final = 15.0
_CAPACITY: Final = 50_000
"""Events that may wait; with more, what there is is read anew."""
_SLICE: Final = 64
"""Events between two looks at whether others have to go on; about a millisecond."""
_RETRY_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """A type that is followed: how the book takes its objects."""

    resource: str
    put: Callable[[Record], None]
    drop: Callable[[Record], None]
    clear: Callable[[], None]


class Follower:
    """See the module's head.

    Attributes:
        book: what is known.
        complete: the types of which all that there was has been read.
    """

    def __init__(self, store: StoreView, clock: Clock) -> None:
        self.book = Book()
        self.complete: set[str] = set()
        self._store = store
        self.clock = clock
        self._looking = 0
        self._wanted = asyncio.Event()

    @contextmanager
    def looking(self) -> Iterator[Viewer]:
        """Follow for the time of the block; gives what is to be told."""
        viewer = self.book.look()
        self._looking += 1
        self._wanted.set()
        try:
            yield viewer
        finally:
            self._looking -= 1
            self.book.viewers.discard(viewer)

    async def run(self) -> None:
        """Follow whenever somebody looks, until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._follow_all()
            except TaskCrashed:
                # It is in the log. What shows a cluster must not end what serves it.
                self.complete.clear()
                await self.clock.sleep(LINGER_S)
            if not self._looking:
                self._wanted.clear()
                self.book, self.complete = Book(), set()

    async def _follow_all(self) -> None:
        async with TaskScope("console") as scope:
            tasks = [
                scope.spawn(self._follow(part), name=f"console: {part.resource}")
                for part in self._parts()
            ]
            await self._idle()
            for task in tasks:
                task.cancel()

    def _parts(self) -> tuple[_Part, _Part]:
        book = self.book
        return (
            _Part(
                "nodes",
                lambda record: book.put_node(orjson.loads(record.body)),
                lambda record: book.drop_node(record.name),
                book.clear_nodes,
            ),
            _Part(
                "pods",
                lambda record: book.put_pod(_key(record), orjson.loads(record.body)),
                lambda record: book.drop_pod(_key(record)),
                book.clear_pods,
            ),
        )

    async def _idle(self) -> None:
        """Return when nobody has looked for a while."""
        quiet_since_s: float | None = None
        while True:
            await self.clock.sleep(1.0)
            now_s = self.clock.monotonic_s()
            if self._looking:
                quiet_since_s = None
            elif quiet_since_s is None:
                quiet_since_s = now_s
            elif now_s - quiet_since_s >= LINGER_S:
                return

    async def _follow(self, part: _Part) -> None:
        while True:
            try:
                revision = self._store.current_revision(part.resource)
                watcher = self._store.watch(
                    Scope(part.resource), from_revision=revision, capacity=_CAPACITY
                )
                try:
                    await self._read(part)
                    await self._take(part, watcher)
                finally:
                    watcher.close()
            except StorageError as error:
                # It was too slow, or the replica is away: what is known is told, and read anew.
                _log.info("console: %s are read anew: %s", part.resource, error)
                self.complete.discard(part.resource)
                await self.clock.sleep(_RETRY_S)

    async def _read(self, part: _Part) -> None:
        """Read all objects; what happens meanwhile waits in the watcher, and is taken after it."""
        part.clear()
        with self._store.scan(Query(part.resource)) as scan:
            for chunk in scan:
                began_s = perf_counter()
                for record in chunk:
                    part.put(record)
                await asyncio.sleep(perf_counter() - began_s)
        self.complete.add(part.resource)

    async def _take(self, part: _Part, watcher: Watcher) -> None:
        while True:
            events = await watcher.next_batch()
            for number, event in enumerate(events, start=1):
                if event.kind is EventKind.DELETE:
                    part.drop(event.record)
                else:
                    part.put(event.record)
                if not number % _SLICE:
                    await asyncio.sleep(0)


def _key(record: Record) -> str:
    return f"{record.namespace}/{record.name}"

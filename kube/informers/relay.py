"""One watch of a type for several sinks, of which some come later; nothing is kept.

A sink that comes while the watch runs has all there is told anew, to it and to the others: for
sinks that keep little of objects that change often, as Leases, this is less than a watch each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from kube.client import ApiClient
from kube.informers.changes import Sink, Told
from kube.informers.reflector import Reflector
from runtime.tasks import TaskScope
from runtime.turns import Turns


class Relay:
    """See the module's head; a sink of its reflector.

    Args of the constructor:
        client: whom to ask.
        path: of the collection.
        turns: shared by all reflectors of a process.
    """

    def __init__(self, client: ApiClient, path: str, turns: Turns) -> None:
        self._path = path
        self._reflector = Reflector(client, path, self, turns=turns)
        self._synced: dict[Sink, asyncio.Event] = {}
        # Those that have been told the beginning of what is told now.
        self._told: tuple[Sink, ...] = ()
        self._is_started = False

    def join(self, sink: Sink) -> asyncio.Event:
        """Have a sink told; return what is set once it has been told all there is."""
        synced = self._synced[sink] = asyncio.Event()
        if self._is_started:
            self._reflector.tell_anew()
        return synced

    def leave(self, sink: Sink) -> None:
        """Have a sink told of nothing any more."""
        self._synced.pop(sink, None)
        self._told = tuple(one for one in self._told if one is not sink)

    def start(self, scope: TaskScope) -> None:
        """Start to watch, once."""
        if not self._is_started:
            self._is_started = True
            scope.spawn(self._reflector.run(), name=f"watch of {self._path}")

    def begin(self) -> None:
        """See Sink."""
        self._told = tuple(self._synced)
        for sink in self._told:
            sink.begin()

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for sink in self._told:
            sink.take(events)

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        for sink in self._told:
            yield from sink.sweep()
            if (synced := self._synced.get(sink)) is not None:
                synced.set()

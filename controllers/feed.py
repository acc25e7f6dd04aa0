"""One watch of a type for all controllers that want it.

Observers are called in the loop that reads the watch, one event at a time, and must only take
note: the work is done by the workers of their queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kube.client import ApiClient, Query
from kube.json_types import JsonObject
from kube.watching import Change, watch
from runtime.tasks import TaskScope

Observer = Callable[[Change, JsonObject], None]


class Feed:
    """Tells `observers` what there is of a type, and every change of it.

    Attributes:
        synced: set once all there was at the start has been told.
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        observers: Sequence[Observer],
        *,
        query: Query | None = None,
    ) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._path = path
        self._observers = tuple(observers)
        self._query = query

    def start(self, scope: TaskScope) -> None:
        """Start to watch."""
        scope.spawn(self._run(), name=f"watch of {self._path}")

    async def _run(self) -> None:
        async for change, obj in watch(self._client, self._path, query=self._query):
            if change is Change.SYNCED:
                self.synced.set()
                continue
            for observe in self._observers:
                observe(change, obj)

"""A watch of each type that can be deleted, whichever there are: they feed the graph.

Types are those of discovery. It is asked again every half minute, and at once when a custom type or
an aggregated API was registered, or somebody names a kind that is not known. Types of groups that
do not answer just then are kept. Watches are of metadata alone. A type whose objects the process
watches anyway is not watched twice: its informer, or relay, tells the graph, too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from controllers.discovery import Collection, Collections, Discovery
from controllers.garbage.graph import Graph
from controllers.garbage.nodes import Kind
from controllers.garbage.requests import Requests
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change, Told
from kube.informers.informer import Delta, Informer, Informers
from kube.informers.reflector import Reflector
from kube.informers.relay import Relay
from kube.status import StatusError
from runtime.tasks import TaskScope

_PERIOD_S: Final = 30.0
_SETTLE_S: Final = 0.5
"""What registers types is told before they are served; and many are registered at once."""
_SOON_S: Final = 5.0
_IGNORED: Final = frozenset({("", "events"), ("events.k8s.io", "events")})
_REGISTERING: Final = frozenset(
    {
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices"),
    }
)
_SWEPT_AT_ONCE: Final = 1000
_Type = tuple[str, str, str]
_log = logging.getLogger(__name__)


class TypeFeed:
    """Tells the graph of the objects of one type; a sink of reflectors, a handler of informers."""

    def __init__(self, collection: Collection, graph: Graph, on_change: asyncio.Event) -> None:
        self._kind: Kind = (collection.api_version, collection.kind)
        self._graph = graph
        self._seen = 0
        self._on_change = on_change
        self._registers = (collection.group, collection.resource) in _REGISTERING

    def begin(self) -> None:
        """Be told all there is; see Sink."""
        self._seen += 1

    def take(self, events: Sequence[Told]) -> None:
        """Pass events on; see Sink."""
        self.handle(events)

    def handle(self, events: Sequence[Told | Delta]) -> None:
        """Pass events on."""
        graph, kind, seen = self._graph, self._kind, self._seen
        for told in events:
            metadata = told.object["metadata"]
            # Other servers may have objects without one; nobody can own those.
            if not metadata.get("uid"):
                continue
            if told.change is Change.DELETED:
                graph.remove(metadata["uid"])
            else:
                graph.put(kind, metadata, seen)
        if self._registers:
            self._on_change.set()

    def sweep(self) -> Iterator[None]:
        """Remove what is gone; see Sink."""
        # The first time there is nothing of before.
        if self._seen > 1:
            for uids in self._uids():
                for uid in uids:
                    if self._graph.nodes[uid].seen != self._seen:
                        self._graph.remove(uid)
                yield

    def forget(self) -> Iterator[None]:
        """Forget, in steps, all objects that nobody names as an owner: the type is gone."""
        for uids in self._uids():
            for uid in uids:
                self._graph.doubt(uid)
            yield

    def _uids(self) -> Iterator[list[str]]:
        """Yield, in parts, the uids of the objects of this type that a watch has shown."""
        nodes, kind = self._graph.nodes, self._kind
        uids = list(nodes)
        for at in range(0, len(uids), _SWEPT_AT_ONCE):
            yield [
                uid
                for uid in uids[at : at + _SWEPT_AT_ONCE]
                if (node := nodes.get(uid)) is not None and not node.virtual and node.kind == kind
            ]


class _Monitor:
    """A type that is watched."""

    def __init__(self, feed: TypeFeed, synced: asyncio.Event) -> None:
        self.feed = feed
        self.synced = synced
        self.task: asyncio.Task[None] | None = None


class Monitors:
    """See the module's head.

    Args of the constructor:
        client: who watches.
        informers: what the process watches already, and whose turn it is.
    """

    def __init__(
        self,
        client: ApiClient,
        discovery: Discovery,
        graph: Graph,
        requests: Requests,
        informers: Informers,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._graph = graph
        self._requests = requests
        self._informers = informers
        self._turns = informers.turns
        self._watched: dict[_Type, _Monitor] = {}
        self._is_asked = asyncio.Event()
        self._has_asked = asyncio.Event()
        self._asked_s = 0.0

    def start(self, scope: TaskScope) -> None:
        """Watch what there is, in `scope`."""
        scope.spawn(self._run(scope), name="types to collect")

    def look_again(self) -> None:
        """Ask discovery anew, soon: a kind is not known."""
        if self._client.clock.monotonic_s() - self._asked_s > _SOON_S:
            self._is_asked.set()

    async def wait_synced(self, limit_s: float) -> bool:
        """Return when all types have told what there is, or False after so many seconds."""
        try:
            async with asyncio.timeout(limit_s):
                await self._has_asked.wait()
                for monitor in tuple(self._watched.values()):
                    await monitor.synced.wait()
        except TimeoutError:
            return False
        return True

    async def _run(self, scope: TaskScope) -> None:
        while True:
            try:
                self._asked_s = self._client.clock.monotonic_s()
                await self._update(scope, await self._discovery.collections(self._asked_s))
            except (StatusError, Unreachable) as error:
                _log.warning("types cannot be discovered: %s", error)
                await self._client.clock.sleep(self._client.pause_s(1))
                if not self._has_asked.is_set():
                    continue
            try:
                async with asyncio.timeout(_PERIOD_S):
                    await self._is_asked.wait()
            except TimeoutError:
                continue
            await self._client.clock.sleep(_SETTLE_S)
            self._is_asked.clear()

    async def _update(self, scope: TaskScope, found: Collections) -> None:
        """Watch what is new, and let go of what is not there any more."""
        self._requests.types = found
        wanted = {
            (one.group, one.version, one.resource): one
            for one in found.known
            if one.verbs >= {"delete", "list", "watch"} and one.kind
            if (one.group, one.resource) not in _IGNORED
        }
        if not wanted:
            return
        gone = [
            key
            for key in self._watched
            if key not in wanted and f"{key[0]}/{key[1]}" not in found.failing
        ]
        for key in gone:
            await self._stop(key)
        for key, collection in wanted.items():
            if key not in self._watched:
                self._watch(scope, key, collection)
        self._has_asked.set()

    def _watch(self, scope: TaskScope, key: _Type, collection: Collection) -> None:
        feed = TypeFeed(collection, self._graph, self._is_asked)
        informer = self._informers.known(collection.path())
        relay = self._informers.known_relay(collection.path())
        if relay is not None:
            monitor = _Monitor(feed, relay.join(feed))
            monitor.task = scope.spawn(_hold(relay, feed), name=f"told of {collection}")
        elif informer is not None:
            monitor = _Monitor(feed, asyncio.Event())
            following = self._follow(informer, monitor)
            monitor.task = scope.spawn(following, name=f"known objects of {collection}")
        else:
            reflector = Reflector(
                self._client, collection.path(), feed, metadata_only=True, turns=self._turns
            )
            monitor = _Monitor(feed, reflector.synced)
            monitor.task = scope.spawn(reflector.run(), name=f"metadata of {collection}")
        self._watched[key] = monitor

    async def _follow(self, informer: Informer, monitor: _Monitor) -> None:
        """Have the graph told by an informer, until cancelled."""
        await informer.synced.wait()
        handle = monitor.feed.handle
        try:
            for _ in informer.join(handle):
                await self._turns.next()
            monitor.synced.set()
            await asyncio.Event().wait()
        finally:
            informer.leave(handle)

    async def _stop(self, key: _Type) -> None:
        """Stop to watch a type; what depends on its objects is looked at, as they are gone."""
        monitor = self._watched.pop(key)
        _log.info("objects of %s are not watched any more", key)
        assert monitor.task is not None
        monitor.task.cancel()
        await asyncio.wait([monitor.task])
        for _ in monitor.feed.forget():
            await self._turns.next()


async def _hold(relay: Relay, feed: TypeFeed) -> None:
    """Have a feed told until cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        relay.leave(feed)

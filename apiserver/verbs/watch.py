"""watch: a stream of events from a revision on, after the current state where that is asked for.

What has gathered for a watcher is written at once, by whoever dispatches it (`_deliver`), as long
as the client takes it; else the watch's own task waits for the client. Selectors are applied then
(frames.py): an object that begins or ceases to match is ADDED or DELETED to this watcher, as
upstream. Events are encoded once for all watches of equal shape (events.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from apiserver.custom.resource import CustomResource
from apiserver.errors import from_storage_error
from apiserver.exchange import Exchange
from apiserver.options import NOT_OLDER_THAN, ListOptions, list_options
from apiserver.resources import Resource, Target
from apiserver.server import FRESH_TIMEOUT_S, Server
from apiserver.verbs.bringing import bring
from apiserver.verbs.events import EventEncoder, error_line, make_encoder
from apiserver.verbs.frames import Frames, fits, parts_of
from apiserver.verbs.plan import parse_revision
from apiserver.verbs.selection import Selection, select
from apiserver.verbs.sockets import Outlet, wants_socket, watch_outlet
from kube import status as st
from kube.media import MediaType, negotiate
from runtime.clock import Clock
from storage.errors import Compacted, StorageError, WatcherClosed, WatcherEvicted
from storage.event import Event
from storage.scan import Query
from storage.watcher import Scope, Watcher

BOOKMARK_INTERVAL_S: Final = 60.0
BOOKMARK_BEFORE_END_S: Final = 2.0
_TIMEOUT_S_MIN: Final = 1800.0
_CAPACITY: Final = 10_000
_INITIAL_BYTES_MAX: Final = 256 << 10
_UNSENT_BYTES_MAX: Final = 512 << 10
"""In the kernel, of one watch: thousands may stop reading at once."""
_STREAMED_CODES: Final = (410, 504)


async def watch(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with a stream of events, by websocket where one is asked for."""
    media = negotiate(exchange.accept, stream=True)
    if not wants_socket(exchange):
        await _watch(server, exchange, target, media, exchange)
        return
    if media.encoding != "json":
        raise st.not_acceptable(["application/json"])
    async with watch_outlet(exchange) as outlet:
        await _watch(server, exchange, target, media, outlet)


async def _watch(
    server: Server, exchange: Exchange, target: Target, media: MediaType, outlet: Outlet
) -> None:
    resource = target.resource
    options = list_options(exchange)
    chosen = select(resource, target, options)
    include = exchange.parameter("includeObject")
    encoder = make_encoder(resource, media, include, server.clock, server.cbor)
    stream = _Stream(server, outlet, resource, chosen, encoder, options)
    try:
        initial, from_revision = await _start_of(server, resource, options)
        await stream.open(initial=initial, from_revision=from_revision)
    except StorageError as error:
        await _refuse(outlet, encoder, from_storage_error(error, resource.group_resource))
    except st.StatusError as error:
        if outlet.code == 0:
            raise
        await _refuse(outlet, encoder, error)
    finally:
        stream.close()


async def _refuse(exchange: Outlet, encoder: EventEncoder, error: st.StatusError) -> None:
    """Report a failure: that of a revision inside the stream, as upstream's clients expect it."""
    if exchange.code == 0:
        if error.code not in _STREAMED_CODES:
            raise error
        await exchange.start(200, encoder.content_type)
    await exchange.write(error_line(error, encoder))
    await exchange.finish()


async def _start_of(
    server: Server, resource: Resource, options: ListOptions
) -> tuple[bool, int | None]:
    """Settle upstream's table of resourceVersion and sendInitialEvents.

    Returns:
        Whether the current state is sent first, and after which revision events follow (None: the
        one the initial state shows, or the current one).
    """
    version, initial = options.resource_version, options.send_initial_events
    if initial is None and version in ("", "0"):
        # A watch by its path alone.
        if not version:
            await server.fresh(resource)
        return True, None
    if initial is None:
        return False, parse_revision(version)
    if not version:
        await server.fresh(resource)
        return initial, None
    revision = parse_revision(version)
    if not initial:
        return False, revision or None
    if revision:
        await server.store.wait_for(resource.storage, revision, FRESH_TIMEOUT_S)
    return True, None


def length_s(timeout_s: int | None) -> float:
    """Return how long a watch lasts: what was asked for, else 30 to 60 minutes.

    They differ, so that watches that were opened together do not come back together.
    """
    return float(timeout_s or _TIMEOUT_S_MIN * (1 + random.random()))


def _scope_of(resource: Resource, chosen: Selection) -> Scope:
    namespace = chosen.namespace
    if not resource.namespaced:
        namespace = None if chosen.name is None else ""
    by_index = chosen.by_index if chosen.name is None else None
    return Scope(resource.storage, namespace, chosen.name, by_index)


class _Stream:
    """One watch being served."""

    def __init__(
        self,
        server: Server,
        exchange: Outlet,
        resource: Resource,
        chosen: Selection,
        encoder: EventEncoder,
        options: ListOptions,
    ) -> None:
        self._server = server
        self._exchange = exchange
        self._resource = resource
        self._chosen = chosen
        self._encoder = encoder
        self._options = options
        self._clock: Clock = server.clock
        self._key = (resource.group, resource.version, resource.plural)
        self._scope = _scope_of(resource, chosen)
        custom = resource if isinstance(resource, CustomResource) else None
        self._custom = custom
        self._frames = Frames(chosen, encoder, self._scope, server.watch_parts, custom)
        self._end_s = self._clock.monotonic_s() + length_s(options.timeout_s)
        self._watcher: Watcher | None = None
        self._has_ended = False

    async def open(self, *, initial: bool, from_revision: int | None) -> None:
        """Serve until the client goes, the time is up, or the watcher is too slow."""
        resource, options = self._resource, self._options
        revision = from_revision
        if revision is None:
            revision = self._server.store.current_revision(resource.storage)
        # Refused now, if it is to be refused: later is too late for a status of its own.
        watcher = None if initial else self._watch(revision)
        watches = self._server.metrics.watches
        watches[self._key] = watches.get(self._key, 0) + 1
        self._server.long_lived.opened()
        forget = self._end_when_gone()
        try:
            self._watcher = watcher
            # As upstream: of watches, those that stand in for a list are compressed.
            stands_in = bool(options.send_initial_events and options.allow_bookmarks)
            await self._exchange.start(200, self._encoder.content_type, gzips_parts=stands_in)
            self._frames.gzips = self._exchange.gzips_parts
            if initial:
                await self._send_initial(revision)
                # Not before: what happens meanwhile waits in history, not in memory.
                self._watcher = watcher = self._watch(revision)
            if self._has_ended:
                self._end()
            assert watcher is not None
            self._exchange.settled()
            await self._follow(watcher)
        finally:
            forget()
            self._end()
            watches[self._key] -= 1
            self._server.long_lived.closed()

    def close(self) -> None:
        """Give back what was taken when it was made."""
        self._frames.close()

    def _watch(self, revision: int) -> Watcher:
        return self._server.store.watch(self._scope, from_revision=revision, capacity=_CAPACITY)

    def _end_when_gone(self) -> Callable[[], None]:
        shutting_down = self._server.shutting_down
        shutting_down.add(self._end)
        goes_on = self._custom.when_over(self._end) if self._custom is not None else None
        connection = self._exchange.connection
        forget = None
        if connection is not None:
            forget = connection.when_gone(self._end)
            connection.limit_send_buffer(_UNSENT_BYTES_MAX)

        def undo() -> None:
            shutting_down.discard(self._end)
            if goes_on is not None:
                goes_on()
            if forget is not None:
                forget()

        return undo

    def _end(self) -> None:
        """End the stream: the server stops, the client has gone, or it is over anyway."""
        self._has_ended = True
        if self._watcher is not None:
            self._watcher.close()

    async def _send_initial(self, revision: int) -> None:
        """Send the state at `revision` as ADDED events, and the end mark where it is due."""
        chosen, resource = self._chosen, self._resource
        gathered: list[bytes]
        if chosen.empty:
            gathered = []
        elif chosen.name is not None and (chosen.namespace or not resource.namespaced):
            record = self._server.store.get(
                resource.storage, chosen.namespace or "", chosen.name, revision
            )
            gathered = []
            if record is not None:
                record = await bring(resource, record)
                if self._frames.matches(record):
                    gathered = [self._encoder.added(record)]
        else:
            gathered = await self._send_objects(revision)
        if self._options.allow_bookmarks and self._wants_end_mark():
            gathered.append(self._encoder.bookmark(revision, initial_end=True))
        if gathered and not self._has_ended:
            await self._write(gathered)

    async def _send_objects(self, revision: int) -> list[bytes]:
        """Send the objects there are, and return the last events, which are still to be sent."""
        chosen, encode, custom = self._chosen, self._encoder.added, self._custom
        query = Query(
            self._resource.storage,
            chosen.namespace,
            revision=revision,
            match=chosen.match,
            index=chosen.by_index,
        )
        gathered: list[bytes] = []
        size = 0
        with self._server.store.scan(query) as scan:
            for chunk in scan:
                records = chunk if custom is None else await custom.brought(chunk)
                for record in records:
                    if custom is not None and not self._frames.matches(record):
                        continue  # what was stored otherwise does not match as it is shown
                    if chosen.admits(record.name, record.namespace):
                        line = encode(record)
                        gathered.append(line)
                        size += len(line)
                if size > _INITIAL_BYTES_MAX:
                    await self._write(gathered)
                    gathered, size = [], 0
                # A fast reader never makes us wait, and others want their turn.
                await self._server.initial_steps.next()
                if self._has_ended:
                    break
        return gathered

    def _wants_end_mark(self) -> bool:
        options = self._options
        return bool(options.send_initial_events) and options.match == NOT_OLDER_THAN

    async def _write(self, lines: list[bytes]) -> None:
        self._count(len(lines))
        await self._exchange.write(b"".join(lines))

    def _count(self, sent: int) -> None:
        events = self._server.metrics.watch_events
        events[self._key] = events.get(self._key, 0) + sent

    async def _follow(self, watcher: Watcher) -> None:
        """Send events as they come, bookmarks in between, until the watch ends."""
        monotonic_s = self._clock.monotonic_s
        end_s, start = self._end_s, watcher.position
        bookmark_s = self._next_bookmark(end_s)
        try:
            while True:
                now_s = monotonic_s()
                if now_s >= end_s:
                    break
                if now_s >= bookmark_s:
                    await self._send_bookmark(watcher, start)
                    bookmark_s = self._next_bookmark(end_s)
                wait_s = min(bookmark_s, end_s) - now_s
                events = await watcher.next_batch(wait_s, self._deliver)
                for several in parts_of(events):
                    await self._server.late_steps.next()
                    if self._custom is not None:
                        await self._custom.bring_events(several)
                    part = self._frames.part(several)
                    if part.events:
                        self._count(part.events)
                        await self._exchange.write_framed(part.framed)
        except (WatcherClosed, WatcherEvicted):
            # Gone, stopping or too slow: the stream just ends, and the client watches again.
            pass
        except (Compacted, st.StatusError) as error:
            told = from_storage_error(error) if isinstance(error, Compacted) else error
            await self._exchange.write(error_line(told, self._encoder))
        await self._exchange.finish()

    def _next_bookmark(self, end_s: float) -> float:
        if not self._options.allow_bookmarks:
            return end_s
        now_s = self._clock.monotonic_s()
        before_end_s = end_s - BOOKMARK_BEFORE_END_S
        next_s = now_s + BOOKMARK_INTERVAL_S
        return min(next_s, before_end_s) if now_s < before_end_s else end_s

    async def _send_bookmark(self, watcher: Watcher, start: int) -> None:
        """Tell how far the watch has got, if that is further than where it started.

        A bookmark that says the same as the last one is sent too, as upstream.
        """
        revision = watcher.progress_revision
        if revision > start:
            await self._exchange.write(self._encoder.bookmark(revision))

    def _deliver(self, events: list[Event]) -> bool:
        """Write events if that can be done without waiting; see storage.watcher.Deliver."""
        exchange = self._exchange
        if not exchange.takes_more or not fits(events):
            return False
        if self._custom is not None and not self._custom.is_at_hand(events):
            return False
        part = self._frames.part(events)
        if part.events:
            exchange.write_at_once(part.framed)
            self._count(part.events)
        return True

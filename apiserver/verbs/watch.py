"""watch: a stream of events from a revision on, after the current state where that is asked for.

Events are encoded once for each encoding and type of event, on the event that all watchers share;
a watcher writes what has gathered since its last turn in one piece. Selectors are applied here:
an object that begins or ceases to match is ADDED or DELETED to this watcher, as upstream.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from apiserver.errors import from_storage_error
from apiserver.exchange import Exchange
from apiserver.options import NOT_OLDER_THAN, ListOptions, list_options
from apiserver.resources import Resource, Target
from apiserver.server import FRESH_TIMEOUT_S, Server
from apiserver.verbs.events import (
    EventEncoder,
    error_line,
    framed_batch,
    make_encoder,
    plain_type,
)
from apiserver.verbs.plan import parse_revision
from apiserver.verbs.selection import Selection, select
from kube import status as st
from kube.media import negotiate
from runtime.clock import Clock
from storage.errors import Compacted, StorageError, WatcherClosed, WatcherEvicted
from storage.event import Event, EventKind
from storage.record import Record
from storage.scan import Query
from storage.watcher import Scope, Watcher

BOOKMARK_INTERVAL_S: Final = 60.0
BOOKMARK_BEFORE_END_S: Final = 2.0
_TIMEOUT_S_MIN: Final = 1800.0
_CAPACITY: Final = 10_000
_WRITE_BYTES_MAX: Final = 256 << 10
_STREAMED_CODES: Final = (410, 504)


async def watch(server: Server, exchange: Exchange, target: Target) -> None:
    """Answer with a stream of events."""
    resource = target.resource
    media = negotiate(exchange.accept, stream=True)
    options = list_options(exchange)
    chosen = select(resource, target, options)
    encoder = make_encoder(resource, media, exchange.parameter("includeObject"), server.clock)
    stream = _Stream(server, exchange, resource, chosen, encoder, options)
    try:
        initial, from_revision = await _start_of(server, resource, options)
        await stream.open(initial=initial, from_revision=from_revision)
    except StorageError as error:
        await _refuse(exchange, encoder, from_storage_error(error, resource.group_resource))


async def _refuse(exchange: Exchange, encoder: EventEncoder, error: st.StatusError) -> None:
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


class _Stream:
    """One watch being served."""

    def __init__(
        self,
        server: Server,
        exchange: Exchange,
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
        self._sent = 0
        self._bookmarked = 0
        # Without selectors that look at objects every event passes as it is.
        self._passes_all = chosen.match is None and not (
            chosen.empty or chosen.not_names or chosen.not_namespaces
        )

    async def open(self, *, initial: bool, from_revision: int | None) -> None:
        """Serve until the client goes, the time is up, or the watcher is too slow."""
        store, chosen, resource = self._server.store, self._chosen, self._resource
        revision = from_revision
        if revision is None:
            revision = store.current_revision(resource.storage)
        scope = Scope(
            resource.storage,
            chosen.namespace if resource.namespaced else "",
            chosen.name,
            chosen.by_index if chosen.name is None else None,
        )
        if not resource.namespaced and chosen.name is None:
            scope = scope._replace(namespace=None)
        watcher = store.watch(scope, from_revision=revision, capacity=_CAPACITY)
        watches = self._server.metrics.watches
        watches[self._key] = watches.get(self._key, 0) + 1
        forget = self._close_when_gone(watcher)
        try:
            await self._exchange.start(200, self._encoder.content_type)
            if initial:
                await self._send_initial(revision)
            self._exchange.settled()
            await self._follow(watcher)
        finally:
            forget()
            watcher.close()
            watches[self._key] -= 1

    def _close_when_gone(self, watcher: Watcher) -> Callable[[], None]:
        shutting_down = self._server.shutting_down
        shutting_down.add(watcher.close)
        connection = self._exchange.connection
        forget = connection.when_gone(watcher.close) if connection is not None else None

        def undo() -> None:
            shutting_down.discard(watcher.close)
            if forget is not None:
                forget()

        return undo

    async def _send_initial(self, revision: int) -> None:
        """Send the state at `revision` as ADDED events, and the end mark where it is due."""
        chosen, resource, encode = self._chosen, self._resource, self._encoder.added
        query = Query(
            resource.storage,
            chosen.namespace,
            revision=revision,
            match=chosen.match,
            index=chosen.by_index,
        )
        gathered: list[bytes] = []
        size = 0
        if chosen.name is not None and (chosen.namespace or not resource.namespaced):
            record = self._server.store.get(
                resource.storage, chosen.namespace or "", chosen.name, revision
            )
            if record is not None and self._matches(record):
                gathered.append(encode(record))
        elif not chosen.empty:
            with self._server.store.scan(query) as scan:
                for chunk in scan:
                    for record in chunk:
                        if chosen.admits(record.name, record.namespace):
                            line = encode(record)
                            gathered.append(line)
                            size += len(line)
                    if size > _WRITE_BYTES_MAX:
                        await self._write(gathered)
                        gathered, size = [], 0
                    # A fast reader never makes us wait, and others want their turn.
                    await self._server.initial_steps.next()
        if self._options.allow_bookmarks and self._wants_end_mark():
            gathered.append(self._encoder.bookmark(revision, initial_end=True))
            self._bookmarked = revision
        if gathered:
            await self._write(gathered)

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
        timeout_s = self._options.timeout_s
        length_s = float(timeout_s or _TIMEOUT_S_MIN * (1 + random.random()))
        monotonic_s = self._clock.monotonic_s
        end_s = monotonic_s() + length_s
        bookmark_s = self._next_bookmark(end_s)
        try:
            while True:
                now_s = monotonic_s()
                if now_s >= end_s:
                    break
                if now_s >= bookmark_s:
                    await self._send_bookmark(watcher)
                    bookmark_s = self._next_bookmark(end_s)
                events = await watcher.next_batch(min(bookmark_s, end_s) - now_s)
                if events:
                    await self._send(events, watcher.scope)
        except (WatcherClosed, WatcherEvicted):
            # Gone, stopping or too slow: the stream just ends, and the client watches again.
            pass
        except Compacted as error:
            await self._exchange.write(error_line(from_storage_error(error), self._encoder))
        await self._exchange.finish()

    def _next_bookmark(self, end_s: float) -> float:
        if not self._options.allow_bookmarks:
            return end_s
        now_s = self._clock.monotonic_s()
        before_end_s = end_s - BOOKMARK_BEFORE_END_S
        next_s = now_s + BOOKMARK_INTERVAL_S
        return min(next_s, before_end_s) if now_s < before_end_s else end_s

    async def _send_bookmark(self, watcher: Watcher) -> None:
        revision = watcher.progress_revision
        if revision > self._bookmarked:
            self._bookmarked = revision
            await self._exchange.write(self._encoder.bookmark(revision))

    async def _send(self, events: list[Event], scope: Scope) -> None:
        """Write those of `events` that the selectors let through."""
        encoder = self._encoder
        if not self._passes_all:
            typed = [(event, self._type_of(event)) for event in events]
            lines = [encoder.event(event, kind) for event, kind in typed if kind]
        elif encoder.is_shared:
            self._count(len(events))
            await self._exchange.write_framed(framed_batch(encoder, events, scope))
            return
        else:
            lines = [encoder.event(event, plain_type(event)) for event in events]
        if lines:
            await self._write(lines)

    def _type_of(self, event: Event) -> str:
        """Return the type of an event under the watch's selectors, "" if it is none of ours."""
        before = event.previous is not None and self._matches(event.previous)
        if event.kind is EventKind.DELETE:
            return "DELETED" if before else ""
        after = self._matches(event.record)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def _matches(self, record: Record) -> bool:
        chosen = self._chosen
        if not chosen.admits(record.name, record.namespace):
            return False
        return chosen.match is None or chosen.match(record.meta)

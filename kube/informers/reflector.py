"""Listing and watching: what there is of a type, then every change, for as long as it runs.

    start -> all there is -> swept -> changes ...        (one stream, where the server has those;
               ^                        |    ^            else a list, page by page, then a watch)
               +--- revision expired ---+    +--- connection ended: from the last revision

Guarantees: what a sink holds after `synced`, changed by every event since, is a state the server
had. After the server has forgotten a revision (410) all there is is told anew, and the sink lets go
of what it was not told: nothing is missed in between. Bookmarks move the revision along where
nothing happens. A slice of events is small, and between two slices others of the event loop have
their turn; all reflectors of a process share those turns.

As in upstream's controllers, sinks do not get managedFields: nobody here looks at them, and they
are up to half of an object. Our server is asked to leave them out; where they come all the same
they are cut out (kube.informers.lines).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Final

from kube.client import (
    BARE_JSON,
    JSON,
    METADATA,
    METADATA_LIST,
    ApiClient,
    Query,
    Unreachable,
    status_error,
)
from kube.informers.changes import Change, Sink, Told
from kube.informers.lines import bare, read_event
from kube.informers.specs import Specs
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.turns import Turns

PAGE_SIZE: Final = 500
_WATCH_S_MIN: Final = 300
_WATCH_S_MAX: Final = 600
_SILENCE_S: Final = 30.0
"""A server ends a watch after the seconds asked for; later than that it is not there any more."""
_CALM_S: Final = 10.0
"""A watch that lasted so long was fine, even if it had nothing to tell."""
_SLICE_S: Final = 0.001
_SLICE_EVENTS_MAX: Final = 32
"""What 32 decoded objects consist of is less than Python's garbage collector waits for."""
_FEW: Final = 16
"""So many events are taken at once, without waiting for a turn."""
_INITIAL_END: Final = "k8s.io/initial-events-end"
_OBJECT_AT: Final = {
    change.value: len(b'{"type":"%b","object":' % change.value.encode()) for change in Change
}
_NO_STREAMING: Final = frozenset({400, 422})
"""How servers refuse `sendInitialEvents` that do not have it, or have it switched off."""
_log = logging.getLogger(__name__)


class _Unreadable(Exception):
    """The server tells what is neither an event nor an object; all is asked for anew."""


class Reflector:
    """See the module's head.

    Args of the constructor:
        client: whom to ask.
        path: of the collection, such as /api/v1/pods.
        sink: who is told.
        query: selectors.
        metadata_only: ask for objects' metadata alone.
        turns: shared by all reflectors of a process.

    Attributes:
        synced: set once all there was at the start has been told.
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        sink: Sink,
        *,
        query: Query | None = None,
        metadata_only: bool = False,
        turns: Turns | None = None,
    ) -> None:
        self.synced = asyncio.Event()
        self._client = client
        self._path = path
        # Only pods are so many of one template each that looking for alike specs is worth it.
        self._read_event = Specs().read_event if path.endswith("/pods") else read_event
        self._sink = sink
        self._query = dict(query or {})
        # A server that knows no such form gives whole objects.
        self._accept = f"{METADATA},{JSON}" if metadata_only else BARE_JSON
        self._accept_list = f"{METADATA_LIST},{JSON}" if metadata_only else JSON
        self._turns = turns or Turns(1)
        self._revision = ""
        self._streams_lists = True
        self._is_initial = False
        self._has_followed = False
        self._attempt: asyncio.Timeout | None = None

    def tell_anew(self) -> None:
        """Have the sink told all there is once more."""
        self._revision = ""
        if self._attempt is not None and not self._attempt.expired():
            self._attempt.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """List and watch until cancelled; refusals and lost connections are tried again."""
        client, failures = self._client, 0
        while True:
            started_s = client.clock.monotonic_s()
            self._has_followed = False
            reason = "the server ended it"
            attempt = self._attempt = asyncio.timeout(None)
            try:
                async with attempt:
                    await self._run_once()
            except TimeoutError:
                if not attempt.expired():
                    raise
                # What it went on to tell meanwhile does not count.
                self._revision, failures = "", 0
                continue
            except StatusError as error:
                reason = f"{error.code} {error}"
                if error.code == 410:
                    self._revision = ""
            except Unreachable as error:
                reason = str(error)
            except _Unreadable as error:
                reason = f"what it tells cannot be read: {error}"
                self._revision = ""
            finally:
                self._attempt = None
            # What is told at the start does not count: a server that lists and then refuses to
            # watch, again and again, would be asked for everything many times a second.
            is_calm = client.clock.monotonic_s() - started_s >= _CALM_S
            failures = 1 if is_calm or self._has_followed else failures + 1
            pause_s = client.pause_s(failures)
            level = logging.DEBUG if is_calm and failures == 1 else logging.INFO
            _log.log(level, "watch of %s goes on in %.2f s: %s", self._path, pause_s, reason)
            await client.clock.sleep(pause_s)

    async def _run_once(self) -> None:
        """Get all there is if there is no revision to go on from, then follow."""
        if not self._revision and self._streams_lists:
            try:
                await self._stream({"sendInitialEvents": "true"})
            except StatusError as error:
                if error.code not in _NO_STREAMING or not self._is_initial:
                    raise
                self._streams_lists = False
            else:
                return
        if not self._revision:
            await self._list()
        await self._stream({"resourceVersion": self._revision})

    async def _stream(self, start: Query) -> None:
        """Watch until the connection ends, from a revision or with all there is first."""
        watch_s = random.randint(_WATCH_S_MIN, _WATCH_S_MAX)
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(watch_s),
            **start,
        }
        self._is_initial = "sendInitialEvents" in start
        if self._is_initial:
            query["resourceVersionMatch"] = "NotOlderThan"
            self._sink.begin()
        timeout_s = watch_s + _SILENCE_S
        async with self._client.stream(
            self._path, query, read_timeout_s=timeout_s, accept=self._accept
        ) as batches:
            await self._follow(batches)

    async def _follow(self, batches: AsyncIterator[list[bytes]]) -> None:
        async for lines in batches:
            at, count = 0, len(lines)
            while at < count:
                if count > _FEW:
                    await self._turns.next()
                at, is_end = self._take_slice(lines, at)
                if is_end:
                    await self._sweep()

    def _take_slice(self, lines: Sequence[bytes], at: int) -> tuple[int, bool]:
        """Hand on what a slice of time allows; return where to go on, and if all was told now.

        Raises:
            StatusError: the server ends the watch, and why.
            _Unreadable: it tells what is no event.
        """
        until_s = perf_counter() + _SLICE_S
        stop = min(len(lines), at + _SLICE_EVENTS_MAX)
        events: list[Told] = []
        is_end = False
        failure: Exception | None = None
        while at < stop and not is_end and failure is None:
            try:
                is_end = self._read(lines[at], events)
            except StatusError as error:
                failure = error
            except (ValueError, KeyError, TypeError) as error:
                failure = _Unreadable(repr(error))
            at += 1
            if perf_counter() >= until_s:
                break
        # What came before a refusal counts, as its revision is where to go on.
        if events:
            self._sink.take(events)
        if failure is not None:
            raise failure
        return at, is_end

    def _read(self, line: bytes, events: list[Told]) -> bool:
        """Add a line's event to `events`; return whether it ends what is told at the start."""
        content, line = self._read_event(line)
        kind, obj = content["type"], content["object"]
        if kind == "ERROR":
            raise status_error(obj)
        metadata = obj["metadata"]
        is_end = False
        if kind == "BOOKMARK":
            is_end = self._is_initial and _is_initial_end(metadata)
        else:
            events.append(_told(kind, obj, line[_OBJECT_AT[kind] : -1]))
        if not self._is_initial or is_end:
            self._revision = metadata["resourceVersion"]
            self._has_followed = not self._is_initial
        return is_end

    async def _sweep(self) -> None:
        """Let the sink forget what is gone: all there is has been told."""
        self._is_initial = False
        for _ in self._sink.sweep():
            await self._turns.next()
        self.synced.set()

    async def _list(self) -> None:
        """Tell all objects of one revision, fetched page by page."""
        self._sink.begin()
        query = {**self._query, "limit": str(PAGE_SIZE)}
        while True:
            try:
                page = await self._client.request(
                    "GET", self._path, query=query, accept=self._accept_list
                )
            except StatusError as error:
                if error.code != 410 or "continue" not in query:
                    raise
                # The pages took longer than history is kept: once more, in one go.
                self._sink.begin()
                query = dict(self._query)
                continue
            try:
                metadata = page["metadata"]
                revision: str = metadata["resourceVersion"]
                told = [_told("ADDED", bare(obj), b"") for obj in page.get("items") or ()]
            except (KeyError, TypeError) as error:
                raise _Unreadable(repr(error)) from error
            for at in range(0, len(told), _FEW):
                await self._turns.next()
                self._sink.take(told[at : at + _FEW])
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        await self._sweep()
        self._revision = revision


def _told(kind: str, obj: JsonObject, raw: bytes) -> Told:
    """Return an event of what has a name at least.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    if not isinstance(obj["metadata"]["name"], str):
        raise TypeError("an object without a name")
    return Told(Change(kind), obj, raw)


def _is_initial_end(metadata: JsonObject) -> bool:
    annotations = metadata.get("annotations") or {}
    return bool(annotations.get(_INITIAL_END) == "true")

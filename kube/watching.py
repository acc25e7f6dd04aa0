"""Watching: a list, then every change since, for as long as the caller iterates.

    start -> LIST -> ADDED... -> SYNCED -> WATCH from the list's revision -> changes...
               ^                             |    ^
               +------ revision expired -----+    +--- connection ended: from the last revision

Guarantees: what a caller holds after SYNCED, changed by every event since, is a state the server
had. After the server has forgotten a revision (410) everything is listed again and told as the
difference to what was told before, objects that vanished meanwhile as DELETED with their
name, namespace and uid only, then SYNCED again. An object unchanged is not told twice.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator
from enum import Enum
from typing import Final, NamedTuple

import orjson

from kube.client import ApiClient, Query, Unreachable, status_error
from kube.json_types import JsonObject
from kube.status import StatusError

PAGE_SIZE: Final = 5_000
_WATCH_S_MIN: Final = 300
_WATCH_S_MAX: Final = 600
_SILENCE_S: Final = 30.0
"""A server ends a watch after the seconds asked for; later than that it is not there any more."""
_CALM_S: Final = 10.0
"""A watch that lasted so long was fine, even if it had nothing to tell."""
_log = logging.getLogger(__name__)


class Change(Enum):
    """What an event tells."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    SYNCED = "SYNCED"
    """All there was at one moment has been told; the object is empty."""


class Event(NamedTuple):
    """One change of one object."""

    change: Change
    object: JsonObject


Key = tuple[str, str]


class _Known(NamedTuple):
    uid: str
    revision: str


async def watch(
    client: ApiClient, path: str, *, query: Query | None = None
) -> AsyncIterator[Event]:
    """Yield what there is of a type, and from then on every change; never ends by itself.

    Refusals and lost connections are logged and tried again, with growing pauses.

    Args:
        client: whom to ask.
        path: of the collection, such as /api/v1/pods.
        query: selectors.
    """
    watcher = _Watcher(client, path, dict(query or {}))
    failures = 0
    while True:
        started_s = client.clock.monotonic_s()
        reason = "the server ended it"
        try:
            async for event in watcher.run_once():
                # A list does not count: a server that lists and then refuses to watch, again and
                # again, would be asked for everything many times a second.
                if watcher.is_watching:
                    failures = 0
                yield event
        except StatusError as error:
            reason = f"{error.code} {error}"
            if error.code == 410:
                watcher.forget_revision()
        except Unreachable as error:
            reason = str(error)
        lasted_s = client.clock.monotonic_s() - started_s
        failures = 1 if lasted_s >= _CALM_S else failures + 1
        pause_s = client.pause_s(failures)
        _log.info("watch of %s goes on in %.2f s: %s", path, pause_s, reason)
        await client.clock.sleep(pause_s)


class _Watcher:
    """Where a watch stands: the revision to go on from, and what was told so far.

    Attributes:
        is_watching: whether the last event came by a watch, not by a list.
    """

    def __init__(self, client: ApiClient, path: str, query: dict[str, str]) -> None:
        self._client = client
        self._path = path
        self._query = query
        self._revision = ""
        self._known: dict[Key, _Known] = {}
        self.is_watching = False

    def forget_revision(self) -> None:
        """Make the next run begin with a list."""
        self._revision = ""

    async def run_once(self) -> AsyncIterator[Event]:
        """List if there is no revision to go on from, then watch until the connection ends."""
        self.is_watching = False
        if not self._revision:
            items, revision = await self._list()
            for event in self._differences(items):
                yield event
            self._revision = revision
            yield Event(Change.SYNCED, {})
        watch_s = random.randint(_WATCH_S_MIN, _WATCH_S_MAX)
        query = {
            **self._query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._revision,
            "timeoutSeconds": str(watch_s),
        }
        timeout_s = watch_s + _SILENCE_S
        async with self._client.stream(self._path, query, read_timeout_s=timeout_s) as batches:
            async for lines in batches:
                for line in lines:
                    told = self._take(line)
                    self.is_watching = True
                    if told is not None:
                        yield told

    async def _list(self) -> tuple[list[JsonObject], str]:
        """Return all objects of one revision, fetched page by page."""
        items: list[JsonObject] = []
        query = {**self._query, "limit": str(PAGE_SIZE)}
        while True:
            try:
                page = await self._client.request("GET", self._path, query=query)
            except StatusError as error:
                if error.code != 410 or "continue" not in query:
                    raise
                # The pages took longer than history is kept: once more, in one go.
                items, query = [], dict(self._query)
                continue
            items += page.get("items") or []
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return items, metadata["resourceVersion"]
            query["continue"] = metadata["continue"]

    def _differences(self, items: list[JsonObject]) -> list[Event]:
        before, self._known = self._known, {}
        events: list[Event] = []
        for obj in items:
            key, now = _identify(obj)
            known = before.pop(key, None)
            if known is not None and known.uid != now.uid:
                events.append(_vanished(key, known))
                known = None
            self._known[key] = now
            if known is None:
                events.append(Event(Change.ADDED, obj))
            elif known.revision != now.revision:
                events.append(Event(Change.MODIFIED, obj))
        return [*(_vanished(key, known) for key, known in before.items()), *events]

    def _take(self, line: bytes) -> Event | None:
        """Take note of one line of a watch; return the event to tell.

        Raises:
            StatusError: the server ends the watch, and why.
        """
        content = orjson.loads(line)
        kind, obj = content["type"], content["object"]
        if kind == "ERROR":
            raise status_error(obj)
        self._revision = obj["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            return None
        key, now = _identify(obj)
        if kind == "DELETED":
            self._known.pop(key, None)
        else:
            self._known[key] = now
        return Event(Change(kind), obj)


def _identify(obj: JsonObject) -> tuple[Key, _Known]:
    metadata = obj["metadata"]
    known = _Known(metadata.get("uid", ""), metadata.get("resourceVersion", ""))
    return (metadata.get("namespace", ""), metadata["name"]), known


def _vanished(key: Key, known: _Known) -> Event:
    metadata = {"namespace": key[0], "name": key[1], "uid": known.uid}
    return Event(Change.DELETED, {"metadata": metadata})

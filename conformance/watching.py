"""A watch as a case sees it: event after event, each awaited for so long and no longer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import orjson

from conformance.checks import CaseFailed, shown
from kube.json_types import JsonObject

EVENT_S_MAX: Final = 30.0
_LINE_BYTES_MAX: Final = 16 << 20


class Event(NamedTuple):
    """One event of a watch."""

    type: str
    object: JsonObject

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.object.get("metadata", {}).get("name", ""))

    @property
    def revision(self) -> str:
        """The object's resourceVersion."""
        return str(self.object["metadata"]["resourceVersion"])


class Content(Protocol):
    """The body of an answer that goes on."""

    async def readany(self) -> bytes:
        """Return what has come, at least a byte; nothing at the end."""


class Watch:
    """Events in the order in which they come; what was read and not asked for yet is kept."""

    def __init__(self, content: Content, what: str) -> None:
        self._content = content
        self._what = what
        self._rest = bytearray()
        self._events: deque[Event] = deque()

    async def next(self, *, within_s: float = EVENT_S_MAX) -> Event:
        """Return the next event.

        Raises:
            CaseFailed: none came in time, or the watch ended.
        """
        try:
            async with asyncio.timeout(within_s):
                while not self._events:
                    await self._read()
        except TimeoutError as error:
            raise CaseFailed(f"{self._what}: no event within {within_s:g} s") from error
        return self._events.popleft()

    async def expect(
        self, kind: str, holds: Callable[[JsonObject], object] = bool, *, what: str = ""
    ) -> JsonObject:
        """Return the object of the next event, which has to be of a type and to be as it should."""
        event = await self.next()
        if event.type != kind or not holds(event.object):
            raise CaseFailed(f"{self._what}: expected {kind} {what}, got {shown(event)}")
        return event.object

    async def until(
        self, kind: str, holds: Callable[[JsonObject], object] = bool, *, what: str = ""
    ) -> JsonObject:
        """Return the object of the first event that is of a type and is as it should be."""
        try:
            async with asyncio.timeout(EVENT_S_MAX):
                while True:
                    event = await self.next()
                    if event.type == kind and holds(event.object):
                        return event.object
        except TimeoutError as error:
            raise CaseFailed(f"{self._what}: never saw {kind} {what}") from error

    async def nothing(self, *, within_s: float) -> None:
        """Demand that no event comes for so long."""
        try:
            async with asyncio.timeout(within_s):
                while not self._events:
                    await self._read()
        except TimeoutError:
            return
        raise CaseFailed(f"{self._what}: expected no event, got {shown(self._events[0])}")

    async def _read(self) -> None:
        chunk = await self._content.readany()
        if not chunk:
            raise CaseFailed(f"{self._what} ended")
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > _LINE_BYTES_MAX:
            raise CaseFailed(f"{self._what}: a line is longer than {_LINE_BYTES_MAX} bytes")
        for line in lines:
            if line.strip():
                decoded = orjson.loads(line)
                self._events.append(Event(decoded["type"], decoded["object"]))

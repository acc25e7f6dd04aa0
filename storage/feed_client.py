"""Hears how far a partition's environment has come. The mapper's end of storage/feed.py.

Invariants:
    - Of several steps that arrive together only the last is told: it includes the others.
    - A lost connection is made anew, and begins with HELLO again; in between, nothing is told.
    - A failure of whoever is told ends `run` with it: it must not be taken for a lost connection.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final, Protocol, cast

from journal.errors import ProtocolError
from journal.protocol import FrameSplitter
from runtime.clock import Clock
from runtime.unix_sockets import short_path
from storage.feed_wire import (
    FRAME_BYTES_MAX,
    FeedBroken,
    FeedKind,
    Hello,
    decode_applied,
    decode_hello,
    decode_json,
    encode_json,
)

_log = logging.getLogger(__name__)

BACKOFF_SECONDS_MIN: Final = 0.02
BACKOFF_SECONDS_MAX: Final = 0.5


class Mapper(Protocol):
    """Who is told."""

    def on_hello(self, hello: Hello) -> None:
        """The connection is made: these are the files."""
        ...

    def on_applied(self, revision: int) -> None:
        """The environment has come so far."""
        ...

    def on_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """What the keeper says of the partition; returns what we say of ourselves."""
        ...


class FeedClient:
    """A connection to a feed, whenever there can be one.

    Args of the constructor:
        path: the feed's socket.
        mapper: who is told.
        joining: what the keeper should know of us.
        clock: for the pauses between attempts.
    """

    def __init__(self, path: Path, mapper: Mapper, joining: dict[str, Any], clock: Clock) -> None:
        self._path = path
        self._mapper = mapper
        self._joining = joining
        self._clock = clock
        self.greeted = asyncio.Event()
        """Set while there is a connection that has begun with HELLO."""
        self._away_since_s = clock.monotonic_s()

    @property
    def connected(self) -> bool:
        """Whether there is a connection that has begun with HELLO."""
        return self.greeted.is_set()

    @property
    def away_s(self) -> float:
        """For how long there has been no connection."""
        return 0.0 if self.connected else self._clock.monotonic_s() - self._away_since_s

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost."""
        loop = asyncio.get_running_loop()
        pause_s = BACKOFF_SECONDS_MIN
        problem = ""
        while True:
            try:
                with short_path(self._path) as name:
                    _, link = await loop.create_unix_connection(self._make_link, name)
            except OSError as error:
                if not problem:
                    _log.warning("no feed at %s: %s", self._path, error)
                problem = str(error)
            else:
                problem = ""
                try:
                    await link.lost
                finally:
                    link.close()
                    if self.connected:
                        pause_s = BACKOFF_SECONDS_MIN
                        self._away_since_s = self._clock.monotonic_s()
                    self.greeted.clear()
                _log.warning("the feed at %s is lost", self._path)
            await self._clock.sleep(pause_s)
            pause_s = min(BACKOFF_SECONDS_MAX, 2 * pause_s)

    def _make_link(self) -> _Link:
        return _Link(self._mapper, self._joining, self.greeted)


class _Link(asyncio.Protocol):
    """One connection.

    Attributes:
        lost: done when the connection is; holds a failure of whoever was told.
    """

    def __init__(self, mapper: Mapper, joining: dict[str, Any], greeted: asyncio.Event) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._mapper = mapper
        self._joining = joining
        self._greeted = greeted
        self._splitter = FrameSplitter(FRAME_BYTES_MAX)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(encode_json(FeedKind.JOIN, self._joining))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        if self.lost.done():
            return
        try:
            self._hear(data)
        except (FeedBroken, ProtocolError) as error:
            _log.warning("the feed is broken: %s", error)
            self._transport.abort()
        except Exception as error:  # noqa: BLE001 - raised again to whoever awaits `lost`
            self.lost.set_exception(error)

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _hear(self, data: bytes) -> None:
        applied = 0
        for kind, payload in self._splitter.feed(data):
            if kind == FeedKind.APPLIED and self._greeted.is_set():
                applied = decode_applied(payload)
            elif kind == FeedKind.STATUS and self._greeted.is_set():
                told = self._mapper.on_status(decode_json(payload))
                self._transport.write(encode_json(FeedKind.ALIVE, told))
            elif kind == FeedKind.HELLO:
                self._greeted.set()
                self._mapper.on_hello(decode_hello(payload))
            else:
                raise FeedBroken(f"a keeper does not send {kind} here")
        if applied:
            self._mapper.on_applied(applied)

"""Tells those who map a partition's environment how far it has come. The keeper's end.

Beside the files lies a socket. Whoever connects hears which files to map, then of each step, and
once a second what else is to be known; the latter it answers with how it is.

Limits:
    - What one that reads slowly is behind by is never kept: it is told the newest revision later.
    - One that leaves `SILENT_TICKS_MAX` questions unanswered (it was stopped) is cut off, which is
      logged and shown by the status. While it lives, its snapshot keeps LMDB from using pages
      again, and nobody can take that from it. After `PINNED_TICKS_MAX` more it is killed, to be
      started anew: else the replica would grow until the tmpfs is full, for all. What counts is
      what was asked, not the time: if we were stopped ourselves, nobody else is to blame.
    - Snapshots of processes that died are given back within a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from journal.errors import ProtocolError
from journal.protocol import FrameSplitter
from runtime import unix_sockets
from runtime.clock import Clock
from runtime.tasks import TaskScope
from storage.feed_wire import (
    FRAME_BYTES_MAX,
    SOCKET_NAME,
    FeedBroken,
    FeedKind,
    Hello,
    decode_json,
    encode_applied,
    encode_hello,
    encode_json,
)
from storage.partition import Partition

_log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
SILENT_TICKS_MAX: Final = 15
PINNED_TICKS_MAX: Final = 60
MAPPERS_MAX: Final = 128
UNREAD_BYTES_MAX: Final = 64 << 10
"""Held for one that reads slowly; beyond that it is not told until it has read."""
_CREDENTIALS: Final = struct.Struct("3i")


class Feed:
    """The feed of one partition.

    Args of the constructor:
        partition: which.
        clock: for the time between two ticks.
        status: tells what mappers should know of the partition.
    """

    def __init__(
        self, partition: Partition, clock: Clock, status: Callable[[], dict[str, Any]]
    ) -> None:
        self._partition = partition
        self._clock = clock
        self._status = status
        self._links: set[_Link] = set()
        # Ticks since they were cut off, by process.
        self._stopped: dict[int, int] = {}
        self._server: asyncio.Server | None = None

    @property
    def mappers(self) -> list[dict[str, Any]]:
        """How those connected are, as they said last."""
        return [{**link.state, **link.joined, "pid": link.pid} for link in self._links]

    async def start(self, scope: TaskScope) -> None:
        """Listen beside the files."""
        path = self._partition.environment.path / SOCKET_NAME
        listener = unix_sockets.listen(path)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Link(self), sock=listener)
        self._partition.on_applied = self._on_applied
        scope.spawn(self._run_ticks(), name=f"feed-{self._partition.name}")

    def stop(self) -> None:
        """Hang up on everyone: they wait for the next keeper."""
        self._partition.on_applied = None
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in tuple(self._links):
            link.close()

    def tick(self) -> None:
        """Tell how the partition is, and see to those that do not answer."""
        for link in tuple(self._links):
            link.silent_ticks += 1
            if link.silent_ticks > SILENT_TICKS_MAX:
                name = self._partition.name
                _log.error(
                    "partition %s: process %d does not answer and is cut off", name, link.pid
                )
                self._stopped[link.pid] = 0
                self._links.discard(link)
                link.abort()
        environment = self._partition.environment
        environment.forget_dead()
        readers = environment.readers() if self._stopped else set()
        for pid in tuple(self._stopped):
            self._stopped[pid] += 1
            if pid not in readers or any(link.pid == pid for link in self._links):
                del self._stopped[pid]
            elif self._stopped[pid] > PINNED_TICKS_MAX:
                _log.error("process %d pins an old snapshot, and is killed for it", pid)
                del self._stopped[pid]
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.tell_status()

    def tell_status(self) -> None:
        """Tell how the partition is, and how far."""
        frame = encode_json(FeedKind.STATUS, self._full_status())
        for link in self._links:
            link.write(frame)
            # One that was too slow for a step hears of it here.
            link.write(encode_applied(self._partition.revision))

    def admit(self, link: _Link) -> bool:
        """Take in a connection, unless there are too many."""
        if len(self._links) >= MAPPERS_MAX:
            _log.error("partition %s: %d map it already", self._partition.name, MAPPERS_MAX)
            return False
        self._links.add(link)
        environment = self._partition.environment
        hello = Hello(environment.identity, environment.map_bytes, self._partition.revision)
        link.write(encode_hello(hello))
        link.write(encode_json(FeedKind.STATUS, self._full_status()))
        return True

    def on_frame(self, link: _Link, kind: int, payload: bytes) -> None:
        """Hear what a mapper says."""
        if kind not in (FeedKind.JOIN, FeedKind.ALIVE):
            raise FeedBroken(f"a mapper does not send {kind}")
        link.silent_ticks = 0
        if kind == FeedKind.JOIN:
            link.joined = decode_json(payload)
        else:
            link.state = decode_json(payload)

    def on_lost(self, link: _Link) -> None:
        """Forget a connection."""
        self._links.discard(link)

    def _on_applied(self, revision: int) -> None:
        if not self._links:
            return
        frame = encode_applied(revision)
        for link in self._links:
            link.write(frame)

    def _full_status(self) -> dict[str, Any]:
        cut_off = sorted(self._stopped)
        return {**self._status(), "mappers": self.mappers, "cut_off": cut_off}

    async def _run_ticks(self) -> None:
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self.tick()


class _Link(asyncio.Protocol):
    """One mapper's connection.

    Attributes:
        pid: its process.
        silent_ticks: how often it was asked since it was heard of last.
        joined, state: what it has said of itself, first and last.
    """

    def __init__(self, feed: Feed) -> None:
        self.pid = 0
        self.silent_ticks = 0
        self.joined: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self._feed = feed
        self._splitter = FrameSplitter(FRAME_BYTES_MAX)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast("asyncio.Transport", transport)
        # Never asked to pause: what is held is looked at before each write.
        self._transport.set_write_buffer_limits(high=1 << 30)
        peer: socket.socket = transport.get_extra_info("socket")
        given = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid = _CREDENTIALS.unpack(given)[0]
        if not self._feed.admit(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._feed.on_lost(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        try:
            for kind, payload in self._splitter.feed(data):
                self._feed.on_frame(self, kind, payload)
        except (FeedBroken, ProtocolError) as error:
            _log.warning("process %d: %s", self.pid, error)
            self.abort()

    def write(self, frame: bytes) -> None:
        """Send a frame, or drop it if the other end does not read."""
        if self._transport.get_write_buffer_size() <= UNREAD_BYTES_MAX:
            self._transport.write(frame)

    def close(self) -> None:
        """Hang up when all is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

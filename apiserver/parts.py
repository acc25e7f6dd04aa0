"""Answers made part by part: written as they are made, in memory that does not grow with them.

A part is some bytes, or none: then nothing is ready yet, and others are to have their turn. What
makes parts should work for a few milliseconds at most for each; what takes longer is given as a
function, which is called in a thread (apiserver.aside). A short answer goes whole, with its length;
a longer one is streamed, compressed if the client takes that. The next part is made when the
connection has taken what came before, so a slow client holds up its answer only, and is cut off
where it takes nothing (apiserver.protocol).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from apiserver.aside import rendered
from apiserver.compression import GZIP_HEADERS, GzipStream, accepts_gzip
from apiserver.exchange import Exchange
from apiserver.server import Server

Part: TypeAlias = bytes | Callable[[], bytes]
WHOLE_BYTES_MAX: Final = 256 << 10
"""An answer longer than this is streamed."""
_WRITE_BYTES_MIN: Final = 32 << 10
_TURN_S_MIN: Final = 0.0002
"""Less work than this is not worth a turn: short lists have none."""


async def respond_parts(
    server: Server, exchange: Exchange, content_type: bytes, parts: Iterator[Part]
) -> None:
    """Answer with all of `parts`, one of them in each turn; several if they took no time.

    Raises:
        ClientGone: there is nobody to answer any more.
    """
    gathered: list[bytes] = []
    size_bytes = 0
    stream: _Stream | None = None
    monotonic_s = server.clock.monotonic_s
    turn_s = monotonic_s()
    for made in parts:
        part = made if isinstance(made, bytes) else await rendered(made)
        gathered.append(part)
        size_bytes += len(part)
        if stream is None and size_bytes > WHOLE_BYTES_MAX:
            stream = await _begin(exchange, content_type)
        if stream is not None and size_bytes >= _WRITE_BYTES_MIN:
            await stream.write(b"".join(gathered))
            gathered, size_bytes = [], 0
        if not part or monotonic_s() - turn_s >= _TURN_S_MIN:
            # A fast reader never makes us wait, and others want their turn.
            await server.list_steps.next()
            exchange.check_client()
            turn_s = monotonic_s()
    rest = b"".join(gathered)
    if stream is None:
        await exchange.respond(200, rest, content_type)
    else:
        await stream.end(rest)


class _Stream:
    """A streamed answer that has begun."""

    def __init__(self, exchange: Exchange, gzip: GzipStream | None) -> None:
        self._exchange = exchange
        self._gzip = gzip
        self._ready = b""

    async def write(self, data: bytes) -> None:
        """Write more of it, or keep a little of what compression leaves for later."""
        if self._gzip is not None:
            self._ready += self._gzip.add(data)
            if len(self._ready) < _WRITE_BYTES_MIN:
                return
            data, self._ready = self._ready, b""
        await self._exchange.write(data)

    async def end(self, data: bytes) -> None:
        """Write the last of it."""
        if self._gzip is not None:
            data = self._ready + self._gzip.add(data) + self._gzip.end()
        await self._exchange.write(data)
        await self._exchange.finish()


async def _begin(exchange: Exchange, content_type: bytes) -> _Stream:
    gzip = GzipStream() if accepts_gzip(exchange.accept_encoding) else None
    if gzip is not None:
        exchange.headers.extend(GZIP_HEADERS)
    await exchange.start(200, content_type)
    return _Stream(exchange, gzip)

"""Sessions over SPDY/3.1 with what runs in simulated containers, and the ports of pods.

The API server makes one kind of all that clients speak. A forwarded port answers HTTP with a page;
what is no HTTP comes back as it went in. What is done in containers is in exec_sessions.py.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Final

from controllers.fleet.pod_life import Pod
from controllers.fleet.web import Request
from kube.spdy import Event, Kind, SpdyDecoder, SpdyEncoder, SpdyFault, header_dictionary

_READ_BYTES: Final = 32 << 10
_IDLE_S: Final = 4 * 3600.0
_STREAMS_MAX: Final = 256
_HEADER_BYTES_MAX: Final = 64 << 10
_FORWARD_PROTOCOL: Final = "portforward.k8s.io"
_HTTP_HEAD_MAX: Final = 16 << 10
_SUCCESS: Final = b'{"metadata":{},"status":"Success"}'
_SLEEP_S_MAX: Final = 3600.0


class Session:
    """A granted session.

    Attributes:
        events: what the client opens and sends, until it goes; to be read on by whoever comes next.
        headers: of the streams that are open.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._decoder = SpdyDecoder()
        self._inflater = zlib.decompressobj(zdict=header_dictionary())
        self._deflater = zlib.compressobj()
        self.headers: dict[int, dict[str, str]] = {}
        # One for all who read on: what has come in one piece must not be lost between two of them.
        self.events = self._read()

    async def grant(self, protocol: str) -> None:
        """Grant the upgrade."""
        await self._request.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            + f"X-Stream-Protocol-Version: {protocol}\r\n\r\n".encode()
        )

    async def _read(self) -> AsyncIterator[Event]:
        """Yield what the client opens and sends, until it goes.

        Raises:
            TimeoutError: nothing came for hours.
        """
        while True:
            async with asyncio.timeout(_IDLE_S):
                data = await self._request.reader.read(_READ_BYTES)
            if not data:
                return
            try:
                for event in self._decoder.feed(data):
                    if event.kind is Kind.PING:
                        await self._request.send(SpdyEncoder.ping(event.stream))
                        continue
                    if event.kind is Kind.GO_AWAY:
                        return
                    if event.kind is Kind.SYN_STREAM:
                        await self._open(event)
                    yield event
            except (SpdyFault, zlib.error):
                return

    async def _open(self, event: Event) -> None:
        if len(self.headers) >= _STREAMS_MAX:
            raise SpdyFault("too many streams")
        block = self._inflater.decompress(event.data[6:], _HEADER_BYTES_MAX)
        self.headers[event.stream] = _read_headers(block)
        packed = self._deflater.compress(bytes(4)) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        await self._request.send(SpdyEncoder.reply(event.stream, packed))

    async def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Send bytes on a stream."""
        await self._request.send(SpdyEncoder.data(stream, data, ends=ends))


def _read_headers(block: bytes) -> dict[str, str]:
    texts, at = [], 4
    while at + 4 <= len(block):
        length = int.from_bytes(block[at : at + 4], "big")
        texts.append(block[at + 4 : at + 4 + length].decode("latin-1"))
        at += 4 + length
    return dict(zip(texts[::2], texts[1::2], strict=False))


async def upgrade(request: Request, protocols: tuple[str, ...]) -> Session | None:
    """Return the session that is asked for; None: it was refused."""
    if request.headers.get("upgrade", "").lower() != "spdy/3.1":
        await request.answer(400, b"Upgrade request required", "text/plain")
        return None
    offered = request.headers.get("x-stream-protocol-version", "")
    chosen = next((one for one in protocols if one in offered), protocols[0])
    session = Session(request)
    await session.grant(chosen)
    return session


async def forward_ports(request: Request, pod: Pod) -> None:
    """Answer what comes for a pod's ports: HTTP with a page, all else with itself."""
    session = await upgrade(request, (_FORWARD_PROTOCOL,))
    if session is None:
        return
    ports = _Ports(session, pod)
    async for event in session.events:
        if event.kind is Kind.SYN_STREAM:
            ports.open(event.stream)
        elif event.kind is Kind.RST_STREAM:
            await ports.close(event.stream)
        elif event.kind is None:
            await ports.take(event.stream, event.data)
            if event.ends:
                await ports.close(event.stream)


class _Ports:
    """The connections of a session; each has a stream for data, and one for errors before it."""

    def __init__(self, session: Session, pod: Pod) -> None:
        self._session = session
        self._pod = pod
        self._errors: dict[str, int] = {}
        self._held: dict[int, bytes] = {}

    def open(self, stream: int) -> None:
        headers = self._session.headers[stream]
        if headers.get("streamtype") == "error":
            self._errors[headers.get("requestid", "")] = stream
        else:
            self._held[stream] = b""

    async def take(self, stream: int, data: bytes) -> None:
        if stream not in self._held:
            return
        held = self._held[stream] + data
        port = self._session.headers[stream].get("port", "")
        if (page := _page(held, self._pod, port)) is not None:
            await self._session.send(stream, page)
            await self.close(stream)
        elif _may_be_http(held):
            self._held[stream] = held
        elif held:
            self._held[stream] = b""
            await self._session.send(stream, held)

    async def close(self, stream: int) -> None:
        if self._held.pop(stream, None) is None:
            return
        headers = self._session.headers.pop(stream)
        error = self._errors.pop(headers.get("requestid", ""), None)
        await self._session.send(stream, b"", ends=True)
        if error is not None:
            self._session.headers.pop(error, None)
            await self._session.send(error, b"", ends=True)


def _may_be_http(data: bytes) -> bool:
    first = data.split(b" ", 1)[0]
    return len(data) < _HTTP_HEAD_MAX and first.isalpha() and first.isupper() and len(first) < 8


def _page(data: bytes, pod: Pod, port: str) -> bytes | None:
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end or b" HTTP/1." not in head.split(b"\r\n", 1)[0]:
        return None
    body = f"port {port} of simulated pod {pod.key}\n".encode()
    lines = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return f"{lines}Connection: close\r\n\r\n".encode() + body

"""Sessions over SPDY/3.1 with what runs in simulated containers: commands, and ports.

The API server makes one kind of all that clients speak. A few commands are understood, so that
scripts have something to talk to: cat, echo, hostname, env, date, sleep, true, false, and
`sh -c "exit 3"`. What is no HTTP comes back from a forwarded port as it went in.
"""

from __future__ import annotations

import asyncio
import shlex
import zlib
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import orjson

from controllers.fleet.container_logs import Run
from controllers.fleet.containers import Container, State
from controllers.fleet.pod_life import Pod
from controllers.fleet.web import Request
from kube import times
from kube.spdy import Event, Kind, SpdyDecoder, SpdyEncoder, SpdyFault, header_dictionary
from runtime.clock import Clock

_READ_BYTES: Final = 32 << 10
_IDLE_S: Final = 4 * 3600.0
_STREAMS_MAX: Final = 256
_HEADER_BYTES_MAX: Final = 64 << 10
_EXEC_PROTOCOLS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io")
_FORWARD_PROTOCOL: Final = "portforward.k8s.io"
_HTTP_HEAD_MAX: Final = 16 << 10
_SUCCESS: Final = b'{"metadata":{},"status":"Success"}'
_SLEEP_S_MAX: Final = 3600.0
_NOT_FOUND: Final = 127


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


async def _upgrade(request: Request, protocols: tuple[str, ...]) -> Session | None:
    """Return the session that is asked for; None: it was refused."""
    if request.headers.get("upgrade", "").lower() != "spdy/3.1":
        await request.answer(400, b"Upgrade request required", "text/plain")
        return None
    offered = request.headers.get("x-stream-protocol-version", "")
    chosen = next((one for one in protocols if one in offered), protocols[0])
    session = Session(request)
    await session.grant(chosen)
    return session


# Commands ----------------------------------------------------------------------------------------


class Result(NamedTuple):
    """What a command does: its output, its exit code."""

    output: bytes
    error: bytes = b""
    code: int = 0
    sleep_s: float = 0.0


async def run_command(
    request: Request, pod: Pod, one: Container, clock: Clock, *, attaches: bool
) -> None:
    """Run what is asked for in a container, or attach to what runs there."""
    session = await _upgrade(request, _EXEC_PROTOCOLS)
    if session is None:
        return
    words, wanted = request.query.get("command", []), _wanted(request)
    streams: dict[str, int] = {}
    async for event in session.events:
        if event.kind is Kind.SYN_STREAM:
            streams[session.headers[event.stream].get("streamtype", "")] = event.stream
            if wanted <= streams.keys():
                break
    if not wanted <= streams.keys():
        return
    if attaches:
        await _attach(session, streams, pod, one, clock)
        return
    result = answer_of(words, pod, clock.now_s())
    if "stdin" in streams and _copies(words):
        await _copy(session, streams)
    await clock.sleep(result.sleep_s)
    await _finish(session, streams, result)


def _wanted(request: Request) -> set[str]:
    """Return the streams that a client will open."""
    wanted = {"error"}
    for name, key in (("stdin", "input"), ("stdout", "output"), ("stderr", "error")):
        if request.value(key) == "1" and not (name == "stderr" and request.value("tty") == "1"):
            wanted.add(name)
    return wanted


async def _copy(session: Session, streams: dict[str, int]) -> None:
    """Give back what comes, until its end."""
    async for event in session.events:
        if event.kind is None and event.stream == streams["stdin"]:
            if event.data and "stdout" in streams:
                await session.send(streams["stdout"], event.data)
            if event.ends:
                return


def _copies(words: list[str]) -> bool:
    """Tell whether a command gives back what it gets: cat, or a shell without a command."""
    name = words[0].rpartition("/")[2] if words else ""
    return name == "cat" or (name in ("sh", "bash") and "-c" not in words)


def answer_of(words: list[str], pod: Pod, now_s: float) -> Result:
    """Return what a command does in a simulated container."""
    if words and words[0].rpartition("/")[2] in ("sh", "bash") and "-c" in words[:-1]:
        try:
            words = shlex.split(words[words.index("-c") + 1])
        except ValueError as error:
            return Result(b"", f"sh: {error}\n".encode(), 2)
    name, arguments = (words[0].rpartition("/")[2], words[1:]) if words else ("true", [])
    host = pod.key.partition("/")[2]
    first = arguments[0] if arguments else ""
    texts = {
        "echo": " ".join(arguments) + "\n",
        "hostname": f"{host}\n",
        "env": f"HOSTNAME={host}\nPATH=/usr/bin:/bin\n",
        "date": f"{times.format_seconds(int(now_s))}\n",
        **dict.fromkeys(("true", "cat", "sh", "bash", ":"), ""),
    }
    if name in texts:
        return Result(texts[name].encode())
    match name:
        case "false":
            return Result(b"", code=1)
        case "exit":
            return Result(b"", code=int(first[:3]) & 255 if first.isdecimal() else 0)
        case "sleep":
            whole = float(first[:8]) if first[:8].isdecimal() else 0.0
            return Result(b"", sleep_s=min(whole, _SLEEP_S_MAX))
        case _:
            text = f"{name}: not found: this container is simulated\n"
            return Result(b"", text.encode(), _NOT_FOUND)


async def _finish(session: Session, streams: dict[str, int], result: Result) -> None:
    """Send what there is, then how it ended."""
    errors = streams.get("stderr", streams.get("stdout"))
    if result.output and "stdout" in streams:
        await session.send(streams["stdout"], result.output)
    if result.error and errors is not None:
        await session.send(errors, result.error)
    for name in ("stdout", "stderr"):
        if name in streams:
            await session.send(streams[name], b"", ends=True)
    await session.send(streams["error"], _outcome(result.code), ends=True)
    # What is not read would have the kernel reset the connection before all is taken.
    async for _ in session.events:
        pass


def _outcome(code: int) -> bytes:
    if not code:
        return _SUCCESS
    return orjson.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code: exit status {code}",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }
    )


async def _attach(
    session: Session, streams: dict[str, int], pod: Pod, one: Container, clock: Clock
) -> None:
    """Show what a container writes, until it ends or its client goes."""
    told, number = Run(pod, one).count(clock.now_s()) - 1, one.restarts
    while not pod.is_gone:
        now_s, run = clock.now_s(), Run(pod, one)
        for at in range(told, run.count(now_s)):
            if "stdout" in streams:
                await session.send(streams["stdout"], run.line(at, now_s, has_times=False))
        told = run.count(now_s)
        if one.state is not State.RUNNING or one.restarts != number:
            break
        # Whoever has gone is noticed by the next line that cannot be sent.
        await clock.sleep(1.0)
    await _finish(session, streams, Result(b"", code=0 if one.ended is None else one.ended.code))


# Ports -------------------------------------------------------------------------------------------


async def forward_ports(request: Request, pod: Pod) -> None:
    """Answer what comes for a pod's ports: HTTP with a page, all else with itself."""
    session = await _upgrade(request, (_FORWARD_PROTOCOL,))
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

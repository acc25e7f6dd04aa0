"""exec and attach from a websocket (v5.channel.k8s.io) to a kubelet that takes SPDY only.

As upstream's stream translator: the websocket is granted first, and whatever fails from then on is
told as a Status on its error channel. A kubelet that breaks off is a failure, though upstream takes
it for success: a command's end would be told that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple

import orjson

from apiserver.exchange import ClientGone, Exchange
from apiserver.proxying.client_socket import ClientSocket, check_handshake
from apiserver.proxying.forward import Onward, request_head
from apiserver.proxying.takeover import close_soon, keep_alive, until_one_ends
from apiserver.proxying.wire import BackendConnection, BackendFailed, Backends
from kube import spdy
from kube import status as st
from kube.json_types import JsonObject
from kube.spdy import Kind, SpdyDecoder, SpdyEncoder, SpdyFault

PROTOCOL: Final = "v5.channel.k8s.io"
_SPOKEN: Final = b"v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_NAMES: Final = {
    _ERROR: "error",
    _STDIN: "stdin",
    _STDOUT: "stdout",
    _STDERR: "stderr",
    _RESIZE: "resize",
}
_STATUS_BYTES_MAX: Final = 64 << 10
_EXIT_CODE: Final = "NonZeroExitCode"


class Streams(NamedTuple):
    """What is to be connected."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def channels(self) -> list[int]:
        """The channels that there are, in the order in which they are opened."""
        wanted = {
            _ERROR: True,
            _STDIN: self.stdin,
            _STDOUT: self.stdout,
            _STDERR: self.stderr and not self.tty,
            _RESIZE: self.tty,
        }
        return [channel for channel, is_wanted in wanted.items() if is_wanted]


class Failed(Exception):
    """How a session has ended, other than well.

    Attributes:
        status: the Status to tell.
    """

    def __init__(self, status: JsonObject) -> None:
        super().__init__(status.get("message", ""))
        self.status = status


async def translate(
    exchange: Exchange, backends: Backends, onward: Onward, streams: Streams
) -> None:
    """Connect a websocket's channels with a kubelet's streams, until the command ends.

    Raises:
        StatusError: 400, it is no request for a websocket.
    """
    check_handshake(exchange)
    client = ClientSocket(exchange, PROTOCOL)
    # The client takes an empty message for the sign that all is set up.
    first = _STDOUT if streams.stdout else _STDERR if streams.stderr else _ERROR
    connection: BackendConnection | None = None
    try:
        if not await client.send(bytes((first,))):
            return
        try:
            connection = await _connect(exchange, backends, onward)
            session = _Session(client, connection, streams)
            await session.run()
            told: JsonObject = {"metadata": {}, "status": "Success"}
        except Failed as failed:
            told = failed.status
        except BackendFailed as error:
            told = _internal(f"error sending request: {error}")
        await client.send(bytes((_ERROR,)) + orjson.dumps(told))
    except ClientGone:
        pass
    finally:
        client.close()
        if connection is not None:
            close_soon(connection.writer)


async def _connect(exchange: Exchange, backends: Backends, onward: Onward) -> BackendConnection:
    """Return the kubelet's connection, upgraded to SPDY.

    Raises:
        BackendFailed: it has not answered. Failed: it grants no upgrade.
    """
    upgrade = ((b"Upgrade", spdy.PROTOCOL), (b"X-Stream-Protocol-Version", _SPOKEN))
    asked = replace(
        onward, method=b"POST", headers=(*onward.headers, *upgrade), without=b"sec-websocket-"
    )
    client = exchange.connection
    assert client is not None
    connection = await backends.dial(onward.address)
    keep_alive(connection.writer)
    forget = client.when_gone(connection.abort)
    try:
        await connection.send(b"POST", request_head(exchange, asked, upgrade=True))
        head = await connection.head()
        if connection.upgraded is None:
            body = await connection.body(_STATUS_BYTES_MAX)
            raise Failed(_status_in(body) or _internal(_refusal(body)))
        if head.value(b"x-stream-protocol-version").strip() != _SPOKEN:
            raise Failed(_internal("unable to upgrade connection: no protocol in common"))
    except BaseException:
        connection.abort()
        raise
    finally:
        forget()
    return connection


def _refusal(body: bytes) -> str:
    return f"unable to upgrade connection: {body.decode('utf-8', 'replace').strip()}"


class _Session:
    """A command's streams, connected."""

    def __init__(
        self, client: ClientSocket, connection: BackendConnection, streams: Streams
    ) -> None:
        self._client = client
        self._connection = connection
        self._encoder = SpdyEncoder()
        self._streams: dict[int, int] = {}
        frames = []
        for channel in streams.channels:
            headers = [("streamType", _NAMES[channel])]
            number, frame = self._encoder.open(headers)
            self._streams[channel] = number
            frames.append(frame)
        self._opening = b"".join(frames)
        self._channels = {number: channel for channel, number in self._streams.items()}
        # What comes to its end by itself, when the command does.
        self._running = {
            self._streams[channel]
            for channel in (_ERROR, _STDOUT, _STDERR)
            if channel in self._streams
        }
        self._status = bytearray()
        self._failure: Failed | None = None
        self._is_done = False

    async def run(self) -> None:
        """Return when the command has ended well.

        Raises:
            Failed: it has not. ClientGone: nobody is left to hear how it ended.
        """
        await self._connection.write(self._opening)
        await until_one_ends(self._inwards(), self._outwards())
        if self._failure is not None:
            raise self._failure
        if not self._is_done:
            raise ClientGone
        failure = _outcome(bytes(self._status))
        if failure is not None:
            raise Failed(failure)

    async def _inwards(self) -> None:
        channel = -1
        async for frame in self._client.frames():
            data = frame.data
            if frame.begins:
                channel, data = (data[0], data[1:]) if data else (-1, b"")
            stream = self._streams.get(channel)
            try:
                if channel == _CLOSE:
                    await self._end(data)
                elif stream is not None and channel in (_STDIN, _RESIZE) and data:
                    await self._write(stream, data)
            except BackendFailed:
                return

    async def _end(self, data: bytes) -> None:
        """Take that a channel of the client's has come to its end."""
        if data[:1] == bytes((_STDIN,)) and _STDIN in self._streams:
            stream = self._streams.pop(_STDIN)
            await self._connection.write(self._encoder.data(stream, b"", ends=True))

    async def _write(self, stream: int, data: bytes) -> None:
        for at in range(0, len(data), spdy.DATA_BYTES_MAX):
            part = data[at : at + spdy.DATA_BYTES_MAX]
            await self._connection.write(self._encoder.data(stream, part))

    async def _outwards(self) -> None:
        try:
            decoder = SpdyDecoder()
            data = self._connection.upgraded or b""
            while True:
                for event in decoder.feed(data):
                    if not await self._take(event):
                        return
                data = await self._connection.reader.read(spdy.DATA_BYTES_MAX)
                if not data:
                    raise BackendFailed("error reading from error stream: unexpected EOF")
        except (BackendFailed, SpdyFault, OSError, RuntimeError) as error:
            self._failure = Failed(_internal(str(error)))

    async def _take(self, event: spdy.Event) -> bool:
        """Take what the kubelet has sent; False: that is all."""
        match event.kind:
            case Kind.PING:
                if not event.stream % 2:
                    with suppress(BackendFailed):  # it may have ended, and said so already
                        await self._connection.write(self._encoder.ping(event.stream))
                return True
            case Kind.GO_AWAY:
                return True
            case None | Kind.SYN_REPLY | Kind.SYN_STREAM | Kind.RST_STREAM:
                pass
        channel = self._channels.get(event.stream, -1)
        if event.kind is None and event.data:
            if channel == _ERROR:
                self._status += event.data[: _STATUS_BYTES_MAX - len(self._status)]
            elif channel in (_STDOUT, _STDERR) and not await self._client.send(
                bytes((channel,)) + event.data
            ):
                return False
        if event.ends or event.kind is Kind.RST_STREAM:
            self._running.discard(event.stream)
            self._is_done = not self._running
        return not self._is_done


def _outcome(message: bytes) -> JsonObject | None:
    """Return the failure that a kubelet's error stream tells of, None if there is none."""
    if not message:
        return None
    status = _status_in(message)
    if status is None:
        return _internal(f"error stream protocol error: {message.decode('utf-8', 'replace')}")
    if status.get("status") == "Success":
        return None
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    for cause in causes if isinstance(causes, list) else ():
        is_code = isinstance(cause, Mapping) and cause.get("reason") == "ExitCode"
        if status.get("reason") == _EXIT_CODE and is_code:
            code = cause.get("message", "")
            return {
                "metadata": {},
                "status": "Failure",
                "message": "command terminated with non-zero exit code: "
                f"command terminated with exit code {code}",
                "reason": _EXIT_CODE,
                "details": {"causes": [{"reason": "ExitCode", "message": code}]},
            }
    return _internal(str(status.get("message") or "unknown error"))


def _status_in(message: bytes) -> JsonObject | None:
    try:
        found = orjson.loads(message)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "status" in found else None


def _internal(text: str) -> JsonObject:
    return st.internal_error(text).status

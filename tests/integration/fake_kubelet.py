"""What a fake kubelet answers: logs, and sessions over websockets or SPDY that echo their input."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from apiserver.proxying import websocket
from apiserver.proxying.websocket import Decoder, Opcode
from kube.spdy import Kind, SpdyDecoder, SpdyEncoder
from tests.integration.fake_backends import Request

LOG = b"first line\nsecond line\n"


def failure(code: int) -> bytes:
    """Return what a kubelet says of a command that has ended with a code."""
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return orjson.dumps(
        {
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": f"command terminated with non-zero exit code {code}",
            "details": {"causes": causes},
        }
    )


SUCCESS = b'{"metadata":{},"status":"Success"}'


async def kubelet(request: Request) -> None:
    """Answer as a kubelet would that has whatever is asked for."""
    if request.path.startswith("/containerLogs/"):
        await request.answer(200, LOG, "text/plain")
    elif request.value("upgrade") == "websocket":
        await _echo_websocket(request)
    elif request.value("upgrade") == "SPDY/3.1":
        await (_forward if "/portForward/" in request.path else _echo_spdy)(request)
    else:
        body = orjson.dumps({"path": request.target, "method": request.method})
        await request.answer(200, body)


async def _echo_websocket(request: Request) -> None:
    """Give the input back in capitals; end when it ends, with code 3 if it held an `x`."""
    key = request.value("sec-websocket-key").encode()
    await request.send(websocket.accept_head(key, "v5.channel.k8s.io"))
    decoder, text = Decoder(), b""
    await request.send(websocket.encode(Opcode.BINARY, b"\1"))
    if "stdin" not in request.target and "input=1" not in request.target:
        await request.send(websocket.encode(Opcode.BINARY, b"\1ready\n"))
        await _end_websocket(request, SUCCESS)
        return
    while data := await request.reader.read(65_536):
        for frame in decoder.feed(data):
            if frame.data[:1] == b"\0":
                text += frame.data[1:]
                upper = b"\1" + frame.data[1:].upper()
                await request.send(websocket.encode(Opcode.BINARY, upper))
            elif frame.data[:2] == b"\xff\0":
                await _end_websocket(request, failure(3) if b"x" in text else SUCCESS)
                return


async def _end_websocket(request: Request, status: bytes) -> None:
    await request.send(websocket.encode(Opcode.BINARY, b"\3" + status))
    await request.send(websocket.encode_close(websocket.CloseCode.NORMAL))
    request.writer.close()


async def _grant_spdy(request: Request) -> None:
    protocol = request.value("x-stream-protocol-version")
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        f"X-Stream-Protocol-Version: {protocol}",
    ]
    await request.send("\r\n".join([*lines, "", ""]).encode())


async def _echo_spdy(request: Request) -> None:
    """Do the same over SPDY; what streams are for, their headers say."""
    await _grant_spdy(request)
    decoder, inflater = SpdyDecoder(), zlib.decompressobj()
    names: dict[str, int] = {}
    text = b""
    while data := await request.reader.read(65_536):
        for event in decoder.feed(data):
            if event.kind is Kind.SYN_STREAM:
                block = inflater.decompress(event.data[6:])
                names[block.rsplit(b"\0", 1)[-1][1:].decode()] = event.stream
            elif event.kind is None and event.stream == names.get("stdin"):
                text += event.data
                echoed = SpdyEncoder.data(names["stdout"], event.data.upper())
                await request.send(echoed, SpdyEncoder.ping(2))
                if event.ends:
                    status = failure(3) if b"x" in text else SUCCESS
                    await _end_spdy(request, names, status)
                    return


async def _end_spdy(request: Request, names: dict[str, int], status: bytes) -> None:
    frames = [SpdyEncoder.data(names["error"], status, ends=True)]
    frames += [
        SpdyEncoder.data(names[name], b"", ends=True)
        for name in ("stdout", "stderr")
        if name in names
    ]
    await request.send(*frames)
    # As a kubelet, which reads on: what is not read would have the kernel reset the connection.
    while await request.reader.read(65_536):
        pass
    request.writer.close()


async def _forward(request: Request) -> None:
    """Echo each forwarded connection in capitals: its error stream comes first, then its data."""
    await _grant_spdy(request)
    decoder, replies = SpdyDecoder(), zlib.compressobj()
    while data := await request.reader.read(65_536):
        for event in decoder.feed(data):
            if event.kind is Kind.SYN_STREAM:
                block = replies.compress(bytes(4)) + replies.flush(zlib.Z_SYNC_FLUSH)
                payload = event.stream.to_bytes(4, "big") + block
                head = b"\x80\x03\x00\x02\x00" + len(payload).to_bytes(3, "big")
                await request.send(head, payload)
            elif event.kind is Kind.PING:
                await request.send(SpdyEncoder.ping(event.stream))
            elif event.kind is None and event.stream % 4 == 3:
                if event.data:
                    await request.send(SpdyEncoder.data(event.stream, event.data.upper()))
                if event.ends:
                    ends: list[Any] = [event.stream, event.stream - 2]
                    await request.send(*(SpdyEncoder.data(one, b"", ends=True) for one in ends))

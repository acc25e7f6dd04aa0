"""The websocket framing of RFC 6455, as a server: pure functions and a decoder without I/O.

Invariants: a message is given out in the parts that it came in, so that none has to be held whole;
what is held of a frame that has not come whole is bounded by `FRAME_BYTES_MAX`. A client's frames
must be masked, a server's are not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FRAME_BYTES_MAX: Final = 1 << 20
VERSION: Final = b"13"


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(IntEnum):
    """Why a connection is closed."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    TOO_LARGE = 1009


class ProtocolFault(Exception):
    """The client does not speak websocket as it must.

    Attributes:
        code: what it is told.
    """

    def __init__(self, text: str, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(text)
        self.code = code


class Frame(NamedTuple):
    """A frame, unmasked.

    Attributes:
        begins: whether a message begins with it (control frames are whole).
    """

    opcode: Opcode
    data: bytes
    begins: bool


class Decoder:
    """Takes a client's bytes and gives its frames."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._is_inside = False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now.

        Raises:
            ProtocolFault: the connection must be closed.
        """
        self._held += data
        while (frame := self._take()) is not None:
            yield frame

    def _take(self) -> Frame | None:
        held = self._held
        if len(held) < 2:
            return None
        first, second = held[0], held[1]
        if first & 0x70:
            raise ProtocolFault("reserved bits are set")
        if not second & 0x80:
            raise ProtocolFault("a frame of a client is not masked")
        length, at = _length(held, second & 0x7F)
        if length is None:
            return None
        if length > FRAME_BYTES_MAX:
            raise ProtocolFault("a frame is too long", CloseCode.TOO_LARGE)
        end = at + 4 + length
        if len(held) < end:
            return None
        mask, masked = bytes(held[at : at + 4]), bytes(held[at + 4 : end])
        del held[:end]
        return self._frame(first, apply_mask(masked, mask))

    def _frame(self, first: int, data: bytes) -> Frame:
        is_last = bool(first & 0x80)
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError as error:
            raise ProtocolFault("an unknown kind of frame") from error
        if opcode >= Opcode.CLOSE:
            if not is_last or len(data) > 125:
                raise ProtocolFault("a control frame in parts")
            return Frame(opcode, data, begins=True)
        begins = opcode is not Opcode.CONTINUATION
        if begins is self._is_inside:
            raise ProtocolFault("a message begins within another, or goes on after its end")
        self._is_inside = not is_last
        return Frame(opcode, data, begins=begins)


def _length(held: bytearray, short: int) -> tuple[int | None, int]:
    """Return a frame's length (None: it has not come yet), and where its mask begins."""
    size = {126: 2, 127: 8}.get(short, 0)
    at = 2 + size
    if not size:
        return short, at
    return (int.from_bytes(held[2:at], "big") if len(held) >= at else None), at


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """Return data masked, or unmasked, which is the same."""
    if not data:
        return b""
    whole = (mask * (len(data) // 4 + 1))[: len(data)]
    number = int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")
    return number.to_bytes(len(data), "big")


def encode(opcode: Opcode, data: bytes) -> bytes:
    """Return a server's frame that is a whole message."""
    length = len(data)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")
    return head + data


def encode_close(code: CloseCode, text: str = "") -> bytes:
    """Return the frame that closes a connection."""
    return encode(Opcode.CLOSE, code.to_bytes(2, "big") + text.encode()[:120])


def offered_protocols(values: Sequence[bytes]) -> list[str]:
    """Return the subprotocols that Sec-WebSocket-Protocol headers offer, in order."""
    found = (part.strip() for value in values for part in value.split(b","))
    return [part.decode("latin-1") for part in found if part]


def accept_head(key: bytes, protocol: str) -> bytes:
    """Return the head of the answer that grants the upgrade.

    Args:
        key: the client's Sec-WebSocket-Key.
        protocol: the chosen subprotocol, "" for none.
    """
    digest = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + digest,
    ]
    if protocol:
        lines.append(b"Sec-WebSocket-Protocol: " + protocol.encode("latin-1"))
    return b"\r\n".join([*lines, b"", b""])


def is_key(key: bytes) -> bool:
    """Tell whether this is a Sec-WebSocket-Key: sixteen bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        return False

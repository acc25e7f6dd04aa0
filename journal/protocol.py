"""The framed protocol between the journal service and its clients, over a Unix or TCP socket.

Integers are little-endian. Both directions carry frames; `length` counts the payload alone:

    +-------------+---------+----------------+
    | length  u32 | kind u8 | payload        |
    +-------------+---------+----------------+

    client to service                      payload
      1 HELLO     first on a connection    "UPJC", version u16, client 16
      2 APPEND    any number of appends    name length u8, name, then for each append:
                  to one stream              id u64, size u32, key 16, body (record.py) size - 16
      3 READ      subscribe                id u64, from sequence u64, window u32, name
      4 CREDIT    more of a subscription   id u64, bytes u32
      5 CANCEL    end a subscription       id u64
      6 BOUNDS    first and last sequence  id u64, name
      7 TRIM      forget the old           id u64, before u64, name
      8 STATS     counters                 id u64
      9 RESEND    appends sent before      name length u8, name, then for each append:
                  to one stream              id u64, size u32, after u64, key 16, body size - 16
     10 HOLD      keep from `before` on    id u64, before u64, holder length u8, holder, name
    service to client
     64 WELCOME   answers HELLO            version u16, largest append u32
     65 APPENDED  durable                  for each append: id u64, first sequence u64
     66 FAILED    ends the id              id u64, code u16 (errors.py), detail u64, message
     67 RESULT    answers BOUNDS, TRIM     id u64, first u64, last u64
                  and HOLD
     68 FRAMES    of a subscription        id u64, next sequence u64, whole frames (record.py)
     69 TEXT      answers STATS            id u64, JSON
     70 ERROR     before hanging up        code u16, message

Ids are the client's, unique on its connection. Rules:

    - `client` is a client's own random name. It has one connection: a newer one ends the older, of
      which nothing more is read, so that what is resent is never overtaken by its first copy.
    - `after` is a sequence the client knew to be durable before it first sent the append. If keys
      are not remembered from so far back, the append is refused: it may be there already.
    - Appends of one connection to one stream are committed in the order they were sent.
    - An append's APPENDED is sent before any FRAMES that hold it, on the same connection.
    - The service sends no FRAMES for a subscription beyond its window: the window given by READ,
      less the bytes of FRAMES data sent, plus CREDIT. (The chunk that crosses zero is sent whole.)
      So a slow reader holds up neither the service nor the other traffic of its connection.
    - FRAMES may begin before the sequence asked for; the reader drops what it did not ask for.
    - A frame that breaks the format, or passes FRAME_BYTES_MAX, ends the connection with ERROR.

There is no authentication: a Unix socket is its owner's alone, TCP is for networks one trusts.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from journal.errors import JournalError, ProtocolError, error_from_wire

PROTOCOL_VERSION: Final = 2
HELLO_MAGIC: Final = b"UPJC"
FRAME_BYTES_MAX: Final = 16 << 20
PEER_SILENT_SECONDS_MAX: Final = 20
"""A TCP peer whose kernel does not answer for so long is gone."""

FRAME_HEAD: Final = struct.Struct("<IB")
APPEND_HEAD: Final = struct.Struct("<QI")
RESEND_HEAD: Final = struct.Struct("<QIQ")
CLIENT_BYTES: Final = 16
GREETING: Final = struct.Struct("<4sH")
"""What every version's HELLO begins with."""
HELLO: Final = struct.Struct("<4sH16s")
WELCOME: Final = struct.Struct("<HI")
READ: Final = struct.Struct("<QQI")
CREDIT: Final = struct.Struct("<QI")
ID: Final = struct.Struct("<Q")
TWO: Final = struct.Struct("<QQ")
THREE: Final = struct.Struct("<QQQ")
FAILED: Final = struct.Struct("<QHQ")
ERROR: Final = struct.Struct("<H")


class Kind(IntEnum):
    """The kinds of frames; the module's head describes them."""

    HELLO = 1
    APPEND = 2
    READ = 3
    CREDIT = 4
    CANCEL = 5
    BOUNDS = 6
    TRIM = 7
    STATS = 8
    RESEND = 9
    HOLD = 10
    WELCOME = 64
    APPENDED = 65
    FAILED = 66
    RESULT = 67
    FRAMES = 68
    TEXT = 69
    ERROR = 70


def encode(kind: Kind, payload: bytes) -> bytes:
    """Return one frame."""
    return FRAME_HEAD.pack(len(payload), kind) + payload


def encode_append_head(name: bytes, appends_bytes: int, kind: Kind = Kind.APPEND) -> bytes:
    """Return the beginning of an APPEND or RESEND frame whose appends take `appends_bytes`."""
    payload_bytes = 1 + len(name) + appends_bytes
    return FRAME_HEAD.pack(payload_bytes, kind) + bytes((len(name),)) + name


def encode_hold(identity: int, before: int, holder: bytes, name: bytes) -> bytes:
    """Return a HOLD frame."""
    head = TWO.pack(identity, before) + bytes((len(holder),))
    return encode(Kind.HOLD, head + holder + name)


def decode_hold(payload: bytes) -> tuple[int, int, str, str]:
    """Return a HOLD frame's id, sequence, holder and stream.

    Raises:
        ProtocolError: it is cut off.
    """
    identity, before = TWO.unpack_from(payload)
    start = TWO.size + 1
    if len(payload) < start or len(payload) < start + payload[TWO.size]:
        raise ProtocolError("a HOLD frame is cut off")
    end = start + payload[TWO.size]
    return identity, before, payload[start:end].decode(), payload[end:].decode()


def encode_frames_head(subscription: int, next_sequence: int, data_bytes: int) -> bytes:
    """Return the beginning of a FRAMES frame whose data takes `data_bytes`."""
    head = FRAME_HEAD.pack(TWO.size + data_bytes, Kind.FRAMES)
    return head + TWO.pack(subscription, next_sequence)


def encode_appended(numbers: Sequence[int]) -> bytes:
    """Return an APPENDED frame for alternating ids and first sequences."""
    return encode(Kind.APPENDED, _swap(array("Q", numbers)).tobytes())


def decode_appended(payload: bytes) -> array[int]:
    """Return an APPENDED frame's alternating ids and first sequences.

    Raises:
        ProtocolError: the payload is no whole number of pairs.
    """
    if len(payload) % TWO.size:
        raise ProtocolError("an APPENDED frame is cut off")
    numbers = array("Q")
    numbers.frombytes(payload)
    return _swap(numbers)


def encode_failed(identity: int, error: JournalError) -> bytes:
    """Return a FAILED frame."""
    return encode(
        Kind.FAILED, FAILED.pack(identity, error.code, error.detail) + str(error).encode()
    )


def decode_failed(payload: bytes) -> tuple[int, JournalError]:
    """Return a FAILED frame's id and error."""
    identity, code, detail = FAILED.unpack_from(payload)
    return identity, error_from_wire(code, detail, payload[FAILED.size :].decode())


def encode_error(error: JournalError) -> bytes:
    """Return an ERROR frame."""
    return encode(Kind.ERROR, ERROR.pack(error.code) + str(error).encode())


def decode_error(payload: bytes) -> JournalError:
    """Return an ERROR frame's error."""
    (code,) = ERROR.unpack_from(payload)
    return error_from_wire(code, 0, payload[ERROR.size :].decode())


def _swap(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class FrameSplitter:
    """Cuts what arrives into frames. Holds at most one unfinished frame and what came with it."""

    def __init__(self, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._needed_bytes = FRAME_HEAD.size

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what arrived; return the frames it completes, as (kind, payload).

        Raises:
            ProtocolError: a frame says it is larger than is allowed. (Frames that came complete
                with it are lost: the connection ends.)
        """
        if self._parts:
            self._parts.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._needed_bytes:
                # Parts are joined once a frame is whole: joining at every arrival would copy a
                # large frame again and again.
                return []
            data = b"".join(self._parts)
            self._parts.clear()
        frames: list[tuple[int, bytes]] = []
        position = 0
        available = len(data)
        needed = FRAME_HEAD.size
        while available - position >= FRAME_HEAD.size:
            length, kind = FRAME_HEAD.unpack_from(data, position)
            if length > self._frame_bytes_max:
                raise ProtocolError(
                    f"a frame of {length} bytes passes the limit of {self._frame_bytes_max}"
                )
            start = position + FRAME_HEAD.size
            if available - start < length:
                needed = FRAME_HEAD.size + length
                break
            position = start + length
            frames.append((kind, data[start:position]))
        self._needed_bytes = needed
        self._held_bytes = available - position
        if self._held_bytes:
            self._parts.append(data[position:] if position else data)
        return frames


def watch_peer(transport: asyncio.Transport) -> None:
    """Have the kernel find out when a TCP peer is gone without a word (power, network).

    Else the service would keep its place for ever, and a client wait on a connection that leads
    nowhere. A Unix socket's peer can't go so.
    """
    peer = transport.get_extra_info("socket")
    if peer is None or peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PEER_SILENT_SECONDS_MAX // 2)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PEER_SILENT_SECONDS_MAX // 4)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    # Keep-alives rest while bytes are unacknowledged; this is the limit then.
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * PEER_SILENT_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket's path."""

    path: str


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and port."""

    host: str
    port: int


Address: TypeAlias = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Read `unix:/path` or `tcp:host:port` (`tcp:[::1]:port` for IPv6).

    Raises:
        ValueError: neither of them.
    """
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest:
        return UnixAddress(rest)
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and host and port.isdigit() and int(port) < 1 << 16:
        return TcpAddress(host.strip("[]"), int(port))
    raise ValueError(f"journal address {text!r} is neither unix:/path nor tcp:host:port")

"""What a process that keeps a partition and those that map it say to each other: bytes only.

    frame         length u32, kind u8, payload          (as the journal's, see journal/protocol.py)

    from the keeper
    HELLO    1    magic, version u16, inodes of data and lock u64, map bytes u64, revision u64
    APPLIED  2    revision u64: the environment has come so far
    STATUS   3    JSON: what is to be known of the partition; to be answered

    from a mapper
    JOIN     4    JSON: who it is
    ALIVE    5    JSON: how far it has come, and what it serves

Both ends are of one version and one user, on one machine: numbers are little-endian, and whatever
breaks the format ends the connection.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, Final, NamedTuple

import orjson

from journal.protocol import FRAME_HEAD
from storage.environment import Identity

SOCKET_NAME: Final = "feed.sock"
FRAME_BYTES_MAX: Final = 1 << 20
_MAGIC: Final = b"UPFEED\0\0"
_VERSION: Final = 1
_HELLO: Final = struct.Struct("<8sHQQQQ")
_REVISION: Final = struct.Struct("<Q")


class FeedBroken(Exception):
    """The other end says what it should not; the connection ends."""


class FeedKind(IntEnum):
    """What a frame is."""

    HELLO = 1
    APPLIED = 2
    STATUS = 3
    JOIN = 4
    ALIVE = 5


class Hello(NamedTuple):
    """What a mapper needs to open the files."""

    identity: Identity
    map_bytes: int
    revision: int


def encode(kind: FeedKind, payload: bytes) -> bytes:
    """Return one frame."""
    return FRAME_HEAD.pack(len(payload), kind) + payload


def encode_hello(hello: Hello) -> bytes:
    """Return the frame that begins a feed."""
    identity, map_bytes, revision = hello
    return encode(FeedKind.HELLO, _HELLO.pack(_MAGIC, _VERSION, *identity, map_bytes, revision))


def encode_applied(revision: int) -> bytes:
    """Return the frame that tells how far the environment has come."""
    return FRAME_HEAD.pack(_REVISION.size, FeedKind.APPLIED) + _REVISION.pack(revision)


def encode_json(kind: FeedKind, content: Any) -> bytes:
    """Return a frame of a kind that holds JSON."""
    return encode(kind, orjson.dumps(content))


def decode_hello(payload: bytes) -> Hello:
    """Return what a HELLO says.

    Raises:
        FeedBroken: it is none, or of another version.
    """
    if len(payload) != _HELLO.size:
        raise FeedBroken(f"a HELLO has {_HELLO.size} bytes, not {len(payload)}")
    magic, version, data, lock, map_bytes, revision = _HELLO.unpack(payload)
    if magic != _MAGIC or version != _VERSION:
        raise FeedBroken(f"the other end speaks {magic!r} {version}, we speak version {_VERSION}")
    return Hello(Identity(data, lock), map_bytes, revision)


def decode_applied(payload: bytes) -> int:
    """Return the revision of an APPLIED.

    Raises:
        FeedBroken: it is none.
    """
    if len(payload) != _REVISION.size:
        raise FeedBroken(f"an APPLIED has {_REVISION.size} bytes, not {len(payload)}")
    revision: int = _REVISION.unpack(payload)[0]
    return revision


def decode_json(payload: bytes) -> dict[str, Any]:
    """Return the object in a frame that holds JSON.

    Raises:
        FeedBroken: there is none.
    """
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise FeedBroken(f"no JSON: {error}") from error
    if not isinstance(content, dict):
        raise FeedBroken("the JSON is no object")
    return content

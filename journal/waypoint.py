"""What a stream knew to be durable at one moment, kept beside its segments.

Segments alone can't tell a last group that was damaged from one that was never synced, nor that a
whole file behind the last one is gone; and the keys of trimmed segments would go with them. So
before segments are trimmed, and when the stream is closed, its end and its keys are written down:

     0        8      12      16           24           32      36
    +--------+------+-------+------------+------------+-------+---------------------------------+
    | magic  | crc32c version| next seq.  | timestamp  | count | count times: key 16, first seq. |
    | 8 bytes| u32  | u32   | u64        | ms u64     | u32   | u64                             |
    +--------+------+-------+------------+------------+-------+---------------------------------+

Little-endian. The crc32c begins with that of the stream's name and covers everything after itself.

A waypoint is never taken back: a log only grows at its end, so its next sequence is a lower bound
for ever. A log that ends before it has lost what was durable, and is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from journal.disk import FileOps, replace_file
from journal.engine import KEY_BYTES
from journal.errors import CorruptStream, UnsupportedFormat

WAYPOINT_NAME: Final = "waypoint"
"""Recovery removes what ends so: a waypoint that never got its name was never relied on."""

_VERSION: Final = 1
_MAGIC: Final = b"UPWAYP\r\n"
_HEAD = struct.Struct("<8sIIQQI")
_KEY = struct.Struct("<16sQ")
_COVERED_FROM: Final = 12

assert _KEY.size == KEY_BYTES + 8


class Waypoint(NamedTuple):
    """The end of a stream, and the keys it remembers."""

    next_sequence: int
    timestamp_ms: int
    keys: Sequence[tuple[bytes, int]]
    """Idempotency keys and their first sequences, oldest first."""


def encode_waypoint(waypoint: Waypoint, stream: str) -> bytes:
    """Return the file's bytes."""
    fixed = (waypoint.next_sequence, waypoint.timestamp_ms, len(waypoint.keys))
    keys = b"".join([_KEY.pack(key, sequence) for key, sequence in waypoint.keys])
    covered = (_HEAD.pack(_MAGIC, 0, _VERSION, *fixed) + keys)[_COVERED_FROM:]
    return _MAGIC + struct.pack("<I", _checksum(stream, covered)) + covered


def decode_waypoint(data: bytes, path: Path) -> Waypoint:
    """Read a waypoint of the stream whose directory holds `path`.

    Raises:
        UnsupportedFormat: a newer program wrote it.
        CorruptStream: it is damaged, or another stream's.
    """
    if len(data) < _HEAD.size or data[:8] != _MAGIC:
        raise CorruptStream(path, 0, "not a journal waypoint: bad magic")
    _, crc, version, next_sequence, timestamp_ms, count = _HEAD.unpack_from(data)
    if version > _VERSION:
        raise UnsupportedFormat(
            f"{path}: waypoint version {version}, this program knows {_VERSION}"
        )
    if _checksum(path.parent.name, data[_COVERED_FROM:]) != crc:
        raise CorruptStream(path, 0, "the waypoint fails its checksum, or is another stream's")
    if len(data) != _HEAD.size + count * _KEY.size:
        raise CorruptStream(path, 0, f"a waypoint of {count} keys has not {len(data)} bytes")
    return Waypoint(next_sequence, timestamp_ms, list(_KEY.iter_unpack(data[_HEAD.size :])))


def read_waypoint(directory: Path) -> Waypoint | None:
    """Return a stream's waypoint, or None if it never had one. Raises as `decode_waypoint`."""
    path = directory / WAYPOINT_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return decode_waypoint(data, path)


def write_waypoint(directory: Path, waypoint: Waypoint, ops: FileOps) -> None:
    """Replace the stream's waypoint, durably; blocks.

    Raises:
        OSError: the one before is still there, or this one is; both are right.
    """
    replace_file(ops, directory / WAYPOINT_NAME, encode_waypoint(waypoint, directory.name))


def _checksum(stream: str, covered: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(stream.encode()), covered))

"""What a sealed segment holds, kept beside it, so that a start need not read the segment itself.

    <first sequence>.summary, little-endian:
     0        8      12      16     20     24         32         40       48           56      60
    +--------+------+-------+------+------+----------+----------+--------+------------+-------+----+
    | magic  |crc32c|version| salt |unused| first    | next     | end    | last       |places |keys|
    | 8 bytes| u32  | u32   | u32  | u32  | seq. u64 | seq. u64 | u64    | timestamp  | u32   |u32 |
    +--------+------+-------+------+------+----------+----------+--------+------------+-------+----+
    then so many places: sequence u64, offset u64; so many keys: key 16, first sequence u64

The crc32c begins with that of the stream's name and covers everything after itself. The keys are
the last ones of the segment, as many as are remembered.

It is a note, never evidence: it is not synced, and whenever it is missing, damaged, of another
version, or does not fit the segment's header and size, the segment is read instead. What it says
was durable when it was written. The frames' own checksums are looked at when they are read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import google_crc32c

from journal.disk import FILE_MODE, FileOps, write_all
from journal.engine import KEY_BYTES
from journal.segment import SegmentInfo

SUMMARY_SUFFIX: Final = ".summary"
# Recovery removes what ends so.
_TEMPORARY_SUFFIX: Final = ".summary.new"
_VERSION: Final = 1
_MAGIC: Final = b"UPSUMM\r\n"
_HEAD: Final = struct.Struct("<8sIIIIQQQQII")
_PLACE: Final = struct.Struct("<QQ")
_KEY: Final = struct.Struct("<16sQ")
_COVERED_FROM: Final = 12

assert _KEY.size == KEY_BYTES + 8


class Summary(NamedTuple):
    """A sealed segment, without its records."""

    info: SegmentInfo
    timestamp_ms: int
    """Of its last frame."""
    packed_keys: bytes

    def keys(self) -> list[tuple[bytes, int]]:
        """Return its last keys and their first sequences, oldest first."""
        return list(_KEY.iter_unpack(self.packed_keys))


def summary_path(segment: Path) -> Path:
    """Return where a segment's summary is."""
    return segment.with_suffix(SUMMARY_SUFFIX)


def encode_summary(
    info: SegmentInfo, timestamp_ms: int, keys: Sequence[tuple[bytes, int]], stream: str
) -> bytes:
    """Return the file's bytes."""
    places = tuple(zip(info.index_sequences, info.index_offsets, strict=True))
    ends = (info.first_sequence, info.next_sequence, info.end_offset, timestamp_ms)
    head = _HEAD.pack(_MAGIC, 0, _VERSION, info.salt, 0, *ends, len(places), len(keys))
    index = struct.pack(f"<{2 * len(places)}Q", *chain.from_iterable(places))
    covered = b"".join([head[_COVERED_FROM:], index, *(_KEY.pack(*key) for key in keys)])
    return _MAGIC + struct.pack("<I", _checksum(stream, covered)) + covered


def read_summary(segment: Path, first_sequence: int, salt: int) -> Summary | None:
    """Return the summary of a segment with this header; None where the segment must be read."""
    try:
        data = summary_path(segment).read_bytes()
        size_bytes = segment.stat().st_size
    except OSError:
        return None
    if len(data) < _HEAD.size or data[:8] != _MAGIC:
        return None
    _, crc, version, noted_salt, _, first, following, end, timestamp_ms, places, keys = (
        _HEAD.unpack_from(data)
    )
    if version != _VERSION or _checksum(segment.parent.name, data[_COVERED_FROM:]) != crc:
        return None
    keys_at = _HEAD.size + places * _PLACE.size
    if (first, noted_salt, end) != (first_sequence, salt, size_bytes):
        return None
    if len(data) != keys_at + keys * _KEY.size or not places:
        return None
    index = struct.unpack_from(f"<{2 * places}Q", data, _HEAD.size)
    info = SegmentInfo(segment, first, salt, following, end, list(index[::2]), list(index[1::2]))
    return Summary(info, timestamp_ms, data[keys_at:])


def write_summary(
    info: SegmentInfo, timestamp_ms: int, keys: Sequence[tuple[bytes, int]], ops: FileOps
) -> None:
    """Write a sealed segment's summary; blocks, but not for the disk.

    Raises:
        OSError: there is none, or the one before.
    """
    data = encode_summary(info, timestamp_ms, keys, info.path.parent.name)
    temporary = info.path.with_suffix(_TEMPORARY_SUFFIX)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, FILE_MODE)
    try:
        write_all(ops, descriptor, data, 0)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    temporary.rename(summary_path(info.path))


def _checksum(stream: str, covered: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(stream.encode()), covered))

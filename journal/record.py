"""The byte format of the log, on disk and on its way to readers.

All integers are little-endian. A segment file is named `<first sequence, 20 digits>.log`:

    segment header, 256 bytes
     0        8     10     12     16        20     24         32          40
    +--------+-----+------+------+---------+------+----------+-----------+----------------------+
    | magic  |vers.| name | salt | crc32c  |unused| first    | created   | stream name, zeroes  |
    | 8 bytes| u16 |length| u32  | u32     | u32  | seq. u64 | ms u64    | up to byte 256       |
    +--------+-----+------+------+---------+------+----------+-----------+----------------------+
    then frames without gaps, then zeroes (space allocated ahead) up to the end of the file

    frame: one append, whole or absent
     0       4        8        12            16           24           32       48
    +-------+--------+--------+-------------+------------+------------+--------+----------------+
    | magic | crc32c | length | group offset| first seq. | timestamp  | key    | body           |
    | 4     | u32    | u32    | u32         | u64        | ms u64     | 16     | length - 40    |
    +-------+--------+--------+-------------+------------+------------+--------+----------------+

    body, shared with the wire protocol's appends
    +--------------+--------------------------+------------------------------+
    | count N  u32 | N record lengths, u32 each | N payloads                 |
    +--------------+--------------------------+------------------------------+

`length` counts the bytes after the crc, itself included. The crc32c begins with the segment's
random salt and covers everything after itself, so neither a record that happens to contain a frame
nor the leftovers of a deleted file can pass for one of the segment's frames. The header's crc
covers the header with the crc field zero.

`group offset` is where the frame's commit group begins in the file. Groups are written one after
the other, each after the fsync of the one before; hence a valid frame proves that everything
before its group offset had been durable. Recovery needs it: after a power cut the pages of the
last group may have reached the disk in any order, so valid frames may follow a hole without any
acknowledged byte being lost. A hole *before* the group offset of a valid frame is damage.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import google_crc32c

from journal.engine import KEY_BYTES, RECORDS_PER_APPEND_MAX, Batch
from journal.errors import BadRequest, UnsupportedFormat

FORMAT_VERSION: Final = 1

SEGMENT_MAGIC: Final = b"UPJRNL\r\n"
SEGMENT_HEADER_BYTES: Final = 256
_SEGMENT_HEADER = struct.Struct("<8sHHIIIQQ")

FRAME_MAGIC: Final = b"\xf5UPj"
_PREFIX = struct.Struct("<4sI")
_COVERED = struct.Struct("<IIQQ")
_HEAD = struct.Struct("<4sIIIQQ16sI")
_TWO_U32 = struct.Struct("<II")

HEAD_BYTES: Final = 48
BODY_BYTES_MIN: Final = 8
FRAME_BYTES_MIN: Final = HEAD_BYTES + BODY_BYTES_MIN
_LENGTH_EXTRA: Final = HEAD_BYTES - _PREFIX.size

assert _HEAD.size == HEAD_BYTES + 4
assert _PREFIX.size + _COVERED.size + KEY_BYTES == HEAD_BYTES

_extend = google_crc32c.extend


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What the first 256 bytes of a segment say."""

    stream: str
    first_sequence: int
    salt: int
    created_ms: int

    def encode(self) -> bytes:
        """Return the 256 bytes."""
        name = self.stream.encode()

        def pack(crc: int) -> bytes:
            fixed = _SEGMENT_HEADER.pack(
                SEGMENT_MAGIC,
                FORMAT_VERSION,
                len(name),
                self.salt,
                crc,
                0,
                self.first_sequence,
                self.created_ms,
            )
            return (fixed + name).ljust(SEGMENT_HEADER_BYTES, b"\0")

        return pack(google_crc32c.value(pack(0)))


def decode_segment_header(data: bytes, path: str) -> SegmentHeader:
    """Read a segment's first 256 bytes.

    Raises:
        UnsupportedFormat: a newer program wrote the file.
        ValueError: the header is damaged.
    """
    if len(data) < SEGMENT_HEADER_BYTES or data[:8] != SEGMENT_MAGIC:
        raise ValueError("not a journal segment: bad magic")
    _, version, name_bytes, salt, crc, _, first_sequence, created_ms = _SEGMENT_HEADER.unpack_from(
        data
    )
    if version > FORMAT_VERSION:
        # Before the crc: a newer format may compute another one.
        raise UnsupportedFormat(
            f"{path}: journal format version {version}, this program reads up to {FORMAT_VERSION};"
            " start a newer ultraplane on this directory"
        )
    zeroed = data[:16] + bytes(4) + data[20:SEGMENT_HEADER_BYTES]
    if version < 1 or google_crc32c.value(zeroed) != crc:
        raise ValueError("segment header fails its checksum")
    name = data[_SEGMENT_HEADER.size : _SEGMENT_HEADER.size + name_bytes].decode()
    return SegmentHeader(name, first_sequence, salt, created_ms)


def encode_keyed_record(key: bytes, record: bytes) -> bytes:
    """Return what `key + encode_body((record,))` is, copied once."""
    return b"".join((key, _TWO_U32.pack(1, len(record)), record))


def encode_body(records: Sequence[bytes]) -> bytes:
    """Return the body for `records`."""
    if len(records) == 1:
        record = records[0]
        return _TWO_U32.pack(1, len(record)) + record
    count = len(records)
    return b"".join([struct.pack(f"<{count + 1}I", count, *map(len, records)), *records])


def check_body(data: bytes, start: int) -> int:
    """Return the record count of the body that came from elsewhere, from `start` on.

    Raises:
        BadRequest: lengths and size disagree.
    """
    size = len(data) - start
    if size < BODY_BYTES_MIN:
        raise BadRequest("the append's body is cut off")
    count, length = _TWO_U32.unpack_from(data, start)
    if count == 1:
        total = length
    elif count == 0 or count > RECORDS_PER_APPEND_MAX or 4 + 4 * count > size:
        raise BadRequest("the append's record count does not fit its size")
    else:
        total = sum(struct.unpack_from(f"<{count}I", data, start + 4))
    if 4 + 4 * count + total != size:
        raise BadRequest("the append's record lengths do not add up to its size")
    return int(count)


def decode_body(data: bytes) -> tuple[bytes, ...]:
    """Return the records of a body that came from elsewhere.

    Raises:
        BadRequest: lengths and size disagree.
    """
    count = check_body(data, 0)
    return (data[BODY_BYTES_MIN:],) if count == 1 else _split_records(data, 0, count)


def encode_frame(
    keyed_body: bytes, salt: int, group_offset: int, first_sequence: int, timestamp_ms: int
) -> tuple[bytes, bytes]:
    """Return a frame in two parts, to be joined with its neighbours'.

    Args:
        keyed_body: the 16-byte key followed by the body.
        salt: the segment's.
        group_offset: where the commit group begins in the segment file.
        first_sequence: of the append's first record.
        timestamp_ms: when the journal took it.
    """
    covered = (
        _COVERED.pack(
            len(keyed_body) + _LENGTH_EXTRA - KEY_BYTES, group_offset, first_sequence, timestamp_ms
        )
        + keyed_body
    )
    return _PREFIX.pack(FRAME_MAGIC, _extend(salt, covered)), covered


class Chunk(NamedTuple):
    """Consecutive whole frames, as they stand in a segment file."""

    first_sequence: int
    next_sequence: int
    data: bytes


class Frame:
    """A frame's head, as found in a buffer; its body stays there."""

    __slots__ = ("count", "end", "first_sequence", "group_offset", "key", "start", "timestamp_ms")

    count: int
    first_sequence: int
    group_offset: int
    key: bytes
    timestamp_ms: int

    def __init__(self, data: bytes, start: int) -> None:
        """Read the head at `start`.

        Raises:
            struct.error: fewer bytes than a head has.
        """
        (
            _,
            _,
            length,
            self.group_offset,
            self.first_sequence,
            self.timestamp_ms,
            self.key,
            self.count,
        ) = _HEAD.unpack_from(data, start)
        self.start = start
        self.end = start + 8 + length

    @property
    def next_sequence(self) -> int:
        """The sequence after the frame's last record."""
        return self.first_sequence + self.count


def read_frame(data: bytes, start: int, salt: int) -> Frame | None:
    """Return the frame at `start`, or None if there is no whole, undamaged one."""
    if len(data) - start < FRAME_BYTES_MIN or data[start : start + 4] != FRAME_MAGIC:
        return None
    frame = Frame(data, start)
    if frame.end > len(data) or frame.end - start < FRAME_BYTES_MIN:
        return None
    _, crc = _PREFIX.unpack_from(data, start)
    if _extend(salt, data[start + 8 : frame.end]) != crc:
        return None
    return frame


def decode_batches(data: bytes, from_sequence: int = 0) -> list[Batch]:
    """Return the batches in `data`, whole frames whose checksums were verified where they entered.

    Records before `from_sequence` are left out: whole batches, and the head of the one it cuts.
    """
    batches: list[Batch] = []
    start = 0
    unpack_head = _HEAD.unpack_from
    while start < len(data):
        _, _, length, _, first, timestamp_ms, _, count = unpack_head(data, start)
        end = start + 8 + length
        if first + count > from_sequence:
            if count == 1:
                batches.append(Batch(first, timestamp_ms, (data[start + FRAME_BYTES_MIN : end],)))
            else:
                records = _split_records(data, start + HEAD_BYTES, count)
                skipped = max(0, from_sequence - first)
                batches.append(Batch(first + skipped, timestamp_ms, records[skipped:]))
        start = end
    return batches


def _split_records(data: bytes, body_start: int, count: int) -> tuple[bytes, ...]:
    lengths = struct.unpack_from(f"<{count}I", data, body_start + 4)
    position = body_start + 4 + 4 * count
    records: list[bytes] = []
    for length in lengths:
        records.append(data[position : position + length])
        position += length
    return tuple(records)

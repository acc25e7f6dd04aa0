"""One segment file: creating, writing, syncing, sealing, and reading back.

`SegmentWriter` is used by the disk thread alone. `SegmentInfo` is what the event loop knows of a
segment: only durable bytes, so a reader can never see what a crash might undo.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from journal.disk import FILE_MODE, FileOps, sync_directory, write_all
from journal.errors import CorruptStream
from journal.record import (
    FRAME_BYTES_MIN,
    SEGMENT_HEADER_BYTES,
    Chunk,
    Frame,
    SegmentHeader,
    read_frame,
)

SUFFIX: Final = ".log"
TEMPORARY_SUFFIX: Final = ".new"

INDEX_STEP_BYTES: Final = 256 << 10
"""A segment's index holds one place in about so many bytes."""


def segment_name(first_sequence: int) -> str:
    """Return the file name, which sorts as the sequences do."""
    return f"{first_sequence:020d}{SUFFIX}"


@dataclass(slots=True)
class SegmentInfo:
    """The durable part of a segment, and a sparse index into it.

    Invariants: `index_sequences` and `index_offsets` grow together, begin with the first frame,
    and name frames' beginnings only; `end_offset` is the end of the last durable frame.
    """

    path: Path
    first_sequence: int
    salt: int
    next_sequence: int
    end_offset: int = SEGMENT_HEADER_BYTES
    index_sequences: list[int] = field(default_factory=list)
    index_offsets: list[int] = field(default_factory=list)

    def extend(self, first_sequence: int, next_sequence: int, size_bytes: int) -> None:
        """Note that a group of frames has become durable at the segment's end."""
        offsets = self.index_offsets
        if not offsets or self.end_offset - offsets[-1] >= INDEX_STEP_BYTES:
            self.index_sequences.append(first_sequence)
            offsets.append(self.end_offset)
        self.next_sequence = next_sequence
        self.end_offset += size_bytes

    def locate(self, sequence: int) -> int:
        """Return the offset of a frame at or before the one that holds `sequence`."""
        place = bisect_right(self.index_sequences, sequence) - 1
        return self.index_offsets[max(place, 0)]


class SegmentWriter:
    """The open tail segment. Every method may raise OSError and is called by the disk thread."""

    def __init__(self, descriptor: int, end_offset: int, ops: FileOps) -> None:
        self.end_offset = end_offset
        self._descriptor = descriptor
        self._allocated = end_offset
        self._ops = ops

    @classmethod
    def create(
        cls, path: Path, header: SegmentHeader, ops: FileOps, allocation_bytes: int
    ) -> SegmentWriter:
        """Make a new segment, durable with its name, or leave nothing behind.

        It gets its name only once its header is durable: a `.log` file always has a header.
        """
        temporary = path.with_suffix(TEMPORARY_SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, FILE_MODE)
        try:
            writer = cls(descriptor, 0, ops)
            writer.reserve(SEGMENT_HEADER_BYTES, allocation_bytes)
            write_all(ops, descriptor, header.encode(), 0)
            writer.end_offset = SEGMENT_HEADER_BYTES
            ops.sync(descriptor)
            temporary.rename(path)
            sync_directory(path.parent)
        except OSError:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        return writer

    @classmethod
    def reopen(cls, path: Path, end_offset: int, rewrite_from: int, ops: FileOps) -> SegmentWriter:
        """Open the tail segment after recovery: cut it at `end_offset`, make all of it durable.

        Bytes from `rewrite_from` on are written again: if their fsync failed before the restart,
        the kernel may hold them in memory, marked clean, without their being on the disk.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            last_group = os.pread(descriptor, end_offset - rewrite_from, rewrite_from)
            ops.truncate(descriptor, end_offset)
            if last_group:
                write_all(ops, descriptor, last_group, rewrite_from)
            os.fsync(descriptor)  # not fdatasync: the file may have become shorter
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor, end_offset, ops)

    def reserve(self, size_bytes: int, allocation_bytes: int) -> None:
        """Make sure that `size_bytes` more can be written without running out of space."""
        needed = self.end_offset + size_bytes
        if needed > self._allocated:
            length = max(allocation_bytes, needed - self._allocated)
            self._ops.allocate(self._descriptor, self._allocated, length)
            self._allocated += length

    def write(self, data: bytes) -> None:
        """Write at the end, without moving it: `advance` does, after `sync`."""
        write_all(self._ops, self._descriptor, data, self.end_offset)

    def sync(self) -> None:
        """Make what was written durable."""
        self._ops.sync(self._descriptor)

    def advance(self, size_bytes: int) -> None:
        """Move the end behind what was written and synced."""
        self.end_offset += size_bytes

    def cut(self) -> None:
        """Throw away everything behind the end: half-written frames and allocated space."""
        self._ops.truncate(self._descriptor, self.end_offset)
        self._allocated = self.end_offset

    def close(self) -> None:
        """Close the file as it is."""
        os.close(self._descriptor)


def read_bytes(path: Path, offset: int, length: int) -> bytes:
    """Read a part of a file; runs in any thread.

    Raises:
        FileNotFoundError: the segment was trimmed away meanwhile.
    """
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), length, offset)


def slice_frames(info: SegmentInfo, offset: int, data: bytes, sequence: int) -> Chunk | int:
    """Return the whole frames in `data`, from the one that holds `sequence`.

    Args:
        info: the segment `data` was read from; its durable end bounds what is believed.
        offset: where in the file `data` begins: at a frame at or before the wanted one.
        data: a part of the file.
        sequence: the first one wanted.

    Returns:
        The frames; or, if the wanted one is not whole, how many bytes from `offset` on must be
        read to have it.

    Raises:
        CorruptStream: bytes that had been durable fail their checksum, at or before `sequence`.
    """
    position = 0
    start = -1
    first = next_sequence = sequence
    while len(data) - position >= FRAME_BYTES_MIN:
        frame = Frame(data, position)
        if frame.end > len(data) and offset + frame.end <= info.end_offset:
            break
        if read_frame(data, position, info.salt) is None:
            if start >= 0:
                break  # what precedes the damage is served; who goes on from there hears of it
            raise CorruptStream(info.path, offset + position, "a frame fails its checksum")
        if start < 0 and frame.next_sequence > sequence:
            start, first = position, frame.first_sequence
        next_sequence = frame.next_sequence
        position = frame.end
    if start >= 0:
        return Chunk(first, next_sequence, data[start:position])
    if offset + len(data) >= info.end_offset:
        raise CorruptStream(info.path, offset + position, f"sequence {sequence} is not there")
    if len(data) - position < FRAME_BYTES_MIN:
        return position + FRAME_BYTES_MIN
    needed: int = Frame(data, position).end
    return needed

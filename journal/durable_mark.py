"""How far a stream was durable, by the last that its process knew: one number, never synced.

A log whose process was killed ends with its last whole frame, and a damaged last group looks just
like one whose sync never returned. What tells them apart is whether somebody was told of it. So
after each sync, and before anybody is told, the next sequence is put into a mapped file. That costs
no system call: the page outlives the process, and reaches the disk when the kernel pleases.

     0        4         8            16       20        24           32
    +--------+---------+------------+--------+---------+------------+
    | crc32c | version | next seq.  | the same again: written in turn
    +--------+---------+------------+

Little-endian. The crc32c begins with that of the stream's name.

Invariant: the mark never names more than was durable when it was written, so after a crash of the
machine, which may take it back, it is a lower bound like the waypoint's. A half that is not right
counts for nothing; the other is one group behind.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from pathlib import Path
from typing import Final

import google_crc32c

from journal.disk import FILE_MODE, allocate
from journal.errors import CorruptStream, UnsupportedFormat

MARK_NAME: Final = "durable"
_VERSION: Final = 1
_HALF: Final = struct.Struct("<IIQ")
_COVERED: Final = struct.Struct("<IQ")
_HALVES: Final = 2
_BYTES: Final = _HALF.size * _HALVES
_log = logging.getLogger(__name__)


def _half(name_crc: int, next_sequence: int) -> bytes:
    covered = _COVERED.pack(_VERSION, next_sequence)
    return _HALF.pack(google_crc32c.extend(name_crc, covered), _VERSION, next_sequence)


class DurableMark:
    """The mark of one stream; used by its disk thread only."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._name_crc = google_crc32c.value(directory.name.encode())
        self._map: mmap.mmap | None = None
        self._turn = 0
        self._is_wanting = False

    def move(self, next_sequence: int) -> None:
        """Say that everything before `next_sequence` is durable.

        Where there is no space for the file, it stays as it was: a lower bound.
        """
        if self._map is None and not self._open():
            return
        assert self._map is not None
        start = self._turn * _HALF.size
        self._map[start : start + _HALF.size] = _half(self._name_crc, next_sequence)
        self._turn = (self._turn + 1) % _HALVES

    def _open(self) -> bool:
        path = self._directory / MARK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                if os.fstat(descriptor).st_size != _BYTES:
                    os.ftruncate(descriptor, _BYTES)
                # Else the kernel would find no block for the page when it writes it.
                allocate(descriptor, 0, _BYTES)
                self._map = mmap.mmap(descriptor, _BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self._is_wanting:
                self._is_wanting = True
                _log.warning("%s: how far the log is durable is not noted: %s", path, error)
            return False
        # The half that says more stays until the other says more than it.
        found = [_read_half(self._map[at : at + _HALF.size], self._name_crc) for at in _OFFSETS]
        self._turn = 0 if (found[0] or 0) <= (found[1] or 0) else 1
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._map is not None:
            self._map.close()
            self._map = None


_OFFSETS: Final = tuple(index * _HALF.size for index in range(_HALVES))


def _read_half(data: bytes, name_crc: int) -> int | None:
    """Return what a half says, 0 if it was never written; None: it is not right."""
    if data.count(0) == len(data):
        return 0
    crc, version, next_sequence = _HALF.unpack(data)
    if crc != google_crc32c.extend(name_crc, _COVERED.pack(version, next_sequence)):
        return None
    return int(next_sequence) if version == _VERSION else -int(version)


def read_mark(directory: Path) -> int:
    """Return the next sequence that a stream's mark names, 0 if there is none.

    Raises:
        CorruptStream: neither half is right.
        UnsupportedFormat: a newer program wrote it.
    """
    path = directory / MARK_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    if len(data) != _BYTES:
        # Made, and never written: there was no space, or the process was killed just then.
        return 0
    name_crc = google_crc32c.value(directory.name.encode())
    found = [_read_half(data[at : at + _HALF.size], name_crc) for at in _OFFSETS]
    right = [one for one in found if one is not None]
    if newer := [-one for one in right if one < 0]:
        raise UnsupportedFormat(f"{path}: version {newer[0]}, this program reads up to {_VERSION}")
    if not right:
        raise CorruptStream(path, 0, "not how far the log was durable: bad checksums")
    if len(right) < _HALVES:
        _log.warning("%s: one half is damaged; the other says %d", path, right[0])
    return max(right)

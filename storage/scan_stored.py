"""Scans that leave stored values as they are, for readers who know from elsewhere what is in them.

Whoever keeps another form of the objects needs only keys and revisions, and looks into a value
where that form is missing. Chunks are bounded as those of other scans (storage/scan.py).
"""

from __future__ import annotations

from typing import Final

from storage.record import HEADER, HEADER_BYTES, meta_of
from storage.scan import CHUNK_BYTES, Scan

_LOOKED_AT_MAX: Final = 4096
# What a filter leaves out was read all the same; see storage/scan.py.
_SKIPPED_SHIFT: Final = 5


class StoredScan(Scan[tuple[bytes, bytes]]):
    """Chunks of keys (namespace, NUL, name) and stored values."""

    def _fill(self, room: int) -> tuple[list[tuple[bytes, bytes]], bool]:
        prefix, match = self._prefix, self._match
        chunk: list[tuple[bytes, bytes]] = []
        size = 0
        for looked_at, (key, value) in enumerate(self._source, 1):
            if not key.startswith(prefix):
                break
            if match is None or match(meta_of(value)):
                chunk.append((key[2:], value))
                self._last = key
                size += len(value)
            else:
                size += len(value) >> _SKIPPED_SHIFT
            if size >= CHUNK_BYTES or len(chunk) == room or looked_at >= _LOOKED_AT_MAX:
                return chunk, False
        return chunk, True

    def body_of(self, value: bytes) -> bytes:
        """Return the body in a value of this scan."""
        return value[HEADER_BYTES + HEADER.unpack_from(value)[4] :]


class CountScan(Scan[None]):
    """Chunks of nothing, one for each object: their number, found in steps."""

    def _fill(self, room: int) -> tuple[list[None], bool]:
        prefix, match = self._prefix, self._match
        count = size = 0
        for looked_at, (key, value) in enumerate(self._source, 1):
            if not key.startswith(prefix):
                break
            if match is None or match(meta_of(value)):
                count += 1
                self._last = key
            size += len(value) >> _SKIPPED_SHIFT
            if size >= CHUNK_BYTES or count == room or looked_at >= _LOOKED_AT_MAX:
                return [None] * count, False
        return [None] * count, True

"""Stored values: from their bytes to what they hold, and back. The one place that decompresses.

A value of a small type is the header of storage/record.py, then meta and body as they are. Where a
type has a dictionary (storage/dictionaries.py), they are compressed together:

     0                             28                          32
     +-----------------------------+---------------------------+----------------------------+
     | revisions, expires, splice  | shape                     | one zstd frame: meta, body |
     +-----------------------------+---------------------------+----------------------------+

    shape of a plain value: the length of meta (below 2^31, as a record of the log is)
    shape of a compressed one: bit 31, the dictionary's number (11 bits), the length of meta (20)

Whether a value is compressed is a matter of this replica, its settings and its past: replicas that
agree in `plain` values are alike. Together, not apart, because that takes 10% less, and one call
(1.1 µs for a pod of 3 KB, of which 0.4 are meta's) instead of two.

Not for threads: a (de)compressor has one state, and lets the GIL go while it uses it. All of this
belongs to the loop of the partition's applier, or to the one thread of a process that reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from zstandard import ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

from storage.record import HEADER, HEADER_BYTES, Record

COMPRESSED: Final = 1 << 31
DICTIONARY_NUMBERS: Final = 1 << 11
META_BYTES_MAX: Final = (1 << 20) - 1
CONTENT_BYTES_MAX: Final = 128 << 10
"""Larger values stay plain: they are few, and taking one apart would hold everyone up for 0.1 ms
and more."""
_NUMBER_SHIFT: Final = 20
# Levels from 2 on take 5 to 15% more time for 1 to 3% less space.
_LEVEL: Final = 1
_WINDOW_VALUES: Final = 16_384


class Packer:
    """Compresses the values of one type with one dictionary.

    Attributes:
        number: the dictionary's.
        ratio: compressed to plain bytes, of the last 16,384 values or so; 0 before.
    """

    __slots__ = (
        "_compress",
        "_count",
        "_packed_bytes",
        "_plain_bytes",
        "_shape",
        "number",
        "ratio",
    )

    def __init__(self, number: int, dictionary: bytes) -> None:
        self.number = number
        self.ratio = 0.0
        self._shape = COMPRESSED | number << _NUMBER_SHIFT
        known = ZstdCompressionDict(dictionary)
        # Once for a dictionary: a second call would pull the tables from under the first's users.
        known.precompute_compress(level=_LEVEL)
        self._compress = ZstdCompressor(
            level=_LEVEL,
            dict_data=known,
            write_content_size=True,
            write_checksum=False,
            write_dict_id=False,
        ).compress
        self._count = self._plain_bytes = self._packed_bytes = 0

    def pack(self, head: tuple[int, int, int, int], meta: bytes, body: bytes) -> bytes:
        """Return the stored value of a record, compressed where that makes it smaller.

        Args:
            head: create and mod revision, when it expires, where its revision stands.
            meta: the search blob.
            body: the final JSON.
        """
        content, meta_bytes = meta + body, len(meta)
        if len(content) > CONTENT_BYTES_MAX or meta_bytes > META_BYTES_MAX:
            return HEADER.pack(*head, meta_bytes) + content
        packed = self._compress(content)
        self._plain_bytes += len(content)
        self._packed_bytes += len(packed)
        self._count += 1
        if self._count == _WINDOW_VALUES:
            self.ratio = self._packed_bytes / self._plain_bytes
            self._count = self._plain_bytes = self._packed_bytes = 0
        if len(packed) >= len(content):
            return HEADER.pack(*head, meta_bytes) + content
        return HEADER.pack(*head, self._shape | meta_bytes) + packed

    def packed_bytes(self, content: bytes) -> int:
        """Return how many bytes a value's meta and body take when compressed."""
        return len(self._compress(content))

    def repack(self, value: bytes) -> bytes:
        """Return a plain stored value, compressed where that makes it smaller."""
        *head, meta_bytes = HEADER.unpack_from(value)
        body_at = HEADER_BYTES + meta_bytes
        return self.pack(tuple(head), value[HEADER_BYTES:body_at], value[body_at:])


class Values:
    """Reads the stored values of one environment.

    Attributes:
        packers: how values are written, by the type id their keys begin with; types without an
            entry are stored plain.
    """

    def __init__(self, dictionary: Callable[[int], bytes]) -> None:
        """Begin without any dictionary; `dictionary` finds one by its number."""
        self.packers: dict[bytes, Packer] = {}
        self._dictionary = dictionary
        self._decompress: dict[int, Callable[[bytes], bytes]] = {}

    def parse(self, resource: str, object_key: bytes, value: bytes) -> Record:
        """Return the record stored as `value` under a key: type id, namespace, NUL, name."""
        create, mod, expires_at_ms, splice_at, shape = HEADER.unpack_from(value)
        if shape < COMPRESSED:
            body_at = HEADER_BYTES + shape
            meta, body = value[HEADER_BYTES:body_at], value[body_at:]
        else:
            content = self.content(shape, value)
            body_at = shape & META_BYTES_MAX
            meta, body = content[:body_at], content[body_at:]
        namespace, _, name = object_key[2:].decode().partition("\0")
        return Record(resource, namespace, name, create, mod, meta, body, splice_at, expires_at_ms)

    def content(self, shape: int, value: bytes) -> bytes:
        """Return meta and body, run together, of a compressed value."""
        number = (shape ^ COMPRESSED) >> _NUMBER_SHIFT
        decompress = self._decompress.get(number)
        if decompress is None:
            known = ZstdCompressionDict(self._dictionary(number))
            decompress = ZstdDecompressor(dict_data=known).decompress
            self._decompress[number] = decompress
        return decompress(value[HEADER_BYTES:])

    def meta(self, value: bytes) -> bytes:
        """Return the search blob of a stored value."""
        shape: int = HEADER.unpack_from(value)[4]
        if shape < COMPRESSED:
            return value[HEADER_BYTES : HEADER_BYTES + shape]
        return self.content(shape, value)[: shape & META_BYTES_MAX]

    def body(self, value: bytes) -> bytes:
        """Return the final JSON of a stored value."""
        shape: int = HEADER.unpack_from(value)[4]
        if shape < COMPRESSED:
            return value[HEADER_BYTES + shape :]
        return self.content(shape, value)[shape & META_BYTES_MAX :]

    def plain(self, value: bytes) -> bytes:
        """Return a stored value as it would be without compression."""
        *head, shape = HEADER.unpack_from(value)
        if shape < COMPRESSED:
            return value
        return HEADER.pack(*head, shape & META_BYTES_MAX) + self.content(shape, value)


def is_plain(value: bytes) -> bool:
    """Return whether a stored value is not compressed."""
    # The highest byte of the shape, little-endian.
    return value[HEADER_BYTES - 1] < COMPRESSED >> 24

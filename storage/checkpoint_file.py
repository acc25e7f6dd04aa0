"""The byte format of a checkpoint: one file, of chunks that are checked, compressed, and sealed.

All integers are little-endian. The header, 512 bytes:

     0       8      10     12       16        24        32       36      40      56     57
    +-------+------+------+--------+---------+---------+--------+-------+-------+------+-----------+
    | magic |vers. |flags |header  |sequence |plain    |chunks  |zeroes | state |name  | partition |
    | 8     | u16  | u16  |bytes   | u64     |bytes u64| u32    | 4     | hash  |length| , zeroes  |
    |       |      |      | u32    |         |         |        |       | 16    | u8   |           |
    +-------+------+------+--------+---------+---------+--------+-------+-------+------+-----------+
    its last 8 bytes: xxh3_64 of all before. In every version to come magic, version, header bytes
    and this digest are where they are here: so damage is never taken for a newer version.

    chunk: stored bytes u32 | plain bytes u32 | xxh3_64 of stored | xxh3_64 of plain | stored
    footer: magic, 8 bytes | chunks u32 | zeroes, 4 | xxh3_128 of all chunks, then of the header

`stored` is one zstd frame of at most 1 MiB of the plain file; if flag 1 is set it is that frame,
sealed under the context `<partition>/<sequence>/<chunk index>` (storage/sealing.py). The plain file
is a compact LMDB file, as storage/environment.py describes it.

The stored digests tell of damage on the disk without a key; the plain ones of damage before that,
in memory. The header is written last, when all that it says is known.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_digest, xxh3_64_intdigest, xxh3_128
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from storage.codec import WAY_OUT
from storage.errors import CheckpointDamaged, SealBroken, UnsupportedState
from storage.seal_head import PLAIN, key_of
from storage.sealing import Sealer

FORMAT_VERSION: Final = 2
"""1 was a plain LMDB file, whose name had its digest (storage/checkpoint.py)."""
CHUNK_BYTES: Final = 1 << 20
HEADER_BYTES: Final = 512
Buffer: TypeAlias = bytes | memoryview
_MAGIC: Final = b"UPCKPT\r\n"
_END_MAGIC: Final = b"UPCKEND\n"
_SEALED: Final = 1
_HEADER: Final = struct.Struct("<8sHHIQQI4x16sB")
_PREFIX: Final = struct.Struct("<8sHHI")
_CHUNK: Final = struct.Struct("<IIQQ")
_FOOTER: Final = struct.Struct("<8sI4x16s")
_DIGEST_BYTES: Final = 8
_PARTITION_BYTES_MAX: Final = HEADER_BYTES - _HEADER.size - _DIGEST_BYTES
_HEADER_BYTES_MAX: Final = 1 << 16
# A frame may be larger than what it holds, and a sealed one larger than the frame.
_STORED_BYTES_MAX: Final = CHUNK_BYTES + (64 << 10)
_LEVEL: Final = 1


class Description(NamedTuple):
    """What a checkpoint says of itself."""

    format_version: int
    partition: str
    sequence: int
    state_hash: str
    """Of the replica's state (storage/state_hash.py); "" where the format does not have it."""
    plain_bytes: int
    chunks: int
    sealed: bool


class Written(NamedTuple):
    """What has become of a checkpoint's bytes."""

    digest: str
    stored_bytes: int
    plain_bytes: int


def write_chunks(
    file: FileIO,
    about: Description,
    source: Callable[[], Buffer],
    sealer: Sealer | None,
    on_chunk: Callable[[int], None],
) -> Written:
    """Write a checkpoint into an empty file; it is not flushed.

    Args:
        file: where to.
        about: partition, sequence and state hash; the rest becomes known.
        source: returns the plain file's next chunk, an empty one at its end.
        sealer: seals the chunks.
        on_chunk: called after each chunk with the plain bytes so far.

    Raises:
        OSError: what is in the file is of no use.
    """
    whole, compress = xxh3_128(), ZstdCompressor(level=_LEVEL).compress
    end, plain_bytes, chunks = HEADER_BYTES, 0, 0
    file.seek(end)
    while plain := source():
        stored = compress(plain)
        if sealer is not None:
            stored = sealer.seal(stored, _context(about, chunks))
        head = _CHUNK.pack(
            len(stored), len(plain), xxh3_64_intdigest(stored), xxh3_64_intdigest(plain)
        )
        _write_all(file, head)
        _write_all(file, stored)
        whole.update(head)
        whole.update(stored)
        end += len(head) + len(stored)
        plain_bytes += len(plain)
        chunks += 1
        on_chunk(plain_bytes)
    header = _encode_header(
        about._replace(plain_bytes=plain_bytes, chunks=chunks, sealed=sealer is not None)
    )
    whole.update(header)
    _write_all(file, _FOOTER.pack(_END_MAGIC, chunks, whole.digest()))
    file.seek(0)
    _write_all(file, header)
    return Written(whole.hexdigest(), end + _FOOTER.size, plain_bytes)


def read_header(file: FileIO, path: Path) -> Description:
    """Read the header of a file that stands at its beginning.

    Raises:
        CheckpointDamaged: it is none. UnsupportedState: a newer program wrote it.
    """
    return _decode_header(_header_bytes(file, path), path)


def read_chunks(
    file: FileIO, path: Path, sealer: Sealer | None, *, opened: bool = True
) -> Iterator[bytes]:
    """Yield the plain file's parts, each checked; at the end all of the file was.

    What was yielded is to be thrown away if this raises.

    Args:
        file: stands at its beginning.
        path: for messages.
        sealer: opens the chunks, if they are sealed.
        opened: False: yield what is stored, without taking it apart.

    Raises:
        CheckpointDamaged, UnsupportedState: as `read_header`.
        SealBroken: a chunk is what was stored, and its key is missing or another one.
    """
    header = _header_bytes(file, path)
    about = _decode_header(header, path)
    whole, offset, plain_bytes = xxh3_128(), HEADER_BYTES, 0
    for index in range(about.chunks):
        head = _read_exactly(file, _CHUNK.size, path, offset)
        stored_bytes, length, stored_digest, plain_digest = _CHUNK.unpack(head)
        if stored_bytes > _STORED_BYTES_MAX or not 0 < length <= CHUNK_BYTES:
            raise CheckpointDamaged(path, offset, f"chunk {index} has an impossible length")
        stored = _read_exactly(file, stored_bytes, path, offset)
        if xxh3_64_intdigest(stored) != stored_digest:
            raise CheckpointDamaged(path, offset, f"chunk {index} fails its checksum")
        whole.update(head)
        whole.update(stored)
        if opened:
            frame = stored
            if about.sealed:
                frame = _unseal(stored, _context(about, index), sealer, path)
            plain = _unpack(frame, length)
            if isinstance(plain, str) or xxh3_64_intdigest(plain) != plain_digest:
                reason = plain if isinstance(plain, str) else "it is not what was written"
                raise CheckpointDamaged(path, offset, f"chunk {index}: {reason}")
            yield plain
        else:
            yield stored
        offset += len(head) + stored_bytes
        plain_bytes += length
    whole.update(header)
    footer = _read_exactly(file, _FOOTER.size, path, offset)
    if footer != _FOOTER.pack(_END_MAGIC, about.chunks, whole.digest()) or file.read(1):
        raise CheckpointDamaged(path, offset, "the whole does not have the digest at its end")
    if plain_bytes != about.plain_bytes:
        raise CheckpointDamaged(
            path, offset, f"{plain_bytes} bytes in place of {about.plain_bytes}"
        )


def _unseal(stored: bytes, context: bytes, sealer: Sealer | None, path: Path) -> bytes:
    """Return the frame in a sealed chunk, which is what was stored: no key's fault is damage."""
    if sealer is None:
        if stored[:1] == bytes((PLAIN,)):
            # Nothing was sealed any more when it was written.
            return stored[1:]
        raise SealBroken(f"it is sealed with {key_of(stored)}. {WAY_OUT}", str(path))
    try:
        return sealer.open(stored, context)
    except SealBroken as error:
        raise SealBroken(f"{error.reason}. {WAY_OUT}", str(path)) from error


def _unpack(frame: bytes, length: int) -> bytes | str:
    """Return what a chunk holds, or why there is nothing."""
    try:
        return ZstdDecompressor().decompress(frame, max_output_size=length)
    except ZstdError as error:
        return str(error)


def _encode_header(about: Description) -> bytes:
    name = about.partition.encode()
    if len(name) > _PARTITION_BYTES_MAX:
        raise ValueError(f"a partition's name has {len(name)} bytes")
    fixed = _HEADER.pack(
        _MAGIC,
        FORMAT_VERSION,
        _SEALED if about.sealed else 0,
        HEADER_BYTES,
        about.sequence,
        about.plain_bytes,
        about.chunks,
        bytes.fromhex(about.state_hash),
        len(name),
    )
    rest = (fixed + name).ljust(HEADER_BYTES - _DIGEST_BYTES, b"\0")
    return rest + xxh3_64_digest(rest)


def _header_bytes(file: FileIO, path: Path) -> bytes:
    """Return a header that is what was written, of whatever version."""
    prefix = _read_exactly(file, _PREFIX.size, path, 0)
    magic, _, _, length = _PREFIX.unpack(prefix)
    if magic != _MAGIC or not _PREFIX.size + _DIGEST_BYTES <= length <= _HEADER_BYTES_MAX:
        raise CheckpointDamaged(path, 0, "it does not begin as a checkpoint does")
    header = prefix + _read_exactly(file, length - len(prefix), path, 0)
    if xxh3_64_digest(header[:-_DIGEST_BYTES]) != header[-_DIGEST_BYTES:]:
        raise CheckpointDamaged(path, 0, "the header fails its checksum")
    return header


def _decode_header(header: bytes, path: Path) -> Description:
    _, version, flags, length = _PREFIX.unpack_from(header)
    if version > FORMAT_VERSION:
        raise UnsupportedState(path, version, FORMAT_VERSION)
    if version != FORMAT_VERSION or length != HEADER_BYTES:
        raise CheckpointDamaged(path, 0, f"there is no format {version} with such a header")
    _, _, _, _, sequence, plain_bytes, chunks, state, name_bytes = _HEADER.unpack_from(header)
    name = header[_HEADER.size : _HEADER.size + name_bytes].decode()
    sealed = bool(flags & _SEALED)
    return Description(version, name, sequence, state.hex(), plain_bytes, chunks, sealed)


def _context(about: Description, index: int) -> bytes:
    return f"{about.partition}/{about.sequence}/{index}".encode()


def _write_all(file: FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file.fileno(), view) :]


def _read_exactly(file: FileIO, size: int, path: Path, offset: int) -> bytes:
    try:
        data = file.read(size)
        while len(data) < size and (more := file.read(size - len(data))):
            data += more
    except OSError as error:
        # A bad sector: there is an older checkpoint elsewhere on the disk.
        raise CheckpointDamaged(path, offset, f"it can't be read: {error}") from error
    if len(data) < size:
        raise CheckpointDamaged(path, offset, "the file ends too early")
    return data

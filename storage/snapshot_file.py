"""A snapshot as one file: files in blocks, a manifest, and a checksum over every byte.

All integers are little-endian.

    head, 24 bytes
     0        8         12       16
    +--------+---------+--------+-------------------+
    | magic  | version | zeroes | xxh3_64 of the 16 |
    | 8      | u32     | u32    | bytes before      |
    +--------+---------+--------+-------------------+
    then blocks without gaps
     0      1         2        4        8       12
    +------+---------+--------+--------+-------+---------------------------+---------+
    | kind | packing | zeroes | stored | plain | xxh3_64 of place (u64 in  | payload |
    | u8   | u8      | u16    | bytes  | bytes | the file), the 12 bytes   |         |
    |      |         |        | u32    | u32   | before, and payload       |         |
    +------+---------+--------+--------+-------+---------------------------+---------+
        BEGIN     1   the name of a file
        DATA      2   some of its bytes, several times
        END       3   JSON: its length and SHA-256
        MANIFEST  4   JSON, once, behind all files (storage/snapshot_manifest.py)
    end, 32 bytes
    +--------+--------------------------+-----------------------------+-------------------+
    | magic  | where the manifest's     | length of the whole file    | xxh3_64 of the 24 |
    | 8      | block begins, u64        | u64                         | bytes before      |
    +--------+--------------------------+-----------------------------+-------------------+

Blocks are packed by zstd where that makes them smaller; what the files hold may be compressed, or
sealed, already. A block's checksum covers its place, so blocks can't be exchanged or left out; it
finds damage and says where. SHA-256 of each file is in the manifest, and the manifest's own is what
a snapshot is known by.

Head and end stay as they are in later versions, so that any program can tell damage from a newer
format. Written and read a block at a time: memory does not grow with the file.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from xxhash import xxh3_64_intdigest
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError, frame_content_size

VERSION: Final = 1
BLOCK_BYTES: Final = 1 << 20
MANIFEST_BYTES_MAX: Final = 16 << 20
_NAME_BYTES_MAX: Final = 512
_MAGIC: Final = b"UPSNAP\r\n"
_END_MAGIC: Final = b"UPSNPEND"
_HEAD: Final = struct.Struct("<8sII")
_BLOCK: Final = struct.Struct("<BBHII")
_END: Final = struct.Struct("<8sQQ")
_U64: Final = struct.Struct("<Q")
HEAD_BYTES: Final = _HEAD.size + _U64.size
BLOCK_HEAD_BYTES: Final = _BLOCK.size + _U64.size
END_BYTES: Final = _END.size + _U64.size
_PLAIN, _ZSTD = 0, 1
_LEVEL: Final = 1

Progress = Callable[[int], None]
"""Hears of so many bytes more."""
Sink = Callable[[str], BinaryIO | None]
"""Where a file's bytes go; None: they are only checked."""


class SnapshotDamaged(Exception):
    """A snapshot file is not what was written; nothing in it is to be trusted.

    Attributes:
        path: of the file.
        offset: where it was noticed.
    """

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class SnapshotUnsupported(Exception):
    """A snapshot is whole, but of a format that this program does not know."""


class Kind(IntEnum):
    """What a block is."""

    BEGIN = 1
    DATA = 2
    END = 3
    MANIFEST = 4


class Written(NamedTuple):
    """A file that a snapshot holds, as its END and the manifest have it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a snapshot file says of itself.

    Attributes:
        manifest: decoded.
        digest: SHA-256 of the manifest's bytes, which name those of all files.
        size_bytes: of the snapshot file.
        offset: where the manifest is.
    """

    manifest: dict[str, Any]
    digest: str
    size_bytes: int
    offset: int


class SnapshotWriter:
    """Writes a snapshot into an empty file; whole after `finish`, and refused by readers before."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offset = 0
        self._compress = ZstdCompressor(level=_LEVEL, write_content_size=True).compress
        self.files: list[Written] = []
        head = _HEAD.pack(_MAGIC, VERSION, 0)
        self._write(head + _U64.pack(xxh3_64_intdigest(head)))

    def add(self, name: str, source: BinaryIO, progress: Progress = lambda _: None) -> Written:
        """Append a file's bytes, from where `source` stands to its end.

        Raises:
            OSError: it could not be read or written; the snapshot is of no use.
        """
        self._block(Kind.BEGIN, name.encode())
        digest, size_bytes = sha256(), 0
        while data := source.read(BLOCK_BYTES):
            digest.update(data)
            size_bytes += len(data)
            self._block(Kind.DATA, data)
            progress(len(data))
        written = Written(name, size_bytes, digest.hexdigest())
        self._block(Kind.END, _json({"bytes": size_bytes, "sha256": written.sha256}))
        self.files.append(written)
        return written

    def finish(self, manifest: dict[str, Any]) -> str:
        """Write the manifest and the end; return the digest that the snapshot is known by."""
        content = _json({**manifest, "files": [written._asdict() for written in self.files]})
        manifest_at = self._offset
        self._block(Kind.MANIFEST, content)
        end = _END.pack(_END_MAGIC, manifest_at, self._offset + END_BYTES)
        self._write(end + _U64.pack(xxh3_64_intdigest(end)))
        self._file.flush()
        return sha256(content).hexdigest()

    def _block(self, kind: Kind, plain: bytes) -> None:
        packed = self._compress(plain)
        packing, payload = (_ZSTD, packed) if len(packed) < len(plain) else (_PLAIN, plain)
        head = _BLOCK.pack(kind, packing, 0, len(payload), len(plain))
        digest = xxh3_64_intdigest(b"".join((_U64.pack(self._offset), head, payload)))
        self._write(b"".join((head, _U64.pack(digest), payload)))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._offset += len(data)


class SnapshotReader:
    """Reads a snapshot file; what it gives was checked.

    Use as `with SnapshotReader(path) as reader`.

    Raises:
        SnapshotDamaged, SnapshotUnsupported: from the constructor and all methods.
        OSError: the file can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            self._check_head()
            self._manifest_at = self._check_end()
        except BaseException:
            self._file.close()
            raise
        self._decompress = ZstdDecompressor().decompress

    def __enter__(self) -> SnapshotReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def contents(self) -> Contents:
        """Return what the manifest says, without reading the files before it."""
        block = self._read_block(self._manifest_at)
        if block.kind is not Kind.MANIFEST or block.end != self.size_bytes - END_BYTES:
            raise self._damaged(self._manifest_at, "the manifest is not where the end says")
        manifest = self._decode(block)
        return Contents(
            manifest, sha256(block.data).hexdigest(), self.size_bytes, self._manifest_at
        )

    def read_all(self, sink: Sink = lambda _: None, progress: Progress = lambda _: None) -> None:
        """Check everything, and give the files' bytes to where `sink` says, in order."""
        listed = [_written_of(entry) for entry in self._listed()]
        found: list[Written] = []
        blocks = self._blocks()
        for block in blocks:
            if block.kind is Kind.MANIFEST:
                break
            if block.kind is not Kind.BEGIN:
                raise self._damaged(block.offset, f"{block.kind.name} where a file should begin")
            target = sink(self._name_of(block))
            found.append(self._read_file(block, blocks, target, progress))
            if found != listed[: len(found)]:
                raise self._damaged(block.offset, "it is not the file that the manifest lists")
        if found != listed:
            raise self._damaged(self._manifest_at, "a file that the manifest lists is missing")

    def _read_file(
        self, begin: _Block, blocks: Iterator[_Block], target: BinaryIO | None, progress: Progress
    ) -> Written:
        digest, size_bytes = sha256(), 0
        for block in blocks:
            progress(block.end - block.offset)
            if block.kind is Kind.DATA:
                digest.update(block.data)
                size_bytes += len(block.data)
                if target is not None:
                    target.write(block.data)
                continue
            if block.kind is not Kind.END:
                break
            found = Written(self._name_of(begin), size_bytes, digest.hexdigest())
            if self._decode(block) != {"bytes": found.bytes, "sha256": found.sha256}:
                raise self._damaged(block.offset, "a file's blocks are not what was its content")
            return found
        raise self._damaged(begin.offset, "a file begins there that does not end")

    def _blocks(self) -> Iterator[_Block]:
        offset = HEAD_BYTES
        while offset <= self._manifest_at:
            block = self._read_block(offset)
            yield block
            offset = block.end

    def _read_block(self, offset: int) -> _Block:
        self._file.seek(offset)
        head = self._file.read(BLOCK_HEAD_BYTES)
        if len(head) < BLOCK_HEAD_BYTES:
            raise self._damaged(offset, "a block is cut off")
        kind, packing, _, stored_bytes, plain_bytes = _BLOCK.unpack_from(head)
        most = MANIFEST_BYTES_MAX if kind == Kind.MANIFEST else BLOCK_BYTES
        end = offset + BLOCK_HEAD_BYTES + stored_bytes
        if stored_bytes > plain_bytes or plain_bytes > most or end > self.size_bytes - END_BYTES:
            raise self._damaged(offset, "a block's length is none")
        payload = self._file.read(stored_bytes)
        (digest,) = _U64.unpack_from(head, _BLOCK.size)
        covered = b"".join((_U64.pack(offset), head[: _BLOCK.size], payload))
        if xxh3_64_intdigest(covered) != digest:
            raise self._damaged(offset, "a block fails its checksum")
        try:
            data = payload
            if packing != _PLAIN:
                # Before anything is allocated for it.
                if frame_content_size(payload) != plain_bytes:
                    raise ValueError("its length is not what it says")
                data = self._decompress(payload)
            known = Kind(kind)
        except (ZstdError, ValueError) as error:
            raise self._damaged(offset, f"a block can't be read: {error}") from error
        if len(data) != plain_bytes:
            raise self._damaged(offset, "a block is not as long as it says")
        return _Block(known, data, offset, end)

    def _check_head(self) -> None:
        data = self._file.read(HEAD_BYTES)
        if data[:8] != _MAGIC:
            raise self._damaged(0, "it does not begin as a snapshot does")
        if len(data) < HEAD_BYTES:
            raise self._damaged(len(data), "it ends within its head")
        _, version, _ = _HEAD.unpack_from(data)
        if xxh3_64_intdigest(data[: _HEAD.size]) != _U64.unpack_from(data, _HEAD.size)[0]:
            raise self._damaged(0, "its head fails its checksum")
        if version != VERSION:
            raise SnapshotUnsupported(
                f"{self._path} is a snapshot of format {version}, and this program knows "
                f"{VERSION}: use the version of ultraplane that wrote it, or a newer one"
            )

    def _check_end(self) -> int:
        at = self.size_bytes - END_BYTES
        if at < HEAD_BYTES:
            raise self._damaged(self.size_bytes, "it was cut off")
        self._file.seek(at)
        data = self._file.read(END_BYTES)
        magic, manifest_at, size_bytes = _END.unpack_from(data)
        if (
            magic != _END_MAGIC
            or xxh3_64_intdigest(data[: _END.size]) != _U64.unpack_from(data, _END.size)[0]
        ):
            raise self._damaged(at, "there is no whole end: it was cut off, or changed there")
        if size_bytes != self.size_bytes or not HEAD_BYTES <= manifest_at < at:
            raise self._damaged(at, f"it should have {size_bytes} bytes, not {self.size_bytes}")
        offset: int = manifest_at
        return offset

    def _listed(self) -> list[dict[str, Any]]:
        contents = self.contents()
        files = contents.manifest.get("files")
        if not isinstance(files, list) or not all(isinstance(entry, dict) for entry in files):
            raise self._damaged(contents.offset, "the manifest lists no files")
        return files

    def _name_of(self, block: _Block) -> str:
        try:
            name = block.data[:_NAME_BYTES_MAX].decode()
        except UnicodeDecodeError as error:
            raise self._damaged(block.offset, "a file's name is none") from error
        return name

    def _decode(self, block: _Block) -> dict[str, Any]:
        try:
            content = json.loads(block.data)
        except ValueError as error:
            raise self._damaged(block.offset, f"no JSON: {error}") from error
        if not isinstance(content, dict):
            raise self._damaged(block.offset, "the JSON is no object")
        return content

    def _damaged(self, offset: int, reason: str) -> SnapshotDamaged:
        return SnapshotDamaged(self._path, offset, reason)


class _Block(NamedTuple):
    kind: Kind
    data: bytes
    offset: int
    end: int


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _written_of(entry: dict[str, Any]) -> Written:
    return Written(entry.get("name", ""), entry.get("bytes", -1), entry.get("sha256", ""))

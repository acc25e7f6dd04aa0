"""A snapshot's file: what goes in comes out, and nothing else is ever taken for it."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from storage.snapshot_file import (
    BLOCK_BYTES,
    END_BYTES,
    HEAD_BYTES,
    SnapshotDamaged,
    SnapshotReader,
    SnapshotUnsupported,
    SnapshotWriter,
)

ZSTD_MAGIC = struct.pack("<I", 0xFD2FB528)
FILES = {"checkpoints/pods/1.mdb": b"abc" * 40, "checkpoints/default/2.mdb": b"", "pki/a": b"key"}


def written(path: Path, files: dict[str, bytes] = FILES) -> Path:
    """Write a snapshot."""
    with path.open("wb") as file:
        writer = SnapshotWriter(file)
        for name, content in files.items():
            writer.add(name, io.BytesIO(content))
        writer.finish({"about": "a test"})
    return path


def read(path: Path) -> dict[str, bytes]:
    """Return the files of a snapshot, all of which is checked."""
    targets: dict[str, io.BytesIO] = {}

    def sink(name: str) -> io.BytesIO:
        targets[name] = io.BytesIO()
        return targets[name]

    with SnapshotReader(path) as reader:
        reader.contents()
        reader.read_all(sink)
    return {name: target.getvalue() for name, target in targets.items()}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return written(tmp_path / "a.snap")


def test_files_come_out_as_they_went_in(tmp_path: Path) -> None:
    files = {**FILES, "large": bytes(range(256)) * (2 * BLOCK_BYTES // 256) + b"end"}
    assert read(written(tmp_path / "large.snap", files)) == files


def test_what_can_be_made_smaller_is(tmp_path: Path) -> None:
    path = written(tmp_path / "a.snap", {"zeroes": bytes(3 * BLOCK_BYTES)})
    assert path.stat().st_size < BLOCK_BYTES // 100


def test_the_manifest_is_read_without_the_files(snapshot: Path) -> None:
    data = bytearray(snapshot.read_bytes())
    data[HEAD_BYTES + 30] ^= 1  # in the first file
    snapshot.write_bytes(data)
    with SnapshotReader(snapshot) as reader:
        contents = reader.contents()
    assert contents.manifest["about"] == "a test"
    assert [entry["name"] for entry in contents.manifest["files"]] == list(FILES)
    assert contents.size_bytes == len(data)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_damage_at_any_byte_is_refused_with_file_and_offset(snapshot: Path, flip: int) -> None:
    whole = snapshot.read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= flip
        snapshot.write_bytes(data)
        with pytest.raises(SnapshotDamaged) as caught:
            read(snapshot)
        assert f"{snapshot} is damaged at byte {caught.value.offset}" in str(caught.value)
        # It names the beginning of what holds the byte: the head, a block, the end.
        assert caught.value.offset <= at


def test_a_file_cut_off_anywhere_is_refused(snapshot: Path) -> None:
    whole = snapshot.read_bytes()
    for length in range(len(whole)):
        snapshot.write_bytes(whole[:length])
        with pytest.raises(SnapshotDamaged):
            read(snapshot)


def test_bytes_behind_the_end_are_refused(snapshot: Path) -> None:
    snapshot.write_bytes(snapshot.read_bytes() + bytes(END_BYTES))
    with pytest.raises(SnapshotDamaged, match="no whole end"):
        read(snapshot)


def test_blocks_in_another_place_are_refused(tmp_path: Path) -> None:
    block = bytes(range(256)) * (BLOCK_BYTES // 256)
    path = written(tmp_path / "a.snap", {"f": block + block[::-1]})
    data = path.read_bytes()
    first = data.index(struct.pack("<I", BLOCK_BYTES)) - 8
    stored = struct.unpack_from("<I", data, first + 4)[0] + 20
    second = first + stored
    other = struct.unpack_from("<I", data, second + 4)[0] + 20
    swapped = data[second : second + other] + data[first : first + stored]
    path.write_bytes(data[:first] + swapped + data[second + other :])
    with pytest.raises(SnapshotDamaged, match=f"at byte {first}: a block fails its checksum"):
        read(path)


def test_a_frame_that_would_be_larger_than_its_block_says_is_never_unpacked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.snap", {"f": bytes(1000)})
    data = bytearray(path.read_bytes())
    block = data.index(ZSTD_MAGIC) - 20
    while data[block] != 2:  # DATA
        block = data.index(ZSTD_MAGIC, block + 24) - 20
    struct.pack_into("<I", data, block + 8, 999)
    stored = struct.unpack_from("<I", data, block + 4)[0]
    covered = struct.pack("<Q", block) + data[block : block + 12]
    covered += data[block + 20 : block + 20 + stored]
    struct.pack_into("<Q", data, block + 12, xxh3_64_intdigest(bytes(covered)))
    path.write_bytes(data)
    with pytest.raises(SnapshotDamaged, match="its length is not what it says"):
        read(path)


def test_a_newer_format_is_called_newer_and_not_damaged(snapshot: Path) -> None:
    data = snapshot.read_bytes()
    head = data[:8] + struct.pack("<II", 2, 0)
    newer = head + struct.pack("<Q", xxh3_64_intdigest(head)) + data[HEAD_BYTES:]
    snapshot.write_bytes(newer)
    with pytest.raises(SnapshotUnsupported, match="format 2"):
        read(snapshot)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_bytes(b"PK\3\4" * 100)
    with pytest.raises(SnapshotDamaged, match="does not begin as a snapshot"):
        read(path)


def test_a_snapshot_that_was_not_finished_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    with path.open("wb") as file:
        writer = SnapshotWriter(file)
        writer.add("pki/a", io.BytesIO(b"key"))
    with pytest.raises(SnapshotDamaged):
        read(path)


def test_a_full_disk_is_told_to_the_writer() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        SnapshotWriter(file)

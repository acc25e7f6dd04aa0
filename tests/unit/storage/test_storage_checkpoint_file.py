"""A checkpoint's bytes: none can change, come or go without being noticed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import pytest
from xxhash import xxh3_64_digest

from storage.checkpoint import (
    Checkpoint,
    install_checkpoint,
    list_checkpoints,
    verify_checkpoint,
    write_checkpoint,
)
from storage.checkpoint_file import (
    FORMAT_VERSION,
    HEADER_BYTES,
    Description,
    read_chunks,
    write_chunks,
)
from storage.errors import CheckpointDamaged, SealBroken, UnsupportedState
from tests.unit.storage.replicas import Replica, put

ABOUT = Description(FORMAT_VERSION, "pods", 7, "ab" * 16, 0, 0, sealed=False)


class ToySealer(NamedTuple):
    """Hides bytes from nobody, but knows when they were changed or moved."""

    key: int = 1

    def seal(self, plain: bytes, context: bytes) -> bytes:
        mixed = bytes(byte ^ self.key for byte in plain)
        return xxh3_64_digest(context + mixed + b"%d" % self.key) + mixed

    def open(self, sealed: bytes, context: bytes) -> bytes:
        mixed = sealed[8:]
        if xxh3_64_digest(context + mixed + b"%d" % self.key) != sealed[:8]:
            raise SealBroken(f"{context.decode()} does not open")
        return bytes(byte ^ self.key for byte in mixed)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica with something in it."""
    one = Replica(tmp_path / "replica")
    for name in ("a", "b", "c"):
        one.run(put(name, node="n1"))
    yield one
    one.close()


def write(replica: Replica, directory: Path, sealer: ToySealer | None = None) -> Checkpoint:
    """Write a checkpoint of now."""
    txn = replica.environment.read()
    revision = replica.partition.revision
    return write_checkpoint(replica.environment, txn, revision, directory, sealer=sealer)


def write_parts(path: Path, parts: list[bytes], sealer: ToySealer | None = None) -> bytes:
    """Write a small file of several chunks."""
    left = list(parts)
    with FileIO(path, "w") as file:
        write_chunks(file, ABOUT, lambda: left.pop(0) if left else b"", sealer, lambda _: None)
    return path.read_bytes()


def read_back(path: Path, sealer: ToySealer | None = None) -> bytes:
    """Return the plain content."""
    with FileIO(path) as file:
        return b"".join(read_chunks(file, path, sealer))


@pytest.mark.parametrize("sealer", [None, ToySealer()])
def test_any_changed_byte_of_a_checkpoint_is_noticed(
    tmp_path: Path, sealer: ToySealer | None
) -> None:
    path = tmp_path / "one.ckpt"
    content = write_parts(path, [b"first" * 20, b"second" * 20, b"third"], sealer)
    assert read_back(path, sealer) == b"first" * 20 + b"second" * 20 + b"third"
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= 0x40
        path.write_bytes(changed)
        with pytest.raises(CheckpointDamaged):
            read_back(path, sealer)


def test_a_checkpoint_that_is_cut_or_continued_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "one.ckpt"
    content = write_parts(path, [b"first" * 20, b"second" * 20])
    for wrong in (*(content[:end] for end in range(len(content))), content + b"\0"):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointDamaged, match=f"{path}: damaged at byte"):
            read_back(path)


def test_a_sealed_chunk_opens_at_its_place_alone(tmp_path: Path) -> None:
    sealer, opened = ToySealer(), []

    class Noting(ToySealer):
        def open(self, sealed: bytes, context: bytes) -> bytes:
            opened.append(context)
            return super().open(sealed, context)

    path = tmp_path / "one.ckpt"
    write_parts(path, [b"first", b"second"], sealer)
    read_back(path, Noting())
    assert opened == [b"pods/7/0", b"pods/7/1"]


def test_a_sealed_checkpoint_is_installed_with_its_key_alone(
    replica: Replica, tmp_path: Path
) -> None:
    checkpoint = write(replica, tmp_path / "pods", ToySealer())
    assert b'"resourceVersion"' not in checkpoint.path.read_bytes()
    for sealer in (None, ToySealer(2)):
        with pytest.raises(SealBroken, match=str(checkpoint.path)):
            install_checkpoint(checkpoint, tmp_path / "copy", sealer=sealer)
    assert list((tmp_path / "copy").iterdir()) == []
    assert install_checkpoint(checkpoint, tmp_path / "copy", sealer=ToySealer())
    copy = Replica(tmp_path / "copy")
    assert copy.dump() == replica.dump()
    copy.close()


@pytest.mark.parametrize("sealer", [None, ToySealer()])
def test_a_checkpoint_tells_what_it_holds_without_a_key(
    replica: Replica, tmp_path: Path, sealer: ToySealer | None
) -> None:
    checkpoint = write(replica, tmp_path / "pods", sealer)
    about = verify_checkpoint(checkpoint.path)
    assert about.partition == "pods"
    assert about.sequence == checkpoint.sequence == replica.partition.revision
    assert about.state_hash == replica.partition.state_hash()
    assert about.sealed == (sealer is not None)


def test_a_checkpoint_that_reads_back_otherwise_is_not_kept(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(replica, tmp_path)
    replica.run(put("d"))
    pwrite_all = write_chunks

    def lossy(file: FileIO, *arguments: object) -> object:
        written = pwrite_all(file, *arguments)  # type: ignore[arg-type]
        file.truncate(written.stored_bytes - 100)
        return written

    monkeypatch.setattr("storage.checkpoint.write_chunks", lossy)
    with pytest.raises(CheckpointDamaged):
        write(replica, tmp_path)
    assert list_checkpoints(tmp_path) == [first]
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_checkpoint_of_a_newer_format_is_refused_by_name_and_version(
    replica: Replica, tmp_path: Path
) -> None:
    checkpoint = write(replica, tmp_path)
    content = bytearray(checkpoint.path.read_bytes())
    struct.pack_into("<H", content, 8, FORMAT_VERSION + 1)
    content[HEADER_BYTES - 8 : HEADER_BYTES] = xxh3_64_digest(content[: HEADER_BYTES - 8])
    checkpoint.path.write_bytes(content)
    known = f"format version {FORMAT_VERSION + 1}, this program reads up to {FORMAT_VERSION}"
    with pytest.raises(UnsupportedState, match=known) as refused:
        install_checkpoint(checkpoint, tmp_path / "copy")
    assert str(checkpoint.path) in str(refused.value)
    assert list((tmp_path / "copy").iterdir()) == []
    # A damaged version is damage: only a header that is whole can be of another version.
    content[8] ^= 4
    checkpoint.path.write_bytes(content)
    assert not install_checkpoint(checkpoint, tmp_path / "copy")

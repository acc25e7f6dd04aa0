"""Checkpoint files: whole or absent, verified, private, few."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from storage.checkpoint import (
    Checkpoint,
    install_checkpoint,
    list_checkpoints,
    write_checkpoint,
)
from storage.checkpoint_copy import Pace
from storage.environment import Environment
from storage.errors import CheckpointStopped
from tests.unit.storage.replicas import Replica, put


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """Return a replica with something in it."""
    one = Replica(tmp_path / "replica")
    for name in ("a", "b", "c"):
        one.run(put(name, node="n1"))
    yield one
    one.close()


@contextmanager
def open_full() -> Iterator[int]:
    """Give the descriptor of a file that takes nothing, as one on a full disk."""
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def write(replica: Replica, directory: Path) -> Checkpoint:
    """Write a checkpoint of now."""
    txn = replica.environment.read()
    try:
        return write_checkpoint(replica.environment, txn, replica.partition.revision, directory)
    finally:
        txn.abort()


def test_a_checkpoint_installed_is_the_replica_it_was_written_from(
    replica: Replica, tmp_path: Path
) -> None:
    checkpoint = write(replica, tmp_path / "checkpoints")
    expected = replica.dump()
    replica.run(put("later"))
    assert checkpoint.sequence == 3
    assert install_checkpoint(checkpoint, tmp_path / "copy")
    copy = Replica(tmp_path / "copy")
    try:
        assert copy.dump() == expected
        assert copy.partition.revision == 3
    finally:
        copy.close()


def test_of_one_state_stored_differently_the_newest_checkpoint_stays(
    replica: Replica, tmp_path: Path
) -> None:
    directory = tmp_path / "checkpoints"
    older = write(replica, directory)
    replica.run(put("later"))
    # Their digests are in any order.
    for _ in range(6):
        replica.compress()
        newest = write(replica, directory)
        assert list_checkpoints(directory) == [newest, older]


def test_a_snapshot_is_given_back_before_the_copy_is_flushed(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, txn = tmp_path / "checkpoints", replica.environment.read()
    directory.mkdir()
    ended: list[bool] = []

    def flush(_fd: int) -> None:
        with pytest.raises(lmdb.Error):
            txn.get(b"state", db=replica.environment.meta)
        ended.append(True)

    monkeypatch.setattr(os, "fsync", flush)
    write_checkpoint(replica.environment, txn, replica.partition.revision, directory)
    assert ended


def test_a_write_that_fails_leaves_the_older_ones(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "checkpoints"
    first = write(replica, directory)

    def full(_self: Environment, fd: int, _txn: object) -> None:
        os.write(fd, b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Environment, "copy_to", full)
    replica.run(put("d"))
    with pytest.raises(OSError, match="No space"):
        write(replica, directory)
    assert list_checkpoints(directory) == [first]
    monkeypatch.undo()
    # What the failed one left behind is in nobody's way.
    second = write(replica, directory)
    assert sorted(path.name for path in directory.iterdir()) == sorted(
        [first.path.name, second.path.name]
    )


def test_a_full_disk_fails_the_write_alone_and_is_given_its_space_back(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_to = Environment.copy_to
    with open_full() as full_fd:
        monkeypatch.setattr(
            Environment, "copy_to", lambda self, _fd, txn: copy_to(self, full_fd, txn)
        )
        with pytest.raises(OSError, match="No space"):
            write(replica, tmp_path / "checkpoints")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_the_way_to_a_checkpoint_is_as_durable_as_it_is(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def remember(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", remember)
    write(replica, tmp_path / "data" / "checkpoints" / "pods")
    for directory in ("", "data", "data/checkpoints", "data/checkpoints/pods"):
        assert tmp_path / directory in synced


def test_only_the_newest_two_are_kept_newest_first(replica: Replica, tmp_path: Path) -> None:
    for name in ("d", "e", "f"):
        replica.run(put(name))
        write(replica, tmp_path / "checkpoints")
    found = list_checkpoints(tmp_path / "checkpoints")
    assert [checkpoint.sequence for checkpoint in found] == [6, 5]


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_checkpoint_does_not_replace_what_is_there(
    replica: Replica, tmp_path: Path, damage: str
) -> None:
    checkpoint = write(replica, tmp_path / "checkpoints")
    content = bytearray(checkpoint.path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    else:
        del content[-40:]
    checkpoint.path.write_bytes(content)
    before = replica.dump()
    replica.close()
    assert not install_checkpoint(checkpoint, tmp_path / "replica")
    again = Replica(tmp_path / "replica")
    try:
        assert again.dump() == before
    finally:
        again.close()


def test_files_are_for_their_owner_only(replica: Replica, tmp_path: Path) -> None:
    checkpoint = write(replica, tmp_path / "checkpoints")
    install_checkpoint(checkpoint, tmp_path / "copy")
    for path in (checkpoint.path, tmp_path / "copy/data.mdb", tmp_path / "replica/data.mdb"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_checkpoint_that_is_given_up_leaves_nothing(replica: Replica, tmp_path: Path) -> None:
    first = write(replica, tmp_path / "pods")
    replica.run(put("d"))
    pace = Pace()
    pace.stop()
    txn, revision = replica.environment.read(), replica.partition.revision
    with pytest.raises(CheckpointStopped):
        write_checkpoint(replica.environment, txn, revision, tmp_path / "pods", pace=pace)
    txn.abort()
    assert list((tmp_path / "pods").iterdir()) == [first.path]


def test_what_else_has_a_checkpoint_keeps_it_when_it_goes(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.checkpoint_copy._CUT_BYTES", 512)
    first = write(replica, tmp_path / "pods")
    kept, content = tmp_path / "kept", first.path.read_bytes()
    os.link(first.path, kept)
    for name in ("d", "e"):
        replica.run(put(name))
        write(replica, tmp_path / "pods")
    assert not first.path.exists()
    assert kept.read_bytes() == content

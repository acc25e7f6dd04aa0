"""Private files, the lock of the data directory, log files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ultraplane import logs
from ultraplane.files import (
    DirectoryInUse,
    DirectoryLock,
    UnsafeDirectory,
    private_directory,
    write_private,
)


def test_directory_open_to_others_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir(mode=0o755)
    private_directory(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(UnsafeDirectory, match=f"belongs to user id {owner}"):
        private_directory(tmp_path)


def test_file_in_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UnsafeDirectory, match="is no directory"):
        private_directory(tmp_path / "a")


def test_failed_write_leaves_the_old_content_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    write_private(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space") as caught:
        write_private(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_second_lock_names_the_holder_and_the_way_out(tmp_path: Path) -> None:
    with DirectoryLock(tmp_path), pytest.raises(DirectoryInUse) as caught, DirectoryLock(tmp_path):
        pass
    assert f"process {os.getpid()}" in str(caught.value)
    assert "--data-dir" in str(caught.value)


def test_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with DirectoryLock(tmp_path):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_rotation_keeps_a_fixed_number_of_logs(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for number in range(logs.KEPT + 3):
        path.write_text(str(number))
        logs.rotate(path)
    kept = {entry.name: entry.read_text() for entry in tmp_path.iterdir()}
    newest = logs.KEPT + 2
    assert kept == {f"a.log.{age + 1}": str(newest - age) for age in range(logs.KEPT)}


def test_log_too_large_is_emptied_under_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    descriptor = logs.open_log(path)
    os.write(descriptor, b"0123456789")
    logs.empty_if_larger(path, 10)
    assert path.read_bytes() == b"0123456789"
    logs.empty_if_larger(path, 9)
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert path.read_bytes() == b"new"
    assert (tmp_path / "a.log.1").read_bytes() == b"0123456789"


def test_last_lines_are_of_this_start_only(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    start = logs.size(path)
    with path.open("a") as file:
        file.write("one\ntwo\nthree\n")
    assert logs.last_lines(path, 2, since_byte=start) == ["two", "three"]
    assert logs.last_lines(path, 9, since_byte=start) == ["one", "two", "three"]
    path.write_text("anew\n")
    assert logs.last_lines(path, 9, since_byte=start) == ["anew"]
    assert logs.last_lines(tmp_path / "absent", 9) == []


@pytest.mark.parametrize("name", ["file/below", "dangling", "x" * 300])
def test_directory_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "absent" / "x")
    with pytest.raises(UnsafeDirectory, match=name):
        private_directory(tmp_path / name)


def test_directory_in_use_for_something_else_is_not_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "home of others"
    path.mkdir()
    path.chmod(0o755)
    (path / "file").touch()
    with pytest.raises(UnsafeDirectory, match=r"chmod 700 '.*home of others'"):
        private_directory(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_lock_is_held_though_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int, _content: bytes, _at: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with (
        DirectoryLock(tmp_path),
        pytest.raises(DirectoryInUse),
        DirectoryLock(tmp_path),
    ):
        pass

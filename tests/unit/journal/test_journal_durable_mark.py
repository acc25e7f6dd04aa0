"""The durable mark: what tells a damaged last group from one that was never synced."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from pathlib import Path

import pytest

from journal.disk import Environment, FileOps
from journal.durable_mark import MARK_NAME, DurableMark, read_mark
from journal.errors import CorruptStream, StreamClosed, UnsupportedFormat
from journal.local import LocalEngine
from journal.recovery import recover
from tests.unit.journal.test_journal_recovery import flip


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    directory = tmp_path / "pods"
    directory.mkdir()
    return directory


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What kill -9 leaves of a stream of three appends."""

    async def run() -> None:
        engine = await LocalEngine.open(tmp_path / "running")
        for payload in (b"a", b"b", b"c"):
            await engine.append("pods", [payload], os.urandom(16))
        shutil.copytree(tmp_path / "running/pods", tmp_path / "killed/pods")
        await engine.close()

    asyncio.run(run())
    return tmp_path / "killed/pods"


def test_a_stream_without_a_mark_has_none(pods: Path) -> None:
    assert read_mark(pods) == 0


def test_a_mark_says_what_was_durable_last(pods: Path) -> None:
    mark = DurableMark(pods)
    for sequence in (2, 5, 9):
        mark.move(sequence)
        # The file is mapped: a reader sees at once what a process that is killed leaves.
        assert read_mark(pods) == sequence
    mark.close()
    assert (pods / MARK_NAME).stat().st_mode & 0o777 == 0o600


def test_a_mark_goes_on_where_it_was(pods: Path) -> None:
    for sequence in (2, 5, 9):
        mark = DurableMark(pods)
        mark.move(sequence)
        mark.close()
    flip(pods / MARK_NAME, 0)
    assert read_mark(pods) in (5, 9)


@pytest.mark.parametrize("half", [0, 16])
def test_a_damaged_half_leaves_the_other(
    pods: Path, half: int, caplog: pytest.LogCaptureFixture
) -> None:
    mark = DurableMark(pods)
    mark.move(4)
    mark.move(5)
    mark.close()
    flip(pods / MARK_NAME, half + 9)
    assert read_mark(pods) == (5 if half == 0 else 4)
    assert "one half is damaged" in caplog.text


def test_a_mark_with_both_halves_damaged_is_refused_with_its_place(pods: Path) -> None:
    mark = DurableMark(pods)
    mark.move(4)
    mark.move(5)
    mark.close()
    for offset in (3, 25):
        flip(pods / MARK_NAME, offset)
    with pytest.raises(CorruptStream) as caught:
        read_mark(pods)
    assert caught.value.path == pods / MARK_NAME


def test_a_mark_of_another_stream_is_refused(pods: Path, tmp_path: Path) -> None:
    mark = DurableMark(pods)
    mark.move(4)
    mark.move(5)
    mark.close()
    shutil.copytree(pods, tmp_path / "nodes")
    with pytest.raises(CorruptStream):
        read_mark(tmp_path / "nodes")


def test_a_mark_of_a_newer_program_is_refused_by_version(
    pods: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr("journal.durable_mark._VERSION", 2)
        mark = DurableMark(pods)
        mark.move(4)
        mark.close()
    with pytest.raises(UnsupportedFormat, match="version 2"):
        read_mark(pods)


def test_a_file_that_was_made_and_never_written_says_nothing(pods: Path) -> None:
    (pods / MARK_NAME).touch()
    assert read_mark(pods) == 0
    (pods / MARK_NAME).write_bytes(bytes(32))
    assert read_mark(pods) == 0


def test_no_space_for_the_mark_stops_no_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int, _start: int, _length: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    async def run() -> None:
        engine = await LocalEngine.open(tmp_path)
        monkeypatch.setattr("journal.durable_mark.allocate", full)
        assert await engine.append("pods", [b"a"], os.urandom(16)) == 1
        assert await engine.append("pods", [b"b"], os.urandom(16)) == 2
        await engine.close()

    asyncio.run(run())
    assert caplog.text.count("is not noted") == 1
    assert recover(tmp_path / "pods", "pods").next_sequence == 3


def test_the_last_group_of_a_killed_journal_is_refused_when_damaged(killed: Path) -> None:
    (path,) = killed.glob("*.log")
    end = recover(killed, "pods").segments[-1].end_offset
    flip(path, end - 1)
    with pytest.raises(CorruptStream, match="durable up to 3") as caught:
        recover(killed, "pods")
    assert caught.value.path == path


def test_a_killed_journal_whose_only_segment_is_gone_is_refused(killed: Path) -> None:
    (path,) = killed.glob("*.log")
    path.unlink()
    with pytest.raises(CorruptStream, match="durable up to 3"):
        recover(killed, "pods")


def test_a_group_that_nobody_was_told_of_is_cut(tmp_path: Path) -> None:
    """What is behind the mark may be torn: its sync never returned."""
    failing = False

    def sync(descriptor: int) -> None:
        if failing:
            raise OSError(errno.EIO, "power cut")
        os.fdatasync(descriptor)

    def keep(_descriptor: int, _length: int) -> None:
        raise OSError(errno.EIO, "power cut")

    async def run() -> None:
        nonlocal failing
        ops = FileOps(sync=sync, truncate=keep)
        engine = await LocalEngine.open(tmp_path / "running", Environment(ops=ops))
        await engine.append("pods", [b"a"], os.urandom(16))
        failing = True
        with pytest.raises(StreamClosed):
            await engine.append("pods", [b"b"], os.urandom(16))
        shutil.copytree(tmp_path / "running/pods", tmp_path / "killed/pods")
        failing = False
        await engine.close()

    asyncio.run(run())
    pods = tmp_path / "killed/pods"
    whole = recover(pods, "pods")
    assert whole.next_sequence == 3
    (path,) = pods.glob("*.log")
    flip(path, whole.segments[-1].end_offset - 1)
    assert recover(pods, "pods").next_sequence == 2

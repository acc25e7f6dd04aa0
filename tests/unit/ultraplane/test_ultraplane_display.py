"""What `up` shows is not what it lives on: closed terminals, gone readers and full disks."""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from ultraplane import logs
from ultraplane.display import Display, LastingConsole
from ultraplane.status import Status, show
from ultraplane.supervisor import Phase, ProcessState
from ultraplane.up import stop_signals

STATES = [ProcessState("journal", Phase.READY, "unix:/a", 7)]


class _Gone(io.StringIO):
    """A terminal or pipe whose other end is closed."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.asked = 0

    def write(self, _text: str) -> int:
        self.asked += 1
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_a_reader_that_is_gone_is_no_reason_to_stop(number: int) -> None:
    file = _Gone(number)
    display = Display(LastingConsole(file=file), lambda _states: None, Path("/logs"))
    display.show_stopping()
    display.show_title("1")
    assert file.asked == 1


def test_a_state_that_cannot_be_written_is_told_once_each_time_it_begins() -> None:
    file = io.StringIO()
    faults = iter(["full", "full", "", "full"])

    def publish(_states: Sequence[ProcessState]) -> None:
        if fault := next(faults):
            raise OSError(fault)

    display = Display(LastingConsole(file=file), publish, Path("/logs"))
    for _ in range(4):
        display.on_change(STATES)
    assert file.getvalue().count("out of date: full") == 2


def test_paths_with_spaces_and_brackets_can_be_pasted() -> None:
    path = "/tmp/my [red]data/kubeconfig"
    line = f"export KUBECONFIG='{path}'"
    shown, status = io.StringIO(), io.StringIO()
    display = Display(LastingConsole(file=shown), lambda _states: None, Path("/logs"))
    display.show_ready(1.0, Path(path), Path("/tmp/my [red]data"))
    assert line in shown.getvalue()
    state = Status(
        ready=False,
        reason="[bold]no",
        server="https://a",
        kubeconfig=path,
        processes=tuple(STATES),
        partitions=(),
    )
    show(state, Console(file=status))
    assert line in status.getvalue()
    assert "[bold]no" in status.getvalue()


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP as it was, afterwards."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup")
def test_a_closed_terminal_stops_a_cluster_but_for_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert signal.SIGHUP in stop_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert stop_signals() == [signal.SIGINT, signal.SIGTERM]


def test_a_log_is_emptied_though_there_is_no_room_for_its_copy(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * 100)
    (tmp_path / "a.log.1").mkdir()
    logs.empty_if_larger(log, 10)
    assert log.stat().st_size == 0

"""The supervisor over real, tiny processes: order, restarts, and an end that leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from ultraplane.probes import accepts_connections
from ultraplane.supervisor import (
    Limits,
    Phase,
    ProcessSpec,
    ProcessState,
    StartFailed,
    Supervisor,
)

pytestmark = pytest.mark.slow

# Listens on a Unix socket and notes in a file when it starts and when it is told to end.
_PART = """
import os, signal, socket, sys
name, directory, stubborn = sys.argv[1], sys.argv[2], sys.argv[3] == "stubborn"
def note(text):
    with open(f"{directory}/notes", "a") as file:
        file.write(f"{name} {text}\\n")
def end(number, frame):
    note("told to stop")
    if not stubborn:
        raise SystemExit(0)
signal.signal(signal.SIGTERM, end)
note("starts")
path = f"{directory}/{name}.sock"
if os.path.exists(path):
    os.unlink(path)
with socket.socket(socket.AF_UNIX) as server:
    server.bind(path)
    server.listen()
    while True:
        server.accept()[0].close()
"""

_LIMITS = Limits(ready_timeout_s=20, stop_timeout_s=20, delay_s_min=0.01, delay_s_max=0.02)


class _Record:
    """An observer that keeps what it hears, and lets tests wait for it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []
        self.deaths: list[tuple[str, list[str]]] = []
        self.states: list[ProcessState] = []
        self._heard = asyncio.Condition()
        self._scope = TaskScope("record")

    def on_change(self, states: Sequence[ProcessState]) -> None:
        self.states = list(states)

    def on_ready(self, name: str, seconds: float) -> None:
        self._note("ready", name)

    def on_slow(self, name: str, seconds: float, reason: str) -> None:
        self._note("slow", name)

    def on_death(self, name: str, how: str, delay_s: float, lines: Sequence[str]) -> None:
        self.deaths.append((how, list(lines)))
        self._note("death", name)

    def on_stopped(self, name: str, *, by_itself: bool) -> None:
        self._note("stopped" if by_itself else "killed", name)

    async def wait_for(self, *event: str, times: int = 1) -> None:
        async with asyncio.timeout(30), self._heard:
            await self._heard.wait_for(lambda: self.events.count(event) >= times)

    def pid(self, name: str) -> int:
        return next(state.pid for state in self.states if state.name == name and state.pid)

    def _note(self, *event: str) -> None:
        self.events.append(event)
        self._scope.spawn(self._tell(), name="tell")

    async def _tell(self) -> None:
        async with self._heard:
            self._heard.notify_all()


def _part(directory: Path, name: str, *after: str, stubborn: bool = False) -> ProcessSpec:
    manner = "stubborn" if stubborn else "willing"
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", _PART, name, str(directory), manner),
        probe=accepts_connections(f"unix:{directory}/{name}.sock"),
        after=after,
    )


def _failing(name: str, text: str) -> ProcessSpec:
    code = f"import sys; print({text!r}); sys.exit(3)"
    return ProcessSpec(name, (sys.executable, "-c", code), accepts_connections("unix:/absent"))


def _supervise(
    directory: Path, specs: Sequence[ProcessSpec], observer: _Record, limits: Limits = _LIMITS
) -> Supervisor:
    return Supervisor(
        specs,
        log_dir=directory,
        environment=dict(os.environ),
        limits=limits,
        clock=SystemClock(),
        observer=observer,
    )


def _notes(directory: Path) -> list[str]:
    return (directory / "notes").read_text().splitlines()


def test_processes_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        specs = [_part(tmp_path, "b", "a"), _part(tmp_path, "a")]
        supervisor = _supervise(tmp_path, specs, record)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            assert [state.phase for state in supervisor.states] == [Phase.READY, Phase.READY]
            supervisor.stop()
            await running
        assert [state.phase for state in record.states] == [Phase.STOPPED, Phase.STOPPED]

    asyncio.run(scenario())
    assert _notes(tmp_path) == ["a starts", "b starts", "b told to stop", "a told to stop"]


def test_killed_process_is_started_again_and_its_neighbour_left_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        supervisor = _supervise(tmp_path, [_part(tmp_path, "a"), _part(tmp_path, "b", "a")], record)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            first, neighbour = record.pid("a"), record.pid("b")
            os.kill(first, signal.SIGKILL)
            await record.wait_for("ready", "a", times=2)
            assert record.pid("a") != first
            assert record.pid("b") == neighbour
            assert record.states[0].restarts == 1
            supervisor.stop()
            await running
        assert record.deaths == [("signal SIGKILL", [])]

    asyncio.run(scenario())


def test_process_that_never_starts_ends_all_with_its_last_words(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        specs = [_part(tmp_path, "a"), _failing("b", "the disk is full")]
        supervisor = _supervise(tmp_path, specs, record)
        with pytest.raises(StartFailed, match=r"(?s)b does not start \(exit code 3.*disk is full"):
            await supervisor.run()
        assert record.events.count(("death", "b")) == 2
        assert record.deaths[0] == ("exit code 3", ["the disk is full"])
        assert {state.phase for state in record.states} == {Phase.STOPPED}

    asyncio.run(scenario())


def test_process_killed_by_others_before_it_was_ready_is_started_however_often(
    tmp_path: Path,
) -> None:
    killed = """
import os, signal, sys
with open(sys.argv[2] + "/kills", "a") as file:
    file.write("x")
    file.flush()
    if file.tell() <= 4:
        os.kill(os.getpid(), signal.SIGKILL)
"""

    async def scenario() -> None:
        record = _Record()
        part = _part(tmp_path, "a")
        spec = replace(part, argv=(*part.argv[:2], killed + _PART, *part.argv[3:]))
        supervisor = _supervise(tmp_path, [spec], record)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            supervisor.stop()
            await running
        assert record.deaths == [("signal SIGKILL", [])] * 4

    asyncio.run(scenario())


def test_program_that_cannot_be_started_is_tried_again_and_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        absent = ProcessSpec("b", ("/absent/program",), accepts_connections("unix:/absent"))
        supervisor = _supervise(tmp_path, [_part(tmp_path, "a"), absent], record)
        with pytest.raises(StartFailed, match=r"b does not start \(.*No such file.*absent/program"):
            await supervisor.run()
        assert record.events.count(("death", "b")) == 2
        assert {state.phase for state in record.states} == {Phase.STOPPED}

    asyncio.run(scenario())


def test_process_without_a_log_is_started_once_there_is_room_for_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        logs = tmp_path / "logs"
        logs.mkdir()
        supervisor = _supervise(logs, [_part(tmp_path, "a")], record)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            logs.rename(tmp_path / "away")
            os.kill(record.pid("a"), signal.SIGKILL)
            await record.wait_for("death", "a", times=2)
            assert "logs/a.log" in record.deaths[1][0]
            (tmp_path / "away").rename(logs)
            await record.wait_for("ready", "a", times=2)
            supervisor.stop()
            await running

    asyncio.run(scenario())


def test_process_that_never_becomes_ready_is_said_to_be_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        silent = ProcessSpec(
            "b",
            (sys.executable, "-c", "import time; time.sleep(60)"),
            accepts_connections("unix:/absent"),
        )
        limits = Limits(ready_timeout_s=0.1, delay_s_max=0)
        supervisor = _supervise(tmp_path, [silent], record, limits)
        with pytest.raises(StartFailed, match=r"not ready in 0.1 s: unix:/absent"):
            await supervisor.run()

    asyncio.run(scenario())


def test_process_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        limits = Limits(ready_timeout_s=20, stop_timeout_s=0.2)
        specs = [_part(tmp_path, "a"), _part(tmp_path, "b", "a", stubborn=True)]
        supervisor = _supervise(tmp_path, specs, record, limits)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            supervisor.stop()
            await running
        assert record.events[-2:] == [("killed", "b"), ("stopped", "a")]

    asyncio.run(scenario())


def test_second_request_to_stop_kills_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        record = _Record()
        specs = [_part(tmp_path, "a"), _part(tmp_path, "b", "a", stubborn=True)]
        supervisor = _supervise(tmp_path, specs, record)
        async with TaskScope("test") as scope:
            running = scope.spawn(supervisor.run(), name="run")
            await supervisor.wait_ready()
            async with asyncio.timeout(_LIMITS.stop_timeout_s / 2):
                supervisor.stop()
                await asyncio.sleep(0)
                supervisor.stop()
                await running
        assert {state.phase for state in record.states} == {Phase.STOPPED}
        # What was killed on purpose is not started again on the way.
        assert record.deaths == []

    asyncio.run(scenario())


_DRIVER = """
import asyncio, json, os, sys
from pathlib import Path
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from tests.integration.test_supervisor_processes import _LIMITS, _Record, _part, _supervise

async def main(directory):
    record = _Record()
    specs = [_part(directory, "a"), _part(directory, "b", "a", stubborn=True)]
    supervisor = _supervise(directory, specs, record)
    async with TaskScope("driver") as scope:
        scope.spawn(supervisor.run(), name="run")
        await supervisor.wait_ready()
        print(json.dumps([state.pid for state in supervisor.states]), flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_killed_supervisor_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _DRIVER, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as driver:
        assert driver.stdout is not None
        pids = json.loads(driver.stdout.readline())
        assert len(pids) == 2
        descriptors = [os.pidfd_open(pid) for pid in pids]
        driver.kill()
        for descriptor in descriptors:
            ended, _, _ = select.select([descriptor], [], [], 10)
            os.close(descriptor)
            assert ended

"""Where the time of each process goes in one phase: samples of their stacks, taken by py-spy.

py-spy reads a process from outside, without stopping it, so a run with profiles is a run like any
other; it is no dependency, and is looked for on PATH and beside this interpreter. What it writes is
one line for each stack, "frame;frame;… count", outermost first.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scaletest.report.flames import flame_graph, read_stacks, shares_table

PHASE: Final = "mixed"
SECONDS: Final = 60
_PER_S: Final = 50
_END_S_MAX: Final = 30.0


class ProfilerMissing(Exception):
    """There is no py-spy; the text says how to get it."""


class Profiler:
    """Takes samples of processes, and makes graphs of them.

    Args of the constructor:
        directory: where files go: for each process its stacks and a flame graph, and one table.
        seconds: how long samples are taken, at most.

    Raises:
        ProfilerMissing: see there.
    """

    def __init__(self, directory: Path, seconds: int = SECONDS) -> None:
        beside = str(Path(sys.executable).parent)
        found = shutil.which("py-spy") or shutil.which("py-spy", path=beside)
        if found is None:
            raise ProfilerMissing("py-spy takes profiles: get it with `pip install py-spy`")
        self._program = found
        self._directory = directory
        self._seconds = seconds
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started_s = self._took_s = 0.0

    def start(self, pids: Mapping[str, int]) -> None:
        """Start to take samples of processes, by their names; they end by themselves."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._started_s = time.monotonic()
        options = ["--nonblocking", "--format=raw", f"--rate={_PER_S}"]
        for name, pid in pids.items():
            where = f"--output={self._stacks(name)}"
            command = [self._program, "record", f"--pid={pid}", f"--duration={self._seconds}"]
            self._running[name] = subprocess.Popen(
                [*command, *options, where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )

    def stop(self) -> None:
        """Take no more samples: the phase is over."""
        self._took_s = min(self._seconds, time.monotonic() - self._started_s)
        for process in self._running.values():
            process.send_signal(signal.SIGINT)

    def finish(self) -> list[str]:
        """Wait for what still runs, and make graphs; return the processes that have one."""
        made, table = [], []
        seconds = self._took_s or float(self._seconds)
        for name, process in self._running.items():
            try:
                process.wait(_END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            path = self._stacks(name)
            stacks = read_stacks(path.read_text(errors="replace")) if path.exists() else {}
            if not stacks:
                continue  # it was gone, or did nothing
            title = f"{name}: {seconds:.0f} s of the phase {PHASE}"
            (self._directory / f"{_file_name(name)}.svg").write_text(flame_graph(title, stacks))
            table.append(shares_table(name, stacks, round(seconds * _PER_S)))
            made.append(name)
        if table:
            (self._directory / "shares.md").write_text("\n".join(table))
        self._running.clear()
        return made

    def _stacks(self, name: str) -> Path:
        return self._directory / f"{_file_name(name)}.stacks"


def _file_name(process: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in process)

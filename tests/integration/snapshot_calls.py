"""The command line of snapshots, as a person at a terminal has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from tests.integration.cluster import ROOT, Cluster, _children

_S_MAX = 120.0


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start `ultraplane snapshot …`."""
    return subprocess.Popen(
        [sys.executable, "-m", "ultraplane.cli", "snapshot", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def snapshot(*arguments: str | Path, code: int = 0) -> str:
    """Run `ultraplane snapshot …` to its end; return what it says."""
    process = start(*arguments)
    output, errors = process.communicate(timeout=_S_MAX)
    assert process.returncode == code, (output + errors).decode()
    return (output + errors).decode()


def told(path: Path) -> Any:
    """Return what `status` says of a snapshot, for programs."""
    return orjson.loads(snapshot("status", path, "-o", "json"))


def kill_when(process: subprocess.Popen[bytes], marker: Path) -> bool:
    """Kill -9 a process as soon as a file is there; return whether it was killed in time."""
    deadline_s = time.monotonic() + _S_MAX
    while process.poll() is None and not marker.exists():
        assert time.monotonic() < deadline_s, f"no {marker}"
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def kill_all(cluster: Cluster) -> None:
    """Kill -9 the supervisor and all parts at once; return when none is left."""
    pids = [cluster.process.pid, *_children(cluster.process.pid)]
    # The supervisor first, or it would start again what dies.
    for pid in pids:
        with suppress(ProcessLookupError):  # one that ended by itself, as its supervisor did
            os.kill(pid, signal.SIGKILL)
    cluster.process.wait()
    deadline_s = time.monotonic() + _S_MAX
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")

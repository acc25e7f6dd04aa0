"""Starts what is measured: our API server with its journal, a bare uvicorn, or nothing (a peer).

How Ultraplane is started is known to `start_ultraplane` alone.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.bench import bare_app
from tests.bench.endpoint import Endpoint
from tests.bench.processes import Meter, children_of
from ultraplane.run_state import read_state, state_path
from ultraplane.supervisor import Phase

HOST: Final = "127.0.0.1"
START_S_MAX: Final = 60.0
STOP_S_MAX: Final = 10.0
_POLL_S: Final = 0.05
TMPFS: Final = "/dev/shm"
_SERVE: Final = "ultraplane.serve"


class StartFailed(Exception):
    """A server ended, or did not get ready in time."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        endpoint: where it answers.
        meter: its processes; without any where they are unknown.
    """

    endpoint: Endpoint
    meter: Meter


@contextmanager
def start_ultraplane(directory: Path, more: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """Run `ultraplane up` on `directory`, with plain HTTP and a token of our own on loopback.

    Args:
        directory: where everything is kept.
        more: sections of the configuration.

    Raises:
        StartFailed: it did not get ready; what it said is part of the message.
    """
    endpoint = Endpoint(f"http://{HOST}:{free_port()}", token=secrets.token_hex(16))
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{endpoint.token},bench,bench,"system:masters"\n')
    config = directory / "ultraplane.yaml"
    command = [
        *(sys.executable, "-c", "from ultraplane.cli import main; main()"),
        *("up", "--data-dir", str(directory / "data"), "--config", str(config)),
    ]
    # Ours to remove: the directory that `up` would choose stays in memory after it.
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=TMPFS) as memory:
        settings = {
            "server": {"port": 0, "plain_http_port": endpoint.port},
            "auth": {"token_file": str(tokens)},
            "memory_dir": memory,
            "fleet": {"nodes": 0},
            # Pods stay as they are; the scheduler's own scenario says that it wants one.
            "supervisor": {"without": ["scheduler"]},
        }
        for section, values in (more or {}).items():
            settings[section] = {**settings.get(section, {}), **values}
        config.write_text(yaml.safe_dump(settings))
        with run_child(command, directory / "ultraplane.log") as child:
            state = state_path(directory / "data")
            await_ready({"ultraplane": child}, lambda: _all_ready(state), directory)
            yield Server(endpoint, Meter(_parts_of(child.pid)))


def _all_ready(path: Path) -> bool:
    """Return whether every process of a cluster has been ready; one worker may be first."""
    state = read_state(path)
    return state is not None and all(part.phase is Phase.READY for part in state.processes)


def _parts_of(parent: int) -> dict[str, int]:
    """Return the processes that `ultraplane up` runs, by what they are."""
    found = {}
    for pid in children_of(parent):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        name = next((w.removesuffix(".main") for w in words if w.endswith(".main")), f"pid {pid}")
        for part in ("fleet", "scheduler"):
            if f"controllers.{part}" in words:
                name = part
        if _SERVE in words:
            name, *rest = words[words.index(_SERVE) + 1 :]
            if name == "apiserver" and rest[1] != "1":
                name = f"apiserver-{rest[1]}"
        found[name] = pid
    return found


@contextmanager
def start_bare(directory: Path) -> Iterator[Server]:
    """Run a bare uvicorn whose GETs answer with the files in `directory`."""
    endpoint = Endpoint(f"http://{HOST}:{free_port()}")
    command = [
        *(sys.executable, "-m", "uvicorn", "tests.bench.bare_app:app"),
        *("--host", HOST, "--port", str(endpoint.port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    with run_child(command, directory / "bare.log", {bare_app.DIRECTORY: str(directory)}) as child:
        await_ready({"bare": child}, lambda: endpoint.answers("/"), directory)
        yield Server(endpoint, Meter({"bare": child.pid}))


def free_port() -> int:
    """Return a TCP port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def run_child(
    command: list[str], log: Path, extra: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that is ended at the end; what it says goes to `log`."""
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | (extra or {})
        ) as child,
    ):
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                child.kill()


def await_ready(
    children: dict[str, subprocess.Popen[bytes]], is_ready: Callable[[], bool], directory: Path
) -> None:
    """Wait until processes, whose logs are in `directory` by name, are ready.

    Raises:
        StartFailed: one ended, or it took too long.
    """
    deadline_s = time.monotonic() + START_S_MAX
    while not is_ready():
        for name, child in children.items():
            if child.poll() is not None:
                log = (directory / f"{name}.log").read_text(errors="replace")
                raise StartFailed(f"{name} ended with status {child.returncode}:\n{log[-4000:]}")
        if time.monotonic() > deadline_s:
            raise StartFailed(f"not ready within {START_S_MAX:.0f} s: {', '.join(children)}")
        time.sleep(_POLL_S)

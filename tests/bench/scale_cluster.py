"""A journal and an API server on a directory of their own, to be filled, watched and killed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import yaml

from tests.bench.endpoint import Endpoint
from tests.bench.processes import Meter
from tests.bench.server import HOST, await_ready, free_port, run_child

_SETTLED_S_MAX: Final = 600.0
_QUIET_SECONDS: Final = 3
_COMMAND: Final = (sys.executable, "-c", "from ultraplane.cli import main; main()")


class Cluster(NamedTuple):
    """What is measured."""

    endpoint: Endpoint
    meter: Meter
    directory: Path
    memory: Path

    @property
    def journal(self) -> str:
        """The journal's address."""
        return f"unix:{self.directory / 'data' / 'journal.sock'}"


@contextmanager
def start(directory: Path, memory: Path, compression: str) -> Iterator[Cluster]:
    """Run a journal and an API server on `directory`."""
    endpoint = Endpoint(f"http://{HOST}:{free_port()}", token=os.urandom(16).hex())
    tokens, config = directory / "tokens.csv", directory / "ultraplane.yaml"
    tokens.write_text(f'{endpoint.token},bench,bench,"system:masters"\n')
    settings = {
        "data_dir": str(directory / "data"),
        "memory_dir": str(memory),
        "server": {"port": free_port(), "plain_http_port": endpoint.port},
        "auth": {"token_file": str(tokens)},
        "storage": {"compression": compression},
    }
    config.write_text(yaml.safe_dump(settings))
    with (
        run_child(_command("journal", directory), directory / "journal.log") as one,
        run_child(_command("apiserver", directory), directory / "api.log") as two,
    ):
        await_ready({"journal": one, "api": two}, lambda: endpoint.answers("/readyz"), directory)
        meter = Meter({"journal": one.pid, "apiserver": two.pid})
        yield Cluster(endpoint, meter, directory, memory)


@contextmanager
def killed(cluster: Cluster) -> Iterator[float]:
    """Kill the API server, and give how many seconds another one takes until it is ready."""
    os.kill(cluster.meter.pids["apiserver"], 9)
    # It has ended when its port is free.
    while cluster.endpoint.answers("/livez"):
        time.sleep(0.01)
    begun_s = time.monotonic()
    directory = cluster.directory
    with run_child(_command("apiserver", directory), directory / "again.log") as child:
        await_ready({"again": child}, lambda: cluster.endpoint.answers("/readyz"), directory)
        yield time.monotonic() - begun_s


def partitions(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return what the API server says of each partition."""
    status = orjson.loads(cluster.endpoint.request("GET", "/ultraplane/status"))
    return {row["name"]: row for row in status["partitions"]}


def settle(cluster: Cluster, cpu_us_max: float = 15_000) -> None:
    """Wait until everything is applied, and the applier's process has nothing more to do.

    Args:
        cluster: what has been loaded.
        cpu_us_max: what it may use in a second.
    """
    deadline_s, quiet = time.monotonic() + _SETTLED_S_MAX, 0
    while time.monotonic() < deadline_s:
        before = cluster.meter.cpu_us()
        time.sleep(1.0)
        lag = sum(row["lag"] for row in partitions(cluster).values())
        rests = lag == 0 and cluster.meter.spent_us(before)["apiserver"] < cpu_us_max
        quiet = quiet + 1 if rests else 0
        # Checkpoints that have waited begin within a second or two.
        if quiet == _QUIET_SECONDS:
            return
    raise TimeoutError("the API server does not come to rest")


def size_bytes(directory: Path) -> int:
    """Return what the files below a directory take."""
    return sum(path.stat().st_blocks * 512 for path in directory.rglob("*") if path.is_file())


def _command(part: str, directory: Path) -> list[str]:
    return [*_COMMAND, part, "--config", str(directory / "ultraplane.yaml")]

"""`python -m tests.bench.snapshot_cost --pods 100000`: what a snapshot costs, and whom.

Journal and API server run as processes of their own, with pods as `memory_at_scale` loads them.
One connection creates pods at a steady rate, for a while alone and then while a snapshot is saved:
what counts is how long its requests take, by how much the replica's files grow meanwhile, and what
memory the saving process has for itself. Then the file is verified, and restored elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson

from tests.bench import cluster_pods, objects
from tests.bench.cluster_objects import KINDS
from tests.bench.direct_loader import load, sources
from tests.bench.memory_at_scale import say
from tests.bench.processes import memory_bytes
from tests.bench.scale_cluster import Cluster, settle, size_bytes, start

_RATE: Final = 100.0
_ALONE_S: Final = 5.0
_LOOK_S: Final = 0.02
_MIB: Final = 1 << 20


class Creates(threading.Thread):
    """Creates pods at a steady rate until it is ended, and notes how long each took."""

    def __init__(self, cluster: Cluster, marker: str) -> None:
        super().__init__()
        self._endpoint = cluster.endpoint
        self._marker = marker
        self._ended = threading.Event()
        self.times_ms: list[float] = []

    def run(self) -> None:
        """Create."""
        connection, due_s = self._endpoint.connect(), time.monotonic()
        while not self._ended.wait(max(0.0, due_s - time.monotonic())):
            due_s += 1 / _RATE
            name = f"{self._marker}-{len(self.times_ms)}"
            body = orjson.dumps(cluster_pods.manifest("team-1", name))
            begun_s = time.perf_counter()
            self._endpoint.send(connection, "POST", "/api/v1/namespaces/team-1/pods", body)
            self.times_ms.append((time.perf_counter() - begun_s) * 1e3)
        connection.close()

    def end(self) -> str:
        """Create no more; say how long it took."""
        self._ended.set()
        self.join()
        ordered = sorted(self.times_ms)
        p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        return f"creates p50 {p50:.2f} ms, p99 {p99:.1f} ms, longest {ordered[-1]:.1f} ms"


def snapshot(*arguments: str | Path) -> tuple[float, int]:
    """Run `ultraplane snapshot …`; return its seconds, and the most memory of its own in bytes."""
    command = [sys.executable, "-m", "ultraplane.cli", "snapshot", *map(str, arguments)]
    begun_s, most = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(OSError, ValueError):  # it has just ended
                most = max(most, memory_bytes(process.pid, "RssAnon"))
            time.sleep(_LOOK_S)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.monotonic() - begun_s, most


def measure(cluster: Cluster, count: int, rate: float) -> float:
    """Load pods and report; return how many MiB saving had for itself."""
    asyncio.run(load(cluster, sources(KINDS[:1], cluster.endpoint), count, rate))
    settle(cluster)
    alone = Creates(cluster, "alone")
    alone.start()
    time.sleep(_ALONE_S)
    say(f"  without a snapshot: {alone.end()}")
    path, files = cluster.directory / "a.snap", size_bytes(cluster.memory)
    beside = Creates(cluster, "beside")
    beside.start()
    seconds, most = snapshot("save", path, "--data-dir", cluster.directory / "data")
    say(f"  while it is saved:  {beside.end()}")
    grown = size_bytes(cluster.memory) - files
    say(f"  save     {seconds:6.2f} s, {most / _MIB:.0f} MiB of its own, {_size(path)}")
    say(f"  tmpfs    {files / _MIB:,.0f} MiB, grew by {grown / _MIB:.1f} MiB meanwhile")
    took_s, own = snapshot("verify", path)
    say(f"  verify   {took_s:6.2f} s, {own / _MIB:.0f} MiB of its own")
    took_s, own = snapshot("restore", path, "--data-dir", cluster.directory / "restored")
    say(f"  restore  {took_s:6.2f} s, {own / _MIB:.0f} MiB of its own")
    return most / _MIB


def _size(path: Path) -> str:
    return f"a file of {path.stat().st_size / _MIB:,.0f} MiB"


def main() -> int:
    """Run what the command line asks for; 1 if saving took more memory than `--mib-max`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=20_000.0, help="objects loaded a second")
    parser.add_argument("--mib-max", type=float, default=float("inf"), help="the bar")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-") as directory,
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir="/dev/shm") as memory,
        start(Path(directory), Path(memory), "auto") as cluster,
    ):
        for number in range(cluster_pods.NAMESPACES):
            objects.create_namespace(cluster.endpoint, f"team-{number}")
        return int(measure(cluster, given.pods, given.rate) > given.mib_max)


if __name__ == "__main__":
    sys.exit(main())

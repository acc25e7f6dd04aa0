"""What the journal does: appends/s with 64 writers, latencies, CPU per append on both sides.

    python -m tests.bench.bench_journal [--data-dir /work] [--seconds 3]

The service runs in a process of its own, on the file system of --data-dir; the client drives it
over a Unix socket.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from journal.client import JournalClient

RECORD = os.urandom(1024)
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """One measurement."""

    name: str
    appends: int
    seconds: float
    latencies_s: list[float]
    client_cpu_s: float
    service_cpu_s: float

    def report(self) -> str:
        """Return one line."""
        ordered = sorted(self.latencies_s)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
        return (
            f"{self.name:<28} {self.appends / self.seconds:>9,.0f} appends/s   "
            f"p50 {p50:6.2f} ms  p99 {p99:6.2f} ms   CPU/append: "
            f"client {self.client_cpu_s / self.appends * 1e6:5.1f} µs, "
            f"service {self.service_cpu_s / self.appends * 1e6:5.1f} µs"
        )


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


async def _measure(
    journal: JournalClient, pid: int, name: str, writers: int, seconds: float
) -> Run:
    latencies_s: list[float] = []
    end_s = time.perf_counter() + seconds

    async def write() -> None:
        while (started := time.perf_counter()) < end_s:
            await journal.append("bench", (RECORD,), os.urandom(16))
            latencies_s.append(time.perf_counter() - started)

    client_s, service_s, begun = time.process_time(), _cpu_s(pid), time.perf_counter()
    await asyncio.gather(*(write() for _ in range(writers)))
    return Run(
        name,
        len(latencies_s),
        time.perf_counter() - begun,
        latencies_s,
        time.process_time() - client_s,
        _cpu_s(pid) - service_s,
    )


async def _read_all(journal: JournalClient) -> str:
    last = await journal.tail("bench")
    begun = time.perf_counter()
    count = 0
    async for batches in journal.read("bench", 1):
        count += len(batches)
        if batches[-1].last_sequence == last:
            break
    return (
        f"{'read from the beginning':<28} {count / (time.perf_counter() - begun):>9,.0f} appends/s"
    )


async def _bench(address: str, pid: int, seconds: float) -> None:
    async with JournalClient(address) as journal:
        await journal.wait_connected()
        await _measure(journal, pid, "warm up", 64, 0.5)
        for writers in (1, 8, 64, 512):
            name = "lone append" if writers == 1 else f"{writers} writers"
            print((await _measure(journal, pid, name, writers, seconds)).report(), flush=True)
        stats = (await journal.stats())["streams"]["bench"]
        print(
            f"appends per fdatasync {stats['appends'] / stats['syncs']:.1f}, "
            f"write+fdatasync mean {stats['syncSeconds'] / stats['syncs'] * 1000:.2f} ms"
        )
        print(await _read_all(journal))


def main() -> None:
    """Start a service, measure it, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-journal-", dir=options.data_dir))
    address = f"unix:{directory}/socket"
    command = [sys.executable, "-m", "journal.main", "--data-dir", f"{directory}/data"]
    process = subprocess.Popen([*command, "--listen", address, "--log-level", "warning"])
    try:
        uvloop.run(_bench(address, process.pid, options.seconds))
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()

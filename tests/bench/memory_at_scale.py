"""`python -m tests.bench.memory_at_scale --pods 1000000`: what memory a large cluster takes.

The API server and its journal run as processes of their own, as `ultraplane up` runs them. One pod
is created and brought to its running state through the API; all others are what the API would have
stored of them (tests/bench/cluster_pods.py), and go to the journal as the API server's own
transactions do. What is counted: the processes' own memory (RssAnon), and the bytes of the
replica's files on tmpfs, which the API server has mapped (RssShmem); no page is counted twice.

Pods come faster than they could be created; still faster, and a checkpoint being written keeps
more pages from being used again, which the files never give back.

Reads are measured before compression begins and at the end, over one connection, of random pods.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import yaml

from apiserver.resources import Catalog
from journal.client import JournalClient
from kube.builtin_kinds import builtin_registry
from storage.record import splice
from storage.txn import ABSENT, Put, encode
from tests.bench import cluster_pods, objects
from tests.bench.endpoint import Endpoint
from tests.bench.processes import Meter, memory_bytes
from tests.bench.server import HOST, await_ready, free_port, run_child

FIRST: Final = 10_000
READS: Final = 4_000
CREATES: Final = 1_500
_RECORDS_PER_APPEND: Final = 64
_APPENDS_UNDER_WAY: Final = 32
_SETTLED_S_MAX: Final = 600.0
_MIB: Final = 1 << 20


class Cluster(NamedTuple):
    """What is measured."""

    endpoint: Endpoint
    meter: Meter
    memory: Path
    journal: str


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
    command = [sys.executable, "-c", "from ultraplane.cli import main; main()"]
    with (
        run_child([*command, "journal", "--config", str(config)], directory / "journal.log") as one,
        run_child([*command, "apiserver", "--config", str(config)], directory / "api.log") as two,
    ):
        await_ready({"journal": one, "api": two}, lambda: endpoint.answers("/readyz"), directory)
        meter = Meter({"journal": one.pid, "apiserver": two.pid})
        yield Cluster(endpoint, meter, memory, f"unix:{directory / 'data' / 'journal.sock'}")


class Loader:
    """Writes pods to the journal, as the API server would."""

    def __init__(self, stored: bytes) -> None:
        self._resource = Catalog(builtin_registry().enabled({})).by_storage["pods"]
        self._pods = cluster_pods.Pods(stored)
        self._prefix = os.urandom(8)
        self.names: list[tuple[str, str]] = []
        self.plain_bytes = 0
        again, _ = self._resource.encode(orjson.loads(stored))
        revision = int(orjson.loads(stored)["metadata"]["resourceVersion"])
        if splice(again, self._resource.splice_at, revision) != stored:
            raise ValueError("what is loaded is not what the API server stores")

    def record(self) -> bytes:
        """Return the journal's record of another pod."""
        pod, resource = self._pods.next(), self._resource
        body, meta = resource.encode(pod)
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        self.names.append(key)
        self.plain_bytes += len(body)
        put = Put("pods", *key, meta, body, resource.splice_at, ABSENT)
        return encode((put,), self._prefix + len(self.names).to_bytes(8, "big"))

    async def load(self, cluster: Cluster, count: int, rate: float) -> None:
        """Append `count` pods, `rate` a second."""
        async with JournalClient(cluster.journal, deadline_s=120) as journal:
            under_way: set[asyncio.Task[int]] = set()
            begun_s = time.monotonic()
            for done_count in range(0, count, _RECORDS_PER_APPEND):
                records = [self.record() for _ in range(_RECORDS_PER_APPEND)]
                append = journal.append("pods", records, os.urandom(16))
                under_way.add(asyncio.ensure_future(append))
                await asyncio.sleep(max(0.0, begun_s + done_count / rate - time.monotonic()))
                if len(under_way) >= _APPENDS_UNDER_WAY:
                    done, under_way = await asyncio.wait(
                        under_way, return_when=asyncio.FIRST_COMPLETED
                    )
                    for append_done in done:
                        append_done.result()
            await asyncio.gather(*under_way)


def partition(cluster: Cluster) -> dict[str, Any]:
    """Return what the API server says of the partition of pods."""
    rows = orjson.loads(cluster.endpoint.request("GET", "/ultraplane/status"))["partitions"]
    return next(row for row in rows if row["name"] == "pods")


def settle(cluster: Cluster) -> None:
    """Wait until everything is applied, and the applier's process has nothing more to do."""
    deadline_s = time.monotonic() + _SETTLED_S_MAX
    while time.monotonic() < deadline_s:
        before = cluster.meter.cpu_us()
        time.sleep(1.0)
        if partition(cluster)["lag"] == 0 and cluster.meter.spent_us(before)["apiserver"] < 15_000:
            return
    raise TimeoutError("the API server does not come to rest")


def stored_pod(endpoint: Endpoint) -> bytes:
    """Create a pod and give it a kubelet's status; return it as it is stored."""
    name = "web-0-000000000-first"
    pod = cluster_pods.manifest("team-0", name)
    pod = endpoint.create("/api/v1/namespaces/team-0/pods", orjson.dumps(pod))
    pod["status"] = cluster_pods.status(pod["metadata"]["creationTimestamp"])
    path = f"/api/v1/namespaces/team-0/pods/{name}"
    endpoint.request("PUT", f"{path}/status", orjson.dumps(pod))
    # An answer ends with a line's end, which is not stored.
    return endpoint.request("GET", path).rstrip(b"\n")


def report_memory(cluster: Cluster, loader: Loader) -> float:
    """Print what memory is in use; return it in bytes."""
    row, count = partition(cluster), len(loader.names)
    files = sum(path.stat().st_blocks * 512 for path in cluster.memory.rglob("*") if path.is_file())
    own = {name: memory_bytes(pid, "RssAnon") for name, pid in cluster.meter.pids.items()}
    mapped = memory_bytes(cluster.meter.pids["apiserver"], "RssShmem")
    total = files + sum(own.values())
    say(f"{count:,} pods of {loader.plain_bytes / count:,.0f} bytes")
    for name, size in own.items():
        say(f"  {name} RssAnon           {size / _MIB:10,.1f} MiB")
    say(f"  tmpfs                       {files / _MIB:10,.1f} MiB ({files / count:,.0f} B a pod)")
    say(f"  of it mapped (RssShmem)     {mapped / _MIB:10,.1f} MiB")
    say(f"  pages of objects            {row['object_bytes'] / count:10,.0f} B a pod")
    say(f"  RSS and tmpfs together      {total / _MIB:10,.1f} MiB ({total / count:,.0f} B a pod)")
    return total


def report_reads(cluster: Cluster, names: list[tuple[str, str]]) -> None:
    """Print what a get takes, and a list of a namespace."""
    endpoint, chance = cluster.endpoint, random.Random(2)
    connection, times_us = endpoint.connect(), []
    paths = [
        f"/api/v1/namespaces/{namespace}/pods/{name}"
        for namespace, name in (chance.choice(names) for _ in range(READS + 500))
    ]
    for path in paths[:500]:
        endpoint.send(connection, "GET", path)
    before = cluster.meter.cpu_us()
    for path in paths[500:]:
        begun_s = time.perf_counter()
        endpoint.send(connection, "GET", path)
        times_us.append((time.perf_counter() - begun_s) * 1e6)
    spent = cluster.meter.spent_us(before)
    connection.close()
    times_us.sort()
    p50, p99 = times_us[len(times_us) // 2], times_us[len(times_us) * 99 // 100]
    cpu = spent["apiserver"] / READS
    say(f"  get                   p50 {p50:,.0f} µs, p99 {p99:,.0f} µs, server {cpu:.1f} µs CPU")
    size = 0
    before, begun_s = cluster.meter.cpu_us(), time.perf_counter()
    while time.perf_counter() - begun_s < 2.0:
        size += endpoint.download("/api/v1/namespaces/team-0/pods?limit=5000", lambda _: None)
    elapsed_s = time.perf_counter() - begun_s
    rate, cpu = size / elapsed_s / 1e6, cluster.meter.spent_us(before)["apiserver"] / size * 1e3
    say(f"  list of a namespace       {rate:,.0f} MB/s, server {cpu:.2f} ms CPU a MB")


def report_creates(cluster: Cluster, marker: str) -> None:
    """Print what creating a pod takes."""
    pods = [
        orjson.dumps(cluster_pods.manifest("team-1", f"{marker}-{number}"))
        for number in range(CREATES)
    ]
    cluster.endpoint.create_all("/api/v1/namespaces/team-1/pods", pods[:200])
    before = cluster.meter.cpu_us()
    cluster.endpoint.create_all("/api/v1/namespaces/team-1/pods", pods[200:])
    spent = cluster.meter.spent_us(before)
    texts = [f"{name} {us / (CREATES - 200):.0f} µs" for name, us in spent.items()]
    say(f"  create                CPU {', '.join(texts)}")


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run what the command line asks for; 1 if it took more than `--bytes-max`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=10_000.0, help="pods loaded a second")
    parser.add_argument("--compression", choices=("auto", "off"), default="auto")
    parser.add_argument("--bytes-max", type=float, default=float("inf"), help="the bar")
    parser.add_argument("--data-dir", help="where to keep the data; a temporary directory")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=given.data_dir) as directory,
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir="/dev/shm") as memory,
        start(Path(directory), Path(memory), given.compression) as cluster,
    ):
        for number in range(cluster_pods.NAMESPACES):
            cluster.endpoint.create("/api/v1/namespaces", objects.namespace(f"team-{number}"))
        loader, total = Loader(stored_pod(cluster.endpoint)), 0.0
        for count, marker in ((FIRST, "before"), (given.pods - FIRST, "after")):
            begun_s = time.monotonic()
            asyncio.run(loader.load(cluster, count, given.rate))
            say(f"\nloaded in {time.monotonic() - begun_s:,.1f} s")
            settle(cluster)
            total = report_memory(cluster, loader)
            report_reads(cluster, loader.names)
            report_creates(cluster, marker)
    return int(total > given.bytes_max)


if __name__ == "__main__":
    sys.exit(main())

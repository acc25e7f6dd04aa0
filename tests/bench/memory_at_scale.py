"""`python -m tests.bench.memory_at_scale --pods 1000000`: what memory a large cluster takes.

The API server and its journal run as processes of their own, as `ultraplane up` runs them. One pod
is created and brought to its running state through the API; all others are what the API would have
stored of them (tests/bench/cluster_pods.py), and go to the journal as the API server's own
transactions do. What is counted: the processes' own memory (RssAnon), and the bytes of the
replica's files on tmpfs, which the API server has mapped (RssShmem); no page is counted twice.
Reads are measured before compression begins and at the end, over one connection, of random pods.

With `--objects 10000000` it is the mix of a whole cluster (tests/bench/cluster_objects.py), and at
the end the API server is killed, to see how long another one takes to be ready.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from storage.environment import MAP_BYTES, MappedEnvironment, identity_of
from storage.types_table import TypeTable
from tests.bench import cluster_pods, objects
from tests.bench.cluster_objects import KINDS
from tests.bench.direct_loader import Source, load, sources
from tests.bench.processes import memory_bytes
from tests.bench.scale_cluster import Cluster, killed, partitions, settle, size_bytes, start

FIRST: Final = 10_000
READS: Final = 4_000
CREATES: Final = 1_500
VALUES: Final = 20_000
# Of so much, history that has become too old is forgotten for minutes after a load.
_BUSY_US_MAX: Final = 100_000
_MIB: Final = 1 << 20


def report_memory(cluster: Cluster, loaded: Sequence[Source]) -> float:
    """Print what memory is in use; return it in bytes."""
    count = sum(source.count for source in loaded)
    rows = partitions(cluster).values()
    files = size_bytes(cluster.memory)
    own = {name: memory_bytes(pid, "RssAnon") for name, pid in cluster.meter.pids.items()}
    mapped = memory_bytes(cluster.meter.pids["apiserver"], "RssShmem")
    total = files + sum(own.values())
    plain = sum(source.plain_bytes for source in loaded)
    pages = sum(row["object_bytes"] for row in rows)
    say(f"{count:,} objects of {plain / count:,.0f} bytes")
    for name, size in own.items():
        say(f"  {name} RssAnon           {size / _MIB:10,.1f} MiB")
    say(f"  tmpfs                       {files / _MIB:10,.1f} MiB ({files / count:,.0f} B each)")
    say(f"  of it mapped (RssShmem)     {mapped / _MIB:10,.1f} MiB")
    say(f"  pages of objects            {pages / count:10,.0f} B each")
    say(f"  RSS and tmpfs together      {total / _MIB:10,.1f} MiB ({total / count:,.0f} B each)")
    return total


def report_parts(cluster: Cluster, loaded: Sequence[Source]) -> None:
    """Print what each partition takes, and each type's stored values."""
    by_storage = {source.kind.storage: source for source in loaded}
    for name, row in sorted(partitions(cluster).items()):
        count = max(1, row["objects"])
        used, pages = row["bytes"], row["object_bytes"]
        say(
            f"  partition {name:<12}{count:12,} objects, files {used / _MIB:8,.1f} MiB "
            f"({used / count:,.0f} B each, pages of objects {pages / count:,.0f})"
        )
        for storage, value_bytes in stored_bytes(cluster.memory / name).items():
            if source := by_storage.get(storage):
                plain = source.plain_bytes / source.count
                say(
                    f"    {storage:<34}{source.count:12,} of {plain:6,.0f} B, "
                    f"stored as {value_bytes:6,.0f} B"
                )
    say(f"  journal on disk             {size_bytes(cluster.directory / 'data/journal'):,} B")
    checkpoints = size_bytes(cluster.directory / "data/checkpoints")
    say(f"  checkpoints on disk         {checkpoints:,} B")


def stored_bytes(path: Path) -> dict[str, float]:
    """Return the mean size of the first stored values, with their keys, by resource."""
    environment = MappedEnvironment(path, identity_of(path), map_bytes=MAP_BYTES)
    try:
        types, found, txn = TypeTable({}), {}, environment.read()
        types.load(environment, txn)
        for entry in types:
            cursor = txn.cursor(environment.objects)
            if entry.count and cursor.set_range(entry.prefix):
                number = min(entry.count, VALUES)
                pairs = islice(cursor, number)
                found[entry.resource] = sum(len(key) + len(value) for key, value in pairs) / number
        txn.abort()
    finally:
        environment.close()
    return found


def report_gets(cluster: Cluster, source: Source) -> float:
    """Print what a get takes; return its p99 in microseconds."""
    endpoint, chance = cluster.endpoint, random.Random(2)
    connection, times_us = endpoint.connect(), []
    names = (chance.choice(source.names) for _ in range(READS + 500))
    paths = [f"{source.kind.collection.format(namespace)}/{name}" for namespace, name in names]
    for path in paths[:500]:
        endpoint.send(connection, "GET", path)
    before = cluster.meter.cpu_us()
    for path in paths[500:]:
        begun_s = time.perf_counter()
        endpoint.send(connection, "GET", path)
        times_us.append((time.perf_counter() - begun_s) * 1e6)
    cpu = cluster.meter.spent_us(before)["apiserver"] / READS
    connection.close()
    times_us.sort()
    p50, p99 = times_us[len(times_us) // 2], times_us[len(times_us) * 99 // 100]
    what = source.kind.storage
    say(f"  get of {what:<15}p50 {p50:,.0f} µs, p99 {p99:,.0f} µs, server {cpu:.1f} µs CPU")
    return p99


def report_list(cluster: Cluster) -> None:
    """Print what a list of the pods of a namespace takes."""
    size = 0
    before, begun_s = cluster.meter.cpu_us(), time.perf_counter()
    while time.perf_counter() - begun_s < 2.0:
        path = "/api/v1/namespaces/team-0/pods?limit=5000"
        size += cluster.endpoint.download(path, lambda _: None)
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


class Measured(NamedTuple):
    """What came of it.

    Attributes:
        total_bytes: all memory in use at the end.
        get_p99_us: of a get, before compression begins and at the end.
    """

    total_bytes: float
    get_p99_us: tuple[float, ...] = ()


def measure_pods(cluster: Cluster, count: int, rate: float) -> Measured:
    """Load pods, and report before compression begins and after."""
    loaded, total, p99s_us = sources(KINDS[:1], cluster.endpoint), 0.0, []
    for number, marker in ((FIRST, "before"), (count - FIRST, "after")):
        begun_s = time.monotonic()
        asyncio.run(load(cluster, loaded, number, rate))
        say(f"\nloaded in {time.monotonic() - begun_s:,.1f} s")
        settle(cluster)
        total = report_memory(cluster, loaded)
        p99s_us.append(report_gets(cluster, loaded[0]))
        report_list(cluster)
        report_creates(cluster, marker)
    return Measured(total, tuple(p99s_us))


def measure_objects(cluster: Cluster, count: int, rate: float) -> Measured:
    """Load the mix, report, kill the API server."""
    loaded = sources(KINDS, cluster.endpoint)
    begun_s = time.monotonic()
    asyncio.run(load(cluster, loaded, count, rate))
    say(f"loaded in {time.monotonic() - begun_s:,.1f} s")
    settle(cluster, _BUSY_US_MAX)
    say(f"settled after {time.monotonic() - begun_s:,.1f} s")
    total = report_memory(cluster, loaded)
    report_parts(cluster, loaded)
    for source in loaded:
        if source.kind.storage in ("pods", "configmaps", "secrets"):
            report_gets(cluster, source)
    report_list(cluster)
    report_creates(cluster, "after")
    with killed(cluster) as ready_s:
        say(f"  ready after kill -9         {ready_s:10,.2f} s")
    return Measured(total)


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run what the command line asks for; 1 if it took more than `--bytes-max`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pods", type=int, default=100_000)
    what.add_argument("--objects", type=int, default=0, help="of all kinds, instead of pods")
    parser.add_argument("--rate", type=float, default=10_000.0, help="objects loaded a second")
    parser.add_argument("--compression", choices=("auto", "off"), default="auto")
    parser.add_argument("--bytes-max", type=float, default=float("inf"), help="the bar")
    parser.add_argument("--data-dir", help="where to keep the data; a temporary directory")
    parser.add_argument("--json", help="also write what came of it to this file")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=given.data_dir) as directory,
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir="/dev/shm") as memory,
        start(Path(directory), Path(memory), given.compression) as cluster,
    ):
        for number in range(cluster_pods.NAMESPACES):
            objects.create_namespace(cluster.endpoint, f"team-{number}")
        if given.objects:
            measured = measure_objects(cluster, given.objects, given.rate)
        else:
            measured = measure_pods(cluster, given.pods, given.rate)
    if given.json:
        Path(given.json).write_bytes(orjson.dumps(measured._asdict()))
    return int(measured.total_bytes > given.bytes_max)


if __name__ == "__main__":
    sys.exit(main())

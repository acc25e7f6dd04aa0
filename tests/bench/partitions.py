"""What partitions are for: each has a commit pipeline of its own, and waits for a disk by itself.

The journal's durable append is made to take 5 ms longer (`--test-sync-delay-ms`), as that of a
replicated disk does. Five types are written, in two clusters: one has a partition for each type, in
the other they share one. A writer is a connection that sends its next create when the last one is
answered; each type has one, so a partition of one type commits one write at a time.

    one partition, its writer        1 writer,  1 type,  of the cluster that shares
    5 partitions, a writer each      5 writers, 5 types, of the cluster that does not   >= 4x that
    one partition, 5 writers         5 writers, 5 types, of the cluster that shares     no bar

The bar compares equal writers a partition: load comes with its types, and what a partition adds is
a pipeline. The last line has as many writers as the second, but a stream commits in groups: all who
wait share the next sync, so that writers in one partition wait for two syncs at worst, whatever
their number. With many writers a partition is bounded by the CPU, and the map makes no difference.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench import objects, wrk
from tests.bench.endpoint import Endpoint
from tests.bench.figures import PARTITIONS_RATIO_MIN, Figure
from tests.bench.scenarios import Scene
from tests.bench.server import Server, StartFailed, start_ultraplane

SYNC_DELAY_MS: Final = 5
_NAMESPACE: Final = "bench-partitions"
_START_S_MAX: Final = 20.0
_STOP_S_MAX: Final = 10.0
_TYPES: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "configmaps": ("v1", "ConfigMap", {"data": {"a": "b"}}),
    "secrets": ("v1", "Secret", {"stringData": {"a": "b"}}),
    "serviceaccounts": ("v1", "ServiceAccount", {}),
    "resourcequotas": ("v1", "ResourceQuota", {"spec": {"hard": {"pods": "10"}}}),
    "coordination.k8s.io/leases": (
        "coordination.k8s.io/v1",
        "Lease",
        {"spec": {"holderIdentity": "a"}},
    ),
}


def partitions(scene: Scene) -> list[Figure]:
    """Measure creates in one partition and in five, beside a slow disk."""
    together = {"one": list(_TYPES)}
    apart = {f"own-{number}": [name] for number, name in enumerate(_TYPES)}
    with _slow_cluster(scene.directory / "together", together) as server:
        alone = _write(scene, server, list(_TYPES)[:1], "alone")
        shared = _write(scene, server, list(_TYPES), "shared")
    with _slow_cluster(scene.directory / "apart", apart) as server:
        own = _write(scene, server, list(_TYPES), "own")
    ratio = own.rate / alone.rate
    own.what = f"{len(_TYPES)} partitions, a writer each"
    own.target = f"{ratio:.1f}x, bar {PARTITIONS_RATIO_MIN:.0f}x"
    own.is_met = ratio >= PARTITIONS_RATIO_MIN
    alone.what = f"one partition, its writer, syncs + {SYNC_DELAY_MS} ms"
    shared.what = f"one partition, {len(_TYPES)} writers"
    return [alone, own, shared]


def _write(scene: Scene, server: Server, types: Sequence[str], prefix: str) -> Figure:
    """Create objects of each type over one connection, all types at once."""
    endpoint, meter = server.endpoint, server.meter

    def load(name: str) -> wrk.Load:
        api_version, kind, content = _TYPES[name]
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        plural = name.rpartition("/")[2]
        body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": objects.NAME}}
        return wrk.run(
            f"{endpoint.url}{root}/namespaces/{_NAMESPACE}/{plural}",
            "create.lua",
            connections=1,
            seconds=scene.seconds,
            token=endpoint.token,
            options={
                "body": scene.body_file(f"{prefix}-{plural}", orjson.dumps(body | content)),
                "prefix": prefix,
            },
        )

    before = meter.cpu_us()
    with ThreadPoolExecutor(len(types)) as pool:
        found = list(pool.map(load, types))
    spent = meter.spent_us(before)
    requests = sum(one.requests for one in found)
    return Figure(
        prefix,
        sum(one.per_second for one in found),
        p50_us=max(one.p50_us for one in found),
        p99_us=max(one.p99_us for one in found),
        cpu_us={name: used / requests for name, used in spent.items()},
    )


@contextmanager
def _slow_cluster(directory: Path, partitions: dict[str, list[str]]) -> Iterator[Server]:
    """Run an API server with these partitions over a journal whose syncs are slow."""
    directory.mkdir()
    socket = directory / "slow.sock"
    command = [
        *(sys.executable, "-m", "journal.main", f"--data-dir={directory / 'slow'}"),
        *(f"--listen=unix:{socket}", f"--test-sync-delay-ms={SYNC_DELAY_MS}"),
    ]
    with (
        (directory / "slow.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as journal,
    ):
        try:
            _await_socket(journal, socket)
            settings = {
                "journal": {"address": f"unix:{socket}", "external": True},
                "storage": {"partitions": partitions},
            }
            with start_ultraplane(directory, settings) as server:
                _set_up(server.endpoint)
                yield server
        finally:
            journal.terminate()
            try:
                journal.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                journal.kill()


def _await_socket(journal: subprocess.Popen[bytes], socket: Path) -> None:
    deadline_s = time.monotonic() + _START_S_MAX
    while not socket.exists():
        if journal.poll() is not None or time.monotonic() > deadline_s:
            raise StartFailed("the slow journal does not start")
        time.sleep(0.02)


def _set_up(endpoint: Endpoint) -> None:
    objects.create_namespace(endpoint, _NAMESPACE)

"""A Job of many completions: how many pods a second are created, ended and counted.

    python -m tests.bench.job_load --completions 10000 --parallelism 1000

Runs a cluster of its own. The kubelets are played by this process: it watches pods and lets each
succeed as soon as it sees it, by one patch of its status, so its own costs are part of what two
cores have to give. Prints figures and exits with 1 if the count is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from kube.access import Access
from kube.client import MERGE_PATCH, ApiClient, Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informers
from runtime.queues import BoundedQueue
from runtime.tasks import TaskScope
from tests.bench.processes import Meter
from tests.integration.cluster import HOST, Cluster, run_cluster

BAR_PODS_S: Final = 1_000.0
_PLAYERS: Final = 32
_QUEUED_MAX: Final = 200_000
_POLL_S: Final = 0.2
_LIMIT_S: Final = 240.0
_JOBS: Final = "/apis/batch/v1/namespaces/default/jobs"


class Kubelets:
    """Let every pod of the Job succeed."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._queue: BoundedQueue[str] = BoundedQueue(_QUEUED_MAX)
        self._seen: set[str] = set()

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of new pods."""
        for delta in deltas:
            if delta.change is Change.ADDED and delta.key not in self._seen:
                self._seen.add(delta.key)
                self._queue.offer(delta.key)

    async def play(self, slots: asyncio.Semaphore, scope: TaskScope) -> None:
        """End pods, a number of them at once, until cancelled."""
        while True:
            for key in await self._queue.get_batch():
                await slots.acquire()
                scope.spawn(self._end(key, slots), name=key)

    async def _end(self, key: str, slots: asyncio.Semaphore) -> None:
        namespace, _, name = key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        try:
            patch = Patch({"status": {"phase": "Succeeded"}}, MERGE_PATCH)
            await self._client.request("PATCH", path, patch)
        finally:
            slots.release()


def _job(completions: int, parallelism: int, mode: str) -> dict[str, Any]:
    container = {"name": "c", "image": "registry.example.com/task:1"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "load", "namespace": "default"},
        "spec": {
            "completions": completions,
            "parallelism": parallelism,
            "completionMode": mode,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


async def _run(cluster: Cluster, given: argparse.Namespace) -> bool:
    access = Access(f"http://{HOST}:{cluster.plain_port}", token=cluster.token)
    async with ApiClient(access) as client, TaskScope("bench") as scope:
        informers = Informers(client)
        kubelets = Kubelets(client)
        informers.of("/api/v1/pods").on_changes(kubelets.take)
        informers.start(scope)
        await informers.wait_synced()
        scope.spawn(kubelets.play(asyncio.Semaphore(_PLAYERS), scope), name="kubelets")
        names = ("controllers", "apiserver", "journal")
        meter = Meter({**{name: cluster.pid_of(name) for name in names}, "kubelets": os.getpid()})
        before, begun_s = meter.cpu_us(), time.monotonic()
        job = _job(given.completions, given.parallelism, given.mode)
        await client.request("POST", _JOBS, job)
        while True:
            await asyncio.sleep(_POLL_S)
            status = (await client.request("GET", f"{_JOBS}/load"))["status"]
            taken_s = time.monotonic() - begun_s
            if "completionTime" in status or taken_s > _LIMIT_S:
                break
        spent = {
            name: round(used / given.completions) for name, used in meter.spent_us(before).items()
        }
        rate = status.get("succeeded", 0) / taken_s
        right = status.get("succeeded") == given.completions and not status.get("failed")
        sys.stdout.write(
            f"{given.mode}, {given.completions:,} completions, parallelism "
            f"{given.parallelism:,}: {rate:,.0f} pods/s in {taken_s:.1f} s, CPU a pod {spent} µs, "
            f"{'counted right' if right else f'WRONG: {status}'}; bar {BAR_PODS_S:,.0f} pods/s\n"
        )
        await scope.stop()
        return right


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.job_load")
    parser.add_argument("--completions", type=int, default=10_000)
    parser.add_argument("--parallelism", type=int, default=1_000)
    parser.add_argument("--mode", default="Indexed", choices=["Indexed", "NonIndexed"])
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        run_cluster(Path(directory)) as cluster,
    ):
        cluster.wait_started()
        return 0 if uvloop.run(_run(cluster, given)) else 1


if __name__ == "__main__":
    sys.exit(main())

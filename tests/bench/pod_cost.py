"""What one pod costs, by process: a Deployment that starts, rolls and rests on a simulated fleet.

    python -m tests.bench.pod_cost --nodes 1000 --replicas 10000
    python -m tests.bench.pod_cost --service --roll --jobs 20000 --idle-seconds 20

Runs a cluster of its own, with controllers, scheduler and fleet, and prints CPU time by process.
What the fleet's heartbeats cost is measured first and taken off; time in parentheses is without
that. Nothing here looks at single pods: the objects' own statuses say when all are there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench.endpoint import Endpoint
from tests.bench.server import Server, start_ultraplane

_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/default/deployments/load"
_JOBS: Final = "/apis/batch/v1/namespaces/default/jobs"
_SERVICE: Final = "/api/v1/namespaces/default/services"
_PODS: Final = "/api/v1/namespaces/default/pods?limit=1"
_NODES: Final = "/api/v1/nodes?limit=1"
_LABELS: Final = {"app": "load"}
_POLL_S: Final = 0.25
_LIMIT_S: Final = 280.0
_BEATS_S: Final = 8.0
_SETTLE_S: Final = 3.0


@dataclass(slots=True)
class Watchman:
    """Measures what happens between two moments.

    Attributes:
        beats_us_s: what each process uses in a second while nothing happens.
    """

    server: Server
    beats_us_s: dict[str, float] = field(default_factory=dict)

    def rest(self, seconds: float, what: str) -> None:
        """Measure what is used while nothing happens, and note it as what is to be taken off."""
        before = self.server.meter.cpu_us()
        time.sleep(seconds)
        spent = self.server.meter.spent_us(before)
        self.beats_us_s = {name: used / seconds for name, used in spent.items()}
        parts = ", ".join(f"{name} {used / 1e4:.1f}%" for name, used in self.beats_us_s.items())
        _say(f"{what}: of a core, {parts}")

    def measure(self, what: str, count: int, do: Callable[[], None]) -> None:
        """Measure what `count` pods take."""
        before, started_s = self.server.meter.cpu_us(), time.monotonic()
        do()
        took_s = time.monotonic() - started_s
        spent = self.server.meter.spent_us(before)
        bare = {
            name: max(0.0, used - self.beats_us_s.get(name, 0.0) * took_s)
            for name, used in spent.items()
        }
        parts = ", ".join(
            f"{name} {used / count:.0f} ({bare[name] / count:.0f})" for name, used in spent.items()
        )
        _say(f"{what}: {count / took_s:,.0f} pods/s in {took_s:.1f} s; µs a pod: {parts}")
        total, without = sum(spent.values()) / count, sum(bare.values()) / count
        _say(f"  all {total:.0f} ({without:.0f}); 2 cores: {2e6 / without:,.0f} pods/s")


def _template(version: int) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": f"registry.example.com/web:v{version}",
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    return {"metadata": {"labels": _LABELS}, "spec": {"containers": [container]}}


def _deployment(replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "load"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": _LABELS},
            "template": _template(1),
        },
    }


def _job(number: int, completions: int, parallelism: int) -> dict[str, Any]:
    resources = {"requests": {"cpu": "50m", "memory": "64Mi"}}
    container = {"name": "c", "image": "registry.example.com/task:1", "resources": resources}
    return {
        "metadata": {"name": f"load-{number}"},
        "spec": {
            "completions": completions,
            "parallelism": parallelism,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def _run(server: Server, given: argparse.Namespace) -> None:
    end, count = server.endpoint, given.replicas
    _say(" ".join(f"{name}={pid}" for name, pid in server.meter.pids.items()))
    _until(lambda: _count(end, _NODES) >= given.nodes)
    time.sleep(_SETTLE_S)
    watchman = Watchman(server)
    watchman.rest(_BEATS_S, f"{given.nodes:,} nodes")
    if given.service:
        ports = [{"port": 80, "targetPort": "http"}]
        service = {"metadata": {"name": "load"}, "spec": {"selector": _LABELS, "ports": ports}}
        end.create(_SERVICE, orjson.dumps(service))
    if count:
        watchman.measure("started", count, lambda: _start(end, count))
    if given.idle_seconds:
        time.sleep(given.settle_seconds)
        watchman.rest(given.idle_seconds, f"{_count(end, _PODS):,} pods at rest")
    if given.roll:
        watchman.measure("rolled", count, lambda: _roll(end, count))
    if given.jobs:
        watchman.measure("jobs", given.jobs, lambda: _work(end, given))


def _start(end: Endpoint, count: int) -> None:
    end.create(_DEPLOYMENT.rpartition("/")[0], orjson.dumps(_deployment(count)))
    _until(lambda: _status(end, _DEPLOYMENT).get("availableReplicas") == count)


def _roll(end: Endpoint, count: int) -> None:
    deployment = orjson.loads(end.request("GET", _DEPLOYMENT))
    deployment["spec"]["template"] = _template(2)
    end.request("PUT", _DEPLOYMENT, orjson.dumps(deployment))
    wanted = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), count)

    def is_done() -> bool:
        status = _status(end, _DEPLOYMENT)
        is_seen = status.get("observedGeneration", 0) > deployment["metadata"]["generation"]
        return is_seen and wanted.items() <= status.items()

    _until(is_done)


def _work(end: Endpoint, given: argparse.Namespace) -> None:
    each = given.jobs // given.job_count
    for number in range(given.job_count):
        body = _job(number, each, given.parallelism // given.job_count)
        end.create(_JOBS, orjson.dumps(body))
    names = [f"{_JOBS}/load-{number}" for number in range(given.job_count)]
    _until(lambda: all(_status(end, name).get("succeeded") == each for name in names))


def _status(end: Endpoint, path: str) -> dict[str, Any]:
    status: dict[str, Any] = orjson.loads(end.request("GET", path)).get("status") or {}
    return status


def _count(end: Endpoint, path: str) -> int:
    page = orjson.loads(end.request("GET", path))
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + _LIMIT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"it took more than {_LIMIT_S:g} s")
        time.sleep(_POLL_S)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench.pod_cost")
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--replicas", type=int, default=10_000)
    parser.add_argument("--service", action="store_true", help="that selects all of the pods")
    parser.add_argument("--roll", action="store_true", help="update all of them")
    parser.add_argument("--jobs", type=int, default=0, help="pods of Jobs")
    parser.add_argument("--job-count", type=int, default=1)
    parser.add_argument("--parallelism", type=int, default=2_000, help="of all Jobs together")
    parser.add_argument("--idle-seconds", type=float, default=0.0)
    parser.add_argument("--settle-seconds", type=float, default=_SETTLE_S, help="before these")
    given = parser.parse_args()
    settings = {"fleet": {"nodes": given.nodes}, "supervisor": {"without": []}}
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-pods-") as name,
        start_ultraplane(Path(name), settings) as server,
    ):
        _run(server, given)
    return 0


if __name__ == "__main__":
    sys.exit(main())

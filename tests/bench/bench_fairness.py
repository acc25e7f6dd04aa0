"""`python -m tests.bench.bench_fairness`: lease renewals of a node beside greedy list clients.

Bar: with 64 clients that list pods in a loop, a renewal takes less than 100 ms at p99, whatever
they list: all, pages, or with a selector that nothing matches. Exits with 1 when it is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console

from runtime.clock import SystemClock
from tests.bench import objects, report
from tests.bench.endpoint import Endpoint
from tests.bench.figures import Figure
from tests.bench.scenarios import Scene
from tests.bench.server import HOST, START_S_MAX, StartFailed, free_port
from ultraplane.config import Config
from ultraplane.parts import part_environment
from ultraplane.up import prepare

P99_MS_MAX: Final = 100.0
PODS: Final = 10_000
CLIENTS: Final = 64
CASES: Final = {
    "all pods": "",
    "pages of 500": "?limit=500",
    "pods that match nothing": "?labelSelector=app%3Dnothing",
}
"""What the greedy list: the query of each case."""
_ADMIN, _NODE, _GREEDY = "admin-token", "node-token", "greedy-token"
_TOKENS: Final = f"""\
{_ADMIN},admin,1,"system:masters"
{_NODE},system:node:node-1,2,"system:nodes"
{_GREEDY},greedy,3,"greedy"
"""
_BINDINGS: Final = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
_EVERYBODY: Final = {
    "metadata": {"name": "everybody"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "cluster-admin",
    },
    "subjects": [{"kind": "Group", "name": "system:authenticated"}],
}
"""Priority and fairness is about users who are not system:masters."""
_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PODS: Final = "/api/v1/namespaces/default/pods"
_START: Final = "2026-01-01T00:00:00.000000Z"


@contextmanager
def open_server(directory: Path, memory: Path, **settings: object) -> Iterator[str]:
    """Run a journal and an API server in which everybody may do everything; give its URL."""
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(_TOKENS)
    port = free_port()
    server = {"port": 0, "plain_http_port": port, **settings}
    config = Config.model_validate(
        {
            "data_dir": str(directory / "data"),
            "memory_dir": str(memory),
            "server": server,
            "auth": {"token_file": str(tokens)},
        }
    )
    cluster = prepare(config, None, SystemClock())
    argv = {spec.name: list(spec.argv) for spec in cluster.specs}
    with ExitStack() as stack:
        for number, command in enumerate((argv["journal"], argv["apiserver"])):
            log = stack.enter_context((directory / f"part-{number}.log").open("wb"))
            child = subprocess.Popen(
                command, env=part_environment(os.environ), stdout=log, stderr=log
            )
            stack.callback(child.wait)
            stack.callback(child.terminate)
        _await_ready(Endpoint(f"http://{HOST}:{port}"), directory)
        Endpoint(f"http://{HOST}:{port}", _ADMIN).create(_BINDINGS, orjson.dumps(_EVERYBODY))
        yield f"http://{HOST}:{port}"


def _await_ready(endpoint: Endpoint, directory: Path) -> None:
    deadline_s = time.monotonic() + START_S_MAX
    while not endpoint.answers("/readyz"):
        if time.monotonic() > deadline_s:
            raise StartFailed((directory / "part-1.log").read_text()[-4000:])
        time.sleep(0.05)


def renew(endpoint: Endpoint, seconds: float) -> list[float]:
    """Renew a lease as a kubelet would, but all the time; return how long each took, in ms."""
    connection = endpoint.connect()
    name = f"node-{time.monotonic_ns()}"
    body = objects.lease(name, "", _START)
    stored = endpoint.send(connection, "POST", _LEASES, body)
    took_ms: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        revision = orjson.loads(stored)["metadata"]["resourceVersion"]
        body = objects.lease(name, revision, _START)
        start_s = time.monotonic()
        stored = endpoint.send(connection, "PUT", f"{_LEASES}/{name}", body)
        took_ms.append((time.monotonic() - start_s) * 1000)
        time.sleep(0.01)
    connection.close()
    return took_ms


def probe(endpoint: Endpoint, seconds: float) -> list[float]:
    """Ask for /readyz all the time; return how long each answer took, in ms."""
    connection = endpoint.connect()
    took_ms: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        start_s = time.monotonic()
        endpoint.send(connection, "GET", "/readyz")
        took_ms.append((time.monotonic() - start_s) * 1000)
        time.sleep(0.01)
    connection.close()
    return took_ms


@contextmanager
def greedy(url: str, clients: int, path: str) -> Iterator[None]:
    """Have greedy clients list until the block ends."""
    command = [
        *(sys.executable, "-m", "tests.bench.greedy_load", "--url", url, "--token", _GREEDY),
        *("--path", path, "--clients", str(clients)),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "ready"
        yield
        assert child.stdin is not None
        child.stdin.close()
        child.stdout.read()


def _percentiles(took_ms: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    ordered = sorted(took_ms)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]


def fairness(scene: Scene) -> list[Figure]:
    """Measure renewals alone, and beside the greedy in each case, on a server of their own."""
    directory = scene.directory / "fairness"
    directory.mkdir()
    return measure(directory, scene.seconds, CASES)


def measure(
    directory: Path,
    seconds: float,
    cases: Mapping[str, str],
    *,
    pods: int = PODS,
    clients: int = CLIENTS,
    is_fair: bool = True,
) -> list[Figure]:
    """Return a figure of renewals alone, and one for each case.

    Args:
        directory: an empty one.
        seconds: how long each case lasts.
        cases: what the greedy list: query by name.
        pods: how many there are.
        clients: how many greedy ones.
        is_fair: whether priority and fairness is on.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir="/dev/shm") as memory,
        open_server(directory, Path(memory), priority_and_fairness=is_fair) as url,
    ):
        admin, node = Endpoint(url, _ADMIN), Endpoint(url, _NODE)
        admin.create(
            "/api/v1/namespaces/default/serviceaccounts", objects.service_account("default")
        )
        admin.create_all(_PODS, (objects.pod(f"pod-{n:06d}") for n in range(pods)))
        figures = [_figure("lease renewals, alone", renew(node, seconds / 4))]
        for name, query in cases.items():
            with greedy(url, clients, _PODS + query):
                what = f"renewals, {clients} list {name}"
                figures.append(_figure(what, renew(node, seconds), has_bar=True))
                what = f"readyz, {clients} list {name}"
                figures.append(_figure(what, probe(Endpoint(url), seconds / 4)))
        return figures


def _figure(what: str, took_ms: Sequence[float], *, has_bar: bool = False) -> Figure:
    p50_ms, p99_ms = _percentiles(took_ms)
    figure = Figure(
        what, 1000 * len(took_ms) / sum(took_ms), p50_us=p50_ms * 1000, p99_us=p99_ms * 1000
    )
    if has_bar:
        figure.target = f"p99 < {P99_MS_MAX:.0f} ms"
        figure.is_met = p99_ms < P99_MS_MAX
    return figure


def main() -> int:
    """Measure, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=PODS)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each case")
    parser.add_argument("--query", help="only lists with this, as ?labelSelector=a%%3Db")
    parser.add_argument("--off", action="store_true", help="without priority and fairness")
    given = parser.parse_args()
    cases = CASES if given.query is None else {given.query: given.query}
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-") as directory:
        figures = measure(
            Path(directory),
            given.seconds,
            cases,
            pods=given.pods,
            clients=given.clients,
            is_fair=not given.off,
        )
    report.print_table(Console(width=report.WIDTH), figures, "priority and fairness")
    return int(any(figure.verdict is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

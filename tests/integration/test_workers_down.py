"""What clients and operators are told while a part of a cluster with several processes is down."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from tests.integration.cluster import ROOT, Cluster, run_cluster
from ultraplane.run_state import is_running

pytestmark = pytest.mark.slow

_GOES_ON_S: Final = 30.0
_POLL_S: Final = 0.02
_PARTITIONS: Final = ("default", "events", "leases", "nodes", "pods")
_CONFIG: Final[dict[str, Any]] = {
    "server": {"workers": 2},
    "storage": {"process_per_partition": True},
    "supervisor": {"restart_delay_s_max": 0},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers, with a storage process for each partition."""
    with run_cluster(tmp_path_factory.mktemp("cluster"), _CONFIG) as running:
        yield running


def _status(cluster: Cluster) -> Any:
    command = [sys.executable, "-m", "ultraplane.cli", "status", "-o", "json"]
    told = subprocess.run(
        [*command, "--data-dir", str(cluster.directory)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(told.stdout)


def _wait_until(happened: Callable[[], bool], problem: str) -> None:
    deadline_s = time.monotonic() + _GOES_ON_S
    while not happened():
        assert time.monotonic() < deadline_s, problem
        time.sleep(_POLL_S)


@contextmanager
def _down(cluster: Cluster, part: str) -> Iterator[None]:
    """Kill a part, and let the supervisor know of it only at the end."""
    pid = cluster.pid_of(part)
    os.kill(cluster.process.pid, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        # Until it has ended, its sockets take connections.
        _wait_until(lambda: not is_running(pid), f"{part} does not end")
        yield
    finally:
        os.kill(cluster.process.pid, signal.SIGCONT)
    _wait_until(lambda: cluster.pid_of(part) != pid, f"{part} is not started again")
    cluster.wait_ready()


def _ready(status: Any) -> dict[str, bool]:
    return {partition["name"]: partition["ready"] for partition in status["partitions"]}


def test_status_names_the_partition_whose_process_is_down_and_shows_the_others(
    cluster: Cluster,
) -> None:
    before = _status(cluster)
    assert (before["ready"], before["reason"]) == (True, "")
    assert _ready(before) == dict.fromkeys(_PARTITIONS, True)
    revisions = {one["name"]: one["revision"] for one in before["partitions"]}
    with _down(cluster, "storage-pods"):
        down = _status(cluster)
        assert not down["ready"]
        assert "pods (its replica is away" in down["reason"]
        assert _ready(down) == {name: name != "pods" for name in _PARTITIONS}
        # What is mapped can be read, and is what is told.
        pods = next(one for one in down["partitions"] if one["name"] == "pods")
        assert pods["revision"] >= revisions["pods"]
        assert pods["bytes"] > 0
    after = _status(cluster)
    assert _ready(after) == dict.fromkeys(_PARTITIONS, True)
    restarts = {process["name"]: process["restarts"] for process in after["processes"]}
    assert restarts["storage-pods"] == 1
    assert sum(restarts.values()) == 1


def test_status_shows_what_is_known_while_the_journal_is_down(cluster: Cluster) -> None:
    with _down(cluster, "journal"):
        # One that is started again at once is no reason to send requests elsewhere.
        _wait_until(lambda: not _status(cluster)["ready"], "it stays ready without its journal")
        down = _status(cluster)
        assert "/readyz" in down["reason"]
        assert _ready(down) == dict.fromkeys(_PARTITIONS, True)
    # Each worker finds the journal again by itself.
    _wait_until(lambda: _status(cluster)["ready"], "it does not get ready with its journal back")


def test_status_is_ready_while_another_worker_is_down(cluster: Cluster) -> None:
    with _down(cluster, "apiserver-1"):
        for _ in range(3):
            told = _status(cluster)
            assert told["ready"], told


def test_a_worker_takes_no_connection_before_it_can_serve(cluster: Cluster) -> None:
    codes: set[int] = set()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            # A connection may have been the killed one's.
            with suppress(OSError, http.client.HTTPException):
                codes.add(cluster.call("GET", "/readyz").code)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        for part in ("apiserver-1", "apiserver-2"):
            with _down(cluster, part):
                pass
    finally:
        stop.set()
        for asker in askers:
            asker.join()
    assert codes == {200}

"""Several processes of controllers: one acts, and the next as soon as it has ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.api_calls import collection
from tests.integration.cluster import ROOT, Cluster, run_cluster

PATIENCE_S = 30.0
pytestmark = pytest.mark.slow


@contextmanager
def _controllers(cluster: Cluster, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    kubeconfig = cluster.directory / "run" / "controllers.kubeconfig"
    command = [sys.executable, "-m", "controllers.main", f"--kubeconfig={kubeconfig}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--leader-elect", "--use-service-account-credentials"],
            cwd=ROOT,
            stderr=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _until(look: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def test_the_next_acts_as_soon_as_the_first_has_ended_in_order(tmp_path: Path) -> None:
    with (
        run_cluster(tmp_path, {"supervisor": {"controllers": False}}) as cluster,
        ExitStack() as stack,
    ):
        logs = [tmp_path / "first.log", tmp_path / "second.log"]

        def acts(number: int) -> bool:
            return b"controllers are ready" in logs[number].read_bytes()

        first = stack.enter_context(_controllers(cluster, logs[0]))
        _until(lambda: acts(0), "the first does not act")
        stack.enter_context(_controllers(cluster, logs[1]))
        leases = collection(cluster, "kube-system", "leases", "coordination.k8s.io/v1")
        spec = leases.get("kube-controller-manager").json["spec"]
        assert spec["leaseDurationSeconds"] == 15
        assert not acts(1)
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE_S) == 0
        _until(lambda: acts(1), "the second does not act")
        namespaces = collection(cluster, "", "namespaces")
        namespaces.made({"metadata": {"name": "later"}})
        accounts = collection(cluster, "later", "serviceaccounts")
        _until(lambda: accounts.names() == ["default"], "nobody makes accounts")
        assert leases.get("kube-controller-manager").json["spec"]["leaseTransitions"] == 1

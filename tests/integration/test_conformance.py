"""Our cases of upstream's conformance specs, against a cluster of real processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from conformance.api import Api
from conformance.registry import Case, all_cases
from conformance.reports import JSON_FILE, JUNIT_FILE
from conformance.results import Outcome, Result
from conformance.running import run_cases
from conformance.stage import Target
from kube.access import read_access
from tests.integration.cluster import ROOT, Cluster, run_cluster

SETTINGS = {
    # So that the spec that waits for an expired token does not wait for long.
    "storage": {"compaction_age_s": 15, "compaction_interval_s": 1},
    # Nodes, and who gives Pods to them.
    "fleet": {"nodes": 3},
    "supervisor": {"without": []},
}
PARALLEL = 16


class _Silent:
    def on_start(self, case: Case) -> None:
        pass

    def on_end(self, case: Case, result: Result) -> None:
        pass


async def _run(cluster: Cluster, cases: list[Case], parallel: int) -> list[Result]:
    async with Api(read_access(cluster.kubeconfig)) as api:
        target = Target(api, cluster.kubeconfig, "127.0.0.1")
        return await run_cases(cases, target, _Silent(), parallel=parallel)


@pytest.mark.slow
def test_every_case_passes(tmp_path: Path) -> None:
    with run_cluster(tmp_path, SETTINGS) as cluster:
        cluster.wait_started()
        results = asyncio.run(_run(cluster, list(all_cases()), PARALLEL))
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    assert failed == [], "\n".join(f"{result.name}: {result.message}" for result in failed)


@pytest.mark.slow
def test_the_command_tests_a_cluster_of_its_own_and_leaves_none(tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = [sys.executable, "-m", "ultraplane.cli", "conformance"]
    flags = ["--focus", "Lease lease API", "--focus", "server version", f"--report={report}"]
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, *flags],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = orjson.loads((report / JSON_FILE).read_bytes())
    judged = [spec["name"] for spec in document["specs"] if spec["outcome"] == "passed"]
    assert len(judged) == 2
    assert b'tests="2"' in (report / JUNIT_FILE).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]

"""Our cases of upstream's conformance specs, against a cluster of real processes.

Each case passes, but for those that are named here, which fail today: what they need is not there
yet. One of them that passes fails the test, so that the list is never longer than it has to be.
"""

from __future__ import annotations

import asyncio
import dataclasses
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

NOT_YET = Path(__file__).with_name("conformance_not_yet.txt")
# So that the spec that waits for an expired token does not wait for long.
SETTINGS = {"storage": {"compaction_age_s": 15, "compaction_interval_s": 1}}
# Long enough to pass where it can, short enough to wait for in vain.
NOT_YET_S_MAX = 15.0
PARALLEL = 16


class _Silent:
    def on_start(self, case: Case) -> None:
        pass

    def on_end(self, case: Case, result: Result) -> None:
        pass


def _not_yet() -> set[str]:
    if not NOT_YET.exists():
        return set()
    return {line for line in NOT_YET.read_text().splitlines() if line and line[0] != "#"}


async def _run(cluster: Cluster, cases: list[Case], parallel: int) -> list[Result]:
    async with Api(read_access(cluster.kubeconfig)) as api:
        target = Target(api, cluster.kubeconfig, "127.0.0.1")
        return await run_cases(cases, target, _Silent(), parallel=parallel)


def _impatient(case: Case) -> Case:
    """Return a case that is given up soon, and that others do not wait for."""
    spec = dataclasses.replace(case.spec, name=case.name.replace("[Serial]", "[serial]"))
    return dataclasses.replace(case, spec=spec, timeout_s=NOT_YET_S_MAX)


@pytest.mark.slow
def test_every_case_passes_but_those_that_cannot_yet(tmp_path: Path) -> None:
    with run_cluster(tmp_path, SETTINGS) as cluster:
        cluster.wait_started()
        not_yet = _not_yet()
        patient = [case for case in all_cases() if case.name not in not_yet]
        results = asyncio.run(_run(cluster, patient, PARALLEL))
        others = [_impatient(case) for case in all_cases() if case.name in not_yet]
        surprises = asyncio.run(_run(cluster, others, max(1, len(others))))
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    assert failed == [], "\n".join(f"{result.name}: {result.message}" for result in failed)
    passed = [result.name for result in surprises if result.outcome is Outcome.PASSED]
    assert passed == [], f"they pass: remove them from {NOT_YET.name}"


def test_what_cannot_pass_yet_is_named_as_upstream_does() -> None:
    assert _not_yet() - {case.name for case in all_cases()} == set()


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

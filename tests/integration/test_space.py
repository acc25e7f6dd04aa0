"""A replica's memory that fills up: creates are refused, deletes are not, and it heals by them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, run_cluster

pytestmark = pytest.mark.slow

_MAPS = "/api/v1/namespaces/default/configmaps"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
_BODY_BYTES = 60_000
_HEAL_S_MAX = 90.0


@pytest.fixture(scope="module")
def tmpfs() -> Iterator[Path]:
    """Return a tmpfs of 48 MiB."""
    place = Path(tempfile.mkdtemp(prefix="ultraplane-tmpfs-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        place.rmdir()
        pytest.skip(f"NOT TESTED: a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(tmpfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster on it."""
    settings = {"memory_dir": str(tmpfs / "replica")}
    with run_cluster(tmp_path_factory.mktemp("space"), settings) as running:
        yield running


def _config_map(name: str, size_bytes: int = _BODY_BYTES) -> dict[str, object]:
    return {"metadata": {"name": name}, "data": {"a": "x" * size_bytes}}


def _fill(cluster: Cluster, prefix: str, kept: set[str]) -> dict[str, object]:
    """Create until that is refused; return the refusal."""
    for number in range(2000):
        name = f"{prefix}{number}"
        answer = cluster.call("POST", _MAPS, _config_map(name))
        if answer.code != 201:
            status: dict[str, object] = answer.json
            return status
        kept.add(name)
    raise AssertionError("48 MiB hold more than 100 MB")


def _kill(cluster: Cluster, part: str) -> None:
    """Kill a part as a crash would, and wait until the next one serves."""
    status = subprocess.run(
        ["pgrep", "-P", str(cluster.process.pid)], capture_output=True, text=True, check=True
    )
    for pid in map(int, status.stdout.split()):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        if part in line:
            os.kill(pid, signal.SIGKILL)
    cluster.wait_ready()


def _names(cluster: Cluster) -> set[str]:
    items = cluster.call("GET", _MAPS).json["items"]
    return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}


def test_a_full_tmpfs_refuses_creates_and_heals_by_deletes(cluster: Cluster) -> None:
    lease = {"metadata": {"name": "node"}, "spec": {"holderIdentity": "a"}}
    assert cluster.call("POST", _LEASES, lease).code == 201
    kept: set[str] = set()
    for round_number in range(2):
        refusal = _fill(cluster, f"r{round_number}-", kept)
        assert (refusal["code"], refusal["reason"]) == (507, "InsufficientStorage")
        assert "memory-space" in str(refusal["message"])
        _check_read_only(cluster, sorted(kept)[0])
        # Nothing of what was acknowledged is lost, whoever dies meanwhile.
        _kill(cluster, "apiserver")
        assert _names(cluster) == kept
        assert cluster.call("POST", _MAPS, _config_map("still")).code == 507
        for name in sorted(kept)[: len(kept) * 3 // 4]:
            assert cluster.call("DELETE", f"{_MAPS}/{name}").code == 200
            kept.discard(name)
        _wait_writable(cluster, kept)
        assert _names(cluster) == kept


def _check_read_only(cluster: Cluster, name: str) -> None:
    """Updates that do not grow go on, as do renewals of leases, and the server stays ready."""
    url = f"{_MAPS}/{name}"
    found = cluster.call("GET", url).json
    found["data"]["a"] = "y" * _BODY_BYTES
    assert cluster.call("PUT", url, found).code == 200
    found = cluster.call("GET", url).json
    found["data"]["a"] = "y" * (2 * _BODY_BYTES)
    assert cluster.call("PUT", url, found).code == 507
    held = cluster.call("GET", f"{_LEASES}/node").json
    held["spec"]["holderIdentity"] = "b"
    assert cluster.call("PUT", f"{_LEASES}/node", held).code == 200
    told = cluster.call("GET", "/readyz?verbose")
    assert told.code == 200
    assert b"warn: alarm memory-space: read-only" in told.body


def _wait_writable(cluster: Cluster, kept: set[str]) -> None:
    """Deletes give their pages back when history is compacted: ten seconds, if memory is short."""
    deadline_s = time.monotonic() + _HEAL_S_MAX
    while cluster.call("POST", _MAPS, _config_map("again")).code != 201:
        assert time.monotonic() < deadline_s, cluster.call("GET", "/ultraplane/status").json
        time.sleep(0.5)
    kept.add("again")
    assert cluster.call("DELETE", f"{_MAPS}/again").code == 200
    kept.discard("again")

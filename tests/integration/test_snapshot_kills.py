"""kill -9 of a save or a restore at its steps: no half file, no half cluster, nothing pinned."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.environment import MAP_BYTES, MappedEnvironment, identity_of
from storage.partition_map import DEFAULT_PARTITIONS
from tests.integration.api_calls import collection, named
from tests.integration.cluster import Cluster, memory_of, run_cluster
from tests.integration.snapshot_calls import kill_when, snapshot, start

pytestmark = pytest.mark.slow

_UNPINNED_S_MAX = 20.0
_STEPS_OF_SAVE = ("lock", "snapshot", "checkpoints/events", "scratch/pods", "checkpoints/default")
_STEPS_OF_RESTORE = (
    *("lock", "incoming", "incoming/checkpoints/pods", "journal", "journal/meta.partitions"),
    *("checkpoints/events", "journal/pods", "checkpoints/default", "pki"),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a few megabytes of config maps."""
    with run_cluster(tmp_path_factory.mktemp("filled"), {}) as cluster:
        maps = collection(cluster, "default", "configmaps")
        for number in range(20):
            maps.made(named(f"m{number}", data={"key": os.urandom(100_000).hex()}))
        yield cluster


def test_a_save_that_is_killed_leaves_the_one_before(filled: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "a.snap"
    snapshot("save", path, "--data-dir", filled.directory)
    whole = path.read_bytes()
    killed = 0
    for step in _STEPS_OF_SAVE:
        saving = start("save", path, "--data-dir", filled.directory)
        if kill_when(saving, tmp_path / ".a.snap.saving" / step):
            killed += 1
            assert path.read_bytes() == whole
            _wait_unpinned(filled, saving.pid)
    assert killed, "every save was over before it could be killed"
    assert filled.call("GET", "/readyz").code == 200
    snapshot("save", path, "--data-dir", filled.directory)
    snapshot("verify", path)
    assert [left.name for left in tmp_path.iterdir()] == ["a.snap"]


def _wait_unpinned(cluster: Cluster, pid: int) -> None:
    """Return when no snapshot of a process keeps the replica from using pages again."""
    deadline_s = time.monotonic() + _UNPINNED_S_MAX
    for name in DEFAULT_PARTITIONS:
        path = memory_of(cluster) / name
        while True:
            mapped = MappedEnvironment(path, identity_of(path), map_bytes=MAP_BYTES)
            readers = mapped.readers()
            mapped.close()
            if pid not in readers:
                break
            assert time.monotonic() < deadline_s, f"{name} is pinned"
            time.sleep(0.05)


def test_a_restore_that_is_killed_leaves_nothing_that_starts(
    filled: Cluster, tmp_path: Path
) -> None:
    path, target = tmp_path / "a.snap", tmp_path / "new" / "data"
    snapshot("save", path, "--with-pki", "--data-dir", filled.directory)
    killed = 0
    for step in _STEPS_OF_RESTORE:
        restoring = start("restore", path, "--data-dir", target)
        if kill_when(restoring, tmp_path / "new" / ".data.restoring" / step):
            killed += 1
            assert not target.exists()
        else:
            shutil.rmtree(target)
    assert killed, "every restore was over before it could be killed"
    snapshot("restore", path, "--data-dir", target)
    assert [left.name for left in target.parent.iterdir()] == ["data"]
    config = {"supervisor": {"controllers": False}}
    with run_cluster(tmp_path / "new", config) as cluster:
        found = collection(cluster, "default", "configmaps").list().json["items"]
        expected = collection(filled, "default", "configmaps").list().json["items"]
        assert found == expected

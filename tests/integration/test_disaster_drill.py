"""The drill of docs/disaster-recovery.md, with real processes: all is lost, and comes back."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.api_calls import Collection, Watch, collection, named, pod, watching
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.snapshot_calls import kill_all, snapshot, told

pytestmark = pytest.mark.slow

BUMP: Final = 1_000_000_000
_SPACE: Final = "drill"


@contextmanager
def _config(processes: str) -> Iterator[dict[str, Any]]:
    """Give the settings of the cluster: nothing but the test acts on its objects."""
    memory = Path(tempfile.mkdtemp(prefix="ultraplane-test-", dir="/dev/shm"))
    try:
        yield {
            "memory_dir": str(memory),
            "server": {"workers": 1 if processes == "one" else 2},
            "storage": {"process_per_partition": processes == "keepers"},
            "supervisor": {"controllers": False},
        }
    finally:
        shutil.rmtree(memory, ignore_errors=True)


class _Load(threading.Thread):
    """Creates config maps until it is stopped; remembers what was acknowledged, in order."""

    def __init__(self, maps: Collection) -> None:
        super().__init__()
        self._maps = maps
        self.acknowledged: list[str] = []
        self.ended = threading.Event()

    def run(self) -> None:
        """Create."""
        while not self.ended.is_set():
            name = f"load-{len(self.acknowledged)}"
            self._maps.made(named(name, data={"key": "x" * 500}))
            self.acknowledged.append(name)

    def stop(self) -> None:
        """Create no more."""
        self.ended.set()
        self.join()


def _fill(cluster: Cluster) -> str:
    """Make objects of several kinds in several partitions; return a Service's address."""
    cluster.make_namespace(_SPACE)
    for number in range(20):
        collection(cluster, _SPACE, "secrets").made(named(f"s{number}", data={"a": "Y2F0"}))
        collection(cluster, _SPACE, "pods").made(pod(f"p{number}", f"n{number}"))
    collection(cluster, _SPACE, "leases", "coordination.k8s.io/v1").made(
        named("lease", spec={"holderIdentity": "me", "leaseDurationSeconds": 15})
    )
    service = named("web", spec={"ports": [{"port": 80}], "selector": {"app": "web"}})
    made = collection(cluster, _SPACE, "services").made(service)
    address: str = made["spec"]["clusterIP"]
    return address


def _paths(cluster: Cluster) -> dict[str, str]:
    """Return the path of each resource's list, by the name that snapshots have for it."""
    found = {}
    groups = cluster.call("GET", "/apis").json["groups"]
    versions = [("", "/api/v1")]
    versions += [
        (one["name"], f"/apis/{one['preferredVersion']['groupVersion']}") for one in groups
    ]
    for group, root in versions:
        for one in cluster.call("GET", root).json["resources"]:
            name = f"{group}/{one['name']}" if group else one["name"]
            found[name] = f"{root}/{one['name']}"
    return found


def _items(cluster: Cluster, told_of: Any, bump: int) -> dict[str, bytes]:
    """Return the bytes of all objects of each resource at the snapshot's revision, plus a bump."""
    paths, found = _paths(cluster), {}
    for partition in told_of["partitions"]:
        revision = partition["revision"] + bump
        for resource, count in partition["objects"].items():
            query = f"?resourceVersion={revision}&resourceVersionMatch=Exact"
            answer = cluster.call("GET", paths[resource] + query)
            assert answer.code == 200, (resource, answer.body)
            assert len(answer.json["items"]) == count, resource
            found[resource] = answer.body.partition(b'"items":')[2]
    return found


def _save_under_load(cluster: Cluster, path: Path) -> tuple[list[str], int]:
    """Save while much is written; return what had been acknowledged before, and the last seen."""
    maps = collection(cluster, _SPACE, "configmaps")
    with watching(maps) as watcher:
        load = _Load(maps)
        load.start()
        try:
            watcher.take(50)
            before = list(load.acknowledged)
            snapshot("save", path, "--with-pki", "--data-dir", cluster.directory)
        finally:
            load.stop()
        last_seen = _last_seen(watcher, load.acknowledged[-1])
    return before, last_seen


def _last_seen(watcher: Watch, name: str) -> int:
    while True:
        seen = watcher.next()["object"]["metadata"]
        if seen["name"] == name:
            return int(seen["resourceVersion"])


@pytest.mark.parametrize("processes", ["one", "workers", "keepers"])
def test_the_drill_brings_back_every_object_byte_for_byte(tmp_path: Path, processes: str) -> None:
    path, old_config = tmp_path / "cluster.snap", tmp_path / "old.kubeconfig"
    with _config(processes) as config:
        with run_cluster(tmp_path, config) as cluster:
            address = _fill(cluster)
            before, last_seen = _save_under_load(cluster, path)
            expected = _items(cluster, told(path), 0)
            shutil.copy(cluster.kubeconfig, old_config)
            kill_all(cluster)
        assert "intact" in snapshot("verify", path)
        _check_damage(path)
        shutil.rmtree(cluster.directory)
        shutil.rmtree(config["memory_dir"])
        snapshot(
            "restore", path, "--data-dir", cluster.directory, "--config", tmp_path / "config.yaml"
        )
        with run_cluster(tmp_path, config) as cluster:
            assert _items(cluster, told(path), BUMP) == expected
            maps = collection(cluster, _SPACE, "configmaps")
            assert set(before) <= set(maps.names())
            _check_revisions(maps, last_seen)
            _check_address(cluster, address)
            _check_kubectl(cluster, old_config)


def _check_damage(path: Path) -> None:
    """A copy that went wrong is told from a good one."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy, target = path.with_name("bad.snap"), path.with_name("never")
    copy.write_bytes(data)
    assert f"{copy} is damaged at byte" in snapshot("verify", copy, code=1)
    assert f"{copy} is damaged" in snapshot("restore", copy, "--data-dir", target, code=1)
    assert not target.exists()


def _check_revisions(maps: Collection, last_seen: int) -> None:
    """Whoever saw the lost cluster lists again; what is written now comes behind all that."""
    with watching(maps, f"&resourceVersion={last_seen}") as watch:
        (event,) = watch.rest()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    exact = f"?resourceVersion={last_seen}&resourceVersionMatch=Exact"
    assert maps.list(exact).code == 410
    # A reflector lists from what it saw last, and watches from what the list says.
    listed = maps.list(f"?resourceVersion={last_seen}").json["metadata"]["resourceVersion"]
    assert int(listed) >= BUMP
    with watching(maps, f"&resourceVersion={listed}") as watch:
        made = maps.made(named("after"))
        assert watch.take(1) == [("ADDED", "after")]
    assert int(made["metadata"]["resourceVersion"]) > max(BUMP, last_seen)
    kept = maps.get("load-0").json
    assert int(kept["metadata"]["resourceVersion"]) < BUMP
    changed = maps.put("load-0", kept | {"data": {"key": "changed"}})
    assert changed.code == 200, changed.body
    assert maps.put("load-0", kept).code == 409


def _check_address(cluster: Cluster, address: str) -> None:
    """A Service's address is still taken."""
    services = collection(cluster, _SPACE, "services")
    assert services.get("web").json["spec"]["clusterIP"] == address
    other = named("other", spec={"ports": [{"port": 80}], "clusterIP": address})
    assert services.create(other).code == 422


def _check_kubectl(cluster: Cluster, old_config: Path) -> None:
    """Kubectl works, also by credentials from before."""
    assert "lease" in cluster.kubectl("get", "leases", "-n", _SPACE).stdout
    for context in ("ultraplane", "ultraplane-token"):
        old = ("--kubeconfig", str(old_config), "--server", cluster.url, "--context", context)
        assert "s19" in cluster.kubectl(*old, "get", "secrets", "-n", _SPACE).stdout


def test_other_servers_join_a_restored_cluster(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    path = tmp_path / "cluster.snap"
    with _config("one") as config, _config("one") as other_config:
        with run_cluster(tmp_path / "first", config) as one:
            _fill(one)
            snapshot("save", path, "--data-dir", one.directory)
        shutil.rmtree(one.directory)
        snapshot("restore", path, "--data-dir", one.directory)
        with run_cluster(tmp_path / "first", config) as one:
            journal = {"address": f"unix:{one.directory}/journal.sock", "external": True}
            joining = {**other_config, "journal": journal, "join": str(one.directory)}
            with run_cluster(tmp_path / "second", joining) as other:
                secrets = [collection(cluster, _SPACE, "secrets") for cluster in (one, other)]
                made = secrets[1].made(named("new"))
                assert int(made["metadata"]["resourceVersion"]) > BUMP
                assert secrets[0].names() == secrets[1].names()
                # What serves from a replica of another directory can be saved as well.
                again = tmp_path / "again.snap"
                snapshot("save", again, "--data-dir", other.directory)
                assert told(again)["totalKey"] == told(path)["totalKey"] + 1

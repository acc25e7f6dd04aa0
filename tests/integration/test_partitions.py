"""Partitions as configured: types where the map says, each partition with its own revisions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.integration.api_calls import collection, deployment, named, pod, watching
from tests.integration.cluster import ROOT, Cluster, run_cluster

pytestmark = pytest.mark.slow

_PARTITIONS: Final = {
    "pods": ["pods"],
    "nodes": ["nodes"],
    "events": ["events"],
    "apps": ["apps/deployments", "apps/replicasets"],
    "network": ["services", "networking.k8s.io/ipaddresses"],
    "config": ["configmaps", "secrets"],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with six partitions besides the default one."""
    config = {"storage": {"partitions": _PARTITIONS}, "supervisor": {"controllers": False}}
    with run_cluster(tmp_path_factory.mktemp("cluster"), config) as running:
        yield running


def _status(cluster: Cluster, *arguments: str) -> str:
    # The configuration says where the memory is, and little else: the state file knows the rest.
    command = [sys.executable, "-m", "ultraplane.cli", "status", *arguments]
    directory = cluster.directory
    found = subprocess.run(
        [*command, "--data-dir", str(directory), "--config", str(directory.parent / "config.yaml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout


def _partitions(cluster: Cluster) -> dict[str, dict[str, Any]]:
    content = json.loads(_status(cluster, "-o", "json"))
    return {partition["name"]: partition for partition in content["partitions"]}


def test_status_shows_each_partition_with_revision_size_objects_and_lag(cluster: Cluster) -> None:
    before = _partitions(cluster)
    assert set(before) == {*_PARTITIONS, "default"}
    for number in range(3):
        collection(cluster, "default", "configmaps").made(named(f"status-{number}"))
    after = _partitions(cluster)
    assert after["config"]["objects"] == before["config"]["objects"] + 3
    assert after["config"]["revision"] == before["config"]["revision"] + 3
    for name, partition in after.items():
        assert partition["lag"] == 0
        assert partition["bytes"] > 0
        if name not in ("config", "default"):
            assert partition["revision"] == before[name]["revision"]
    table = _status(cluster).splitlines()
    for name, partition in after.items():
        # The log's table, further down, has rows of the same names.
        row = next(line.split() for line in table if line.startswith(f"{name} "))
        assert row[1:4] == ["ready", str(partition["revision"]), str(partition["objects"])]


def test_types_are_where_the_map_says(cluster: Cluster) -> None:
    before = _partitions(cluster)
    collection(cluster, "default", "deployments", "apps/v1").made(deployment("mapped"))
    collection(cluster, "", "nodes").made(named("mapped"))
    collection(cluster, "default", "secrets").made(named("mapped"))
    after = _partitions(cluster)
    grown = {name: after[name]["objects"] - before[name]["objects"] for name in after}
    grown.pop("default")
    assert grown == {"pods": 0, "nodes": 1, "events": 0, "apps": 1, "network": 0, "config": 1}


def test_a_service_with_addresses_and_node_ports_is_written_in_its_own_partition(
    cluster: Cluster,
) -> None:
    services = collection(cluster, "default", "services")
    ports = [{"port": 80, "nodePort": 30080}]
    made = services.made(named("outside", spec={"type": "NodePort", "ports": ports}))
    assert made["spec"]["clusterIP"]
    taken = services.create(named("other", spec={"type": "NodePort", "ports": ports}))
    assert taken.code == 422
    assert services.delete("outside").code == 200
    assert services.create(named("other", spec={"type": "NodePort", "ports": ports})).code == 201


def test_writes_to_one_partition_leave_the_revisions_of_others_alone(cluster: Cluster) -> None:
    nodes = collection(cluster, "", "nodes")
    at = nodes.list().json["metadata"]["resourceVersion"]
    for number in range(20):
        collection(cluster, "default", "configmaps").made(named(f"busy-{number}"))
    assert nodes.list().json["metadata"]["resourceVersion"] == at
    with watching(nodes, f"&resourceVersion={at}&timeoutSeconds=10") as watch:
        made = nodes.made(named("quiet"))
        event = watch.next()
    assert event["object"]["metadata"]["name"] == "quiet"
    assert int(made["metadata"]["resourceVersion"]) == int(at) + 1


def test_a_revision_of_another_partition_that_lies_ahead_is_refused_as_too_large(
    cluster: Cluster,
) -> None:
    """Upstream has one counter for all types, but promises nothing across them."""
    cluster.give_account("default")
    configmaps, pods = (collection(cluster, "default", name) for name in ("configmaps", "pods"))
    for number in range(20):
        configmaps.made(named(f"ahead-{number}"))
    pods.made(pod("behind"))
    ahead = int(configmaps.list().json["metadata"]["resourceVersion"])
    behind = int(pods.list().json["metadata"]["resourceVersion"])
    assert ahead > behind
    for query in (f"?resourceVersion={ahead}", f"?resourceVersion={ahead}&limit=5"):
        refused = pods.list(query)
        assert refused.code == 504
        assert refused.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert refused.json["message"].endswith(f"current: {behind}")
    # Its own type's goes on as ever.
    assert pods.list(f"?resourceVersion={behind}").code == 200


def test_one_watch_for_each_type_each_from_its_own_list_misses_nothing(cluster: Cluster) -> None:
    """What kubectl and client-go do: every reflector lists and watches one type."""
    cluster.give_account("default")
    types = {"configmaps": named("seen"), "secrets": named("seen"), "pods": pod("seen")}
    collections = {name: collection(cluster, "default", name) for name in types}
    starts = {
        name: one.list().json["metadata"]["resourceVersion"] for name, one in collections.items()
    }
    for name, one in collections.items():
        one.made(types[name])
    for name, one in collections.items():
        with watching(one, f"&resourceVersion={starts[name]}&timeoutSeconds=10") as watch:
            assert watch.take(1) == [("ADDED", "seen")]

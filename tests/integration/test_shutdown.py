"""A server that was told to stop is not ready for a while, and serves on meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster, run_cluster
from ultraplane.run_state import read_state, state_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster whose server takes its time."""
    settings = {"server": {"shutdown_delay_s": 4}}
    with run_cluster(tmp_path_factory.mktemp("shutdown"), settings) as running:
        yield running


def test_a_server_that_stops_is_not_ready_and_serves(cluster: Cluster) -> None:
    state = read_state(state_path(cluster.directory))
    assert state is not None
    (pid,) = [one.pid for one in state.processes if one.name == "apiserver"]
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    told = cluster.call("GET", "/readyz")
    while told.code == 200:  # the signal is on its way
        told = cluster.call("GET", "/readyz")
    assert b"[-]shutdown failed: reason withheld" in told.body
    assert cluster.call("GET", "/livez").code == 200
    made = {"metadata": {"name": "late"}}
    assert cluster.call("POST", "/api/v1/namespaces/default/configmaps", made).code == 201
    os.kill(pid, signal.SIGTERM)  # twice: at once
    cluster.wait_ready()
    assert cluster.call("GET", "/api/v1/namespaces/default/configmaps/late").code == 200


def test_metrics_tell_of_journal_replica_and_limits(cluster: Cluster) -> None:
    made = {"metadata": {"name": "counted"}}
    assert cluster.call("POST", "/api/v1/namespaces/default/configmaps", made).code == 201
    text = cluster.call("GET", "/metrics").body.decode()
    for line in (
        'ultraplane_alarm{alarm="memory-space"} 0.0',
        "ultraplane_journal_up 1.0",
        'ultraplane_journal_closed{stream="default"} 0.0',
        'ultraplane_storage_ready{partition="default"} 1.0',
        'ultraplane_disk_free_bytes{disk="log"}',
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf",stream="default"}',
        'ultraplane_journal_append_duration_seconds_count{stream="default"}',
        'etcd_request_duration_seconds_count{group="",operation="create",resource="configmaps"}',
        'ultraplane_journal_hold_sequence{replica="replica-',
    ):
        assert f"\n{line}" in text, line


def test_status_tells_of_limits_and_the_log(cluster: Cluster) -> None:
    told = cluster.call("GET", "/ultraplane/status").json
    assert told["alarms"] == []
    assert told["disks"]["memory"]["size_bytes"] > 0
    assert told["journal"]["disk"]["reserveGivenUp"] is False
    assert {"recovery_s", "checkpoint_at_ms", "lag_s"} <= told["partitions"][0].keys()

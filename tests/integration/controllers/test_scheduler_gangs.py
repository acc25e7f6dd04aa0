"""Gangs against a real cluster: all of a gang is bound, or nobody of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.cluster import Cluster, run_cluster
from tests.integration.controllers.test_scheduler import (
    is_bound,
    make_node,
    make_pod,
    wait_pod,
    why_not,
)

_GROUPS = "/apis/scheduling.k8s.io/v1beta1/namespaces/default/podgroups"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a scheduler."""
    settings = {"supervisor": {"without": []}}
    with run_cluster(tmp_path_factory.mktemp("gangs"), settings) as running:
        running.wait_started()
        yield running


@pytest.fixture(autouse=True)
def _nothing_left(cluster: Cluster) -> Iterator[None]:
    yield
    for path in ("/api/v1/namespaces/default/pods?gracePeriodSeconds=0", "/api/v1/nodes", _GROUPS):
        cluster.call("DELETE", path)


def make_group(cluster: Cluster, name: str, least: int) -> None:
    """Create a pod group that needs so many pods at once."""
    group = {
        "metadata": {"name": name},
        "spec": {"schedulingPolicy": {"gang": {"minCount": least}}},
    }
    answer = cluster.call("POST", _GROUPS, group)
    assert answer.code == 201, answer.body


def make_member(cluster: Cluster, name: str, group: str, **more: Any) -> None:
    """Create a pod of a group."""
    make_pod(cluster, name, schedulingGroup={"podGroupName": group}, **more)


def condition_of(cluster: Cluster, name: str) -> tuple[str, str]:
    """Return status and reason of a group's condition."""
    group = cluster.call("GET", f"{_GROUPS}/{name}").json
    for condition in (group.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodGroupScheduled":
            return condition["status"], condition["reason"]
    return "", ""


def test_a_gang_waits_for_all_its_pods(cluster: Cluster) -> None:
    make_node(cluster, "n1")
    make_group(cluster, "g", 3)
    make_member(cluster, "g-0", "g")
    make_member(cluster, "g-1", "g")
    make_pod(cluster, "alone")
    wait_pod(cluster, "alone", is_bound)
    assert not is_bound(cluster.call("GET", "/api/v1/namespaces/default/pods/g-0").json)
    make_member(cluster, "g-2", "g")
    for number in range(3):
        wait_pod(cluster, f"g-{number}", is_bound)


def test_a_gang_that_does_not_fit_takes_nothing_and_all_once_it_does(cluster: Cluster) -> None:
    make_node(cluster, "n1", cpu="2")
    make_group(cluster, "g", 4)
    for number in range(4):
        make_member(cluster, f"g-{number}", "g")
    for number in range(4):
        assert why_not(wait_pod(cluster, f"g-{number}", why_not))
    make_pod(cluster, "other", cpu="2")
    wait_pod(cluster, "other", is_bound)  # the gang left the room that it could not use
    make_node(cluster, "n2", cpu="4")
    for number in range(4):
        assert wait_pod(cluster, f"g-{number}", is_bound)["spec"]["nodeName"] == "n2"
    wait_pod(cluster, "g-0", lambda _pod: condition_of(cluster, "g") == ("True", "Scheduled"))


def test_a_gang_preempts_only_if_all_of_it_fits_then(cluster: Cluster) -> None:
    body = {"metadata": {"name": "gang-high"}, "value": 1000}
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    assert cluster.call("POST", path, body).code in (201, 409)
    make_node(cluster, "n1", cpu="2")
    for number in range(2):
        make_pod(cluster, f"low-{number}")
        wait_pod(cluster, f"low-{number}", is_bound)
    make_group(cluster, "large", 3)
    high = {"priority": 1000, "priorityClassName": "gang-high"}
    for number in range(3):
        make_member(cluster, f"large-{number}", "large", **high)
    wait_pod(cluster, "large-2", why_not)
    make_group(cluster, "fitting", 2)
    for number in range(2):
        assert cluster.call("GET", f"/api/v1/namespaces/default/pods/low-{number}").code == 200
    for number in range(2):
        make_member(cluster, f"fitting-{number}", "fitting", **high)
    for number in range(2):
        wait_pod(cluster, f"fitting-{number}", is_bound)
        assert cluster.call("GET", f"/api/v1/namespaces/default/pods/low-{number}").code == 404

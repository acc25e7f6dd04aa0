"""Sizes of runs, the objects they send, and what is known by watches."""

from __future__ import annotations

import ipaddress
import math
import os

import orjson
import pytest

from kube.informers.changes import Change, Told
from scaletest import manifests
from scaletest.plan import GROUP_PODS, make_plan, shares
from scaletest.processes import OTHERS, ProcessUse
from scaletest.samples import percentile
from scaletest.watching import Nodes, WaitingPods


def test_the_whole_scale_is_the_published_one() -> None:
    plan = make_plan(1.0)
    assert (plan.nodes, plan.pods, plan.objects) == (100_000, 300_000, 10_000_000)
    assert plan.tunings == (10_000,) * 10
    assert sum(plan.mixed_tunings) == 70_000
    assert plan.groups * GROUP_PODS == 30_000


@pytest.mark.parametrize("scale", [0.01, 0.013, 0.05, 0.33, 1.0])
def test_workloads_have_a_pod_for_every_node_at_any_scale(scale: float) -> None:
    plan = make_plan(scale)
    assert sum(plan.tunings) == plan.nodes
    assert sum(plan.mixed_tunings) + plan.groups * GROUP_PODS == plan.nodes
    assert plan.filling + plan.nodes * 4 <= plan.objects


def test_fewer_objects_than_a_run_makes_by_itself_add_none() -> None:
    assert make_plan(0.01, objects=10).filling == 0


def test_shares_differ_by_one_at_most() -> None:
    assert shares(10, 3) == (3, 3, 4)
    assert shares(2, 4) == (0, 1, 0, 1)


def test_each_node_has_a_name_and_a_network_of_its_own() -> None:
    some = (0, 1, 32_765, 32_766, 32_767, 99_999)
    nodes = [manifests.node(number) for number in some]
    networks = [ipaddress.ip_network(node["spec"]["podCIDR"]) for node in nodes]
    assert len({node["metadata"]["name"] for node in nodes}) == len(some)
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)
    # The first range's first network is that of the fleet's own node.
    assert not any(one.overlaps(ipaddress.ip_network("10.128.0.0/24")) for one in networks)


def test_pools_have_their_shares_of_nodes() -> None:
    names = [manifests.node(number)["metadata"]["labels"][manifests.POOL] for number in range(100)]
    assert {name: names.count(name) for name in set(names)} == {"trn": 60, "gpu": 40}


def test_what_fills_a_store_is_the_same_each_time_and_no_two_alike() -> None:
    some = [manifests.filling(number) for number in range(200)]
    assert some == [manifests.filling(number) for number in range(200)]
    assert len({one.body for one in some}) == 200
    kinds = [orjson.loads(one.body)["kind"] for one in some[:10]]
    assert (kinds.count("ConfigMap"), kinds.count("Secret"), kinds.count("EndpointSlice")) == (
        5,
        3,
        2,
    )


def _node(name: str, ready: str) -> Told:
    conditions = [{"type": "Ready", "status": ready}]
    obj = {"metadata": {"name": name}, "status": {"conditions": conditions}}
    return Told(Change.ADDED, obj, b"")


def test_nodes_are_ready_while_their_condition_says_so_and_gone_when_not_told_again() -> None:
    nodes = Nodes()
    nodes.begin()
    nodes.take([_node("a", "True"), _node("b", "False"), _node("c", "True")])
    list(nodes.sweep())
    assert (nodes.names, nodes.ready) == ({"a", "b", "c"}, {"a", "c"})
    nodes.take([_node("b", "True"), _node("a", "Unknown")])
    assert nodes.ready == {"b", "c"}
    nodes.take([_node("c", "True")._replace(change=Change.DELETED)])
    assert (nodes.names, nodes.ready) == ({"a", "b"}, {"b"})
    nodes.begin()
    nodes.take([_node("a", "True")])
    list(nodes.sweep())
    assert (nodes.names, nodes.ready) == ({"a"}, {"a"})


def test_a_pod_waits_from_when_it_is_told_until_it_leaves_the_selector() -> None:
    waits_s: list[float] = []
    now_s = 10.0
    waiting = WaitingPods(waits_s, lambda: now_s)
    waiting.begin()
    list(waiting.sweep())
    pod = {"metadata": {"name": "a", "namespace": "x"}}
    waiting.take([Told(Change.ADDED, pod, b"")])
    now_s = 11.0
    waiting.take([Told(Change.MODIFIED, pod, b"")])
    assert len(waiting) == 1
    now_s = 12.5
    waiting.take([Told(Change.DELETED, pod, b""), Told(Change.DELETED, pod, b"")])
    assert (waits_s, len(waiting)) == ([2.5], 0)


def test_percentiles_of_a_few_are_ones_that_were_measured() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3.0], 0.5) == 3.0
    assert percentile([float(one) for one in range(1, 101)], 0.99) == 99
    assert percentile([float(one) for one in range(1, 101)], 0.5) == 50


def test_a_process_is_seen_to_use_cpu_and_memory_and_not_to_be_there() -> None:
    pids = {"own": os.getpid(), "gone": 2**22 + 1}
    use = ProcessUse(lambda: pids)
    first = use.look(1.0)
    assert set(first) == {"own", OTHERS}
    assert first["own"].own_bytes > 1 << 20
    assert sum(math.sqrt(one) for one in range(400_000)) > 0
    second = use.look(2.0)
    assert 0 < second["own"].cores < 64
    assert second[OTHERS].cores >= 0

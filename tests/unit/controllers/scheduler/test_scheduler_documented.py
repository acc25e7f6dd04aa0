"""Decisions that upstream's documentation spells out, replayed.

The pages are kubernetes.io/docs/concepts/scheduling-eviction and those that it leads to.
"""

from __future__ import annotations

from typing import Any

import pytest

from controllers.scheduler.configuration import parse_configuration
from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Waiting
from controllers.scheduler.resources import pod_requests
from controllers.scheduler.state import Placed

Obj = dict[str, Any]
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class World:
    """Nodes, and pods on them."""

    def __init__(self, **profile: Any) -> None:
        api = "kubescheduler.config.k8s.io/v1"
        configuration = parse_configuration({"apiVersion": api, "profiles": [profile]})
        self.engine = Engine(configuration.profiles)

    def node(self, name: str, *taints: Obj, labels: Obj | None = None, **amounts: str) -> None:
        status = {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20", **amounts}}
        metadata = {"name": name, "labels": {HOST: name, **(labels or {})}}
        node = {"metadata": metadata, "spec": {"taints": list(taints)}, "status": status}
        self.engine.state.put_node(node)

    def waiting(self, name: str, labels: Obj | None = None, **spec: Any) -> Waiting:
        requests = spec.pop("requests", {})
        container = {"name": "c", "image": "i", "resources": {"requests": requests}}
        pod = {
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels or {}},
            "spec": {"containers": [container], **spec},
        }
        shape, group = self.engine.shapes.of(pod), self.engine.shapes.group_of(pod["metadata"])
        return Waiting(name, f"default/{name}", shape, group, {})

    def put(self, node: str, name: str, labels: Obj | None = None, **spec: Any) -> None:
        pod = self.waiting(name, labels, **spec)
        slot = self.engine.state.columns.slot_of[node]
        self.engine.state.place(Placed(name, pod.key, slot, pod.shape, pod.group))

    def feasible(self, pod: Waiting) -> set[str]:
        contest = self.engine.contest(pod.shape, pod.group)
        names = self.engine.state.columns.names
        return {name for slot, name in enumerate(names) if contest.is_feasible(slot)}

    def chosen(self, pod: Waiting) -> str | None:
        slot = self.engine.choose(pod)
        return None if slot is None else self.engine.state.columns.names[slot]

    def schedule(self, pod: Waiting) -> str | None:
        slot = self.engine.choose(pod)
        if slot is None:
            return None
        self.engine.place(pod, slot)
        return self.engine.state.columns.names[slot]


def _constraint(key: str, **more: Any) -> Obj:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"foo": "bar"}},
        **more,
    }


def _two_zones(*where: int) -> World:
    """node1 and node2 in zoneA, node3 and node4 in zoneB, and pods foo=bar on some of them."""
    world = World()
    for number in range(1, 5):
        world.node(f"node{number}", labels={"zone": "zoneA" if number < 3 else "zoneB"})
    for at, number in enumerate(where):
        world.put(f"node{number}", f"p{at}", {"foo": "bar"})
    return world


def _spread(world: World, *constraints: Obj, **spec: Any) -> set[str]:
    pod = world.waiting(
        "mypod", {"foo": "bar"}, topologySpreadConstraints=list(constraints), **spec
    )
    return world.feasible(pod)


def test_topology_spread_one_constraint_leaves_the_other_zone() -> None:
    assert _spread(_two_zones(1, 2, 3), _constraint("zone")) == {"node3", "node4"}


def test_topology_spread_a_larger_skew_leaves_both_zones() -> None:
    world = _two_zones(1, 2, 3)
    assert len(_spread(world, _constraint("zone", maxSkew=2))) == 4


def test_topology_spread_two_constraints_leave_one_node() -> None:
    world = _two_zones(1, 2, 3)
    assert _spread(world, _constraint("zone"), _constraint(HOST)) == {"node4"}


def test_topology_spread_conflicting_constraints_leave_nothing() -> None:
    world = World()
    for number, zone in ((1, "zoneA"), (2, "zoneA"), (3, "zoneB")):
        world.node(f"node{number}", labels={"zone": zone})
    for at, node in enumerate(["node1", "node1", "node2", "node3", "node3"]):
        world.put(node, f"p{at}", {"foo": "bar"})
    # Zones allow zoneB alone, and nodes node2 alone.
    assert _spread(world, _constraint("zone")) == {"node3"}
    assert _spread(world, _constraint(HOST)) == {"node2"}
    assert _spread(world, _constraint("zone"), _constraint(HOST)) == set()


def test_topology_spread_counts_only_zones_that_affinity_allows() -> None:
    world = _two_zones(1, 2, 3)
    world.node("node5", labels={"zone": "zoneC"})
    not_c = {"key": "zone", "operator": "NotIn", "values": ["zoneC"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [not_c]}]}
    affinity = {"nodeAffinity": {REQUIRED: terms}}
    assert _spread(world, _constraint("zone"), affinity=affinity) == {"node3", "node4"}
    assert _spread(world, _constraint("zone")) == {"node5"}


def test_topology_spread_with_fewer_zones_than_min_domains_takes_the_least_for_none() -> None:
    # Three zones of 2, 2 and 2 pods, and five are wanted: the least is 0, and no zone will do.
    world = World()
    for number, zone in enumerate("ABC"):
        world.node(f"node{number}", labels={"zone": zone})
        for at in range(2):
            world.put(f"node{number}", f"p{number}-{at}", {"foo": "bar"})
    assert _spread(world, _constraint("zone", minDomains=5)) == set()
    assert len(_spread(world, _constraint("zone"))) == 3


def test_node_affinity_required_zones_and_a_preferred_label() -> None:
    world = World()
    other = {"another-node-label-key": "another-node-label-value"}
    world.node("east", labels={ZONE: "antarctica-east1"})
    world.node("west", labels={ZONE: "antarctica-west1", **other})
    world.node("north", labels={ZONE: "arctic-north1", **other})
    zones = {"key": ZONE, "operator": "In", "values": ["antarctica-east1", "antarctica-west1"]}
    liked = {"key": "another-node-label-key", "operator": "In", "values": [*other.values()]}
    affinity = {
        REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [zones]}]},
        PREFERRED: [{"weight": 1, "preference": {"matchExpressions": [liked]}}],
    }
    pod = world.waiting("with-node-affinity", affinity={"nodeAffinity": affinity})
    assert world.feasible(pod) == {"east", "west"}
    assert world.chosen(pod) == "west"


def test_node_affinity_the_heavier_preference_wins() -> None:
    world = World()
    world.node("one", labels={"label-1": "key-1"})
    world.node("two", labels={"label-2": "key-2"})
    preferred = [
        {
            "weight": weight,
            "preference": {
                "matchExpressions": [
                    {"key": f"label-{n}", "operator": "In", "values": [f"key-{n}"]}
                ]
            },
        }
        for n, weight in ((1, 1), (2, 50))
    ]
    pod = world.waiting(
        "with-affinity-preferred-weight", affinity={"nodeAffinity": {PREFERRED: preferred}}
    )
    assert world.chosen(pod) == "two"


def _pinned(*names: str) -> Obj:
    fields = [{"key": "metadata.name", "operator": "In", "values": [name]} for name in names]
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": fields}]}}}


def test_node_affinity_a_daemons_pod_is_told_of_its_node_and_not_of_others() -> None:
    world = World()
    for name in ("a", "b", "c"):
        world.node(name, {"key": "k", "value": "v", "effect": "NoSchedule"})
    tolerant = [{"operator": "Exists"}]
    pod = world.waiting("d", affinity=_pinned("b"), tolerations=tolerant, requests={"cpu": "9"})
    assert world.engine.explain(pod).message() == (
        "0/3 nodes are available: 1 Insufficient cpu, "
        "2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
    both = world.waiting("e", affinity=_pinned("a", "b"))
    message = world.engine.explain(both).message()
    assert message == "0/3 nodes are available: pod affinity terms conflict."


def test_pod_affinity_zone_with_s1_and_rather_not_with_s2() -> None:
    world = World()
    for name, zone in (("a", "V"), ("b", "R"), ("c", "R")):
        world.node(name, labels={ZONE: zone})
    world.put("b", "s1", {"security": "S1"})
    term = {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"security": "S1"}}}
    affinity: Obj = {"podAffinity": {REQUIRED: [term]}}
    assert world.feasible(world.waiting("with-pod-affinity", affinity=affinity)) == {"b", "c"}
    near = {"topologyKey": HOST, "labelSelector": {"matchLabels": {"security": "S2"}}}
    world.put("c", "s2", {"security": "S2"})
    affinity["podAntiAffinity"] = {PREFERRED: [{"weight": 100, "podAffinityTerm": near}]}
    assert world.chosen(world.waiting("with-pod-affinity", affinity=affinity)) == "b"


def test_pod_affinity_a_store_beside_each_cache_and_no_two_on_a_node() -> None:
    world = World()
    for number in range(1, 4):
        world.node(f"node-{number}")

    def term(app: str) -> Obj:
        selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": [app]}]}
        return {REQUIRED: [{"topologyKey": HOST, "labelSelector": selector}]}

    caches = [
        world.schedule(
            world.waiting(
                f"cache-{n}", {"app": "store"}, affinity={"podAntiAffinity": term("store")}
            )
        )
        for n in range(3)
    ]
    both = {"podAntiAffinity": term("web-store"), "podAffinity": term("store")}
    stores = [
        world.schedule(world.waiting(f"web-{n}", {"app": "web-store"}, affinity=both))
        for n in range(4)
    ]
    nodes = ["node-1", "node-2", "node-3"]
    assert sorted(map(str, caches)) == nodes
    assert sorted(map(str, stores[:3])) == nodes
    assert stores[3] is None


def test_pod_affinity_namespaces_that_are_labelled_later_count_from_then_on() -> None:
    world = World()
    world.node("n")
    state = world.engine.state
    state.put_namespace("default", {})
    world.put("n", "there", {"app": "store"})
    selector = {"matchLabels": {"app": "store"}}
    term = {"topologyKey": HOST, "labelSelector": selector, "namespaceSelector": {}}
    term["namespaceSelector"] = {"matchLabels": {"team": "t"}}
    pod = world.waiting("p", affinity={"podAffinity": {REQUIRED: [term]}})
    assert not world.feasible(pod)
    before = world.engine.moment(pod.shape)
    state.put_namespace("default", {"team": "t"})
    assert world.feasible(pod) == {"n"}
    assert world.engine.moment(pod.shape) != before


def test_pod_affinity_the_first_of_its_own_kind_may_go_anywhere() -> None:
    world = World()
    world.node("a", labels={ZONE: "V"})
    term = {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "own"}}}
    affinity = {"podAffinity": {REQUIRED: [term]}}
    assert world.schedule(world.waiting("first", {"app": "own"}, affinity=affinity)) == "a"
    assert world.chosen(world.waiting("other", {"app": "else"}, affinity=affinity)) == "a"


@pytest.mark.parametrize(
    ("tolerations", "is_let_in"),
    [
        ([("key1", "value1", "NoSchedule"), ("key1", "value1", "NoExecute")], False),
        ([(key, value, "") for key, value in (("key1", "value1"), ("key2", "value2"))], True),
        ([("key1", "other", ""), ("key2", "value2", "")], False),
    ],
)
def test_taints_all_of_them_have_to_be_tolerated(
    tolerations: list[tuple[str, str, str]], *, is_let_in: bool
) -> None:
    world = World()
    world.node(
        "node1",
        {"key": "key1", "value": "value1", "effect": "NoSchedule"},
        {"key": "key1", "value": "value1", "effect": "NoExecute"},
        {"key": "key2", "value": "value2", "effect": "NoSchedule"},
    )
    wanted = [
        {"key": key, "operator": "Equal", "value": value, "effect": effect}
        for key, value, effect in tolerations
    ]
    pod = world.waiting("p", tolerations=wanted)
    assert bool(world.feasible(pod)) is is_let_in
    everything = world.waiting("q", tolerations=[{"operator": "Exists"}])
    assert world.feasible(everything) == {"node1"}


def test_taints_that_only_prefer_are_avoided_and_not_refused() -> None:
    world = World()
    world.node("soft", {"key": "k", "value": "v", "effect": "PreferNoSchedule"})
    assert world.chosen(world.waiting("p")) == "soft"
    world.node("free")
    assert world.chosen(world.waiting("q")) == "free"


def test_bin_packing_by_requested_to_capacity_ratio_prefers_the_fuller_node() -> None:
    strategy = {
        "type": "RequestedToCapacityRatio",
        "resources": [
            {"name": "intel.com/foo", "weight": 5},
            {"name": "memory", "weight": 1},
            {"name": "cpu", "weight": 3},
        ],
        "requestedToCapacityRatio": {
            "shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]
        },
    }
    only_fit = [
        {"name": name}
        for name in ("NodeResourcesBalancedAllocation", "PodTopologySpread", "ImageLocality")
    ]
    world = World(
        pluginConfig=[{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}],
        plugins={"score": {"disabled": only_fit}},
    )
    world.node("node1", memory="1Gi", **{"intel.com/foo": "4"})
    world.node("node2", memory="1Gi", **{"intel.com/foo": "8"})
    world.put("node1", "a", requests={"intel.com/foo": "1", "memory": "256Mi", "cpu": "1"})
    world.put("node2", "b", requests={"intel.com/foo": "2", "memory": "512Mi", "cpu": "6"})
    pod = world.waiting("p", requests={"intel.com/foo": "2", "memory": "256Mi", "cpu": "2"})
    assert world.feasible(pod) == {"node1", "node2"}
    assert world.chosen(pod) == "node2"


def test_overhead_is_added_to_what_containers_ask_for() -> None:
    spec = {
        "overhead": {"memory": "120Mi", "cpu": "250m"},
        "containers": [
            {"resources": {"requests": {"cpu": "500m", "memory": "100Mi"}}},
            {"resources": {"requests": {"cpu": "1500m", "memory": "100Mi"}}},
        ],
    }
    assert pod_requests(spec) == {"cpu": 2250, "memory": 320 << 20}


def test_a_port_of_the_host_is_taken_once_for_each_address_and_protocol() -> None:
    world = World()
    world.node("n")

    def using(**port: Any) -> Obj:
        ports = [{"containerPort": 80, "hostPort": 80, **port}]
        return {"containers": [{"name": "c", "image": "i", "ports": ports}]}

    world.put("n", "first", **using(hostIP="127.0.0.1"))
    assert not world.feasible(world.waiting("p", **using(hostIP="127.0.0.1")))
    assert not world.feasible(world.waiting("q", **using()))
    assert world.feasible(world.waiting("r", **using(hostIP="127.0.0.2")))
    assert world.feasible(world.waiting("s", **using(hostIP="127.0.0.1", protocol="UDP")))


def test_a_cordoned_node_is_for_those_that_tolerate_it() -> None:
    world = World()
    world.node("n")
    node = {"metadata": {"name": "n"}, "spec": {"unschedulable": True}, "status": {}}
    node["status"] = {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20"}}
    world.engine.state.put_node(node)
    assert not world.feasible(world.waiting("p"))
    toleration = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    assert world.feasible(world.waiting("daemon", tolerations=[toleration])) == {"n"}

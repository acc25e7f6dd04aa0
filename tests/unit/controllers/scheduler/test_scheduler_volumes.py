"""Volumes decide over arrays as a plain oracle does; what is told is what upstream tells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.volumes.plugin import Volumes
from kube.informers.changes import Change
from kube.informers.informer import Delta
from tests.unit.controllers.scheduler import volume_oracle as oracle

Obj = dict[str, Any]
HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"


class World:
    """An engine with volumes, beside the oracle's world of the same objects."""

    def __init__(self) -> None:
        self.plain = oracle.VolumeWorld()
        self.engine = Engine({DEFAULT_SCHEDULER: Profile()})
        self.volumes = Volumes(self.engine.state.columns)
        self.engine.extensions = [self.volumes]
        self.engine.state.on_claims.append(self.volumes.attached.take_pod)
        self._revision = 0

    def _delta(self, key: str, obj: Obj, change: Change = Change.MODIFIED) -> list[Delta]:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        return [Delta(change, key, obj)]

    def node(self, name: str, zone: str = "", limits: dict[str, int] | None = None) -> None:
        labels = {HOST: name, **({ZONE: zone} if zone else {})}
        made = {
            "metadata": {"name": name, "labels": labels},
            "spec": {},
            "status": {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20"}},
        }
        self.plain.nodes[name] = made
        self.engine.state.put_node(made)
        if limits:
            self.plain.limits[name] = limits
            drivers = [{"name": k, "allocatable": {"count": v}} for k, v in limits.items()]
            csi = {"metadata": {"name": name}, "spec": {"drivers": drivers}}
            self.volumes.attached.take_nodes(self._delta(name, csi))

    def storage_class(self, name: str, provisioner: str, *, delayed: bool, **more: Any) -> None:
        mode = "WaitForFirstConsumer" if delayed else "Immediate"
        made = {
            "metadata": {"name": name},
            "provisioner": provisioner,
            "volumeBindingMode": mode,
            **more,
        }
        self.plain.classes[name] = made
        self.volumes.book.take_classes(self._delta(name, made))

    def claim(self, name: str, class_name: str, size: int = 1, **more: Any) -> None:
        notes = dict(more.get("annotations", {}))
        spec: Obj = {
            "storageClassName": class_name,
            "accessModes": more.get("modes", ["ReadWriteOnce"]),
            "resources": {"requests": {"storage": f"{size}Gi"}},
        }
        if more.get("volume"):
            spec["volumeName"] = more["volume"]
            notes["pv.kubernetes.io/bind-completed"] = "yes"
        metadata = {"name": name, "namespace": "d", "uid": name, "annotations": notes}
        made = {"metadata": metadata, "spec": spec, "status": {}}
        self.plain.claims[name] = made
        self.volumes.book.take_claims(self._delta(f"d/{name}", made))

    def volume(self, name: str, class_name: str, size: int = 1, **more: Any) -> None:
        spec: Obj = {
            "storageClassName": class_name,
            "capacity": {"storage": f"{size}Gi"},
            "accessModes": more.get("modes", ["ReadWriteOnce"]),
        }
        if more.get("claim"):
            spec["claimRef"] = {"namespace": "d", "name": more["claim"], "uid": more["claim"]}
        if more.get("affinity"):
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": more["affinity"]}}
        if more.get("driver"):
            spec["csi"] = {"driver": more["driver"], "volumeHandle": f"h-{name}"}
        made = {
            "metadata": {"name": name, "labels": more.get("labels", {})},
            "spec": spec,
            "status": {"phase": more.get("phase", "Available")},
        }
        self.plain.volumes[name] = made
        self.volumes.book.take_volumes(self._delta(name, made))

    def waiting(self, pod: Obj) -> Waiting:
        metadata = pod["metadata"]
        shape = self.engine.shapes.of(pod)
        group = self.engine.shapes.group_of(metadata)
        return Waiting(metadata["uid"], f"d/{metadata['name']}", shape, group, {})

    def message(self, pod: Obj) -> str:
        return self.engine.explain(self.waiting(pod)).message()


def pod_of(name: str, *claims: str, disks: tuple[Obj, ...] = ()) -> Obj:
    """A pod that uses claims."""
    volumes: list[Obj] = [
        {"name": f"v{at}", "persistentVolumeClaim": {"claimName": claim}}
        for at, claim in enumerate(claims)
    ]
    volumes += [{"name": f"d{at}", "gcePersistentDisk": one} for at, one in enumerate(disks)]
    return {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": volumes},
    }


TERMS = st.one_of(
    st.sampled_from(["n0", "n1", "n2"]).map(
        lambda node: [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}]
    ),
    st.sampled_from(["In", "NotIn", "Exists"]).map(
        lambda operator: [
            {
                "matchExpressions": [
                    {
                        "key": ZONE,
                        "operator": operator,
                        "values": [] if operator == "Exists" else ["x"],
                    }
                ]
            }
        ]
    ),
    st.just([{"matchExpressions": []}]),
)
CLASSES = st.sampled_from(["local", "made", "now", ""])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[World, list[Obj]]:
    world = World()
    for number in range(draw(st.integers(1, 4))):
        limits = {"csi": draw(st.integers(0, 3)), "pd.csi.storage.gke.io": draw(st.integers(1, 2))}
        zone = draw(st.sampled_from(["", "x", "y"]))
        world.node(f"n{number}", zone, limits if draw(st.booleans()) else None)
    world.storage_class("local", "kubernetes.io/no-provisioner", delayed=True)
    only_x = [{"matchLabelExpressions": [{"key": ZONE, "values": ["x"]}]}]
    world.storage_class(
        "made", "csi", delayed=True, allowedTopologies=draw(st.sampled_from([[], only_x]))
    )
    world.storage_class("now", "csi", delayed=False)
    modes = st.sampled_from([["ReadWriteOnce"], ["ReadWriteOncePod"]])
    for number in range(draw(st.integers(0, 4))):
        world.volume(
            f"free-{number}",
            draw(st.sampled_from(["local", "made"])),
            draw(st.integers(1, 3)),
            affinity=draw(st.one_of(st.none(), TERMS)),
            claim=draw(st.sampled_from(["", "", "c0"])),
            modes=["ReadWriteOnce", "ReadWriteOncePod"],
            phase=draw(st.sampled_from(["Available", "Available", "Released"])),
        )
    for number in range(4):
        if draw(st.booleans()):
            world.volume(
                f"bound-{number}",
                "made",
                claim=f"c{number}",
                affinity=draw(st.one_of(st.none(), TERMS)),
                driver="csi",
                labels=draw(st.sampled_from([{}, {ZONE: "x"}, {ZONE: "x__y"}])),
                phase="Bound",
            )
            world.claim(f"c{number}", "made", modes=draw(modes), volume=f"bound-{number}")
        else:
            notes = draw(st.sampled_from([{}, {}, {oracle.SELECTED: "n0"}]))
            size = draw(st.integers(1, 3))
            class_name = draw(CLASSES)
            world.claim(f"c{number}", class_name, size, modes=draw(modes), annotations=notes)
    disks = st.builds(
        lambda name, is_read: {"pdName": name, "readOnly": is_read},
        st.sampled_from("ab"),
        st.booleans(),
    )
    pods = []
    for number in range(draw(st.integers(1, 5))):
        claims = draw(st.lists(st.sampled_from(["c0", "c1", "c2", "c3", "gone"]), max_size=2))
        some = tuple(draw(st.lists(disks, max_size=1)))
        pods.append(pod_of(f"p{number}", *claims, disks=some))
    return world, pods


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_nodes_are_refused_by_the_plugins_that_the_oracle_names(
    found: tuple[World, list[Obj]],
) -> None:
    world, pods = found
    engine = world.engine
    for pod in pods:
        waiting = world.waiting(pod)
        contest = engine.contest(waiting.shape, waiting.group)
        checks = contest.checks()
        whole = {check.plugin for check in checks if check.is_whole}
        feasible = []
        for name in world.plain.nodes:
            slot = engine.state.columns.slot_of[name]
            said = {check.plugin for check in checks if not check.passed[slot]}
            wanted = oracle.refusals(world.plain, pod, name)
            assert (whole or said) == wanted, (name, pod)
            assert contest.is_feasible(slot) == (not wanted)
            feasible += [] if wanted else [name]
        slot = engine.choose(waiting)
        assert (slot is not None) == bool(feasible)
        if slot is None:
            continue
        engine.place(waiting, slot)
        _decided(world, pod, waiting, engine.state.columns.names[slot])
        world.volumes.attached.check()
        world.volumes.book.check()


def _decided(world: World, pod: Obj, waiting: Waiting, node: str) -> None:
    """Have the oracle's world as the API will be once the pod is bound."""
    pod["spec"]["nodeName"] = node
    world.plain.pods.append(pod)
    reserved = world.volumes.reserved(waiting.uid)
    if reserved is None:
        return
    for claim, volume in reserved.choice.found:
        labels = world.plain.nodes[node]["metadata"]["labels"]
        assert oracle.reaches(world.plain.volumes[volume.name], labels)
        reference = {"namespace": "d", "name": claim.name, "uid": claim.uid}
        world.plain.volumes[volume.name]["spec"]["claimRef"] = reference
    for claim in reserved.choice.provisioned:
        notes = world.plain.claims[claim.name]["metadata"].setdefault("annotations", {})
        notes[oracle.SELECTED] = node


@pytest.fixture(name="world")
def _world() -> World:
    world = World()
    for number in range(3):
        world.node(f"n{number}", "xy"[number % 2])
    return world


def test_what_is_wrong_with_the_pod_is_told_without_counting_nodes(world: World) -> None:
    world.storage_class("now", "csi", delayed=False)
    world.claim("c0", "now")
    text = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    assert world.message(pod_of("p", "c0")) == text
    text = '0/3 nodes are available: persistentvolumeclaim "c1" not found.'
    assert world.message(pod_of("p", "c1")) == text


def test_an_ephemeral_volume_waits_for_its_claim_and_refuses_another_pods(world: World) -> None:
    pod = pod_of("p")
    pod["spec"]["volumes"] = [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]
    waiting = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
    assert world.message(pod) == f'0/3 nodes are available: {waiting} "p-v".'
    world.claim("p-v", "now")
    text = "PVC d/p-v was not created for pod d/p (pod is not owner)"
    assert world.message(pod) == f"0/3 nodes are available: {text}."


def test_nodes_that_do_not_reach_a_volume_are_told_apart_from_zones(world: World) -> None:
    affinity = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": ["n0"]}]}]
    world.volume("v", "c", claim="c0", affinity=affinity, phase="Bound", labels={ZONE: "y"})
    world.claim("c0", "c", volume="v")
    assert world.message(pod_of("p", "c0")) == (
        "0/3 nodes are available: 1 node(s) had no available volume zone, "
        "2 node(s) had volume node affinity conflict."
    )


def test_a_driver_that_is_needed_is_missed(world: World) -> None:
    world.storage_class("made", "csi", delayed=True)
    world.claim("c0", "made")
    driver = {"metadata": {"name": "csi"}, "spec": {"preventPodSchedulingIfMissing": True}}
    world.volumes.book.take_drivers([Delta(Change.ADDED, "csi", driver)])
    text = "0/3 nodes are available: 3 csi CSI driver is not installed on the node."
    assert world.message(pod_of("p", "c0")) == text


def test_capacity_that_is_tracked_must_be_enough_and_the_emptiest_is_preferred(
    world: World,
) -> None:
    world.storage_class("made", "csi", delayed=True)
    world.claim("c0", "made", 5)
    driver = {"metadata": {"name": "csi"}, "spec": {"storageCapacity": True}}
    world.volumes.book.take_drivers([Delta(Change.ADDED, "csi", driver)])
    assert world.message(pod_of("p", "c0")) == (
        "0/3 nodes are available: 3 node(s) did not have enough free storage."
    )
    for node, size in (("n0", "4Gi"), ("n1", "10Gi"), ("n2", "50Gi")):
        capacity = {
            "metadata": {"name": node},
            "storageClassName": "made",
            "capacity": size,
            "nodeTopology": {"matchLabels": {HOST: node}},
        }
        world.volumes.book.take_capacities([Delta(Change.ADDED, f"d/{node}", capacity)])
    waiting = world.waiting(pod_of("p", "c0"))
    checks = world.engine.contest(waiting.shape, waiting.group).checks()
    assert [int(check.passed.sum()) for check in checks if "storage" in check.text] == [2]
    assert world.engine.choose(waiting) == world.engine.state.columns.slot_of["n2"]


def test_a_claim_for_one_pod_only_is_free_again_when_its_pod_is_gone(world: World) -> None:
    world.volume("v", "c", claim="c0", phase="Bound")
    world.claim("c0", "c", volume="v", modes=["ReadWriteOncePod"])
    first, second = (world.waiting(pod_of(name, "c0")) for name in "ab")
    slot = world.engine.choose(first)
    assert slot is not None
    world.engine.place(first, slot)
    assert world.engine.choose(second) is None
    before = world.engine.moment(second.shape)
    contest = world.engine.contest(second.shape, second.group)
    placed = world.engine.state.placed["a"]
    assert contest.feasible_without(slot, (placed,))
    world.engine.unplace("a")
    assert world.engine.moment(second.shape) != before
    assert world.engine.choose(second) is not None


def test_what_was_kept_for_a_pod_that_gets_no_node_is_given_back(world: World) -> None:
    world.storage_class("local", "kubernetes.io/no-provisioner", delayed=True)
    world.volume("v", "local")
    world.claim("c0", "local")
    world.claim("c1", "local")
    first, second = world.waiting(pod_of("a", "c0")), world.waiting(pod_of("b", "c1"))
    slot = world.engine.choose(first)
    assert slot is not None
    world.engine.place(first, slot)
    assert world.engine.choose(second) is None
    world.engine.unplace("a")
    assert world.engine.choose(second) is not None

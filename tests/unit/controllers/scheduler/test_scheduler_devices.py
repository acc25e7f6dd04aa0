"""Devices are found where a plain oracle finds them; selectors and results are upstream's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler.devices.model import read_slice
from controllers.scheduler.devices.plugin import Devices
from controllers.scheduler.devices.selecting import SelectorFault, Selectors
from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from kube.informers.changes import Change
from kube.informers.informer import Delta
from tests.unit.controllers.scheduler import device_oracle as oracle

Obj = dict[str, Any]
DRIVER = "d.example.com"


class World:
    """An engine with device claims."""

    def __init__(self, nodes: int = 2) -> None:
        self.engine = Engine({DEFAULT_SCHEDULER: Profile()})
        self.claims: dict[str, Obj] = {}
        self.slices: list[Obj] = []
        self.devices = Devices(self.engine.state.columns, self.claims.get)
        self.engine.extensions = [self.devices]
        self._revision = 0
        for number in range(nodes):
            labels = {"kubernetes.io/hostname": f"n{number}"}
            status = {"allocatable": {"cpu": "8", "memory": "8Gi", "pods": "20"}}
            node = {"metadata": {"name": f"n{number}", "labels": labels}, "spec": {}}
            self.engine.state.put_node({**node, "status": status})
        self.device_class("c")

    def device_class(self, name: str, *expressions: str, **spec: Any) -> None:
        selectors = [{"cel": {"expression": one}} for one in expressions]
        made = {"metadata": {"name": name}, "spec": {"selectors": selectors, **spec}}
        self.devices.book.take_classes([Delta(Change.ADDED, name, made)])

    def slice(self, name: str, devices: list[Obj], **spec: Any) -> None:
        pool = {"name": spec.pop("pool", name), "generation": 1, "resourceSliceCount": 1}
        pool |= spec.pop("of_pool", {})
        whole = {"driver": DRIVER, "pool": pool, "devices": devices, **spec}
        made = {"metadata": {"name": name}, "spec": whole}
        self.slices.append(made)
        self.devices.book.take_slices([Delta(Change.ADDED, name, made)])

    def claim(self, name: str, *requests: Obj, **devices: Any) -> Obj:
        self._revision += 1
        metadata = {"name": name, "namespace": "d", "uid": name}
        metadata["resourceVersion"] = str(self._revision)
        spec = {"devices": {"requests": list(requests), **devices}}
        made: Obj = {"metadata": metadata, "spec": spec, "status": {}}
        self.claims[f"d/{name}"] = made
        self.devices.book.take_claims([Delta(Change.MODIFIED, f"d/{name}", made)])
        return made

    def waiting(self, name: str, *claims: str) -> Waiting:
        wanted = [{"name": f"r{at}", "resourceClaimName": one} for at, one in enumerate(claims)]
        pod = {
            "metadata": {"name": name, "namespace": "d", "uid": name},
            "spec": {"containers": [{"name": "c", "image": "i"}], "resourceClaims": wanted},
        }
        shape = self.engine.shapes.of(pod)
        group = self.engine.shapes.group_of(pod["metadata"])
        return Waiting(name, f"d/{name}", shape, group, {})

    def feasible(self, waiting: Waiting) -> set[str]:
        contest = self.engine.contest(waiting.shape, waiting.group)
        names = self.engine.state.columns.names
        return {name for slot, name in enumerate(names) if contest.is_feasible(slot)}

    def results(self, uid: str, claim: str) -> list[Obj]:
        reserved = self.devices.reserved(uid)
        assert reserved is not None
        found: list[Obj] = reserved.allocations[f"d/{claim}"]["devices"]["results"]
        return found


def exactly(name: str, count: int = 1, **more: Any) -> Obj:
    """A request."""
    return {"name": name, "exactly": {"deviceClassName": "c", "count": count, **more}}


def gpu(name: str, model: str = "a", **more: Any) -> Obj:
    """A device."""
    return {"name": name, "attributes": {"model": {"string": model}, "n": {"int": 1}}, **more}


MODELS = st.sampled_from("ab")


@st.composite
def devices(draw: st.DrawFn, name: str, sets: int) -> Obj:
    found = gpu(name, draw(MODELS))
    found["attributes"]["n"] = {"int": draw(st.integers(0, 1))}
    if draw(st.integers(0, 4)) == 0:
        found["taints"] = [{"key": "t", "effect": draw(st.sampled_from(["NoSchedule", "None"]))}]
        if found["taints"][0]["effect"] == "None":
            del found["taints"]
    if sets and draw(st.booleans()):
        uses = {"c": {"value": str(draw(st.integers(1, 2)))}}
        found["consumesCounters"] = [{"counterSet": "s0", "counters": uses}]
    return found


@st.composite
def asked(draw: st.DrawFn) -> Obj:
    found: Obj = {"deviceClassName": "c", "allocationMode": "ExactCount"}
    found["count"] = draw(st.integers(1, 2))
    if draw(st.integers(0, 4)) == 0:
        found["allocationMode"] = "All"
    if draw(st.booleans()):
        model = draw(MODELS)
        found["model"] = model
        expression = f'device.attributes["{DRIVER}"].model == "{model}"'
        found["selectors"] = [{"cel": {"expression": expression}}]
    if draw(st.integers(0, 3)) == 0:
        found["tolerations"] = [{"key": "t", "operator": "Exists"}]
    return found


@st.composite
def claims(draw: st.DrawFn) -> Obj:
    requests = []
    for number in range(draw(st.integers(1, 2))):
        name = f"r{number}"
        if draw(st.integers(0, 3)) == 0:
            some = [{"name": f"s{at}", **draw(asked())} for at in range(2)]
            requests.append({"name": name, "firstAvailable": some})
            continue
        one = draw(asked())
        if draw(st.integers(0, 4)) == 0:
            one["adminAccess"] = True
        requests.append({"name": name, "exactly": one})
    found: Obj = {"requests": requests}
    if draw(st.integers(0, 2)) == 0:
        kind = draw(st.sampled_from(["matchAttribute", "distinctAttribute"]))
        attribute = draw(st.sampled_from(["model", "n"]))
        found["constraints"] = [{kind: f"{DRIVER}/{attribute}"}]
        if draw(st.booleans()):
            found["constraints"][0]["requests"] = ["r0"]
    return found


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    for pool, where in (("local-0", {"nodeName": "n0"}), ("all", {"allNodes": True})):
        sets = draw(st.integers(0, 1))
        count = draw(st.integers(0, 3))
        some = [draw(devices(f"{pool}-{number}", sets)) for number in range(count)]
        more: Obj = dict(where)
        if sets:
            counters = {"c": {"value": str(draw(st.integers(0, 3)))}}
            more["sharedCounters"] = [{"name": "s0", "counters": counters}]
        world.slice(pool, some, **more)
    return world


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.data())
def test_claims_get_devices_where_the_oracle_finds_a_way(data: st.DataObject) -> None:
    world = data.draw(worlds())
    taken: Counter[tuple[str, str]] = Counter()
    for number in range(data.draw(st.integers(1, 3))):
        names = []
        for at in range(data.draw(st.integers(1, 2))):
            names.append(f"claim-{number}-{at}")
            world.claim(names[-1], **_spec(data.draw(claims())))
        wanted = [world.claims[f"d/{name}"] for name in names]
        waiting = world.waiting(f"p{number}", *names)
        feasible = {n for n in ("n0", "n1") if oracle.can(world.slices, n, wanted, taken)}
        assert world.feasible(waiting) == feasible
        slot = world.engine.choose(waiting)
        assert (slot is not None) == bool(feasible)
        if slot is None:
            continue
        world.engine.place(waiting, slot)
        mine = _taken(world, waiting.uid, names)
        taken += mine
        assert all(count == 1 for count in taken.values())
        world.devices.book.check()
        if data.draw(st.booleans()):
            taken -= mine
            world.engine.unplace(waiting.uid)


def _taken(world: World, uid: str, names: list[str]) -> Counter[tuple[str, str]]:
    results = [one for name in names for one in world.results(uid, name)]
    return Counter((one["pool"], one["device"]) for one in results if not one.get("adminAccess"))


def _spec(devices_spec: Obj) -> Obj:
    return {"requests": devices_spec["requests"], **devices_spec}


@pytest.mark.parametrize(
    ("expression", "is_selected"),
    [
        (f'device.driver == "{DRIVER}"', True),
        (f'device.attributes["{DRIVER}"].model == "a"', True),
        ('device.attributes["other.example.com"].?x.hasValue()', False),
        (f'device.attributes["{DRIVER}"].version.isGreaterThan(semver("1.0.0"))', True),
        (f'device.capacity["{DRIVER}"].memory.compareTo(quantity("10Gi")) >= 0', True),
        (f'device.capacity["{DRIVER}"].memory.isGreaterThan(quantity("40Gi"))', False),
        ('device.attributes["x.example.com"].speed > 5', True),
        ("device.allowMultipleAllocations", False),
    ],
)
def test_selectors_see_what_upstream_shows_them(expression: str, *, is_selected: bool) -> None:
    device = gpu("g", capacity={"memory": {"value": "16Gi"}})
    device["attributes"] |= {
        "version": {"version": "1.2.3"},
        "x.example.com/speed": {"int": 7},
    }
    made = read_slice(
        {"metadata": {"name": "s"}, "spec": {"driver": DRIVER, "pool": {}, "devices": [device]}}
    )
    assert Selectors().matches(expression, made.devices[0]) is is_selected


def test_a_selector_that_fails_says_where() -> None:
    made = read_slice(
        {"metadata": {"name": "s"}, "spec": {"driver": DRIVER, "pool": {}, "devices": [gpu("g")]}}
    )
    with pytest.raises(SelectorFault, match="CEL runtime error: no such key: gone"):
        Selectors().matches(f'device.attributes["{DRIVER}"].gone == "a"', made.devices[0])
    with pytest.raises(SelectorFault, match="CEL compile error"):
        Selectors().matches("device.what", made.devices[0])


def test_a_shared_device_is_taken_until_its_capacity_is_used_up() -> None:
    world = World()
    policy = {"default": "1Gi", "validRange": {"min": "2Gi", "step": "2Gi"}}
    capacity = {"memory": {"value": "8Gi", "requestPolicy": policy}}
    world.slice("p", [gpu("g", capacity=capacity, allowMultipleAllocations=True)], nodeName="n0")
    consumed = []
    for number, size in enumerate(["3Gi", "1Gi", "4Gi"]):
        world.claim(f"c{number}", exactly("r", capacity={"requests": {"memory": size}}))
        waiting = world.waiting(f"p{number}", f"c{number}")
        slot = world.engine.choose(waiting)
        if slot is None:
            consumed.append(None)
            continue
        world.engine.place(waiting, slot)
        (result,) = world.results(f"p{number}", f"c{number}")
        assert result["shareID"]
        consumed.append(result["consumedCapacity"]["memory"])
    # Three are rounded up to four by steps of two, one is raised to the least; four are not left.
    assert consumed == ["4Gi", "2Gi", None]
    world.engine.unplace("p0")
    assert world.engine.choose(world.waiting("p2", "c2")) is not None


def test_the_node_where_the_preferred_alternative_is_to_be_had_is_better() -> None:
    world = World()
    world.slice("p0", [gpu("g", "b")], nodeName="n0")
    world.slice("p1", [gpu("g", "a")], nodeName="n1")
    some = [
        {
            "name": model,
            "deviceClassName": "c",
            "selectors": [
                {"cel": {"expression": f'device.attributes["{DRIVER}"].model == "{model}"'}}
            ],
        }
        for model in "ab"
    ]
    for number, node in enumerate(["n1", "n0"]):
        world.claim(f"c{number}", {"name": "r", "firstAvailable": some})
        waiting = world.waiting(f"p{number}", f"c{number}")
        slot = world.engine.choose(waiting)
        assert slot is not None
        assert world.engine.state.columns.names[slot] == node
        world.engine.place(waiting, slot)
    assert [world.results(f"p{n}", f"c{n}")[0]["request"] for n in range(2)] == ["r/a", "r/b"]


def test_an_allocation_has_its_configuration_and_where_it_is_good() -> None:
    world = World()
    opaque = {"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}
    world.device_class("c", config=[opaque])
    world.slice("p", [gpu("g")], nodeName="n1")
    world.claim("c0", exactly("r"), config=[{"requests": ["r"], **opaque}])
    waiting = world.waiting("p0", "c0")
    slot = world.engine.choose(waiting)
    assert slot is not None
    world.engine.place(waiting, slot)
    reserved = world.devices.reserved("p0")
    assert reserved is not None
    allocation = reserved.allocations["d/c0"]
    assert allocation["devices"]["config"] == [
        {"source": "FromClass", **opaque},
        {"source": "FromClaim", **opaque},
    ]
    (term,) = allocation["nodeSelector"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}


@pytest.mark.parametrize(
    ("of_pool", "text"),
    [({"resourceSliceCount": 2}, ""), ({"generation": 1}, "is taken")],
)
def test_nothing_is_taken_of_a_pool_that_is_not_whole(of_pool: Obj, text: str) -> None:
    world = World()
    world.slice("p", [gpu("g")], nodeName="n0", of_pool=of_pool)
    world.claim("c0", exactly("r"))
    assert bool(world.feasible(world.waiting("p0", "c0"))) == bool(text)


def test_what_keeps_a_pod_waiting_is_told() -> None:
    world = World()
    messages = []
    waiting = world.waiting("p0", "c0")
    messages.append(world.engine.explain(waiting).message())
    world.claim("c0", {"name": "r", "exactly": {"deviceClassName": "gone", "count": 1}})
    messages.append(world.engine.explain(waiting).message())
    world.claim("c0", exactly("r"))
    messages.append(world.engine.explain(waiting).message())
    assert messages == [
        '0/2 nodes are available: resourceclaim.resource.k8s.io "c0" not found.',
        "0/2 nodes are available: request r: device class gone does not exist.",
        "0/2 nodes are available: 2 cannot allocate all claims.",
    ]
    assert world.engine.unblock(waiting.shape) == "still not schedulable"


def test_a_claim_that_nobody_uses_and_is_elsewhere_is_given_up() -> None:
    world = World()
    gone: list[tuple[str, str]] = []
    world.devices.deallocate = lambda key, uid: gone.append((key, uid))
    claim = world.claim("c0", exactly("r"))
    fields = [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]
    selector = {"nodeSelectorTerms": [{"matchFields": fields}]}
    claim["status"] = {"allocation": {"devices": {"results": []}, "nodeSelector": selector}}
    world.devices.book.take_claims([Delta(Change.MODIFIED, "d/c0", claim)])
    waiting = world.waiting("p0", "c0")
    assert world.engine.explain(waiting).message() == (
        "0/2 nodes are available: 2 resourceclaim not available on the node."
    )
    assert world.engine.unblock(waiting.shape) == "deallocation of ResourceClaim completed"
    assert gone == [("d/c0", "p0")]

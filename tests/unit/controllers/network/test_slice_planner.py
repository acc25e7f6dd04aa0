"""What is to be written of a Service's slices, whether or not something is remembered of them."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.network import backends
from controllers.network.endpoint_slices import index_by_service
from controllers.network.nodes import Zones
from controllers.network.slice_planner import SlicePlanner
from controllers.network.slices import endpoints_of
from controllers.selections import PodGroups
from controllers.workloads.pods import PodBook
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.informers.store import Store
from tests.unit.controllers.network.network_objects import service

PODS = 400


def pod(number: int, *, ready: bool = True, gone: bool = False) -> Delta:
    """Return a pod as an informer tells of it."""
    name = f"pod{number}"
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    obj = {
        "metadata": {"name": name, "namespace": "n", "uid": name, "labels": {"app": "foo"}},
        "spec": {"nodeName": f"node-{number % 2}"},
        "status": {
            "phase": "Running",
            "podIPs": [{"ip": f"10.1.{number // 200}.{number % 200 + 1}"}],
            "conditions": [condition],
        },
    }
    return Delta(Change.DELETED if gone else Change.MODIFIED, f"n/{name}", obj)


def node(name: str, zone: str) -> Delta:
    """Return a node as an informer tells of it."""
    labels = {"topology.kubernetes.io/zone": zone}
    return Delta(Change.MODIFIED, name, {"metadata": {"name": name, "labels": labels}})


class World:
    """A Service, its pods, and a server that takes what is planned at once."""

    def __init__(self) -> None:
        self.book = PodBook()
        self.selections = PodGroups(self.book).selections(lambda *_: None)
        self.pieces = Store({"service": index_by_service})
        self.zones = Zones()
        self.zones.take([node("node-0", "a"), node("node-1", "b")])
        self.planner = SlicePlanner(self.selections, self.pieces, self.zones)
        self.service = service(trafficDistribution="PreferClose")
        self.raw = orjson.dumps(self.service)
        self.revision = 0
        selector = backends.selector_of(self.service)
        assert selector is not None
        self.selections.put("n/foo", selector)

    def sync(self) -> tuple[int, int, int]:
        """Carry a plan out; return how many slices were made, changed and deleted."""
        snapshot = self.planner.look("n/foo", self.service, self.raw)
        plan, _ = self.planner.plan("n/foo", self.service, snapshot, "IPv4", {})
        for piece in plan.create:
            piece["metadata"]["name"] = f"s{self.revision + 1}"
            piece["metadata"]["uid"] = f"s{self.revision + 1}"
            self._put(piece)
        for piece in plan.update.values():
            self._put(piece)
        for name in plan.delete:
            self.pieces.drop(f"n/{name}")
        self.planner.keep("n/foo", snapshot)
        return len(plan.create), len(plan.update), len(plan.delete)

    def _put(self, piece: dict[str, Any]) -> None:
        self.revision += 1
        metadata = piece["metadata"]
        metadata["resourceVersion"] = str(self.revision)
        metadata["generation"] = metadata.get("generation", 0) + 1
        self.pieces.put(f"n/{metadata['name']}", piece, orjson.dumps(piece))

    def shown(self) -> dict[str, tuple[bool, str, str]]:
        """Return whether each pod is ready, its zone, and the zone of its hint; each once."""
        found: dict[str, tuple[bool, str, str]] = {}
        for piece in self.pieces.find("service", "n/foo"):
            for endpoint in endpoints_of(piece):
                name = endpoint["targetRef"]["name"]
                assert name not in found
                hint = (endpoint.get("hints") or {"forZones": [{"name": ""}]})["forZones"][0]
                found[name] = (endpoint["conditions"]["ready"], endpoint["zone"], hint["name"])
        return found

    def wanted(self) -> dict[str, tuple[bool, str, str]]:
        """Return what ought to be shown."""
        found = {}
        for one in self.book:
            zone, ready = self.zones.zone_of(one.node) or "", one.ready_s is not None
            found[one.name] = (ready, zone, zone if ready else "")
        return found


def settled(world: World) -> int:
    """Return how many slices would not be looked at."""
    return len(world.planner.look("n/foo", world.service, world.raw).settled)


def full() -> World:
    """Return a world with many pods, whose slices are all right and known to be so."""
    world = World()
    world.book.take([pod(number) for number in range(PODS)])
    assert world.sync() == (4, 0, 0)
    assert world.sync() == (0, 0, 0)
    assert settled(world) == 4
    return world


def test_slices_that_nothing_happened_to_are_not_looked_at() -> None:
    world = full()
    world.book.take([pod(7, ready=False)])
    assert settled(world) == 3
    assert world.sync() == (0, 1, 0)
    # What was written is looked at once more.
    assert settled(world) == 3
    assert world.sync() == (0, 0, 0)
    assert settled(world) == 4


def test_a_slice_that_has_room_is_filled_though_it_was_not_looked_at() -> None:
    world = full()
    world.book.take([pod(number, gone=True) for number in range(10)])
    world.sync()
    world.sync()
    assert settled(world) == 4
    world.book.take([pod(number) for number in range(1000, 1010)])
    assert world.sync() == (0, 1, 0)
    assert world.shown() == world.wanted()


def test_a_slice_that_somebody_changed_is_looked_at() -> None:
    world = full()
    key = world.pieces.keys("service", "n/foo")[0]
    piece = world.pieces.get(key)
    assert piece is not None
    piece["endpoints"] = []
    world._put(piece)
    world.sync()
    assert world.shown() == world.wanted()


def test_a_node_that_moves_to_another_zone_takes_its_pods_along() -> None:
    world = full()
    world.zones.take([node("node-0", "c")])
    assert settled(world) == 0
    assert world.sync() == (0, 4, 0)
    assert world.shown() == world.wanted()


def test_a_service_that_changes_has_all_its_slices_looked_at() -> None:
    world = full()
    world.service["metadata"]["labels"] = {"team": "other"}
    world.raw = orjson.dumps(world.service)
    assert world.sync() == (0, 4, 0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ready"), st.integers(0, PODS + 50)),
        st.tuples(st.just("unready"), st.integers(0, PODS + 50)),
        st.tuples(st.just("gone"), st.integers(0, PODS + 50)),
        st.tuples(st.just("zone"), st.integers(0, 1)),
        st.tuples(st.just("sync"), st.integers(0, 0)),
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_whatever_was_remembered_slices_are_what_they_should_be_after_a_sync(
    steps: list[tuple[str, int]],
) -> None:
    world = full()
    for number, (kind, which) in enumerate(steps):
        match kind:
            case "ready" | "unready":
                world.book.take([pod(which, ready=kind == "ready")])
            case "gone":
                world.book.take([pod(which, gone=True)])
            case "zone":
                world.zones.take([node(f"node-{which}", f"z{number}")])
            case _:
                world.sync()
                assert world.shown() == world.wanted()
    world.sync()
    assert world.shown() == world.wanted()

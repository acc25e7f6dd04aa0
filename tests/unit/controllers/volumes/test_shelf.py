"""Which volume a claim finds: upstream's table of TestMatchVolume and what orders it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.volumes import facts
from controllers.volumes.shelf import Shelves
from controllers.workloads.pods import selects

RWO, ROX, RWX = "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"


def volume(name: str, size: str = "10G", *modes: str, **more: Any) -> dict[str, Any]:
    """Return a volume that nobody has."""
    metadata = {"name": name, "resourceVersion": str(more.pop("revision", 1))}
    for key in ("labels", "deletionTimestamp", "annotations"):
        if key in more:
            metadata[key] = more.pop(key)
    status = {"phase": more.pop("phase", "Available")}
    spec = {"capacity": {"storage": size}, "accessModes": list(modes or (RWO,)), **more}
    return {"metadata": metadata, "spec": spec, "status": status}


def claim(name: str = "c", size: str = "1G", *modes: str, **more: Any) -> dict[str, Any]:
    """Return a claim."""
    spec = {
        "accessModes": list(modes or (RWO,)),
        "resources": {"requests": {"storage": size}},
        **more,
    }
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
    return {"metadata": metadata, "spec": spec}


def meant_for(name: str, uid: str = "") -> dict[str, str]:
    """Return a reference to a claim."""
    return {"namespace": "ns", "name": name, "uid": uid}


class World:
    """Shelves and the volumes on them."""

    def __init__(self, *volumes: dict[str, Any]) -> None:
        self.volumes: dict[str, dict[str, Any]] = {}
        self.shelves = Shelves(self.volumes.get)
        self.free: list[str] = []
        self.shelves.on_free(self.free.append)
        for one in volumes:
            self.put(one)

    def put(self, one: dict[str, Any]) -> None:
        """Have a volume."""
        self.volumes[one["metadata"]["name"]] = one
        self.shelves.put(one)

    def find(self, wanted: dict[str, Any], *, is_delayed: bool = False) -> str | None:
        """Return the name of what a claim finds."""
        selector = wanted["spec"].get("selector")
        matches = selects(selector) if selector is not None else None
        found = self.shelves.find(wanted, matches, is_delayed=is_delayed)
        self.shelves.check()
        return None if found is None else found["metadata"]["name"]


@pytest.fixture
def world() -> World:
    """Volumes of several sizes, modes and classes."""
    return World(
        volume("small", "1G"),
        volume("medium", "5G"),
        volume("large", "10G", ROX),
        volume("shared", "10G", ROX, RWX),
        volume("labelled", "20G", labels={"zone": "a"}),
        volume("fast", "5G", storageClassName="fast"),
        volume("block", "5G", volumeMode="Block"),
        volume("gold", "5G", volumeAttributesClassName="gold"),
        volume("going", "5G", RWX, deletionTimestamp="2026-01-01T00:00:00Z"),
        volume("released", "5G", RWX, phase="Released"),
        volume("new", "5G", RWX, phase="Pending"),
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (claim(size="1"), "small"),
        (claim(size="1G"), "small"),
        (claim(size="1000000001"), "medium"),
        (claim(size="6G"), "labelled"),
        (claim("c", "1G", ROX), "large"),
        (claim("c", "1G", RWX), "shared"),
        (claim("c", "1G", RWO, RWX), None),
        (claim(size="21G"), None),
        (claim(selector={"matchLabels": {"zone": "a"}}), "labelled"),
        (claim(selector={"matchLabels": {"zone": "b"}}), None),
        (
            claim(selector={"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}),
            "small",
        ),
        (claim(storageClassName="fast"), "fast"),
        (claim(storageClassName="slow"), None),
        (claim(storageClassName=""), "small"),
        (claim(volumeMode="Block"), "block"),
        (claim(volumeAttributesClassName="gold"), "gold"),
    ],
)
def test_a_claim_finds_the_smallest_volume_of_the_fewest_modes(
    world: World, wanted: dict[str, Any], found: str | None
) -> None:
    assert world.find(wanted) == found


def test_a_volume_meant_for_a_claim_comes_before_smaller_ones_and_is_nobody_elses() -> None:
    world = World(volume("small", "1G"), volume("meant", "9G", claimRef=meant_for("c")))
    assert world.find(claim()) == "meant"
    assert world.find(claim("other")) == "small"
    assert world.find(claim("other", "2G")) is None


def test_a_volume_meant_for_a_claim_that_is_too_small_is_passed_over() -> None:
    world = World(volume("meant", "1G", claimRef=meant_for("c")), volume("large", "5G"))
    assert world.find(claim(size="2G")) == "large"


def test_a_volume_meant_for_another_of_the_name_is_not_found() -> None:
    world = World(volume("meant", "1G", claimRef=meant_for("c", "another")))
    assert world.find(claim()) is None


def test_a_claim_that_waits_for_a_pod_finds_only_what_is_meant_for_it() -> None:
    world = World(volume("free"))
    assert world.find(claim(), is_delayed=True) is None
    world.put(volume("meant", claimRef=meant_for("c")))
    assert world.find(claim(), is_delayed=True) == "meant"


def test_a_reserved_volume_is_found_by_who_reserved_it_alone() -> None:
    world = World(volume("only"))
    assert world.shelves.reserve("only", "ns/c")
    assert not world.shelves.reserve("only", "ns/d")
    assert (world.find(claim("c")), world.find(claim("d"))) == ("only", None)
    world.shelves.release("only")
    assert world.find(claim("d")) == "only"


def test_an_older_word_counts_for_nothing() -> None:
    world = World(volume("v", revision=1))
    world.put(volume("v", revision=3, phase="Bound", claimRef=meant_for("c", "uid-c")))
    world.shelves.put(volume("v", revision=2))
    assert world.find(claim("other")) is None


def test_each_class_is_told_of_what_became_free_once_for_each_change() -> None:
    world = World(volume("v", storageClassName="fast", phase="Pending"))
    assert world.free == []
    world.put(volume("v", storageClassName="fast", revision=2))
    world.put(volume("v", storageClassName="fast", revision=2))
    assert world.free == ["fast"]


def test_a_volume_that_is_gone_is_not_found() -> None:
    world = World(volume("v"))
    world.shelves.drop("v")
    assert world.find(claim()) is None
    assert world.shelves.meant("ns/c") == ()


_CHANGES = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["1G", "2G", "3G"]),
    st.sampled_from([(RWO,), (RWO, ROX), (RWX,)]),
    st.sampled_from(["Available", "Bound", ""]),
)


@given(st.lists(_CHANGES, max_size=40))
def test_shelves_hold_what_is_free_after_any_changes(changes: list[Any]) -> None:
    world, now = World(), {}
    for revision, (number, size, modes, phase) in enumerate(changes):
        name = f"v{number}"
        if not phase:
            world.shelves.drop(name)
            now.pop(name, None)
        else:
            now[name] = volume(name, size, *modes, phase=phase, revision=revision)
            world.put(now[name])
        world.shelves.check()
    free = [
        (len(one["spec"]["accessModes"]), facts.capacity_bytes(one))
        for one in now.values()
        if one["status"]["phase"] == "Available" and RWO in one["spec"]["accessModes"]
    ]
    found = world.find(claim(size="1G"))
    if not free:
        assert found is None
    else:
        assert found is not None
        spec = now[found]
        assert (len(spec["spec"]["accessModes"]), facts.capacity_bytes(spec)) == min(free)

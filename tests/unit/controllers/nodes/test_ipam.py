"""Ranges of nodes: parts of networks, who has them, and what a restart knows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.nodes.book import NodeBook
from controllers.nodes.cidr_set import CidrSet, RangeError
from controllers.nodes.ipam import RangeAllocator, cidr_sets
from controllers.nodes.marks import NODES
from controllers.nodes.options import DEFAULTS
from kube.client import Unreachable
from kube.status import StatusError
from runtime.tasks import TaskScope
from tests.unit.controllers.nodes.node_objects import Feed, Said, Server, node


def _set(network: str, prefix: int) -> CidrSet:
    return CidrSet(ip_network(network), prefix)


@pytest.mark.parametrize(
    ("network", "prefix", "first", "second"),
    [
        ("127.123.234.0/30", 30, "127.123.234.0/30", None),
        ("127.123.234.0/30", 31, "127.123.234.0/31", "127.123.234.2/31"),
        ("10.0.0.0/8", 28, "10.0.0.0/28", "10.0.0.16/28"),
        ("10.244.0.0/16", 24, "10.244.0.0/24", "10.244.1.0/24"),
        ("beef:1234::/60", 64, "beef:1234::/64", "beef:1234:0:1::/64"),
    ],
)
def test_parts_are_given_out_in_order(
    network: str, prefix: int, first: str, second: str | None
) -> None:
    subject = _set(network, prefix)
    assert subject.allocate() == first
    assert subject.allocate() == second


def test_a_part_that_was_given_back_comes_last() -> None:
    subject = _set("10.0.0.0/22", 24)
    found = [subject.allocate() for _ in range(3)]
    assert found == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    subject.release("10.0.0.0/24")
    assert subject.allocate() == "10.0.3.0/24"
    assert subject.allocate() == "10.0.0.0/24"
    assert subject.allocate() is None
    assert subject.free == 0


def test_ranges_larger_and_smaller_than_a_part_take_what_they_touch() -> None:
    subject = _set("10.0.0.0/22", 24)
    subject.occupy("10.0.0.0/23")
    subject.occupy("10.0.2.128/25")
    assert [subject.allocate(), subject.allocate()] == ["10.0.3.0/24", None]
    subject.release("10.0.2.7/32")
    assert subject.allocate() == "10.0.2.0/24"
    subject.release("0.0.0.0/0")
    assert subject.free == 4


@pytest.mark.parametrize("text", ["10.1.0.0/24", "beef::/64", "nonsense", "10.0.0.0/33"])
def test_a_range_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(RangeError):
        _set("10.0.0.0/16", 24).occupy(text)


@pytest.mark.parametrize(("network", "prefix"), [("10.0.0.0/24", 23), ("10.0.0.0/7", 32)])
def test_networks_without_such_parts_are_refused(network: str, prefix: int) -> None:
    with pytest.raises(RangeError):
        CidrSet(ip_network(network, strict=False), prefix)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 15)), max_size=60))
def test_no_two_have_the_same_part(steps: list[tuple[bool, int]]) -> None:
    subject, held = _set("10.0.0.0/28", 32), set()
    for is_release, number in steps:
        text = f"10.0.0.{number}/32"
        if is_release and text in held:
            subject.release(text)
            held.discard(text)
        elif not is_release:
            found = subject.allocate()
            assert (found is None) == (len(held) == 16)
            if found is not None:
                assert found not in held
                held.add(found)
    assert subject.free == 16 - len(held)


def test_what_services_have_is_left_out() -> None:
    options = replace(
        DEFAULTS, cluster_cidrs=("10.0.0.0/8",), node_prefix_v4=9, service_cidrs=("10.96.0.0/12",)
    )
    (subject,) = cidr_sets(options)
    assert [subject.allocate(), subject.allocate()] == ["10.128.0.0/9", None]


class World:
    """An allocator and what it sees."""

    def __init__(self, *networks: str, prefix: int = 24) -> None:
        self.server: Any = Server()
        self.said: Any = Said()
        self.nodes, self.book = Feed(), NodeBook()
        self.nodes.on_changes(self.book.take)
        sets = [_set(one, 64 if ":" in one else prefix) for one in networks]
        self.subject = RangeAllocator(self.server, self.said, self.book, sets)

    def put(self, name: str, *ranges: str, revision: int = 1) -> None:
        """Have a node."""
        made = node(name, spec={"podCIDRs": list(ranges)})
        made["metadata"]["resourceVersion"] = str(revision)
        self.nodes.put(made)

    def sync(self, name: str) -> None:
        """Work on a node."""
        asyncio.run(self.subject.sync(name))

    def given(self, name: str) -> list[str]:
        """Return what a node was given."""
        bodies = self.server.writes("PATCH", f"{NODES}/{name}")
        return [one for body in bodies for one in body["spec"]["podCIDRs"]]


def test_a_node_gets_a_range_of_each_family() -> None:
    world = World("10.0.0.0/16", "beef::/48")
    world.put("a")
    world.sync("a")
    (body,) = world.server.writes("PATCH")
    ranges = ["10.0.0.0/24", "beef::/64"]
    assert body["spec"] == {"podCIDR": ranges[0], "podCIDRs": ranges}
    assert body["metadata"] == {"uid": "uid-a"}


def test_where_others_see_to_ranges_nobody_is_given_one() -> None:
    async def start() -> None:
        world = World()
        async with TaskScope("test") as scope:
            world.subject.start(scope)
            world.put("a")
            await world.server.clock.advance(1)
            assert scope.running == 0
        assert world.server.asked == world.said.told == []

    asyncio.run(start())


def test_what_nodes_have_already_is_not_given_out_again() -> None:
    world = World("10.0.0.0/22")
    world.put("old", "10.0.0.0/24")
    world.put("odd", "192.168.0.0/24", "beef::/64")
    world.put("new")
    world.sync("new")
    assert world.given("new") == ["10.0.1.0/24"]


def test_a_node_that_finds_nothing_is_told_so_and_gets_the_first_that_comes_free() -> None:
    world = World("10.0.0.0/24")
    world.put("a")
    world.sync("a")
    world.put("a", "10.0.0.0/24", revision=2)
    world.put("b")
    world.sync("b")
    assert world.said.told == [("b", "CIDRNotAvailable", "Node b status is now: CIDRNotAvailable")]
    assert world.given("b") == []
    world.nodes.drop(node("a", spec={"podCIDRs": ["10.0.0.0/24"]}))
    world.sync("a")
    world.sync("b")
    assert world.given("b") == ["10.0.0.0/24"]


def test_a_refused_write_gives_its_range_back_and_an_unknown_one_keeps_it() -> None:
    world = World("10.0.0.0/23")
    world.put("a")
    world.server.refusals["PATCH"] = [422]
    with pytest.raises(StatusError):
        world.sync("a")
    assert world.said.told[-1][1] == "CIDRAssignmentFailed"
    world.put("b")

    async def unknown(*_: Any, **__: Any) -> None:
        raise Unreachable("no answer")

    kept, world.server.request = world.server.request, unknown
    with pytest.raises(Unreachable):
        world.sync("b")
    world.server.request = kept
    world.put("c")
    world.sync("c")
    world.sync("b")
    assert set(world.given("b")).isdisjoint(world.given("c"))


def test_a_node_that_was_given_another_range_gives_back_what_it_was_to_get() -> None:
    world = World("10.0.0.0/23")
    world.put("a")
    world.sync("a")
    world.put("a", "10.0.1.0/24", revision=2)
    world.put("b")
    world.sync("b")
    assert world.given("b") == ["10.0.0.0/24"]

"""The parts of a fleet: machines, plans, rings, logs, commands."""

from __future__ import annotations

import asyncio
import dataclasses
import zlib
from pathlib import Path

import pytest

from controllers.fleet.container_logs import Log, Options, log_of
from controllers.fleet.fleet_node import Node
from controllers.fleet.heartbeats import Ring
from controllers.fleet.lives import Life
from controllers.fleet.machines import FixedFleet, node_of, resources_of
from controllers.fleet.plan import FleetPlan, Template, encode_plan, read_plan
from controllers.fleet.pod_life import Pod
from controllers.fleet.shapes import shape_of
from controllers.fleet.writers import Writers
from kube.access import Access
from kube.client import Unreachable
from kube.pipe import Pipe
from kube.spdy import DICTIONARY_SUM, header_dictionary
from runtime.tasks import TaskScope

START = 1_000_000.0


def _pod(life: Life | None = None) -> Pod:
    spec = {"containers": [{"name": "main", "image": "nginx"}]}
    pod = Pod("ns/p", "uid", shape_of(spec), life or Life(), START)
    pod.advance(START, 1.0)
    return pod


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    taint = {"key": "gpu", "effect": "NoSchedule"}
    plan = FleetPlan(nodes=7, templates=(Template("a", "gpu-8", 2, {"x": "y"}, (taint,)),))
    (tmp_path / "plan").write_bytes(encode_plan(plan))
    assert read_plan(tmp_path / "plan") == plan
    (tmp_path / "plan").write_bytes(b'{"nodes": 1, "templates": [], "pod_cidrs": [], "x": 1}')
    with pytest.raises(ValueError, match="no plan"):
        read_plan(tmp_path / "plan")


def test_leases_are_renewed_less_often_in_a_large_fleet_but_in_time() -> None:
    plan = FleetPlan()
    assert [plan.lease_s(count) for count in (3, 10_000, 20_000, 100_000)] == [10, 10, 20, 40]
    assert dataclasses.replace(plan, lease_interval_s=5.0).lease_s(100_000) == 5


def test_machines_are_the_same_ones_each_time_and_share_no_network() -> None:
    plan = FleetPlan(
        nodes=40_000, templates=(Template("a", "standard-4", 3), Template("b", "gpu-8"))
    )
    machines = list(FixedFleet(plan).machines())
    assert machines == list(FixedFleet(plan).machines())
    assert len({one.name for one in machines}) == len({one.network for one in machines}) == 40_000
    assert sum(one.template.name == "a" for one in machines) == 30_000
    assert {one.zone for one in machines} == {"zone-a", "zone-b", "zone-c"}
    node = node_of(machines[32_768], {})
    assert node["spec"]["podCIDR"] == "240.0.0.0/24"


def test_a_node_leaves_something_to_itself() -> None:
    found = resources_of("standard-8", {})
    assert (found.capacity["cpu"], found.allocatable["cpu"]) == ("8", "7900m")
    assert found.allocatable["memory"] == "32668Mi"
    assert resources_of("tiny", {"tiny": {"cpu": "1", "memory": "1Gi"}}).capacity["pods"] == "110"


def test_a_ring_comes_by_each_node_once_in_a_turn_and_drops_those_that_are_gone() -> None:
    ring, seen = Ring(), []
    nodes = [Node(str(number)) for number in range(100)]
    for node in nodes:
        node.is_alive = True
        ring.add(node)
    for _ in range(400):
        ring.turn(1 / 400, lambda node: seen.append(node.name))
    assert sorted(seen) == sorted(node.name for node in nodes)
    for node in nodes[::2]:
        node.is_alive = False
    for _ in range(4):
        ring.turn(1.0, lambda _node: None)
    assert len(ring) == 50
    seen.clear()
    ring.turn(1.0, lambda node: seen.append(node.name))
    assert sorted(seen) == sorted(node.name for node in nodes[1::2])


def test_a_ring_that_was_held_up_does_not_owe_more_than_one_turn() -> None:
    ring, seen = Ring(), []
    node = Node("n")
    node.is_alive = True
    ring.add(node)
    ring.turn(1000.0, lambda one: seen.append(one.name))
    assert seen == ["n"]


def _lines(log: Log, now_s: float, options: Options | None = None) -> list[bytes]:
    async def read() -> list[bytes]:
        return [line async for line in log.first(now_s, options or Options())]

    return asyncio.run(read())


def _more(log: Log, now_s: float) -> list[bytes]:
    async def read() -> list[bytes]:
        return [line async for line in log.more(now_s, Options())]

    return asyncio.run(read())


def test_a_log_has_a_line_at_the_start_every_ten_seconds_and_at_the_end() -> None:
    pod = _pod(Life(run_s=25, exit_code=3, message="no more"))
    (one,) = pod.containers
    log = log_of(pod, one)
    assert _lines(log, START + 21) == [
        b"main of ns/p, run 0: started from docker.io/library/nginx:latest\n",
        b"main of ns/p, run 0: alive for 10 s\n",
        b"main of ns/p, run 0: alive for 20 s\n",
    ]
    one.end(START + 25, 3)
    log.end(one)
    assert _more(log, START + 99) == [b"main of ns/p, run 0: exits with code 3 no more\n"]
    last = _lines(log_of(pod, one), START + 99, Options(tail=1, has_times=True))
    assert last == [
        b"1970-01-12T13:47:05.000000000Z main of ns/p, run 0: exits with code 3 no more\n"
    ]


def test_log_options_choose_lines() -> None:
    pod = _pod()
    log, now_s = log_of(pod, pod.containers[0]), START + 1000
    assert len(_lines(log, now_s)) == 101
    assert len(_lines(log, now_s, Options(tail=0))) == 0
    assert len(_lines(log, now_s, Options(since_s=now_s - 30))) == 4
    assert len(b"".join(_lines(log, now_s, Options(limit_bytes=77)))) == 77
    assert len(_lines(log, now_s + 10_000_000)) == 10_000


def test_headers_are_packed_with_the_dictionary_of_the_draft() -> None:
    assert zlib.adler32(header_dictionary()) == DICTIONARY_SUM


def test_what_must_wait_is_written_by_few_and_then_by_all_and_failures_are_told() -> None:
    written: list[int] = []
    failed: list[int] = []
    waits = True

    async def write(_pipe: Pipe, item: int) -> None:
        if item == 0:
            blocked.append(item)
            await never.wait()
        if item == 13:
            raise Unreachable("no")
        if item == 14:
            raise KeyError(item)
        written.append(item)
        if item == 2:
            is_taken.set()

    never, is_taken = asyncio.Event(), asyncio.Event()
    blocked: list[int] = []

    async def run() -> None:
        nonlocal waits
        access = Access("http://127.0.0.1:1")
        writers = Writers(access, "w", 2, write, failed.append, must_wait=lambda: waits)
        async with TaskScope("test") as scope:
            writers.start(scope)
            for item in (0, 1, 13, 14, 2):
                writers.put(item)
            for _ in range(20):
                await asyncio.sleep(0)
            # The one that never waits is held up by the first.
            assert (written, blocked, len(writers)) == ([], [0], 4)
            waits = False
            await is_taken.wait()
            await scope.stop()

    asyncio.run(asyncio.wait_for(run(), 10))
    assert sorted(written) == [1, 2]
    assert failed == [13]

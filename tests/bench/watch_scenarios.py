"""Watches by the thousand: what they cost those who write, how late they are, what they weigh.

The watches are those of `watch_fleet`, a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import orjson

from tests.bench import objects
from tests.bench.endpoint import Endpoint, Refused
from tests.bench.figures import Figure
from tests.bench.processes import private_bytes
from tests.bench.scenarios import Scene, load

NODES: Final = 10_000
BOUND_PODS: Final = 2_000
NODE_COST_MAX: Final = 0.05
"""By how much a watch at each node may make writes dearer."""
WATCH_BYTES_MAX: Final = 25_000
LATENCY_WATCHERS: Final = 1_000
LATENCY_WRITES_S: Final = 200
LATENCY_P99_US_MAX: Final = 200_000.0
DELIVERED_S_MIN: Final = 100_000.0
DELIVERED_WATCHERS: Final = 1_000
DELIVERED_EVENTS: Final = 1_000
_OPEN_S_MAX: Final = 60.0
_SETTLE_S: Final = 0.5
_WRITERS: Final = 8


class Fleet:
    """Watches that are open in another process.

    Attributes:
        watches: how many.
        opened_s: how long it took until all were answered.
    """

    def __init__(self, child: subprocess.Popen[str], watches: int) -> None:
        self._child = child
        self.watches = watches
        self.opened_s = float(self._answer()["opened_s"])

    def report(self) -> dict[str, Any]:
        """Return what came since the last report; see `watch_fleet`."""
        self._say("report")
        return self._answer()

    def wait_for(self, events: int, limit_s: float) -> dict[str, Any]:
        """Return the report of so many events.

        Raises:
            Refused: they did not come in time.
        """
        deadline_s = time.monotonic() + limit_s
        seen = 0
        while True:
            found = self.report()
            seen += found["events"]
            if seen >= events:
                return found | {"events": seen}
            if time.monotonic() > deadline_s or found["lost"]:
                raise Refused(f"{seen} of {events} events came, {found['lost']} watches ended")
            time.sleep(0.05)

    def close(self) -> None:
        """End all watches; return when the server can know."""
        self._say("end")
        self._answer()

    def _say(self, word: str) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            raise Refused("the watches failed; see above")
        found: dict[str, Any] = orjson.loads(line)
        return found


@contextmanager
def fleet_of(endpoint: Endpoint, path: str, watches: int) -> Iterator[Fleet]:
    """Open watches in a process of their own, for as long as the block lasts."""
    command = [
        *(sys.executable, "-m", "tests.bench.watch_fleet", "--url", endpoint.url),
        *("--token", endpoint.token, "--path", path, "--watches", str(watches)),
        *("--limit-s", str(_OPEN_S_MAX)),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield Fleet(child, watches)
        finally:
            child.terminate()


def node_watches(scene: Scene) -> list[Figure]:
    """Measure what 10,000 watches of a node's pods each cost those who write pods.

    The same loads run before, during and after them in one server: what they cost by themselves is
    the less of before and after. A patch is an event for the one watch of its pod's node, which it
    is sent to; a create of a pod without a node is none for any of them.
    """
    endpoint, meter = scene.server.endpoint, scene.server.meter
    pods = scene.path("pods")
    step = NODES // BOUND_PODS
    bodies = (
        objects.pod(f"bound-{number}", f"node-{number * step}") for number in range(BOUND_PODS)
    )
    endpoint.create_all(pods, bodies)
    before = _pod_loads(scene, "before")
    private_before = private_bytes(meter.pids)
    cpu_before = meter.cpu_us()
    version = orjson.loads(endpoint.request("GET", f"{pods}?limit=1"))["metadata"]
    path = (
        "/api/v1/pods?watch=1&allowWatchBookmarks=true&fieldSelector=spec.nodeName%3Dnode-{n}"
        f"&resourceVersion={version['resourceVersion']}"
    )
    with fleet_of(endpoint, path, NODES) as fleet:
        opening = {name: used / NODES for name, used in meter.spent_us(cpu_before).items()}
        weight = (private_bytes(meter.pids) - private_before) / NODES
        fleet.report()
        during = _pod_loads(scene, "during")
        time.sleep(_SETTLE_S)
        delivered = fleet.report()
        cpu_before = meter.cpu_us()
        fleet.close()
    time.sleep(_SETTLE_S)
    closing = {name: used / NODES for name, used in meter.spent_us(cpu_before).items()}
    after = _pod_loads(scene, "after")
    if not delivered["events"] or delivered["lost"]:
        raise Refused(f"the watches of the nodes did not work: {delivered}")
    figures = [
        Figure("open a watch", NODES / fleet.opened_s, cpu_us=opening),
        Figure(
            "memory of an idle watch",
            weight / 1000,
            "KB",
            target=f"≤ {WATCH_BYTES_MAX / 1000:.0f} KB",
            is_met=weight <= WATCH_BYTES_MAX if meter.pids else None,
        ),
        Figure("end a watch", 0.0, cpu_us=closing),
    ]
    for what, alone, watched, again in zip(_LOADS, before, during, after, strict=True):
        figures += _compared(what, alone, watched, again)
    return figures


_LOADS: Final = ("patch a watched Pod", "create an unwatched Pod")


def _pod_loads(scene: Scene, when: str) -> list[Figure]:
    """Return the loads' figures: of each the cheaper of two, as others disturb but never help."""
    pods = scene.path("pods")
    file = scene.body_file("unbound", objects.pod())
    rounds = []
    for attempt in "ab":
        patched = {"prefix": f"{pods}/bound-", "pool": str(BOUND_PODS)}
        created = {"body": file, "prefix": f"free-{when}-{attempt}"}
        rounds.append(
            [
                load(scene, f"{_LOADS[0]}, {when}", pods, "annotate.lua", options=patched),
                load(scene, f"{_LOADS[1]}, {when}", pods, "create.lua", options=created),
            ]
        )
    return [min(pair, key=_cost_us) for pair in zip(*rounds, strict=True)]


def _cost_us(figure: Figure) -> float:
    return sum(figure.cpu_us.values())


def _compared(what: str, alone: Figure, watched: Figure, again: Figure) -> list[Figure]:
    """Return a load without and with the watches, the latter under its bar."""
    base = min(alone, again, key=_cost_us)
    base.what = f"{what}, alone"
    watched.what = f"{what}, {NODES:,} watches"
    if base.cpu_us:
        more = _cost_us(watched) / _cost_us(base) - 1
        watched.target = f"{more:+.1%}, ≤ {NODE_COST_MAX:+.0%}"
        watched.is_met = more <= NODE_COST_MAX
    return [base, watched]


def watch_latency(scene: Scene) -> list[Figure]:
    """Measure how late 1,000 watches of one type get what 200 writes a second make."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    collection = scene.path("configmaps")
    with fleet_of(
        endpoint, f"{collection}?watch=1&resourceVersion={_now(scene)}", LATENCY_WATCHERS
    ) as fleet:
        before = meter.cpu_us()
        writes = LATENCY_WRITES_S * scene.seconds
        start_s = time.monotonic()
        _write_evenly(endpoint, collection, writes, start_s)
        took_s = time.monotonic() - start_s
        found = fleet.wait_for(writes * LATENCY_WATCHERS, 10.0)
        spent = meter.spent_us(before)
    return [
        Figure(
            f"{LATENCY_WATCHERS:,} watches, {LATENCY_WRITES_S} writes/s",
            writes / took_s,
            "writes/s",
            p50_us=found["p50_us"],
            p99_us=found["p99_us"],
            cpu_us={name: used / found["events"] for name, used in spent.items()},
            target=f"p99 < {LATENCY_P99_US_MAX / 1000:.0f} ms",
            is_met=found["p99_us"] < LATENCY_P99_US_MAX,
        )
    ]


def _now(scene: Scene) -> str:
    listed = orjson.loads(
        scene.server.endpoint.request("GET", f"{scene.path('configmaps')}?limit=1")
    )
    return str(listed["metadata"]["resourceVersion"])


def _write_evenly(endpoint: Endpoint, collection: str, writes: int, start_s: float) -> None:
    """Create objects that carry the time at which they were sent, each at its own time."""

    def write(first: int) -> None:
        connection = endpoint.connect()
        try:
            for number in range(first, writes, _WRITERS):
                wait_s = start_s + number / LATENCY_WRITES_S - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                body = objects.timed_config_map(f"timed-{number}", time.monotonic_ns())
                endpoint.send(connection, "POST", collection, body)
        finally:
            connection.close()

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(write, range(_WRITERS)))


def watch_rate(scene: Scene) -> list[Figure]:
    """Measure how many events a second one worker delivers to 1,000 watches."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    collection = scene.path("configmaps")
    with fleet_of(
        endpoint, f"{collection}?watch=1&resourceVersion={_now(scene)}", DELIVERED_WATCHERS
    ) as fleet:
        before = meter.cpu_us()
        start_s = time.monotonic()
        endpoint.create_all(
            collection, (objects.config_map(f"rate-{n}") for n in range(DELIVERED_EVENTS))
        )
        found = fleet.wait_for(DELIVERED_EVENTS * DELIVERED_WATCHERS, 30.0)
        spent = meter.spent_us(before)
    rate = found["events"] / (found["last_event_s"] - start_s)
    return [
        Figure(
            f"watch {DELIVERED_WATCHERS:,} x {DELIVERED_EVENTS:,}",
            rate,
            "events/s",
            cpu_us={name: used / found["events"] for name, used in spent.items()},
            target=f"≥ {DELIVERED_S_MIN:,.0f} events/s",
            is_met=rate >= DELIVERED_S_MIN,
        )
    ]

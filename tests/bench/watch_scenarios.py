"""Watches by the thousand: how late they are, and how much they take.

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
from tests.bench.scenarios import Scene

LATENCY_WATCHERS: Final = 1_000
LATENCY_WRITES_S: Final = 200
LATENCY_P99_US_MAX: Final = 200_000.0
DELIVERED_S_MIN: Final = 100_000.0
DELIVERED_WATCHERS: Final = 1_000
DELIVERED_EVENTS: Final = 1_000
_OPEN_S_MAX: Final = 60.0
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

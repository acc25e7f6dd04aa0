"""What 10,000 watches of a node's pods each, as kubelets have them, cost those who write pods.

What is held against the bar is the CPU time of the API server for a write, and what the watches
that have nothing to do with the write change about it. There are three kinds of writes:

    dispatch    a pod that no watch is about (it has no node) is created; 10,000 watches or none
    delivery    pods of one node are patched, one watch gets each event; that watch and 9,999 others
                are open, or that watch alone
    deliveries  pods of 2,000 nodes are patched, a watch each gets an event, so that no two share a
                system call; those watches and 8,000 others are open, or those alone

To tell a watch of an event is work for whoever is interested, upstream too, and not what the others
cost: so the bar compares equal deliveries. What the deliveries themselves cost is said beside it:
the same patches against those that nobody watches.

How it is measured:
    - States take turns in one server (none, one, 2,000, 10,000, none, one, ...), each round is
      compared with the mean of those of the other state before and after it, and the median of
      these comparisons is the figure: what drifts, as the store grows, cancels.
    - CPU is that of the server's main thread, from /proc, in ns: a checkpoint is copied by another
      thread, falls into some rounds and not into others, and takes what thousands of creates take.
    - A round in which that thread had to wait for a CPU that others had is made again.
    - The noise that is printed is what the same comparison says where nothing differs, of rounds of
      one state: the standard error of a median of so many. Beyond what the bar allows there is no
      verdict.
    - The cluster is started for this: without controllers, as they watch pods too; without
      compression, as that begins somewhere on the way; with its log in memory, as waiting for a
      disk is most of what slow writes take. Load and watches are processes of their own.
"""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from tests.bench import objects, wrk
from tests.bench.endpoint import Refused
from tests.bench.figures import Figure
from tests.bench.processes import main_thread_us, private_bytes
from tests.bench.scenarios import CONNECTIONS, Scene
from tests.bench.server import TMPFS, start_ultraplane
from tests.bench.watch_scenarios import Fleet, fleet_of

NODES: Final = 10_000
BOUND: Final = 2_000
"""Nodes that have a pod."""
HOME_PODS: Final = 256
COST_MAX: Final = 0.05
"""By how much watches that a write is no business of may make it dearer."""
LATE_MAX: Final = 1.3
"""By how much they may make the slowest creates slower."""
WATCH_BYTES_MAX: Final = 25_000
CYCLES: Final = 5
WAITED_MAX: Final = 0.05
"""Part of a round for which the server may have waited for a CPU. By itself it waits for 1%; where
others take the CPUs from it for a fifth of the time, p99 is five times what it is without."""
ATTEMPTS: Final = 3
_SERVER: Final = "apiserver"
_SETTLE_S: Final = 0.2
_SETTLE_S_MAX: Final = 20.0
_IDLE: Final = 0.1
_SETTINGS: Final = {"supervisor": {"controllers": False}, "storage": {"compression": "off"}}

_CREATE: Final = "create Pods of no node"
_HOME: Final = "patch Pods of one node"
_SPREAD: Final = f"patch Pods of {BOUND:,} nodes"
_STATES: Final[dict[int, tuple[str, ...]]] = {
    0: (_CREATE, _HOME, _SPREAD),
    1: (_HOME,),
    BOUND: (_SPREAD,),
    NODES: (_CREATE, _HOME, _SPREAD),
}
"""What is measured, by how many watches are open."""


def node_watches(scene: Scene) -> list[Figure]:
    """Measure writes with no, one, 2,000 and 10,000 watches of a node each."""
    if _SERVER not in scene.server.meter.pids:
        return []  # a peer: what its threads use is not known
    with _own_cluster(scene) as own:
        rounds = _Rounds(own)
        for _ in range(CYCLES):
            for watches in _STATES:
                rounds.measure(watches)
        for watches in (0, 1, BOUND):
            rounds.measure(watches)
        return _figures(rounds)


@contextmanager
def _own_cluster(scene: Scene) -> Iterator[Scene]:
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=TMPFS) as name:
        directory = Path(name)
        with start_ultraplane(directory, _SETTINGS) as server:
            seconds = max(1, scene.seconds // 4)
            own = replace(scene, server=server, bare=None, directory=directory, seconds=seconds)
            own.set_up()
            yield own


@dataclass(frozen=True, slots=True)
class _Round:
    """One load in one state."""

    load: wrk.Load
    cpu_us: float
    waited: float


_Value = Callable[[_Round], float]


class _Rounds:
    """Loads the server in turns, and keeps what was found."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._pid = scene.server.meter.pids[_SERVER]
        self._number = 0
        self._body = scene.body_file("unbound", objects.pod())
        self.found: dict[tuple[str, int], list[_Round]] = {}
        self.opened: list[tuple[float, float]] = []
        self.weights: list[float] = []
        spread = (objects.pod(f"bound-{n}", f"node-{n}") for n in range(BOUND))
        home = (objects.pod(f"home-{n}", "node-0") for n in range(HOME_PODS))
        scene.server.endpoint.create_all(scene.path("pods"), [*spread, *home])
        self._load(_CREATE)  # the first is slower than those that follow

    def measure(self, watches: int) -> None:
        """Measure all that a state is for."""
        endpoint, pids = self._scene.server.endpoint, {_SERVER: self._pid}
        listed = orjson.loads(endpoint.request("GET", self._scene.path("pods") + "?limit=1"))
        path = (
            "/api/v1/pods?watch=1&allowWatchBookmarks=true&fieldSelector=spec.nodeName%3Dnode-{n}"
            f"&resourceVersion={listed['metadata']['resourceVersion']}"
        )
        used_us, private = main_thread_us(self._pid)[0], private_bytes(pids)
        with fleet_of(endpoint, path, watches) if watches else nullcontext() as fleet:
            self._settle()
            if fleet is not None and watches == NODES:
                used_us = main_thread_us(self._pid)[0] - used_us
                self.opened.append((NODES / fleet.opened_s, used_us / NODES))
                self.weights.append((private_bytes(pids) - private) / NODES)
            for what in _STATES[watches]:
                self.found.setdefault((what, watches), []).append(self._quiet_round(what))
                self._settle()
            if fleet is not None:
                _end(fleet)
        self._settle()

    def _quiet_round(self, what: str) -> _Round:
        rounds: list[_Round] = []
        while len(rounds) < ATTEMPTS:
            rounds.append(self._load(what))
            if rounds[-1].waited <= WAITED_MAX:
                break
        return min(rounds, key=lambda found: found.waited)

    def _load(self, what: str) -> _Round:
        endpoint, pods = self._scene.server.endpoint, self._scene.path("pods")
        self._number += 1
        script, options = {
            _CREATE: ("create.lua", {"body": self._body, "prefix": f"free-{self._number}"}),
            _HOME: ("annotate.lua", {"prefix": f"{pods}/home-", "pool": str(HOME_PODS)}),
            _SPREAD: ("annotate.lua", {"prefix": f"{pods}/bound-", "pool": str(BOUND)}),
        }[what]
        before = main_thread_us(self._pid)
        found = wrk.run(
            endpoint.url + pods,
            script,
            connections=CONNECTIONS,
            seconds=self._scene.seconds,
            token=endpoint.token,
            options=options,
        )
        after = main_thread_us(self._pid)
        waited = (after[1] - before[1]) / found.duration_us
        return _Round(found, (after[0] - before[0]) / found.requests, waited)

    def _settle(self) -> None:
        """Return when the server has nothing left to do."""
        deadline_s = time.monotonic() + _SETTLE_S_MAX
        while time.monotonic() < deadline_s:
            before_us = main_thread_us(self._pid)[0]
            time.sleep(_SETTLE_S)
            if main_thread_us(self._pid)[0] - before_us < _IDLE * _SETTLE_S * 1e6:
                return

    def median(self, what: str, watches: int, value: _Value) -> float:
        """Return the median of the rounds of one kind."""
        return statistics.median(map(value, self.found[what, watches]))

    def more(self, what: str, watches: int, base: int, value: _Value) -> float:
        """Return by what part a value is more than with `base` watches."""
        found = list(map(value, self.found[what, watches]))
        bases = list(map(value, self.found[what, base]))
        return statistics.median(against_neighbours(found, bases))

    def noise(self, value: _Value) -> float:
        """Return the standard error of `more`, by what it says of equal rounds."""
        equal = []
        for rounds in self.found.values():
            found = list(map(value, rounds))
            for at in range(len(found) - 2):
                equal += against_neighbours([found[at + 1]], [found[at], found[at + 2]])
        # A median varies by a quarter more than a mean.
        return 1.25 * statistics.pstdev(equal) / math.sqrt(CYCLES)


def _end(fleet: Fleet) -> None:
    seen = fleet.report()
    if not seen["events"] or seen["lost"]:
        raise Refused(f"the watches of the nodes did not work: {seen}")
    fleet.close()


def against_neighbours(found: list[float], bases: list[float]) -> list[float]:
    """Return by what part each is more than the mean of the base before and the one after it."""
    pairs = itertools.pairwise(bases)
    return [
        one / ((before + after) / 2) - 1 for one, (before, after) in zip(found, pairs, strict=False)
    ]


def _cpu_us(found: _Round) -> float:
    return found.cpu_us


def _p99_us(found: _Round) -> float:
    return found.load.p99_us


def _figures(rounds: _Rounds) -> list[Figure]:
    """Return what was found, under its bars."""
    noise, late_noise = rounds.noise(_cpu_us), rounds.noise(_p99_us)
    figures = _costs_of_watches(rounds)
    for what, watches, base, alike in (
        (_CREATE, 0, None, None),
        (_CREATE, NODES, 0, 0),
        (_HOME, 0, None, None),
        (_HOME, 1, 0, None),
        (_HOME, NODES, 0, 1),
        (_SPREAD, 0, None, None),
        (_SPREAD, BOUND, 0, None),
        (_SPREAD, NODES, 0, BOUND),
    ):
        line = _line(rounds, what, watches)
        said = []
        if base is not None and base != alike:
            said.append(f"{rounds.more(what, watches, base, _cpu_us):+.1%} of unwatched")
        if alike is not None:
            more = rounds.more(what, watches, alike, _cpu_us)
            said.append(f"{more:+.1%} of {alike:,}, ≤ {COST_MAX:+.0%}")
            line.is_met = more <= COST_MAX if noise <= COST_MAX else None
        line.target = "; ".join(said)
        figures.append(line)
    waited = statistics.median([one.waited for found in rounds.found.values() for one in found])
    slower = 1 + rounds.more(_CREATE, NODES, 0, _p99_us)
    return [
        *figures,
        Figure("noise of comparisons of CPU", noise * 100, "%"),
        Figure("the server waited for a CPU", waited * 100, "% of the time"),
        Figure(
            "p99 of creates, 10,000 watches / 0",
            slower,
            "x",
            target=f"≤ {LATE_MAX}x (noise {late_noise:.2f})",
            is_met=slower <= LATE_MAX if late_noise <= LATE_MAX - 1 else None,
        ),
    ]


def _costs_of_watches(rounds: _Rounds) -> list[Figure]:
    rate, used_us = (statistics.median(column) for column in zip(*rounds.opened, strict=True))
    weight = rounds.weights[0]  # later ones go where the first ones were
    return [
        Figure("open a watch", rate, cpu_us={_SERVER: used_us}),
        Figure(
            "memory of an idle watch",
            weight / 1000,
            "KB",
            target=f"≤ {WATCH_BYTES_MAX / 1000:.0f} KB",
            is_met=weight <= WATCH_BYTES_MAX,
        ),
    ]


def _line(rounds: _Rounds, what: str, watches: int) -> Figure:
    return Figure(
        f"{what}, {watches:,} watches",
        rounds.median(what, watches, lambda found: found.load.per_second),
        p50_us=rounds.median(what, watches, lambda found: found.load.p50_us),
        p99_us=rounds.median(what, watches, _p99_us),
        cpu_us={_SERVER: rounds.median(what, watches, _cpu_us)},
    )

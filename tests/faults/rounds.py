"""One round: a cluster, its load, the faults of its plan, and the verdict on all that was seen."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.clients import Client, Scope
from tests.faults.history import Observed, Stream, Write, of_partition
from tests.faults.injectors import INJECTORS, Scene
from tests.faults.objects import RESOURCES, collection, mark_of, new_object
from tests.faults.plan import Round, Step
from tests.faults.read_checks import check_freshness, check_listings, check_shown
from tests.faults.recorder import GOES_ON_S, Recorder
from tests.faults.rig import TOPOLOGIES, Rig, running_rig
from tests.faults.watch_checks import check_chain, check_stream
from tests.faults.watchers import SENTINEL, Watcher
from tests.faults.write_checks import check_deletes, check_effects, check_real_time, resolve
from tests.integration.cluster import Cluster
from tests.integration.kill_model import Change, Key, check_shape, final_state
from tests.integration.linearizability import Answer, Kind, Request, Undecided, check

_NAMESPACE: Final = "shared"
_NAMES: Final = ("k0", "k1", "k2")
_CLIENTS: Final = 6
_SELECTED: Final = ("configmaps", "pods")
"""Types that are watched by label, too."""
_SETTLED_WRITES: Final = 30


@dataclass
class Result:
    """What came of a round.

    Attributes:
        took_s: how long all faults of a kind took together, until the next could come.
        fates: what became of damaged bytes.
        violations: what must not have happened, as sentences.
    """

    number: int
    topology: str
    steps: int = 0
    kills: int = 0
    writes: int = 0
    lost: int = 0
    reads: int = 0
    events: int = 0
    streams: int = 0
    bookmarks: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    took_s: dict[str, float] = field(default_factory=dict)
    codes: Counter[int] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Load:
    """Clients and watchers at work on a rig."""

    def __init__(self, rig: Rig, seed: str, recorder: Recorder) -> None:
        clusters = _doors(rig)
        clusters[0].make_namespace(_NAMESPACE)
        self.recorder = recorder
        self.starts = {resource: _revision_of(clusters[-1], resource) for resource in RESOURCES}
        self._clusters = clusters
        self._stop = threading.Event()
        scope = Scope(clusters, _NAMESPACE, _NAMES, self.recorder, self._stop)
        self._clients = [Client(f"c{n}", scope, seed) for n in range(_CLIENTS)]
        origins = [Stream(r, "", self.starts[r], f"watcher of {r}") for r in RESOURCES]
        origins += [Stream(r, "a", self.starts[r], f"watcher of {r} of tier a") for r in _SELECTED]
        self.watchers = [Watcher(clusters, self.recorder, origin) for origin in origins]
        self.historians = [Historian(rig.clusters, r, self.starts[r]) for r in RESOURCES]

    def start(self) -> None:
        """Begin."""
        for thread in (*self._followers(), *self._clients):
            thread.start()

    def stop(self) -> None:
        """End the clients, and let watchers end at their next break."""
        self._stop.set()
        for client in self._clients:
            client.join(GOES_ON_S)
            if client.is_alive():
                self.recorder.fault(f"{client.name} does not end")

    def finish(self) -> None:
        """End the clients, write what watchers end at, and wait for them."""
        self.stop()
        for resource in RESOURCES:
            key, mark = Key(resource, _NAMESPACE, SENTINEL), f"end-{resource}-a"
            called_s = time.monotonic()
            path = collection(resource, _NAMESPACE)
            answer = self._clusters[0].call("POST", path, new_object(key, mark))
            assert answer.code == 201, answer.body
            revision = int(answer.json["metadata"]["resourceVersion"])
            times = (called_s, time.monotonic())
            request = Request(key, Kind.CREATE, Answer.DONE, mark, *times)
            self.recorder.add(request, Write(request, revision))
        for watcher in self._followers():
            watcher.join(GOES_ON_S)
            if watcher.is_alive():
                self.recorder.fault(f"{watcher.name} did not see the end")
                watcher.give_up()

    def abandon(self) -> None:
        """End everything, whatever was seen."""
        for watcher in self._followers():
            watcher.give_up()
        self._stop.set()

    def _followers(self) -> Iterator[Watcher]:
        yield from self.watchers
        for historian in self.historians:
            yield from historian.watchers


class Historian:
    """Writes down the whole history of a type as each server tells it, while it happens.

    Afterwards would be too late: where memory is short, servers forget what is older than seconds.
    """

    def __init__(self, clusters: Sequence[Cluster], resource: str, start: int) -> None:
        self.resource = resource
        self._recorder = Recorder()
        self.watchers = [
            Watcher(
                [cluster],
                self._recorder,
                Stream(resource, "", start, f"history of {resource} by server {number}"),
                moves=False,
            )
            for number, cluster in enumerate(clusters)
        ]

    def told(self) -> list[list[Change]]:
        """Return the history by each server."""
        return [
            [e for stream in watcher.streams for e in stream.events if e.kind != "BOOKMARK"]
            for watcher in self.watchers
        ]

    def faults(self) -> list[str]:
        """Return what was wrong at first sight, or does not go on where it ended."""
        found = list(self._recorder.observed.faults)
        for watcher in self.watchers:
            found += check_chain(watcher.streams)
        return found


def _doors(rig: Rig) -> list[Cluster]:
    """Return the servers, each as often as it has workers: a connection meets one by chance."""
    return [cluster for cluster in rig.clusters for _ in range(rig.topology.workers)]


def run_round(plan: Round, directory: Path, told: Callable[[Result, Step | None], None]) -> Result:
    """Do the faults of a round and judge it.

    Args:
        plan: what to do.
        directory: an empty one with a short path; the caller's to remove.
        told: hears of each step before it is done, and of the end (None).
    """
    result = Result(plan.number, plan.topology)
    started_s = time.monotonic()
    try:
        with running_rig(directory, TOPOLOGIES[plan.topology], plan.full) as rig:
            _do_faults(plan, Scene(rig, Recorder()), result, told)
    except Exception as error:  # noqa: BLE001
        # Whatever it is, it is this round's outcome, and those before it must not go with it.
        result.violations.append(f"after {result.steps} steps: {error!r}")
    result.seconds = time.monotonic() - started_s
    told(result, None)
    return result


def _do_faults(
    plan: Round, scene: Scene, result: Result, told: Callable[[Result, Step | None], None]
) -> None:
    recorder = scene.recorder
    load = Load(scene.rig, plan.seed, recorder)
    load.start()
    try:
        for step in plan.steps:
            recorder.wait_acknowledged(step.after)
            _count(result, load)
            told(result, step)
            began_s = time.monotonic()
            result.kills += INJECTORS[step.fault](scene, step)
            # A kill costs what it takes until writes go on.
            recorder.wait_acknowledged(1)
            took_s = result.took_s.get(step.fault, 0.0) + time.monotonic() - began_s
            result.took_s[step.fault] = round(took_s, 3)
            result.steps += 1
            result.faults[step.fault] += 1
        recorder.wait_acknowledged(_SETTLED_WRITES)
        scene.rig.wait_ready()
        load.finish()
        result.violations += judge(scene.rig, load)
    except Exception:
        result.violations += recorder.observed.faults
        raise
    finally:
        load.abandon()
        result.fates = scene.fates
        _count(result, load)


def _count(result: Result, load: Load) -> None:
    recorder = load.recorder
    result.codes = Counter(recorder.codes)
    result.writes, result.reads = recorder.acknowledged, recorder.reads
    result.lost = sum(recorder.codes[code] for code in (0, 503, 504, 507))
    streams = list(recorder.observed.streams)
    result.streams, result.events = len(streams), sum(len(one.events) for one in streams)
    result.bookmarks = sum(watcher.bookmarks for watcher in load.watchers)


def judge(rig: Rig, load: Load) -> list[str]:
    """Return what contradicts anything else, of all that clients, watchers and servers say."""
    observed = load.recorder.observed
    faults = list(observed.faults)
    histories: dict[str, list[Change]] = {}
    for historian in load.historians:
        told = historian.told()
        histories[historian.resource] = told[0]
        faults += historian.faults()
        if any(other != told[0] for other in told):
            faults.append(f"servers tell different histories of {historian.resource}")
    faults += judge_histories(observed, histories)
    for watcher in load.watchers:
        faults += check_chain(watcher.streams)
    for resource, history in histories.items():
        faults += _compare_lists(rig.clusters, resource, history)
    return faults


def judge_histories(observed: Observed, histories: dict[str, list[Change]]) -> list[str]:
    """Return what was seen that the histories of all types, or any one order, do not explain."""
    faults: list[str] = []
    for resource, history in histories.items():
        writes = [w for w in observed.writes if w.request.key.resource == resource]  # type: ignore[attr-defined]
        faults += check_shape(history)
        faults += check_effects(writes, history)
        faults += check_deletes(writes, history)
        shown = {at: r for at, r in observed.shown.items() if at[0].resource == resource}
        faults += check_shown(shown, history)
        faults += check_listings(
            [one for one in observed.listings if one.resource == resource], history
        )
        for stream in observed.streams:
            if stream.resource == resource:
                faults += check_stream(stream, history)
    faults += check_real_time(observed.writes)
    faults += check_freshness(observed.listings, observed.writes)
    for resources in of_partition(tuple(histories)).values():
        revisions = Counter(c.revision for r in resources for c in histories[r])
        faults += [f"revision {r} was given {n} times" for r, n in revisions.items() if n > 1]
    changes = [change for history in histories.values() for change in history]
    try:
        faults += check(resolve(observed.requests, changes))
    except Undecided as error:
        faults.append(f"undecided: {error}")
    return faults


def _compare_lists(
    clusters: Sequence[Cluster], resource: str, history: Sequence[Change]
) -> list[str]:
    """Hold all servers' lists against the history, and byte by byte against each other."""
    faults, bodies = [], []
    path = f"{collection(resource, _NAMESPACE)}?labelSelector=load"
    revision = _revision_of(clusters[0], resource)
    for cluster in clusters:
        items: list[Any] = cluster.call("GET", path).json["items"]
        found = {}
        for item in items:
            key = Key(resource, _NAMESPACE, item["metadata"]["name"])
            found[key] = (int(item["metadata"]["resourceVersion"]), mark_of(item))
        if found != final_state(history):
            faults.append(f"the list of {resource} is not what its history leaves")
        exact = f"{path}&resourceVersion={revision}&resourceVersionMatch=Exact"
        bodies.append(cluster.call("GET", exact).body)
    if any(body != bodies[0] for body in bodies):
        faults.append(f"servers' lists of {resource} at {revision} differ")
    return faults


def _revision_of(cluster: Cluster, resource: str) -> int:
    answer = cluster.call("GET", f"{collection(resource, '')}?limit=1")
    assert answer.code == 200, answer.body
    return int(answer.json["metadata"]["resourceVersion"])

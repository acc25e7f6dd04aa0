"""kill -9 of the journal, the API server and both, under load, and reboots: nothing is lost.

20 kills and two reboots at random moments of a load of creates, updates and deletes in three
partitions. The seed is printed; ULTRAPLANE_KILL_SEED repeats its choices (not the timing).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from tests.integration.cluster import Cluster, run_cluster
from tests.integration.kill_model import (
    Attempt,
    Change,
    Key,
    Op,
    Outcome,
    check_order,
    check_reads,
    check_shape,
    check_watch,
    check_writes,
    final_state,
)
from tests.integration.kill_traffic import (
    GROUPS,
    SENTINEL,
    Record,
    Watch,
    Writer,
    collection,
    new_object,
)

pytestmark = pytest.mark.slow

_NAMESPACES: Final = ["one", "two"]
_WRITERS: Final = 6
_WRITES_BEFORE_KILL: Final = (20, 150)
_GOES_ON_S: Final = 60.0
_ENDS_S: Final = 60.0
_POLL_S: Final = 0.05
_CONFIG: Final[dict[str, Any]] = {
    # Small and often, so that recovery meets checkpoints, trimmed logs and segment ends.
    "journal": {"segment_mib": 1},
    "storage": {"checkpoint_interval_s": 1},
    "supervisor": {"restart_delay_s_max": 0},
}


def _kill_journal(cluster: Cluster) -> None:
    cluster.kill("journal")


def _kill_apiserver(cluster: Cluster) -> None:
    cluster.kill("apiserver")


def _kill_both(cluster: Cluster) -> None:
    pids = [cluster.pid_of(part) for part in ("apiserver", "journal")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _reboot(cluster: Cluster) -> None:
    """Kill both and empty the tmpfs before the supervisor can start them again."""
    _wait_checkpoints(cluster)
    os.kill(cluster.process.pid, signal.SIGSTOP)
    try:
        _kill_both(cluster)
        for entry in _memory_of(cluster).iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    finally:
        os.kill(cluster.process.pid, signal.SIGCONT)


def _wait_checkpoints(cluster: Cluster) -> None:
    """Return when each loaded partition has two checkpoints, so that its log is trimmed as well."""
    deadline_s = time.monotonic() + _GOES_ON_S
    while time.monotonic() < deadline_s:
        found = Counter(path.parent for path in cluster.directory.glob("**/*.mdb"))
        if sum(count > 1 for count in found.values()) >= len(GROUPS):
            return
        time.sleep(_POLL_S)
    raise AssertionError("no checkpoints are written under load")


_KILLS: Final = [_kill_journal, _kill_apiserver, _kill_both]
_ROUNDS: Final[list[Callable[[Cluster], None]]] = [
    *(_KILLS * 3),
    _reboot,
    *(_KILLS * 3),
    _reboot,
    _kill_journal,
    _kill_apiserver,
]


class _Load:
    """Writers and watchers at work."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.record = Record()
        self.starts = {resource: _revision_of(cluster, resource) for resource in GROUPS}
        self.watches = [
            Watch(cluster, resource, namespace, start)
            for resource, start in self.starts.items()
            for namespace in ("", _NAMESPACES[0])
        ]
        self._stop = threading.Event()
        self._writers = [
            Writer(
                number,
                cluster,
                self.record,
                _NAMESPACES,
                random.Random(chance.random()),
                self._stop,
            )
            for number in range(_WRITERS)
        ]

    def __enter__(self) -> None:
        for thread in [*self.watches, *self._writers]:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for watch in self.watches:
            watch.give_up()

    def stop(self) -> None:
        """End the writers."""
        self._stop.set()
        for writer in self._writers:
            writer.join(_ENDS_S)
            assert not writer.is_alive(), f"{writer.name} does not end"

    def finish(self) -> None:
        """Write what watchers end at, and wait for them."""
        for number, resource in enumerate(GROUPS):
            key = Key(resource, _NAMESPACES[0], SENTINEL)
            answer = self.cluster.call(
                "POST", collection(resource, key.namespace), new_object(key, f"end-{number}")
            )
            assert answer.code == 201, answer.body
            revision = int(answer.json["metadata"]["resourceVersion"])
            end = Attempt(key, Op.CREATE, f"end-{number}", -1, Outcome.DONE, revision)
            self.record.add(end)
        for watch in self.watches:
            watch.join(_ENDS_S)
            assert not watch.is_alive(), f"{watch.name} did not see the end"

    def replay(self, resource: str) -> list[Change]:
        """Return the whole history of a type."""
        watch = Watch(self.cluster, resource, "", self.starts[resource])
        watch.start()
        watch.join(_ENDS_S)
        assert not watch.is_alive(), "the replay does not end"
        assert watch.faults == []
        return watch.seen


def test_kills_and_reboots_under_load_lose_and_repeat_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seed = int(os.environ.get("ULTRAPLANE_KILL_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"ULTRAPLANE_KILL_SEED={seed}")
    chance = random.Random(seed)
    directory = tmp_path_factory.mktemp("cluster")
    with run_cluster(directory, _CONFIG) as cluster:
        for name in _NAMESPACES:
            answer = cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            assert answer.code == 201, answer.body
        load = _Load(cluster, chance)
        with load:
            for kill in _ROUNDS:
                load.record.wait_more(chance.randint(*_WRITES_BEFORE_KILL), _GOES_ON_S)
                kill(cluster)
            load.record.wait_more(1, _GOES_ON_S)
            load.stop()
            cluster.wait_ready()
            load.finish()
        _judge(load)
        # And once more from the disk alone.
        histories = {resource: load.replay(resource) for resource in GROUPS}
        _reboot(cluster)
        cluster.wait_ready()
        for resource, history in histories.items():
            assert load.replay(resource) == history
            assert _listed(cluster, resource) == final_state(history)


def _judge(load: _Load) -> None:
    record = load.record
    faults = [fault for watch in load.watches for fault in watch.faults]
    faults += check_order(record.attempts)
    for resource in GROUPS:
        history = load.replay(resource)
        attempts = [attempt for attempt in record.attempts if attempt.key.resource == resource]
        reads = [read for read in record.reads if read.key.resource == resource]
        faults += check_shape(history)
        faults += check_writes(attempts, history)
        faults += check_reads(reads, history)
        for watch in load.watches:
            if watch.resource == resource:
                wanted = [c for c in history if watch.namespace in ("", c.key.namespace)]
                faults += [f"{watch.name}: {fault}" for fault in check_watch(watch.seen, wanted)]
        if _listed(load.cluster, resource) != final_state(history):
            faults.append(f"the list of {resource} is not what its history leaves")
    assert not faults, "\n".join(faults[:50])
    outcomes = Counter((attempt.outcome.value, attempt.code) for attempt in record.attempts)
    print(f"{outcomes}, {len(record.reads)} reads, resumed {[w.resumed for w in load.watches]}")
    # The load was one: all kinds of outcomes were met, and every watcher had to resume.
    apiserver_kills = sum(kill is not _kill_journal for kill in _ROUNDS)
    assert all(watch.resumed >= apiserver_kills for watch in load.watches)
    assert {attempt.op for attempt in record.attempts} == set(Op)
    assert {attempt.outcome for attempt in record.attempts} == set(Outcome)


def _memory_of(cluster: Cluster) -> Path:
    settings = orjson.loads((cluster.directory / "run" / "apiserver.json").read_bytes())
    memory = Path(settings["memory_dir"])
    assert memory.is_relative_to("/dev/shm"), memory
    return memory


def _revision_of(cluster: Cluster, resource: str) -> int:
    answer = cluster.call("GET", collection(resource, ""))
    return int(answer.json["metadata"]["resourceVersion"])


def _listed(cluster: Cluster, resource: str) -> dict[Key, tuple[int, str]]:
    found = {}
    for item in cluster.call("GET", collection(resource, "") + "?labelSelector=load").json["items"]:
        metadata = item["metadata"]
        key = Key(resource, metadata["namespace"], metadata["name"])
        found[key] = (int(metadata["resourceVersion"]), metadata["annotations"]["mark"])
    return found

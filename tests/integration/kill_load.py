"""A load for kill tests, as a whole: writers and watchers at work, and the verdict on them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

import orjson

from tests.integration.cluster import Cluster
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

NAMESPACES: Final = ["one", "two"]
WRITERS: Final = 6
GOES_ON_S: Final = 60.0
ENDS_S: Final = 60.0
_POLL_S: Final = 0.05


class Load:
    """Writers and watchers at work."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self.cluster = cluster
        self.record = Record()
        self.starts = {resource: _revision_of(cluster, resource) for resource in GROUPS}
        self.watches = [
            Watch(cluster, resource, namespace, start)
            for resource, start in self.starts.items()
            for namespace in ("", NAMESPACES[0])
        ]
        self._stop = threading.Event()
        self._writers = [
            Writer(
                number,
                cluster,
                self.record,
                NAMESPACES,
                random.Random(chance.random()),
                self._stop,
            )
            for number in range(WRITERS)
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
            writer.join(ENDS_S)
            assert not writer.is_alive(), f"{writer.name} does not end"

    def finish(self) -> None:
        """Write what watchers end at, and wait for them."""
        for number, resource in enumerate(GROUPS):
            key = Key(resource, NAMESPACES[0], SENTINEL)
            answer = self.cluster.call(
                "POST", collection(resource, key.namespace), new_object(key, f"end-{number}")
            )
            assert answer.code == 201, answer.body
            revision = int(answer.json["metadata"]["resourceVersion"])
            end = Attempt(key, Op.CREATE, f"end-{number}", -1, Outcome.DONE, revision)
            self.record.add(end)
        for watch in self.watches:
            watch.join(ENDS_S)
            assert not watch.is_alive(), f"{watch.name} did not see the end"

    def replay(self, resource: str) -> list[Change]:
        """Return the whole history of a type."""
        watch = Watch(self.cluster, resource, "", self.starts[resource])
        watch.start()
        watch.join(ENDS_S)
        assert not watch.is_alive(), "the replay does not end"
        assert watch.faults == []
        return watch.seen


def judge(load: Load, *, resumed_min: int) -> None:
    """Fail unless history, answers and watches agree.

    Args:
        load: after its end.
        resumed_min: how often each watcher must have had to resume, at the least.
    """
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
        if listed(load.cluster, resource) != final_state(history):
            faults.append(f"the list of {resource} is not what its history leaves")
    assert not faults, "\n".join(faults[:50])
    outcomes = Counter((attempt.outcome.value, attempt.code) for attempt in record.attempts)
    print(f"{outcomes}, {len(record.reads)} reads, resumed {[w.resumed for w in load.watches]}")
    # The load was one: all kinds of outcomes were met, and watchers had to resume.
    assert all(watch.resumed >= resumed_min for watch in load.watches)
    assert {attempt.op for attempt in record.attempts} == set(Op)
    assert {attempt.outcome for attempt in record.attempts} == set(Outcome)


def wait_checkpoints(cluster: Cluster, partitions: int = len(GROUPS)) -> None:
    """Return when each loaded partition has two checkpoints, so that its log is trimmed as well."""
    deadline_s = time.monotonic() + GOES_ON_S
    while time.monotonic() < deadline_s:
        found = Counter(path.parent for path in cluster.directory.glob("**/*.ckpt"))
        if sum(count > 1 for count in found.values()) >= partitions:
            return
        time.sleep(_POLL_S)
    raise AssertionError("no checkpoints are written under load")


def memory_of(cluster: Cluster) -> Path:
    """Return where a cluster's replica is."""
    settings = orjson.loads((cluster.directory / "run" / "apiserver.json").read_bytes())
    memory = Path(settings["memory_dir"])
    assert memory.is_relative_to("/dev/shm"), memory
    return memory


def _revision_of(cluster: Cluster, resource: str) -> int:
    answer = cluster.call("GET", collection(resource, ""))
    return int(answer.json["metadata"]["resourceVersion"])


def listed(cluster: Cluster, resource: str) -> dict[Key, tuple[int, str]]:
    """Return revision and mark of each object of a type."""
    found = {}
    for item in cluster.call("GET", collection(resource, "") + "?labelSelector=load").json["items"]:
        metadata = item["metadata"]
        key = Key(resource, metadata["namespace"], metadata["name"])
        found[key] = (int(metadata["resourceVersion"]), metadata["annotations"]["mark"])
    return found

"""The load of shared_objects.py as a whole, and the verdict on all that it saw."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final, Self

from tests.integration.cluster import Cluster
from tests.integration.kill_model import Change, Key, check_shape, check_watch, final_state
from tests.integration.kill_traffic import SENTINEL, collection, new_object
from tests.integration.linearizability import Answer, Kind, check
from tests.integration.shared_objects import Client, Recorder, RoamingWatch

GOES_ON_S: Final = 30.0
_NAMESPACE: Final = "shared"
_RESOURCES: Final = ("configmaps", "leases")
_KEYS: Final = [Key(resource, _NAMESPACE, f"k{n}") for resource in _RESOURCES for n in range(2)]
_CLIENTS: Final = 6


class SharedLoad:
    """Clients and watches while the block lasts; what they saw is judged after it.

    Args of the constructor:
        clusters: the servers. One with several workers may be named several times: each client has
            a connection for each, and each of those meets a worker by chance.
    """

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._clusters = clusters
        self._recorder = Recorder()
        self._stop = threading.Event()
        made = clusters[0].call("POST", "/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        assert made.code == 201, made.body
        self._starts = {r: _revision_of(clusters[-1], r) for r in _RESOURCES}
        self._watches = {r: RoamingWatch(clusters, r, at) for r, at in self._starts.items()}
        self._clients = [
            Client(f"c{n}", clusters, _KEYS, self._recorder, self._stop) for n in range(_CLIENTS)
        ]

    def __enter__(self) -> Self:
        for thread in [*self._clients, *self._watches.values()]:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        if failure[0] is not None:
            for watch in self._watches.values():
                watch.give_up()
            return
        for client in self._clients:
            client.join(GOES_ON_S)
            assert not client.is_alive(), f"{client.name} does not end"
        for resource, watch in self._watches.items():
            path = collection(resource, _NAMESPACE)
            self._await_bookmark(watch, resource, path)
            end = Key(resource, _NAMESPACE, SENTINEL)
            answer = self._clusters[0].call("POST", path, new_object(end, "end"))
            assert answer.code == 201, answer.body
            watch.join(GOES_ON_S)
            assert not watch.is_alive(), f"{watch.name} did not see the end"

    def _await_bookmark(self, watch: RoamingWatch, resource: str, path: str) -> None:
        """Return when a watch has had one: whoever resumes there must not miss the end.

        One comes only where something has happened that the watch does not see.
        """
        for number in range(int(GOES_ON_S)):
            if watch.bookmarked.is_set():
                return
            unseen = new_object(Key(resource, _NAMESPACE, f"unseen-{number}"), "unseen")
            del unseen["metadata"]["labels"]
            assert self._clusters[0].call("POST", path, unseen).code == 201
            watch.bookmarked.wait(1.0)
        raise AssertionError("no bookmark")

    def wait_more(self, count: int) -> None:
        """Return when `count` further requests are answered."""
        self._recorder.wait_more(count, GOES_ON_S)

    def judge(self) -> None:
        """Fail if anything that was seen contradicts one order of all requests."""
        requests = self._recorder.requests
        faults = self._recorder.faults + check(requests)
        for resource, watch in self._watches.items():
            faults += watch.faults
            start = self._starts[resource]
            history = _replay(self._clusters[0], resource, start)
            faults += check_shape(history) + check_watch(watch.seen, history)
            for cluster in self._clusters:
                assert _replay(cluster, resource, start) == history
                assert _listed(cluster, resource) == final_state(history)
            assert watch.streams > 4
        assert not faults, "\n".join(faults)
        # The load was one: all kinds of requests, all kinds of answers.
        assert {request.kind for request in requests} == set(Kind)
        assert {request.answer for request in requests} == set(Answer)
        done = sum(request.answer is Answer.DONE for request in requests)
        print(f"{len(requests)} requests, {done} done")


def _revision_of(cluster: Cluster, resource: str) -> int:
    answer = cluster.call("GET", collection(resource, ""))
    return int(answer.json["metadata"]["resourceVersion"])


def _replay(cluster: Cluster, resource: str, start: int) -> list[Change]:
    """Return the whole history of a type, as one server tells it."""
    watch = RoamingWatch([cluster], resource, start, timeout_s=30)
    watch.start()
    watch.join(GOES_ON_S)
    assert not watch.is_alive(), "the replay does not end"
    assert watch.faults == []
    return watch.seen


def _listed(cluster: Cluster, resource: str) -> dict[Key, tuple[int, str]]:
    found: dict[Key, tuple[int, str]] = {}
    answer = cluster.call("GET", collection(resource, _NAMESPACE) + "?labelSelector=load")
    items: list[Any] = answer.json["items"]
    for item in items:
        metadata = item["metadata"]
        key = Key(resource, metadata["namespace"], metadata["name"])
        found[key] = (int(metadata["resourceVersion"]), metadata["annotations"]["mark"])
    return found

"""Watches in numbers, slow ones, and their end: everyone gets what is theirs, nothing is left."""

from __future__ import annotations

import re
import signal
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.api_calls import Watch, collection, labelled, pod, watching
from tests.integration.cluster import HOST, Cluster, run_cluster

NODES = 40
RESETS = 100
PATIENCE_S = 30.0
BIG = 8
BIG_BYTES = 900_000
# A controller puts a configmap of its own into each namespace, at some time.
OURS = {"ours": "yes"}
CHOSEN = "&labelSelector=ours"
INITIAL = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_COUNT = re.compile(
    r'^apiserver_longrunning_requests\{.*resource="configmaps".*\} (\d+)', re.MULTILINE
)


def now(cluster: Cluster, path: str) -> str:
    """Return the parameter that starts a watch here."""
    metadata = cluster.call("GET", f"{path}?limit=1").json["metadata"]
    return f"&resourceVersion={metadata['resourceVersion']}"


def counted(cluster: Cluster) -> int:
    """Return how many watches of configmaps the server counts."""
    found = _COUNT.search(cluster.call("GET", "/metrics").body.decode())
    return int(found[1]) if found else 0


def wait_for_count(cluster: Cluster, expected: int) -> None:
    """Return when the server counts so many."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (count := counted(cluster)) != expected:
        assert time.monotonic() < deadline_s, f"{count} watches, not {expected}"
        time.sleep(0.02)


def test_each_of_many_node_watches_gets_its_own_nodes_pods_only(
    cluster: Cluster, namespace: str
) -> None:
    pods = collection(cluster, namespace, "pods")
    start = now(cluster, pods.path)
    with ExitStack() as stack:
        watches: list[Watch] = [
            stack.enter_context(watching(pods, f"{start}&fieldSelector=spec.nodeName%3Dn{number}"))
            for number in range(NODES)
        ]
        for number in range(NODES):
            pods.made(pod(f"of-{number}", f"n{number}"))
        for number in reversed(range(NODES)):
            pods.patch(f"of-{number}", {"metadata": {"labels": {"x": "y"}}})
        for number, watch in enumerate(watches):
            name = f"of-{number}"
            assert watch.take(2) == [("ADDED", name), ("MODIFIED", name)]


def test_watches_that_are_reset_leave_nothing_counted(cluster: Cluster, namespace: str) -> None:
    path = collection(cluster, namespace, "configmaps").path
    before = counted(cluster)
    request = f"GET {path}?watch=true{now(cluster, path)} HTTP/1.1\r\nHost: x\r\n"
    request += f"Authorization: Bearer {cluster.token}\r\n\r\n"
    links = []
    for _ in range(RESETS):
        link = socket.create_connection((HOST, cluster.plain_port), timeout=PATIENCE_S)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.sendall(request.encode())
        links.append(link)
    wait_for_count(cluster, before + RESETS)
    for link in links:
        link.close()
    wait_for_count(cluster, before)


def test_watches_that_go_before_they_are_answered_leave_nothing(
    cluster: Cluster, namespace: str
) -> None:
    path = collection(cluster, namespace, "configmaps").path
    before, files = counted(cluster), _files(cluster)
    for number in range(RESETS):
        start = now(cluster, path) if number % 10 == 0 else ""
        with socket.create_connection((HOST, cluster.plain_port), timeout=PATIENCE_S) as link:
            request = f"GET {path}?watch=true{start} HTTP/1.1\r\nHost: x\r\n"
            link.sendall(f"{request}Authorization: Bearer {cluster.token}\r\n\r\n".encode())
            if number % 2:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Whoever asks for the count comes after them all.
    wait_for_count(cluster, before)
    deadline_s = time.monotonic() + PATIENCE_S
    while (left := _files(cluster) - files) > RESETS // 10:
        assert time.monotonic() < deadline_s, f"{left} connections are left"
        time.sleep(0.02)


def _files(cluster: Cluster) -> int:
    """Return how many files and connections the API server has open."""
    return len(list(Path(f"/proc/{cluster.pid_of('apiserver')}/fd").iterdir()))


def test_what_happens_while_an_initial_state_is_read_slowly_comes_after_it(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    for number in range(BIG):
        maps.made(labelled(f"big-{number}", OURS, data={"k": "x" * BIG_BYTES}))
    with watching(maps, INITIAL + CHOSEN) as watch:
        # More than fits into buffers: the server waits for us in the middle of the state.
        for number in range(BIG):
            maps.patch(f"big-{number}", {"data": {"k": str(number)}})
        maps.delete("big-0")
        state = [watch.next() for _ in range(BIG)]
        assert all(event["type"] == "ADDED" for event in state)
        assert all(len(event["object"]["data"]["k"]) == BIG_BYTES for event in state)
        end = watch.next()
        assert end["type"] == "BOOKMARK"
        changes = [watch.next() for _ in range(BIG + 1)]
    assert [event["type"] for event in changes] == ["MODIFIED"] * BIG + ["DELETED"]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in [end, *changes]]
    assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("timeout", [0, 2**40])
def test_time_limits_of_nothing_and_of_ages_leave_a_watch_open(
    cluster: Cluster, namespace: str, timeout: int
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    for name, bookmarks in (("a", ""), ("b", "&allowWatchBookmarks=true")):
        start = now(cluster, maps.path)
        with watching(maps, f"{start}&timeoutSeconds={timeout}{CHOSEN}{bookmarks}") as watch:
            maps.made(labelled(name, OURS))
            assert watch.take(1) == [("ADDED", name)]


def test_a_watch_of_a_revision_that_is_no_number_is_refused(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    assert maps.list("?watch=true&resourceVersion=x").code == 400
    assert maps.list("?watch=true&timeoutSeconds=x").code == 400


def test_a_server_that_stops_ends_its_watches_in_order(tmp_path: Path) -> None:
    with run_cluster(tmp_path) as cluster:
        maps = collection(cluster, "default", "configmaps")
        with ExitStack() as stack:
            watches = [
                stack.enter_context(watching(maps, query + "&labelSelector=nothing"))
                for query in (now(cluster, maps.path), INITIAL)
            ]
            assert watches[1].next()["type"] == "BOOKMARK"
            cluster.process.send_signal(signal.SIGTERM)
            # The last chunk comes: an answer that was cut off would raise IncompleteRead.
            assert [watch.rest() for watch in watches] == [[], []]

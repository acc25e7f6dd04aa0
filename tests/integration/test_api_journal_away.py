"""Reads while the journal does not answer: refused in time, or answered from the replica."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from tests.integration.api_calls import Collection, collection, named, watching
from tests.integration.cluster import Answer, Cluster, run_cluster

WAIT_S_MAX = 3.0
SLACK_S = 5.0
NOT_OLDER = "resourceVersionMatch=NotOlderThan"


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, int]]:
    """Secrets a and b, and the revision of their list, while the journal is stopped."""
    with run_cluster(tmp_path_factory.mktemp("away")) as cluster:
        secrets = collection(cluster, "default", "secrets")
        for name in "ab":
            secrets.made(named(name))
        revision = int(secrets.list().json["metadata"]["resourceVersion"])
        pid = cluster.pid_of("journal")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield secrets, revision
        finally:
            os.kill(pid, signal.SIGCONT)
        check_recovers(cluster, secrets)


def check_recovers(cluster: Cluster, secrets: Collection) -> None:
    """Check that consistent reads go on when the journal does."""
    cluster.wait_ready()
    deadline_s = time.monotonic() + 30
    while (answer := secrets.list()).code != 200:
        assert time.monotonic() < deadline_s, answer.body
        time.sleep(0.1)
    assert secrets.names() == ["a", "b"]


def timed(collected: Collection, where: str, method: str = "GET") -> tuple[Answer, float]:
    """Send a request below a collection; return the answer and how long it took."""
    start_s = time.monotonic()
    answer = collected.cluster.call(method, collected.path + where, timeout_s=30)
    return answer, time.monotonic() - start_s


def test_consistent_reads_are_refused_in_time_and_say_why(away: tuple[Collection, int]) -> None:
    secrets, _ = away
    reads = [
        "",
        "?limit=1",
        "?fieldSelector=metadata.name%3Da",
        "/a",
        "?watch=true",
        f"?watch=true&sendInitialEvents=true&{NOT_OLDER}",
    ]
    with ThreadPoolExecutor(len(reads)) as pool:
        answers = list(pool.map(lambda where: timed(secrets, where), reads))
    for answer, took_s in answers:
        status = orjson.loads(answer.body)
        assert (answer.code, status["reason"]) == (503, "ServiceUnavailable")
        assert "journal" in status["message"]
        assert took_s < WAIT_S_MAX + SLACK_S
    # Deleting what is there now begins with such a read.
    answer, took_s = timed(secrets, "", "DELETE")
    assert answer.code == 503
    assert took_s < WAIT_S_MAX + SLACK_S


def test_reads_of_any_state_go_on(away: tuple[Collection, int]) -> None:
    secrets, revision = away
    for where in (
        "?resourceVersion=0",
        f"?resourceVersion=0&{NOT_OLDER}",
        "?resourceVersion=0&limit=1",
        f"?resourceVersion={revision}",
        f"?resourceVersion={revision}&{NOT_OLDER}&limit=2",
    ):
        answer, took_s = timed(secrets, where)
        assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "b"]
        assert took_s < WAIT_S_MAX
    for version in ("0", str(revision)):
        answer, took_s = timed(secrets, f"/a?resourceVersion={version}")
        assert (answer.code, answer.json["metadata"]["name"]) == (200, "a")
        assert took_s < WAIT_S_MAX


def test_watches_of_any_state_go_on(away: tuple[Collection, int]) -> None:
    secrets, _ = away
    initial = f"&resourceVersion=0&sendInitialEvents=true&{NOT_OLDER}&allowWatchBookmarks=true"
    with watching(secrets, initial) as watch:
        assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        assert watch.next()["type"] == "BOOKMARK"


def test_an_exact_revision_that_is_there_is_shown(away: tuple[Collection, int]) -> None:
    secrets, revision = away
    exact = f"?resourceVersion={revision}&resourceVersionMatch=Exact"
    for where in (exact, f"?resourceVersion={revision}&limit=5"):
        answer, took_s = timed(secrets, where)
        assert answer.code == 200, answer.body
        assert answer.json["metadata"]["resourceVersion"] == str(revision)
        assert took_s < WAIT_S_MAX


def test_later_pages_go_on_at_their_revision(away: tuple[Collection, int]) -> None:
    secrets, revision = away
    page = timed(secrets, f"?resourceVersion={revision}&{NOT_OLDER}&limit=1")[0].json
    rest, took_s = timed(secrets, f"?limit=1&continue={page['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest.json["items"]] == ["b"]
    assert took_s < WAIT_S_MAX

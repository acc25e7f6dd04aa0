"""What reads say of a revision that has been compacted away: 410, and how to go on."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import Collection, check_status, collection, named, watching
from tests.integration.cluster import Cluster, run_cluster

AGE_S = 1
WAIT_S_MAX = 30.0
EXACT = "resourceVersionMatch=Exact"
LIST_MESSAGE = "The resourceVersion for the provided list is too old."
CONTINUE_MESSAGE = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class Past:
    """A state that has been compacted: secrets a, b and c; since then b went and bb came.

    Attributes:
        revision: of that state.
        token: goes on after its first object.
    """

    secrets: Collection
    revision: int
    token: str

    def watched(self, query: str = "", accept: str = "application/json") -> list[Any]:
        """Return all events of a watch from that state on."""
        with watching(self.secrets, f"&resourceVersion={self.revision}{query}", accept) as watch:
            assert watch.code == 200
            return watch.rest()


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that keeps history for a second."""
    settings = {"storage": {"compaction_age_s": AGE_S}}
    with run_cluster(tmp_path_factory.mktemp("forgetful"), settings) as running:
        yield running


@pytest.fixture(scope="module")
def past(forgetful: Cluster) -> Past:
    """A state that has just been compacted."""
    secrets = collection(forgetful, "default", "secrets")
    for name in "abc":
        secrets.made(named(name))
    metadata = secrets.list("?limit=1").json["metadata"]
    secrets.delete("b")
    secrets.made(named("bb"))
    state = Past(secrets, int(metadata["resourceVersion"]), metadata["continue"])
    deadline_s = time.monotonic() + WAIT_S_MAX
    while secrets.list(f"?resourceVersion={state.revision}&{EXACT}").code == 200:
        assert time.monotonic() < deadline_s, "nothing was compacted"
        time.sleep(0.05)
    return state


@pytest.mark.parametrize("query", [EXACT, "limit=1", f"limit=1&{EXACT}"])
def test_an_exact_list_of_a_compacted_revision_has_expired(past: Past, query: str) -> None:
    answer = past.secrets.list(f"?resourceVersion={past.revision}&{query}")
    check_status(answer, 410, "Expired", LIST_MESSAGE)
    assert answer.json["metadata"] == {}


def test_revisions_not_older_than_a_compacted_one_are_shown(past: Past) -> None:
    for match in ("", "&resourceVersionMatch=NotOlderThan"):
        names = past.secrets.names(f"?resourceVersion={past.revision}{match}")
        assert names == ["a", "bb", "c"]
    assert past.secrets.get("c", f"?resourceVersion={past.revision}").code == 200


def test_an_expired_token_comes_with_one_to_go_on_inconsistently(past: Past) -> None:
    answer = past.secrets.list(f"?limit=1&continue={past.token}")
    check_status(answer, 410, "Expired", CONTINUE_MESSAGE)
    fresh = answer.json["metadata"]["continue"]
    content = orjson.loads(base64.urlsafe_b64decode(fresh + "=" * (-len(fresh) % 4)))
    assert content == {"v": "meta.k8s.io/v1", "rv": -1, "start": "a\0"}
    page = past.secrets.list(f"?limit=1&continue={fresh}").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["bb"]
    # From here on it is consistent again.
    assert page["metadata"]["remainingItemCount"] == 1
    assert int(page["metadata"]["resourceVersion"]) > past.revision
    assert past.secrets.names(f"?continue={page['metadata']['continue']}") == ["c"]


def test_a_watch_from_a_compacted_revision_is_one_error_event(past: Past) -> None:
    none = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    for query in ("", "&allowWatchBookmarks=true", "&labelSelector=x", none):
        (event,) = past.watched(query)
        assert event["type"] == "ERROR"
        status = event["object"]
        compacted = int(status["message"].rpartition("(")[2].rstrip(")"))
        assert compacted >= past.revision
        assert status == {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": f"too old resource version: {past.revision} ({compacted})",
            "reason": "Expired",
            "code": 410,
        }


@pytest.mark.parametrize("kind", ["Table", "PartialObjectMetadata"])
def test_the_error_of_a_watch_is_a_status_in_every_shape(past: Past, kind: str) -> None:
    (event,) = past.watched(accept=f"application/json;as={kind};g=meta.k8s.io;v=v1")
    assert (event["type"], event["object"]["kind"]) == ("ERROR", "Status")
    assert event["object"]["code"] == 410


def test_initial_events_can_be_had_of_a_compacted_revision(past: Past) -> None:
    initial = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    names = [event["object"]["metadata"]["name"] for event in past.watched(initial)]
    assert names == ["a", "bb", "c"]


def test_a_watch_that_goes_on_is_not_disturbed_by_compaction(past: Past) -> None:
    secrets = past.secrets
    start = secrets.list().json["metadata"]["resourceVersion"]
    with watching(secrets, f"&resourceVersion={start}") as watch:
        secrets.made(named("d"))
        deadline_s = time.monotonic() + WAIT_S_MAX
        while secrets.list(f"?resourceVersion={start}&{EXACT}").code == 200:
            assert time.monotonic() < deadline_s, "nothing was compacted"
            time.sleep(0.05)
        secrets.delete("d")
        assert watch.take(2) == [("ADDED", "d"), ("DELETED", "d")]

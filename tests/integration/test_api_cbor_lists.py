"""Lists and watches in CBOR: byte for byte what the JSON ones say, however they are made."""

from __future__ import annotations

import base64
import threading
from typing import Any

import orjson
import pytest

from kube import codec_cbor
from tests.integration.api_calls import Collection, collection, labelled, named
from tests.integration.cbor_calls import ACCEPT, CBOR, answered, expected, watched
from tests.integration.cluster import Cluster

COUNT = 60
SPACE = "cbor-lists"


def _text(number: int) -> str:
    return base64.b64encode(bytes([number]) * 25_500).decode()


@pytest.fixture(scope="module")
def secrets(cluster: Cluster) -> Collection:
    """Two megabytes of Secrets, half of them labelled half=yes, and as many in another space."""
    for space in (SPACE, f"{SPACE}-more"):
        collection(cluster, "", "namespaces").made(named(space))
    made = collection(cluster, SPACE, "secrets")
    for number in range(COUNT):
        labels = {"half": "yes"} if number % 2 else {}
        made.made(labelled(f"c{number:02}", labels, data={"k": _text(number)}))
        if number % 10 == 0:
            collection(cluster, f"{SPACE}-more", "secrets").made(named(f"m{number}"))
    return made


QUERIES = [
    "",
    "?labelSelector=half",
    "?labelSelector=!half",
    "?labelSelector=nothing",
    "?labelSelector=half&limit=3",
    "?limit=7",
    "?limit=1000",
    "?fieldSelector=metadata.name%3Dc07",
    "?fieldSelector=metadata.name!%3Dc07",
    "?resourceVersion=0",
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("scope", ["namespace", "all"])
def test_a_list_is_what_its_json_is_in_cbor(secrets: Collection, scope: str, query: str) -> None:
    made = secrets
    if scope == "all":
        made = Collection(made.cluster, "/api/v1/secrets")
    first = made.list(query, headers=ACCEPT)
    plain = made.list(query).json
    again = made.list(query, headers=ACCEPT)
    for answer in (first, again):
        assert answer.headers["content-type"] == CBOR
        found = codec_cbor.decode(answer.body)
        # Others write into the cluster meanwhile: only the list's own revision may differ.
        _same_metadata(found["metadata"], plain["metadata"])
        plain["metadata"] = found["metadata"]
        assert answer.body == expected(orjson.loads(orjson.dumps(plain)))


def _same_metadata(found: dict[str, Any], plain: dict[str, Any]) -> None:
    assert found.keys() == plain.keys()
    assert found.get("remainingItemCount") == plain.get("remainingItemCount")


def test_pages_joined_are_the_list(secrets: Collection) -> None:
    names = []
    token = ""
    while True:
        page = answered(secrets.list(f"?limit=25&continue={token}", headers=ACCEPT))
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"c{number:02}" for number in range(COUNT)]


def test_the_rest_after_a_page_can_be_had_in_one_piece(secrets: Collection) -> None:
    page = answered(secrets.list("?limit=1", headers=ACCEPT))
    rest = answered(secrets.list(f"?continue={page['metadata']['continue']}", headers=ACCEPT))
    assert len(rest["items"]) == COUNT - 1


def test_a_list_of_an_older_state_is_counted_in_that_state(
    cluster: Cluster, secrets: Collection
) -> None:
    before = secrets.list(headers=ACCEPT)
    revision = answered(before)["metadata"]["resourceVersion"]
    secrets.made(labelled("c00-extra", {"half": "yes"}, data={"k": _text(99)}))
    secrets.patch("c01", {"data": {"k": "YQ=="}})
    query = f"?resourceVersion={revision}&resourceVersionMatch=Exact"
    exact = secrets.list(query, headers=ACCEPT)
    assert exact.body == before.body
    everywhere = cluster.call("GET", f"/api/v1/secrets{query}", headers=ACCEPT)
    plain = cluster.call("GET", f"/api/v1/secrets{query}")
    assert everywhere.body == expected(plain.json)
    secrets.delete("c00-extra")
    secrets.patch("c01", {"data": {"k": _text(1)}})


def test_lists_stay_whole_while_objects_come_and_go(secrets: Collection) -> None:
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            secrets.made(labelled("c99", {"half": "yes"}))
            secrets.delete("c99")

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for number in range(30):
            query = "?labelSelector=half" if number % 2 else ""
            items = answered(secrets.list(query, headers=ACCEPT))["items"]
            assert len(items) - (COUNT // 2 if number % 2 else COUNT) in (0, 1)
    finally:
        done.set()
        writer.join()


def test_a_list_of_another_version_shows_that_version(cluster: Cluster, namespace: str) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    for version in ("autoscaling/v1", "autoscaling/v2"):
        made = collection(cluster, namespace, "horizontalpodautoscalers", version)
        if version == "autoscaling/v1":
            made.made(named("a", spec=spec))
        for _ in range(2):
            assert made.get("a", headers=ACCEPT).body == expected(made.get("a").json)
            found = answered(made.list(headers=ACCEPT))
            assert found["items"] == made.list().json["items"]
            assert found["apiVersion"] == version


def test_delete_collection_answers_in_cbor(cluster: Cluster, namespace: str) -> None:
    made = collection(cluster, namespace, "secrets")
    objects = [made.made(named(name)) for name in "ab"]
    answer = cluster.call("DELETE", made.path, headers=ACCEPT)
    found = answered(answer)
    assert found["kind"] == "SecretList"
    uids = [item["metadata"]["uid"] for item in found["items"]]
    assert uids == [obj["metadata"]["uid"] for obj in objects]


def test_watches_show_each_change_in_cbor(cluster: Cluster, namespace: str) -> None:
    made = collection(cluster, namespace, "secrets")
    revision = made.list().json["metadata"]["resourceVersion"]
    created = made.made(labelled("a", {"x": "y"}, data={"k": "dg=="}))
    changed = made.patch("a", {"metadata": {"labels": {"x": None}}}).json
    made.delete("a")
    since = f"&resourceVersion={revision}"
    content_type, all_events = watched(made, since)
    assert content_type == "application/cbor-seq"
    assert all_events[:2] == [_event("ADDED", created), _event("MODIFIED", changed)]
    last = codec_cbor.decode(all_events[2])
    assert (last["type"], last["object"]["metadata"]["uid"]) == (
        "DELETED",
        created["metadata"]["uid"],
    )
    assert int(last["object"]["metadata"]["resourceVersion"]) > int(
        changed["metadata"]["resourceVersion"]
    )
    _, chosen = watched(made, f"{since}&labelSelector=x")
    revision = changed["metadata"]["resourceVersion"]
    created["metadata"]["resourceVersion"] = revision
    # What ceases to match is shown as it was, at the revision of the change.
    assert [codec_cbor.decode(event)["type"] for event in chosen] == ["ADDED", "DELETED"]
    assert chosen[1] == _event("DELETED", created)


def _event(kind: str, obj: Any) -> bytes:
    inner = expected(orjson.loads(orjson.dumps(obj)))
    start = codec_cbor.PREFIX + b"\xa2\x44type"
    return b"".join((start, codec_cbor.encode(kind)[3:], b"\x46object", inner))

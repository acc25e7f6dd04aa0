"""Watches in other shapes: Tables, metadata only, CBOR; which shapes a watch has not."""

from __future__ import annotations

import http.client
from typing import Any

import pytest

from kube import codec_cbor, codec_yaml
from tests.integration.api_calls import (
    Collection,
    check_status,
    collection,
    labelled,
    named,
    watching,
)
from tests.integration.cbor_calls import items_of
from tests.integration.cluster import HOST, Cluster

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
INITIAL = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
END = {"k8s.io/initial-events-end": "true"}


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """Secrets with one among them: a."""
    made = collection(cluster, namespace, "secrets")
    made.made(named("a"))
    return made


def rows_of(event: Any) -> tuple[str, list[Any]]:
    """Return the type of an event and the name cells of its Table."""
    assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    return event["type"], [row["cells"][0] for row in event["object"]["rows"]]


def test_a_table_watch_sends_tables_of_one_row_and_columns_once(secrets: Collection) -> None:
    with watching(secrets, accept=TABLE) as watch:
        assert watch.content_type == "application/json"
        events = [watch.next()]
        made = secrets.made(labelled("b", {"x": "y"}))
        secrets.delete("b")
        events += [watch.next(), watch.next()]
    assert [rows_of(event) for event in events] == [
        ("ADDED", ["a"]),
        ("ADDED", ["b"]),
        ("DELETED", ["b"]),
    ]
    columns = [event["object"]["columnDefinitions"] for event in events]
    assert [column["name"] for column in columns[0]] == ["Name", "Type", "Data", "Age"]
    assert columns[1:] == [None, None]
    second = events[1]["object"]
    assert second["metadata"] == {"resourceVersion": made["metadata"]["resourceVersion"]}
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    assert second["rows"][0]["object"] == {**kind, "metadata": made["metadata"]}


@pytest.mark.parametrize("include", ["Metadata", "None", "Object"])
def test_the_end_of_initial_events_is_known_from_a_tables_row(
    secrets: Collection, include: str
) -> None:
    query = f"{INITIAL}&includeObject={include}"
    with watching(secrets, query, TABLE) as watch:
        assert rows_of(watch.next()) == ("ADDED", ["a"])
        end = watch.next()
    assert end["type"] == "BOOKMARK"
    metadata = end["object"]["rows"][0]["object"]["metadata"]
    assert metadata["annotations"] == END
    assert metadata["resourceVersion"] == end["object"]["metadata"]["resourceVersion"]


def test_a_table_watch_shows_the_version_that_was_asked_for(
    cluster: Cluster, namespace: str
) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 60}
    older = collection(cluster, namespace, "horizontalpodautoscalers", "autoscaling/v1")
    made = older.made(named("a", spec=spec))
    with watching(older, "&includeObject=Object", TABLE) as watch:
        event = watch.next()
    assert rows_of(event) == ("ADDED", ["a"])
    row = event["object"]["rows"][0]
    assert "cpu: <unknown>/60%" in row["cells"]
    assert row["object"] == made


def test_metadata_only_watches_send_partial_objects_and_bookmarks(secrets: Collection) -> None:
    with watching(secrets, INITIAL, PARTIAL) as watch:
        assert watch.content_type == "application/json"
        added, end = watch.next(), watch.next()
        secrets.patch("a", {"data": {"k": "dg=="}})
        modified = watch.next()
    kind = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    for event in (added, end, modified):
        assert event["object"].keys() == {"kind", "apiVersion", "metadata"}
        assert {key: event["object"][key] for key in kind} == kind
    assert [event["type"] for event in (added, end, modified)] == ["ADDED", "BOOKMARK", "MODIFIED"]
    assert end["object"]["metadata"]["annotations"] == END


@pytest.mark.parametrize("accept", ["application/cbor-seq", "application/cbor"])
def test_cbor_watches_are_sequences(cluster: Cluster, secrets: Collection, accept: str) -> None:
    plain = secrets.get("a").json
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept": accept}
    query = f"?watch=true&timeoutSeconds=1{INITIAL}"
    connection.request("GET", secrets.path + query, headers=headers)
    with connection.getresponse() as answer:
        assert answer.headers["Content-Type"] == "application/cbor-seq"
        body = answer.read()
    connection.close()
    items = items_of(body)
    # Each event begins with the tag that says: this is CBOR, and so does the object in it.
    assert [item.count(codec_cbor.PREFIX) for item in items] == [2, 2]
    assert all(item.startswith(codec_cbor.PREFIX) for item in items)
    events = [codec_cbor.decode(item) for item in items]
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    assert events[0]["object"] == plain
    assert events[1]["object"]["metadata"]["annotations"] == END


def test_there_is_no_yaml_watch(secrets: Collection) -> None:
    accepted = "application/json;stream=watch, application/cbor-seq"
    answer = secrets.list("?watch=true", headers={"Accept": "application/yaml"})
    # But its refusal can be had in YAML.
    status = codec_yaml.decode(answer.body)
    assert (answer.code, status["reason"]) == (406, "NotAcceptable")
    assert status["message"] == f"only the following media types are accepted: {accepted}"


def test_an_unknown_include_object_is_a_bad_request(secrets: Collection) -> None:
    answer = secrets.list("?watch=true&includeObject=All", headers={"Accept": TABLE})
    message = (
        'Unable to convert to Table as requested: includeObject: Invalid value: "All": '
        "must be 'Metadata', 'Object', 'None', or empty"
    )
    check_status(answer, 400, "BadRequest", message)

"""Watches over HTTP: events in order from a revision on, and which events selectors let through."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.integration.api_calls import (
    Collection,
    check_status,
    collection,
    labelled,
    named,
    pod,
    watching,
)
from tests.integration.cluster import Cluster

Told = tuple[str, str, int]


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """An empty collection of Secrets."""
    return collection(cluster, namespace, "secrets")


def now(collected: Collection) -> str:
    """Return the query that starts a watch at the current state."""
    return f"&resourceVersion={collected.list().json['metadata']['resourceVersion']}"


def revision_of(obj: Any) -> int:
    """Return an object's revision."""
    return int(obj["metadata"]["resourceVersion"])


def told(event: Any) -> Told:
    """Return type, name and revision of an event."""
    return event["type"], event["object"]["metadata"]["name"], revision_of(event["object"])


def field(selector: str) -> str:
    """Return the query of a field selector."""
    return f"&fieldSelector={quote(selector)}"


def test_each_change_is_an_event_of_its_revision(secrets: Collection) -> None:
    secrets.made(named("before"))
    with watching(secrets, now(secrets)) as watch:
        assert (watch.code, watch.content_type) == (200, "application/json")
        made = secrets.made(named("a"))
        changed = secrets.patch("a", {"data": {"k": "dg=="}}).json
        secrets.delete("a")
        added, modified, deleted = (watch.next() for _ in range(3))
    assert added == {"type": "ADDED", "object": made}
    assert modified == {"type": "MODIFIED", "object": changed}
    gone = deleted["object"]
    assert deleted["type"] == "DELETED"
    assert revision_of(gone) > revision_of(changed)
    changed["metadata"]["resourceVersion"] = gone["metadata"]["resourceVersion"]
    assert gone == changed


def test_a_write_that_changes_nothing_is_no_event(secrets: Collection) -> None:
    made = secrets.made(named("a"))
    with watching(secrets, now(secrets)) as watch:
        assert secrets.put("a", made).json == made
        secrets.made(named("b"))
        assert watch.take(1) == [("ADDED", "b")]


def test_graceful_deletion_is_modified_then_deleted(secrets: Collection) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["example.org/hold"]}}
    secrets.made(held)
    with watching(secrets, now(secrets)) as watch:
        secrets.delete("a")
        secrets.patch("a", {"metadata": {"finalizers": None}})
        first, second = watch.next(), watch.next()
    assert [told(first)[:2], told(second)[:2]] == [("MODIFIED", "a"), ("DELETED", "a")]
    assert first["object"]["metadata"]["deletionTimestamp"]
    assert revision_of(second["object"]) > revision_of(first["object"])


def test_a_watch_begins_right_after_its_revision(secrets: Collection) -> None:
    revisions = [revision_of(secrets.made(named(name))) for name in "abc"]
    secrets.delete("a")
    expected = [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "a")]
    for skipped, revision in enumerate(revisions, 1):
        with watching(secrets, f"&resourceVersion={revision}") as watch:
            assert watch.take(4 - skipped) == expected[skipped:]


def test_a_watch_from_a_revision_of_the_future_waits_for_it(secrets: Collection) -> None:
    start = revision_of(secrets.made(named("s"))) + 3
    with watching(secrets, f"&resourceVersion={start}") as watch:
        made = [secrets.made(named(f"s{number}")) for number in range(6)]
        expected = [told({"type": "ADDED", "object": obj}) for obj in made]
        later = [event for event in expected if event[2] > start]
        assert [told(watch.next()) for _ in later] == later


def test_a_type_without_watch_says_so(cluster: Cluster) -> None:
    answer = cluster.call("GET", "/api/v1/componentstatuses?watch=true")
    message = 'watch is not supported on resources of kind "componentstatuses"'
    details = check_status(answer, 405, "MethodNotAllowed", message)
    assert details == {"kind": "componentstatuses"}
    assert cluster.call("GET", "/api/v1/watch/componentstatuses").code == 404


def test_a_label_that_comes_and_goes_is_added_and_deleted(secrets: Collection) -> None:
    with watching(secrets, f"&labelSelector=on{now(secrets)}") as watch:
        secrets.made(named("a"))
        begun = secrets.patch("a", {"metadata": {"labels": {"on": "1"}}}).json
        changed = secrets.patch("a", {"metadata": {"labels": {"on": "2"}}}).json
        ended = secrets.patch("a", {"metadata": {"labels": {"on": None, "off": "1"}}}).json
        secrets.delete("a")
        secrets.made(labelled("b", {"on": "1"}))
        secrets.delete("b")
        events = [watch.next() for _ in range(5)]
    kinds = [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b"), ("DELETED", "b")]
    assert [told(event)[:2] for event in events] == kinds
    assert [event["object"] for event in events[:2]] == [begun, changed]
    # The object as it last matched, under the revision of the change.
    assert events[2]["object"]["metadata"]["labels"] == {"on": "2"}
    assert revision_of(events[2]["object"]) == revision_of(ended)


def test_the_same_transitions_come_out_of_history(secrets: Collection) -> None:
    start = now(secrets)
    secrets.made(named("a"))
    secrets.patch("a", {"metadata": {"labels": {"on": "1"}}})
    ended = secrets.patch("a", {"metadata": {"labels": {"on": None}}}).json
    secrets.delete("a")
    secrets.made(labelled("b", {"on": "1"}))
    with watching(secrets, f"&labelSelector=on{start}") as watch:
        events = [watch.next() for _ in range(3)]
    assert [told(one)[:2] for one in events] == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    assert events[1]["object"]["metadata"]["labels"] == {"on": "1"}
    assert revision_of(events[1]["object"]) == revision_of(ended)


@pytest.mark.parametrize("selector", ["spec.nodeName=n1", "status.phase=Running,spec.nodeName=n1"])
def test_a_field_that_comes_and_goes_is_added_and_deleted(
    cluster: Cluster, namespace: str, selector: str
) -> None:
    pods = collection(cluster, namespace, "pods")
    with watching(pods, now(pods) + field(selector)) as watch:
        pods.made(pod("other", "n2"))
        pods.made(pod("a"))
        pods.patch("a/status", {"status": {"phase": "Running"}})
        binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
        bound = cluster.call("POST", f"{pods.path}/a/binding", binding)
        assert bound.code == 201
        pods.patch("a", {"metadata": {"labels": {"x": "y"}}})
        pods.delete("a", {"gracePeriodSeconds": 0})
        assert watch.take(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_phase_that_is_left_is_deleted(cluster: Cluster, namespace: str) -> None:
    pods = collection(cluster, namespace, "pods")
    pods.made(pod("a", "n1"))
    with watching(pods, now(pods) + field("status.phase!=Running")) as watch:
        ended = pods.patch("a/status", {"status": {"phase": "Running"}}).json
        event = watch.next()
    assert told(event) == ("DELETED", "a", revision_of(ended))
    assert event["object"]["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("selector", "seen"),
    [
        ("metadata.name=a", "a"),
        ("metadata.name!=a", "bz"),
        ("metadata.name=a,metadata.name=b", ""),
        ("metadata.namespace=elsewhere", ""),
        ("metadata.namespace!=elsewhere", "abz"),
    ],
)
def test_a_watch_of_names_sees_only_those(secrets: Collection, selector: str, seen: str) -> None:
    start = now(secrets)
    for name in ("a", "b", "z"):
        secrets.made(named(name))
    with watching(secrets, start + field(selector) + "&timeoutSeconds=1") as watch:
        if seen:
            assert watch.take(len(seen)) == [("ADDED", name) for name in seen]
        else:
            assert watch.rest() == []


def test_a_name_is_watched_in_all_namespaces(cluster: Cluster, namespace: str) -> None:
    other = namespace + "-other"
    collection(cluster, "", "namespaces").made(named(other))
    everywhere = collection(cluster, "", "secrets")
    name = f"of-{namespace}"
    with watching(everywhere, now(everywhere) + field(f"metadata.name={name}")) as watch:
        for space in (namespace, other):
            collection(cluster, space, "secrets").made(named("else"))
            collection(cluster, space, "secrets").made(named(name))
        events = [watch.next() for _ in range(2)]
    assert [told(event)[:2] for event in events] == [("ADDED", name)] * 2
    spaces = [event["object"]["metadata"]["namespace"] for event in events]
    assert spaces == [namespace, other]


def test_one_namespace_is_watched_by_its_field_too(cluster: Cluster, namespace: str) -> None:
    other = namespace + "-other"
    collection(cluster, "", "namespaces").made(named(other))
    everywhere = collection(cluster, "", "secrets")
    query = field(f"metadata.namespace={other}")
    start = now(everywhere)
    for space in (namespace, other):
        collection(cluster, space, "secrets").made(named(f"of-{space}"))
    with watching(everywhere, start + query) as watch:
        collection(cluster, namespace, "secrets").made(named("live"))
        collection(cluster, other, "secrets").made(named("live"))
        assert watch.take(2) == [("ADDED", f"of-{other}"), ("ADDED", "live")]
    with watching(everywhere, query) as watch:
        assert watch.take(2) == [("ADDED", "live"), ("ADDED", f"of-{other}")]


def test_objects_of_the_cluster_are_watched(cluster: Cluster, namespace: str) -> None:
    classes = collection(cluster, "", "priorityclasses", "scheduling.k8s.io/v1")
    start = now(classes)
    classes.made(named(namespace, value=1))
    classes.delete(namespace)
    with watching(classes, start + field(f"metadata.name={namespace}")) as watch:
        assert watch.take(2) == [("ADDED", namespace), ("DELETED", namespace)]
    chosen = start + field("metadata.namespace=x") + "&timeoutSeconds=1"
    with watching(classes, chosen) as watch:
        assert watch.rest() == []


def test_the_old_watch_paths_watch_too(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    start = now(secrets)
    for name in "ab":
        secrets.made(named(name))
    whole = secrets.path.replace("/v1/", "/v1/watch/")
    for path, seen in ((whole, "ab"), (f"{whole}/a", "a"), ("/api/v1/watch/secrets", "ab")):
        with watching(Collection(cluster, path), start) as watch:
            assert watch.take(len(seen)) == [("ADDED", name) for name in seen], path
    for method, body in (("POST", named("c")), ("DELETE", None)):
        answer = cluster.call(method, whole, body)
        message = "the server does not allow this method on the requested resource"
        check_status(answer, 405, "MethodNotAllowed", message)
    # The path alone makes it a watch.
    answer = cluster.call("GET", f"{whole}?{start[1:]}&timeoutSeconds=1")
    assert [orjson.loads(line)["type"] for line in answer.body.splitlines()] == ["ADDED", "ADDED"]


@pytest.mark.parametrize("selector", ["metadata.name=b", "metadata.name!=b", "type=Opaque"])
def test_the_path_of_one_object_goes_with_no_other_field_selector(
    cluster: Cluster, namespace: str, selector: str
) -> None:
    path = f"/api/v1/watch/namespaces/{namespace}/secrets/a?{field(selector)[1:]}"
    message = "fieldSelector metadata.name doesn't match requested name"
    check_status(cluster.call("GET", path), 400, "BadRequest", message)


def test_a_watch_taken_up_again_has_neither_gap_nor_repetition(secrets: Collection) -> None:
    start = now(secrets)
    expected: list[Told] = []

    def write() -> None:
        for number in range(60):
            name = f"s{number % 7}"
            made = secrets.create(named(name))
            if made.code == 201:
                expected.append(("ADDED", name, revision_of(made.json)))
                continue
            changed = secrets.patch(name, {"data": {"k": "dg==" if number % 2 else "dw=="}}).json
            expected.append(("MODIFIED", name, revision_of(changed)))

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[Told] = []
    position = start
    while len(seen) < 60:
        with watching(secrets, position) as watch:
            seen += [told(watch.next()) for _ in range(min(4, 60 - len(seen)))]
        position = f"&resourceVersion={seen[-1][2]}"
    writer.join()
    assert seen == expected


def test_a_pretty_watch_still_has_an_event_a_line(secrets: Collection) -> None:
    secrets.made(named("a"))
    with watching(secrets, "&pretty=true") as watch:
        assert watch.take(1) == [("ADDED", "a")]

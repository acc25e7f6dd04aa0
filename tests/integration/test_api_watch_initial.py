"""Watches over HTTP: initial events and their end mark, bookmarks, time limits, refused options."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.api_calls import (
    Collection,
    Watch,
    check_status,
    collection,
    labelled,
    named,
    pod,
    watching,
)
from tests.integration.cluster import Cluster

MATCH = "resourceVersionMatch"
INITIAL = f"&sendInitialEvents=true&{MATCH}=NotOlderThan"
NONE = f"&sendInitialEvents=false&{MATCH}=NotOlderThan"
BOOKMARKS = "&allowWatchBookmarks=true"
END = {"k8s.io/initial-events-end": "true"}


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """Secrets a and b; a is labelled x=y."""
    made = collection(cluster, namespace, "secrets")
    made.made(labelled("a", {"x": "y"}))
    made.made(named("b"))
    return made


def revision_of(obj: Any) -> int:
    """Return the revision of an object or list."""
    return int(obj["metadata"]["resourceVersion"])


def take_end(watch: Watch, kind: str = "Secret") -> int:
    """Take the bookmark that ends the initial events, and return its revision."""
    event = watch.next()
    metadata = event["object"].pop("metadata")
    revision = int(metadata.pop("resourceVersion"))
    assert metadata == {"annotations": END}
    assert event == {"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": "v1"}}
    return revision


@pytest.mark.parametrize("version", ["", "&resourceVersion=", "&resourceVersion=0"])
@pytest.mark.parametrize("initial", ["", INITIAL])
def test_the_current_state_comes_first_then_its_end_then_changes(
    secrets: Collection, version: str, initial: str
) -> None:
    # Without a revision, and without a word on initial events, they are sent all the same.
    latest = revision_of(secrets.list().json)
    with watching(secrets, version + initial + BOOKMARKS) as watch:
        assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        assert take_end(watch) >= latest
        secrets.made(named("c"))
        secrets.delete("a")
        assert watch.take(2) == [("ADDED", "c"), ("DELETED", "a")]


def test_a_watch_goes_on_from_the_revision_of_a_bookmark(secrets: Collection) -> None:
    with watching(secrets, INITIAL + BOOKMARKS) as watch:
        watch.take(2)
        end = take_end(watch)
    secrets.delete("b")
    secrets.made(named("c"))
    with watching(secrets, f"&resourceVersion={end}") as watch:
        assert watch.take(2) == [("DELETED", "b"), ("ADDED", "c")]


@pytest.mark.parametrize("initial", ["", INITIAL])
def test_no_end_is_marked_where_bookmarks_are_not_allowed(
    secrets: Collection, initial: str
) -> None:
    with watching(secrets, initial) as watch:
        assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        secrets.made(named("c"))
        assert watch.take(1) == [("ADDED", "c")]


def test_initial_events_carry_the_objects_as_a_list_shows_them(secrets: Collection) -> None:
    secrets.patch("a", {"data": {"k": "dg=="}})
    with watching(secrets, INITIAL) as watch:
        events = [watch.next(), watch.next()]
    kind = {"kind": "Secret", "apiVersion": "v1"}
    assert [event["object"] for event in events] == [
        {**kind, **item} for item in secrets.list().json["items"]
    ]


def test_initial_events_of_a_revision_show_a_state_not_older(secrets: Collection) -> None:
    old = revision_of(secrets.get("a").json)
    secrets.delete("a")
    made = secrets.made(named("c"))
    for revision in (old, revision_of(made)):
        query = f"{INITIAL}{BOOKMARKS}&resourceVersion={revision}"
        with watching(secrets, query) as watch:
            assert watch.take(2) == [("ADDED", "b"), ("ADDED", "c")]
            assert take_end(watch) >= revision_of(made)


def test_a_watch_from_a_revision_has_no_initial_events_of_itself(secrets: Collection) -> None:
    revision = revision_of(secrets.get("a").json)
    for more in ("", NONE):
        with watching(secrets, f"&resourceVersion={revision}{BOOKMARKS}{more}") as watch:
            assert watch.take(1) == [("ADDED", "b")]
            secrets.patch("a", {"metadata": {"annotations": {"of": f"{more}."}}})
            assert watch.take(1) == [("MODIFIED", "a")]


@pytest.mark.parametrize("version", ["", "&resourceVersion=0"])
def test_initial_events_can_be_declined(secrets: Collection, version: str) -> None:
    with watching(secrets, NONE + version + BOOKMARKS) as watch:
        secrets.made(named("c"))
        assert watch.take(1) == [("ADDED", "c")]


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("&labelSelector=x", "a"),
        ("&labelSelector=!x", "b"),
        ("&labelSelector=nothing", ""),
        ("&fieldSelector=metadata.name%3Db", "b"),
        ("&fieldSelector=metadata.name!%3Db", "a"),
        ("&fieldSelector=metadata.name%3Da,metadata.name%3Db", ""),
        ("&fieldSelector=metadata.name%3Db&labelSelector=x", ""),
    ],
)
def test_initial_events_are_selected(secrets: Collection, query: str, seen: str) -> None:
    with watching(secrets, INITIAL + BOOKMARKS + query) as watch:
        assert watch.take(len(seen)) == [("ADDED", name) for name in seen]
        take_end(watch)


def test_initial_events_of_an_indexed_field_are_those_of_its_value(
    cluster: Cluster, namespace: str
) -> None:
    pods = collection(cluster, namespace, "pods")
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
        pods.made(pod(name, node))
    query = f"{INITIAL}{BOOKMARKS}&fieldSelector={quote('spec.nodeName=n1')}"
    with watching(pods, query) as watch:
        assert watch.take(2) == [("ADDED", "a"), ("ADDED", "c")]
        take_end(watch, "Pod")
        pods.delete("c", {"gracePeriodSeconds": 0})
        assert watch.take(1) == [("DELETED", "c")]


def test_the_empty_state_has_an_end_too(cluster: Cluster, namespace: str) -> None:
    services = collection(cluster, namespace, "services")
    with watching(services, INITIAL + BOOKMARKS) as watch:
        take_end(watch, "Service")


def test_a_watch_by_its_path_has_initial_events_but_no_end_mark(secrets: Collection) -> None:
    path = secrets.path.replace("/v1/", "/v1/watch/")
    answer = secrets.cluster.call("GET", f"{path}?timeoutSeconds=1&allowWatchBookmarks=true")
    assert b"initial-events-end" not in answer.body
    assert [line[:15] for line in answer.body.splitlines()[:2]] == [b'{"type":"ADDED"'] * 2
    refused = secrets.cluster.call("GET", f"{path}?{INITIAL[1:]}&resourceVersion=1")
    why = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
    check_status(refused, 422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {why}')


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        (
            "&sendInitialEvents=true",
            [f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"],
        ),
        (
            "&sendInitialEvents=false&resourceVersion=1",
            [f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"],
        ),
        (
            f"&{MATCH}=NotOlderThan&resourceVersion=1",
            [
                f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless "
                "sendInitialEvents is provided"
            ],
        ),
        (
            f"&sendInitialEvents=true&{MATCH}=Exact&resourceVersion=1",
            [
                f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan",
                f'{MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"',
            ],
        ),
        (
            f"{INITIAL}&continue=x",
            [f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided"],
        ),
        ("&continue=x", [f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided"]),
    ],
)
def test_forbidden_combinations_of_watch_options_are_invalid(
    secrets: Collection, query: str, causes: list[str]
) -> None:
    answer = secrets.list(f"?watch=true{query}")
    listed = causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"
    message = f'ListOptions.meta.k8s.io "" is invalid: {listed}'
    details = check_status(answer, 422, "Invalid", message)
    assert [cause["field"] for cause in details["causes"]] == [MATCH] * len(causes)


def test_watches_end_at_their_time_limit_and_bookmarks_say_how_far_they_got(
    secrets: Collection,
) -> None:
    made = secrets.made(named("c"))
    start = f"&resourceVersion={made['metadata']['resourceVersion']}"
    # A bookmark comes only where there is something newer to tell than the start.
    unseen = secrets.made(named("d"))

    def rest(query: str) -> list[Any]:
        with watching(secrets, start + query) as watch:
            return watch.rest()

    with ThreadPoolExecutor(max_workers=3) as pool:
        silent = pool.submit(rest, "&timeoutSeconds=1&labelSelector=x")
        marked = pool.submit(rest, "&timeoutSeconds=3&allowWatchBookmarks=true&labelSelector=x")
        unmarked = pool.submit(rest, "&timeoutSeconds=3&labelSelector=x")
        assert silent.result() == []
        (bookmark,) = marked.result()
        assert unmarked.result() == []
    metadata = bookmark["object"].pop("metadata")
    assert bookmark == {"type": "BOOKMARK", "object": {"kind": "Secret", "apiVersion": "v1"}}
    assert metadata.keys() == {"resourceVersion"}
    assert int(metadata["resourceVersion"]) >= revision_of(unseen)


@pytest.mark.parametrize(
    "off", ["watch=false", "watch=0", "watch=False", "allowWatchBookmarks=true"]
)
def test_a_parameter_of_watch_that_is_false_leaves_a_list(secrets: Collection, off: str) -> None:
    assert secrets.names(f"?{off}") == ["a", "b"]


def test_limit_is_ignored_by_watches(secrets: Collection) -> None:
    with watching(secrets, "&limit=1") as watch:
        assert watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]


def test_any_other_value_of_watch_is_true(secrets: Collection) -> None:
    for value in ("", "yes"):
        answer = secrets.list(f"?watch={value}&timeoutSeconds=-1&labelSelector=nothing")
        assert (answer.code, answer.body) == (200, b"")

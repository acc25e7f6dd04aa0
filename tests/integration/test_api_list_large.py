"""Lists and initial events larger than a chunk: whole, of one revision, however they are cut."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from kube import codec_yaml
from tests.integration.api_calls import Collection, collection, labelled, named, watching
from tests.integration.cluster import Cluster

COUNT = 50
DATA = base64.b64encode(bytes(range(256)) * 64).decode()
TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
NAMES = [f"s{number:02}" for number in range(COUNT)]


@pytest.fixture(scope="module")
def secrets(cluster: Cluster) -> Collection:
    """A megabyte of Secrets; every tenth is labelled tenth=yes, the last one last=yes."""
    collection(cluster, "", "namespaces").made(named("large"))
    made = collection(cluster, "large", "secrets")
    for number, name in enumerate(NAMES):
        labels = {} if number % 10 else {"tenth": "yes"}
        if number == COUNT - 1:
            labels["last"] = "yes"
        made.made(labelled(name, labels, data={"k": DATA}))
    return made


def names_of(document: Any) -> list[str]:
    """Return the names of a list's items."""
    return [item["metadata"]["name"] for item in document["items"]]


def test_a_list_of_many_chunks_is_whole(secrets: Collection) -> None:
    document = secrets.list().json
    assert document.keys() == {"kind", "apiVersion", "metadata", "items"}
    assert names_of(document) == NAMES
    assert all(item["data"] == {"k": DATA} for item in document["items"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=tenth", NAMES[::10]),
        ("labelSelector=last", NAMES[-1:]),
        ("labelSelector=nothing", []),
        ("fieldSelector=metadata.name!%3Ds00", NAMES[1:]),
        ("fieldSelector=type%3DOpaque", NAMES),
        ("labelSelector=!tenth&limit=3", ["s01", "s02", "s03"]),
    ],
)
def test_selectors_find_what_is_in_any_chunk(
    secrets: Collection, query: str, names: list[str]
) -> None:
    assert names_of(secrets.list(f"?{query}").json) == names


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&labelSelector=last",
        "&labelSelector=nothing",
        "&limit=30",
        "&limit=1",
        "&fieldSelector=metadata.name%3Ds01",
        "&fieldSelector=metadata.name%3Dnone",
        "&fieldSelector=metadata.name!%3Ds01",
        "&fieldSelector=metadata.namespace%3Dnone",
    ],
)
def test_indented_lists_are_cut_like_others(secrets: Collection, query: str) -> None:
    for _ in range(20):
        compact, indented = secrets.list(f"?{query}"), secrets.list(f"?pretty=true{query}")
        # Controllers write as well: the revision may have moved on in between.
        if compact.body == secrets.list(f"?{query}").body:
            break
    assert indented.body == orjson.dumps(compact.json, option=orjson.OPT_INDENT_2)


@pytest.mark.parametrize("limit", [7, 25, 49])
def test_pages_larger_than_a_chunk_are_whole(secrets: Collection, limit: int) -> None:
    found: list[str] = []
    token = ""
    while len(found) < COUNT:
        page = secrets.list(f"?limit={limit}&continue={token}").json
        token = page["metadata"].get("continue", "")
        found += names_of(page)
        left = COUNT - len(found)
        assert page["metadata"].get("remainingItemCount", 0) == left
        assert bool(token) == bool(left)
    assert found == NAMES


@pytest.fixture(scope="module")
def huge(cluster: Cluster) -> Collection:
    """Four megabytes in twelve Secrets: more than is kept of a page."""
    collection(cluster, "", "namespaces").made(named("huge"))
    made = collection(cluster, "huge", "secrets")
    for number in range(12):
        made.made(named(f"h{number:02}", data={"k": "AAAA" * 87_000}))
    return made


@pytest.mark.parametrize(
    ("query", "names", "left"),
    [
        ("limit=11", range(11), 1),
        ("limit=12", range(12), 0),
        ("limit=8&pretty=true", range(8), 4),
        ("limit=9&fieldSelector=metadata.name!%3Dh00", range(1, 10), None),
    ],
)
def test_pages_larger_than_what_is_kept_of_them_are_read_twice_and_whole(
    huge: Collection, query: str, names: range, left: int | None
) -> None:
    for headers in ({}, {"Accept": "application/yaml"}, TABLE):
        answer = huge.list(f"?{query}", headers=headers)
        page = codec_yaml.decode(answer.body) if "yaml" in str(headers) else answer.json
        items = page.get("items") or [row["object"] for row in page["rows"]]
        assert [item["metadata"]["name"] for item in items] == [f"h{n:02}" for n in names]
        assert page["metadata"].get("remainingItemCount", 0) == (left or 0)
        assert ("continue" in page["metadata"]) is (left != 0)
        if token := page["metadata"].get("continue"):
            rest = huge.list(f"?limit=12&continue={token}").json
            assert [i["metadata"]["name"] for i in rest["items"]] == [
                f"h{n:02}" for n in range(names.stop, 12)
            ]
            assert rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]


def test_a_table_of_many_chunks_is_whole(secrets: Collection) -> None:
    table = secrets.list("?includeObject=None", headers=TABLE).json
    assert [row["cells"][0] for row in table["rows"]] == NAMES


def test_an_exact_list_of_many_chunks_is_merged_with_what_was_since_written(
    secrets: Collection,
) -> None:
    before = secrets.list().json
    for name in NAMES[::7]:
        secrets.patch(name, {"metadata": {"annotations": {"changed": "yes"}}})
    secrets.made(named("s10-new"))
    secrets.delete("s10-new")
    revision = before["metadata"]["resourceVersion"]
    exact = secrets.list(f"?resourceVersion={revision}&resourceVersionMatch=Exact")
    assert exact.json == before


def test_initial_events_of_many_chunks_are_whole_and_end(secrets: Collection) -> None:
    query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    for selector, names in (("", NAMES), ("&labelSelector=tenth", NAMES[::10])):
        with watching(secrets, query + selector) as watch:
            assert watch.take(len(names)) == [("ADDED", name) for name in names]
            assert watch.next()["type"] == "BOOKMARK"


def test_history_larger_than_a_chunk_is_caught_up_with(secrets: Collection) -> None:
    start = secrets.list("?limit=1").json["metadata"]["resourceVersion"]
    for name in NAMES:
        secrets.patch(name, {"metadata": {"annotations": {"round": "1"}}})
    with watching(secrets, f"&resourceVersion={start}") as watch:
        assert watch.take(COUNT) == [("MODIFIED", name) for name in NAMES]

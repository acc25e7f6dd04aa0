"""Lists in pages: limit, continue, remainingItemCount, and what a continue token may hold."""

from __future__ import annotations

import base64
import threading
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from tests.integration.api_calls import Collection, check_status, collection, labelled, named
from tests.integration.cluster import Cluster

NAMES = list("abcdefg")


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """Seven Secrets; every other one is labelled odd=yes."""
    made = collection(cluster, namespace, "secrets")
    for number, name in enumerate(NAMES):
        made.made(labelled(name, {} if number % 2 else {"odd": "yes"}))
    return made


def pages(collected: Collection, query: str) -> list[Any]:
    """Return all pages of a list."""
    found: list[Any] = []
    token = ""
    while not found or token:
        answer = collected.list(f"?{query}&continue={quote(token)}")
        assert answer.code == 200, answer.body
        found.append(answer.json)
        token = found[-1]["metadata"].get("continue", "")
    return found


def names_of(page: Any) -> str:
    """Return the names of a page's items, in one word."""
    return "".join(item["metadata"]["name"] for item in page["items"])


def revision_of(page: Any) -> str:
    """Return the revision of a list."""
    revision: str = page["metadata"]["resourceVersion"]
    return revision


def token_of(document: Any) -> str:
    """Return a continue token with that content."""
    data = document if isinstance(document, bytes) else orjson.dumps(document)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def content_of(token: str) -> Any:
    """Return what a continue token holds."""
    return orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))


def test_pages_make_up_the_list_and_count_what_remains(secrets: Collection) -> None:
    found = pages(secrets, "limit=3")
    assert [names_of(page) for page in found] == ["abc", "def", "g"]
    counts = [page["metadata"].get("remainingItemCount") for page in found]
    assert counts == [4, 1, None]
    assert len({page["metadata"]["resourceVersion"] for page in found}) == 1
    assert "continue" not in found[-1]["metadata"]


def test_a_limit_of_all_there_is_leaves_nothing_to_continue(secrets: Collection) -> None:
    for limit in (7, 8, 0, -1):
        metadata = secrets.list(f"?limit={limit}").json["metadata"]
        assert metadata.keys() == {"resourceVersion"}, limit


def test_pages_show_the_revision_of_the_first_whatever_is_written_meanwhile(
    secrets: Collection,
) -> None:
    first = secrets.list("?limit=2").json
    secrets.delete("c")
    secrets.made(named("bb"))
    secrets.patch("d", {"data": {"k": "bmV3"}})
    secrets.delete("g")
    query = f"?limit=10&continue={first['metadata']['continue']}"
    rest = secrets.list(query).json
    assert names_of(first) + names_of(rest) == "abcdefg"
    assert "data" not in rest["items"][1]
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    assert secrets.names() == ["a", "b", "bb", "d", "e", "f"]


def test_pages_are_of_one_revision_while_others_write(secrets: Collection) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            for name in ("aa", "cc", "gg"):
                secrets.create(named(name))
            for name in ("aa", "cc", "gg"):
                secrets.delete(name)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            whole = secrets.list().json
            exact = f"resourceVersion={revision_of(whole)}&resourceVersionMatch=Exact"
            first = secrets.list(f"?limit=2&{exact}").json
            found, page = [first], first
            while token := page["metadata"].get("continue"):
                page = secrets.list(f"?limit=2&continue={token}").json
                found.append(page)
            assert [item for page in found for item in page["items"]] == whole["items"]
            assert {revision_of(page) for page in found} == {revision_of(whole)}
    finally:
        done.set()
        writer.join()


def test_a_selection_in_pages_never_counts_what_remains(secrets: Collection) -> None:
    for selector in ("labelSelector=odd", "fieldSelector=metadata.name!%3Db"):
        found = pages(secrets, f"limit=2&{selector}")
        assert all("remainingItemCount" not in page["metadata"] for page in found)
    assert [names_of(page) for page in pages(secrets, "limit=3&labelSelector=odd")] == ["ace", "g"]
    chosen = "fieldSelector=metadata.name!%3Db"
    assert [names_of(page) for page in pages(secrets, f"limit=2&{chosen}")] == ["ac", "de", "fg"]


def test_a_filled_page_of_a_selection_goes_on_while_anything_is_left_to_look_at(
    secrets: Collection,
) -> None:
    secrets.made(labelled("h", {}))
    found = pages(secrets, "limit=4&labelSelector=odd")
    assert [names_of(page) for page in found] == ["aceg", ""]


def test_pages_go_through_all_namespaces(cluster: Cluster, namespace: str) -> None:
    other = namespace + "-other"
    collection(cluster, "", "namespaces").made(named(other))
    for space in (namespace, other):
        for name in ("a", "b"):
            collection(cluster, space, "secrets").made(labelled(name, {"of": namespace}))
    everywhere = collection(cluster, "", "secrets")
    found = pages(everywhere, f"limit=1&labelSelector=of%3D{namespace}")
    keys = [
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for page in found
        for item in page["items"]
    ]
    assert keys == [(namespace, "a"), (namespace, "b"), (other, "a"), (other, "b")]
    assert content_of(found[0]["metadata"]["continue"])["start"] == f"{namespace}/a\0"


def test_a_token_holds_revision_and_key_as_upstream(cluster: Cluster, secrets: Collection) -> None:
    metadata = secrets.list("?limit=2").json["metadata"]
    revision = int(metadata["resourceVersion"])
    expected = {"v": "meta.k8s.io/v1", "rv": revision, "start": "b\0"}
    content = content_of(metadata["continue"])
    assert {key: content[key] for key in expected} == expected
    first = cluster.call("GET", "/api/v1/namespaces?limit=1").json
    name = names_of(first)
    assert content_of(first["metadata"]["continue"])["start"] == f"{name}\0"


def test_a_token_of_no_revision_goes_on_at_the_latest_one(secrets: Collection) -> None:
    secrets.made(named("bb"))
    for revision in (-1, -7):
        token = token_of({"v": "meta.k8s.io/v1", "rv": revision, "start": "b\0"})
        page = secrets.list(f"?limit=3&continue={token}").json
        assert names_of(page) == "bbcd"
        rest = secrets.list(f"?continue={page['metadata']['continue']}").json
        assert names_of(rest) == "efg"
        assert rest["metadata"]["resourceVersion"] == page["metadata"]["resourceVersion"]


def test_a_token_cannot_lead_out_of_its_namespace(cluster: Cluster, namespace: str) -> None:
    for space in (namespace + "-before", namespace):
        collection(cluster, "", "namespaces").create(named(space))
        collection(cluster, space, "secrets").made(named("a"))
    secrets = collection(cluster, namespace, "secrets")
    for start in ("\0", "/", "!", f"{namespace}-before/\0"):
        token = token_of({"v": "meta.k8s.io/v1", "rv": -1, "start": start})
        items = secrets.list(f"?continue={token}").json["items"]
        assert {item["metadata"]["namespace"] for item in items} <= {namespace}


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("x", ": illegal base64 data at input byte 0"),
        ("abc!", ": illegal base64 data at input byte 3"),
        ("eyJ2IjoiIn0=", ": illegal base64 data at input byte 11"),
        (token_of(b"Text"), ": invalid character 'T' looking for beginning of value"),
        (token_of(b'{"v":'), ": unexpected end of JSON input"),
        (
            token_of(b"[]"),
            ": json: cannot unmarshal array into Go value of type storage.continueToken",
        ),
        (token_of({}), ": server does not recognize this encoded version "),
        (token_of({"v": "v2"}), ": server does not recognize this encoded version v2"),
        (
            token_of({"v": "meta.k8s.io/v1", "start": "a"}),
            ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (
            token_of({"v": "meta.k8s.io/v1", "rv": "5", "start": "a"}),
            ": json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
        ),
        (
            token_of({"v": "meta.k8s.io/v1", "rv": 5}),
            ": encoded start key empty (version meta.k8s.io/v1)",
        ),
        (token_of({"v": "meta.k8s.io/v1", "rv": 5, "start": "../b"}), ": ../b"),
        (token_of({"v": "meta.k8s.io/v1", "rv": 5, "start": "a//b"}), ": a//b"),
        (token_of({"v": "meta.k8s.io/v1", "rv": 5, "start": "a/./b"}), ": a/./b"),
        (token_of({"v": "meta.k8s.io/v1", "rv": 5, "start": "a/"}), ": a/"),
    ],
)
def test_a_malformed_token_is_a_bad_request(
    cluster: Cluster, namespace: str, token: str, detail: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    answer = secrets.list(f"?limit=1&continue={quote(token)}")
    message = f"invalid continue token: continue key is not valid{detail}"
    check_status(answer, 400, "BadRequest", message)


def test_a_token_longer_than_any_key_finds_nothing(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    secrets.made(named("a"))
    for revision in (-1, int(secrets.list().json["metadata"]["resourceVersion"])):
        token = token_of({"v": "meta.k8s.io/v1", "rv": revision, "start": "z" * 3000 + "\0"})
        answer = secrets.list(f"?limit=1&continue={token}")
        assert (answer.code, answer.json["items"]) == (200, [])


def test_continue_goes_with_no_revision_of_its_own(secrets: Collection) -> None:
    page = secrets.list("?limit=1").json["metadata"]
    token, revision = page["continue"], page["resourceVersion"]
    answer = secrets.list(f"?limit=1&continue={token}&resourceVersion={revision}")
    message = "specifying resource version is not allowed when using continue"
    check_status(answer, 400, "BadRequest", message)
    assert names_of(secrets.list(f"?limit=1&continue={token}&resourceVersion=0").json) == "b"
    answer = secrets.list(f"?continue={token}&resourceVersion=0&resourceVersionMatch=NotOlderThan")
    details = check_status(
        answer,
        422,
        "Invalid",
        'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
        "resourceVersionMatch is forbidden when continue is provided",
    )
    assert (details["group"], details["kind"]) == ("meta.k8s.io", "ListOptions")


def test_revision_zero_ignores_the_limit(secrets: Collection) -> None:
    page = secrets.list("?limit=2&resourceVersion=0").json
    assert names_of(page) == "abcdefg"
    assert page["metadata"].keys() == {"resourceVersion"}


def test_deletecollection_takes_the_page_that_a_list_shows(secrets: Collection) -> None:
    first = secrets.delete(query="?limit=2").json
    assert names_of(first) == "ab"
    assert first["kind"] == "SecretList"
    assert first["metadata"]["remainingItemCount"] == 5
    assert secrets.names() == ["c", "d", "e", "f", "g"]
    second = secrets.delete(query=f"?limit=2&continue={first['metadata']['continue']}").json
    assert names_of(second) == "cd"
    assert secrets.names() == ["e", "f", "g"]
    assert names_of(secrets.delete(query="?labelSelector=odd").json) == "eg"
    assert names_of(secrets.delete().json) == "f"


def test_deletecollection_takes_only_what_field_selectors_choose(
    secrets: Collection, namespace: str
) -> None:
    for selector in (
        "metadata.namespace!%3D" + namespace,
        "metadata.namespace%3Delsewhere",
        "metadata.name%3Da,metadata.name%3Db",
        "type%3Dexample.org/other",
    ):
        assert secrets.delete(query=f"?fieldSelector={selector}").json["items"] == []
    assert "".join(secrets.names()) == "abcdefg"
    kept = "metadata.name!%3Da,metadata.name!%3Dg"
    assert names_of(secrets.delete(query=f"?fieldSelector={kept}").json) == "bcdef"
    assert names_of(secrets.delete(query="?fieldSelector=metadata.name%3Dg").json) == "g"
    assert secrets.names() == ["a"]


def test_deletecollection_answers_with_the_objects_as_they_were(secrets: Collection) -> None:
    held = {"finalizers": ["example.org/hold"]}
    secrets.patch("a", {"metadata": held})
    before = secrets.list("?labelSelector=odd").json
    deleted = secrets.delete(query="?labelSelector=odd").json
    assert deleted["items"] == before["items"]
    assert secrets.get("a").json["metadata"]["deletionTimestamp"]
    secrets.patch("a", {"metadata": {"finalizers": None}})


def test_deletecollection_of_another_version_answers_in_it(
    cluster: Cluster, namespace: str
) -> None:
    events = collection(cluster, namespace, "events", "events.k8s.io/v1")
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    fields = {
        "regarding": about,
        "reason": "Started",
        "type": "Normal",
        "action": "Start",
        "reportingController": "example.org/test",
        "reportingInstance": "1",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    for name in "ab":
        events.made(named(name, **fields))
    before = events.list().json
    deleted = events.delete().json
    assert (deleted["kind"], deleted["apiVersion"]) == ("EventList", "events.k8s.io/v1")
    assert deleted["items"] == before["items"]
    assert events.names() == []

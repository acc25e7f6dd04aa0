"""resourceVersion and resourceVersionMatch of get and list: which state they show."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.api_calls import Collection, check_status, collection, named, watching
from tests.integration.cluster import Answer, Cluster

FAR = 10**15
MATCH = "resourceVersionMatch"


@pytest.fixture
def secrets(cluster: Cluster, namespace: str) -> Collection:
    """An empty collection of Secrets."""
    return collection(cluster, namespace, "secrets")


def revision_of(answer: Answer) -> int:
    """Return the revision of an object or list."""
    assert answer.code in (200, 201), answer.body
    return int(answer.json["metadata"]["resourceVersion"])


def invalid(*causes: str) -> str:
    """Return the message of options that break these rules."""
    listed = causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"
    return f'ListOptions.meta.k8s.io "" is invalid: {listed}'


def test_a_read_without_revision_sees_every_write_acknowledged_before(secrets: Collection) -> None:
    for number in range(20):
        made = secrets.create(named(f"m{number:02}"))
        listed = secrets.list()
        assert len(listed.json["items"]) == number + 1
        assert revision_of(listed) >= revision_of(made)
        assert revision_of(secrets.get(f"m{number:02}")) == revision_of(made)


@pytest.mark.parametrize("match", ["", f"&{MATCH}=NotOlderThan"])
def test_a_revision_not_older_than_shows_the_latest_state(secrets: Collection, match: str) -> None:
    first = revision_of(secrets.create(named("a")))
    second = revision_of(secrets.create(named("b")))
    for revision in (0, first, second):
        answer = secrets.list(f"?resourceVersion={revision}{match}")
        assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "b"]
        assert revision_of(answer) >= second
    for revision in (0, first, second):
        assert revision_of(secrets.get("a", f"?resourceVersion={revision}")) == first


def test_an_exact_revision_shows_the_state_at_it(secrets: Collection) -> None:
    first = revision_of(secrets.create(named("a", data={"k": "MQ=="})))
    second = revision_of(secrets.create(named("b")))
    third = revision_of(secrets.patch("a", {"data": {"k": "Mg=="}}))
    fourth = _delete(secrets, "b")
    expected: dict[int, dict[str, Any]] = {
        first: {"a": {"k": "MQ=="}},
        second: {"a": {"k": "MQ=="}, "b": None},
        third: {"a": {"k": "Mg=="}, "b": None},
        fourth: {"a": {"k": "Mg=="}},
    }
    for revision, state in expected.items():
        for query in (f"&{MATCH}=Exact", f"&{MATCH}=Exact&limit=10", "&limit=10"):
            answer = secrets.list(f"?resourceVersion={revision}{query}")
            items = answer.json["items"]
            assert {item["metadata"]["name"]: item.get("data") for item in items} == state
            assert revision_of(answer) == revision


def test_an_exact_revision_is_paged_and_selected_at_it(secrets: Collection) -> None:
    for name in "abc":
        secrets.made(named(name))
    revision = revision_of(secrets.list())
    for name in "abc":
        secrets.delete(name)
    exact = f"resourceVersion={revision}&{MATCH}=Exact"
    page = secrets.list(f"?limit=2&{exact}").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["a", "b"]
    assert page["metadata"]["remainingItemCount"] == 1
    rest = secrets.list(f"?limit=2&continue={page['metadata']['continue']}").json
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]
    assert secrets.names(f"?{exact}&fieldSelector=metadata.name%3Db") == ["b"]
    assert secrets.names(f"?{exact}&fieldSelector=metadata.name!%3Db") == ["a", "c"]


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        (
            f"{MATCH}=NotOlderThan",
            [f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided"],
        ),
        (
            f"{MATCH}=Exact&resourceVersion=0",
            [f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"'],
        ),
        (
            f"{MATCH}=Newest&resourceVersion=1",
            [
                f'{MATCH}: Unsupported value: "Newest": '
                'supported values: "Exact", "NotOlderThan", ""'
            ],
        ),
        (
            f"{MATCH}=Newest&continue=x",
            [
                f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided",
                f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided",
                f'{MATCH}: Unsupported value: "Newest": '
                'supported values: "Exact", "NotOlderThan", ""',
            ],
        ),
        (
            "sendInitialEvents=true",
            ["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"],
        ),
        (
            "sendInitialEvents=false",
            ["sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"],
        ),
    ],
)
def test_forbidden_combinations_of_list_options_are_invalid(
    secrets: Collection, query: str, causes: list[str]
) -> None:
    answer = secrets.list(f"?{query}")
    details = check_status(answer, 422, "Invalid", invalid(*causes))
    assert len(details["causes"]) == len(causes)
    # deletecollection takes the same options.
    check_status(secrets.delete(query=f"?{query}"), 422, "Invalid", invalid(*causes))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x", "invalid syntax"),
        ("-1", "invalid syntax"),
        ("1.0", "invalid syntax"),
        ("%2B1", "invalid syntax"),
        ("18446744073709551616", "value out of range"),
    ],
)
def test_a_revision_that_is_no_number_is_a_bad_request(
    secrets: Collection, text: str, why: str
) -> None:
    secrets.made(named("a"))
    shown = text.replace("%2B", "+")
    message = (
        f'resourceVersion: Invalid value: "{shown}": strconv.ParseUint: parsing "{shown}": {why}'
    )
    in_list = f"invalid resource version: {message}"
    query = f"?resourceVersion={text}"
    check_status(secrets.list(query), 400, "BadRequest", in_list)
    check_status(secrets.list(f"{query}&limit=1"), 400, "BadRequest", in_list)
    check_status(secrets.list(f"{query}&{MATCH}=Exact"), 400, "BadRequest", in_list)
    check_status(secrets.get("a", query), 400, "BadRequest", message)
    check_status(secrets.list(f"{query}&watch=true"), 400, "BadRequest", message)


def test_a_revision_of_the_future_times_out_and_says_where_we_are(secrets: Collection) -> None:
    secrets.made(named("a"))
    queries = ["", f"&{MATCH}=NotOlderThan", f"&{MATCH}=Exact", "&limit=1"]
    initial = f"&resourceVersion={FAR}&sendInitialEvents=true&{MATCH}=NotOlderThan"
    # Each of them waits for 3 s.
    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = [pool.submit(secrets.list, f"?resourceVersion={FAR}{query}") for query in queries]
        answers.append(pool.submit(secrets.get, "a", f"?resourceVersion={FAR}"))
        events = pool.submit(_all_events, secrets, initial)
        for answer in (future.result() for future in answers):
            current = answer.json["message"].rpartition(" ")[2]
            message = f"Timeout: Too large resource version: {FAR}, current: {current}"
            details = check_status(answer, 504, "Timeout", message)
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            assert details == {"causes": [cause], "retryAfterSeconds": 1}
            assert answer.headers["retry-after"] == "1"
            assert 0 < int(current) < FAR
        # A watch has begun by then: it says so inside the stream.
        (event,) = events.result()
    assert (event["type"], event["object"]["code"]) == ("ERROR", 504)
    assert event["object"]["details"]["causes"] == [cause]


def test_a_list_of_one_name_has_no_pages(secrets: Collection) -> None:
    first = revision_of(secrets.create(named("a")))
    second = revision_of(secrets.patch("a", {"data": {"k": "Mg=="}}))
    name = "fieldSelector=metadata.name%3Da"
    # A limit does not make the revision of such a list an exact one, as it does of others.
    for query in ("", "&limit=1", f"&limit=1&{MATCH}=NotOlderThan"):
        answer = secrets.list(f"?{name}&resourceVersion={first}{query}")
        assert revision_of(answer) >= second
        assert answer.json["items"][0]["metadata"]["resourceVersion"] == str(second)
    exact = secrets.list(f"?{name}&resourceVersion={first}&{MATCH}=Exact").json
    assert exact["items"][0]["metadata"]["resourceVersion"] == str(first)
    for query in ("&continue=nonsense", "&limit=1&continue=nonsense"):
        assert secrets.names(f"?{name}{query}") == ["a"]
    # In all namespaces it is a list like any other.
    everywhere = collection(secrets.cluster, "", "secrets")
    assert everywhere.list(f"?{name}&continue=nonsense").code == 400


def test_reads_at_an_acknowledged_revision_never_fail(secrets: Collection) -> None:
    for number in range(10):
        revision = revision_of(secrets.create(named(f"m{number}")))
        for query in (f"&{MATCH}=Exact", f"&{MATCH}=NotOlderThan"):
            listed = secrets.list(f"?resourceVersion={revision}{query}").json
            assert len(listed["items"]) == number + 1


def test_a_get_takes_no_match_and_no_list_options(secrets: Collection) -> None:
    revision = revision_of(secrets.create(named("a")))
    for query in (f"?{MATCH}=Nonsense", "?limit=x", "?labelSelector=,", "?watch=true"):
        assert revision_of(secrets.get("a", query)) == revision


def _delete(secrets: Collection, name: str) -> int:
    assert secrets.delete(name).code == 200
    return revision_of(secrets.list())


def _all_events(secrets: Collection, query: str) -> list[Any]:
    with watching(secrets, query) as watch:
        assert watch.code == 200
        return watch.rest()

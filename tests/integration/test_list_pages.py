"""Lists in pages: what follows is told on each, and no number in a request ends in a 500."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import collection, labelled, named
from tests.integration.cluster import Cluster


def token_of(**members: Any) -> str:
    """Return a continue token of these members."""
    document = {"v": "meta.k8s.io/v1", "rv": -1, "start": "a/a\0"} | members
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def test_each_page_tells_how_many_follow_at_the_revision_of_the_first(
    cluster: Cluster, namespace: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    for name in "abcdefg":
        secrets.made(named(name))
    seen: list[tuple[list[str], int | None]] = []
    token = ""
    while True:
        page = secrets.list(f"?limit=2&continue={token}").json
        names = [item["metadata"]["name"] for item in page["items"]]
        seen.append((names, page["metadata"].get("remainingItemCount")))
        token = page["metadata"].get("continue", "")
        if not token:
            break
        # Neither what comes nor what goes in between counts.
        secrets.create(named(f"zz{len(seen)}"))
        secrets.delete(names[0])
    assert seen == [(["a", "b"], 5), (["c", "d"], 3), (["e", "f"], 1), (["g"], None)]


def test_a_page_of_selected_objects_goes_on_without_a_count(
    cluster: Cluster, namespace: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    for name in "abcd":
        secrets.made(labelled(name, {"odd": str(name in "ac")}))
    page = secrets.list("?limit=1&labelSelector=odd%3DTrue").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["a"]
    assert "remainingItemCount" not in page["metadata"]
    token = page["metadata"]["continue"]
    page = secrets.list(f"?limit=1&labelSelector=odd%3DTrue&continue={token}").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["c"]


@pytest.mark.parametrize("left", [-5, 0, 7, 1 << 63, "many", None])
def test_a_count_made_up_by_the_client_ends_no_list(
    cluster: Cluster, namespace: str, left: Any
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    for name in "abc":
        secrets.made(named(name))
    revision = int(secrets.list().json["metadata"]["resourceVersion"])
    token = token_of(rv=revision, start="a\0", left=left)
    page = secrets.list(f"?limit=1&continue={token}").json
    assert [item["metadata"]["name"] for item in page["items"]] == ["b"]
    assert page["metadata"]["continue"]
    assert page["metadata"]["remainingItemCount"] >= 1
    if left == 7:
        # Nobody counts again what the last page knew.
        assert page["metadata"]["remainingItemCount"] == 6


@pytest.mark.parametrize("query", ["?{}", "/x?{}", "?watch=1&timeoutSeconds=1&{}"])
@pytest.mark.parametrize("version", [str(1 << 64), "9" * 5000])
def test_a_resource_version_beyond_64_bits_is_out_of_range(
    cluster: Cluster, namespace: str, query: str, version: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    path = secrets.path + query.format(f"resourceVersion={version}")
    quoted = f'"{version}"'
    message = f"Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: value out of range"
    answer = cluster.call("GET", path)
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")
    assert answer.json["message"].endswith(message)


def test_leading_zeros_do_not_count(cluster: Cluster, namespace: str) -> None:
    secrets = collection(cluster, namespace, "secrets")
    assert secrets.list(f"?resourceVersion={'0' * 5000}1").code == 200


@pytest.mark.parametrize("revision", [True, 1.5, "1", 1 << 64, 0])
def test_a_continue_token_needs_a_revision(cluster: Cluster, namespace: str, revision: Any) -> None:
    secrets = collection(cluster, namespace, "secrets")
    document = orjson.dumps({"v": "meta.k8s.io/v1", "start": "a\0"})
    text = document[:-1] + b',"rv":' + str(revision).lower().encode() + b"}"
    if isinstance(revision, str):
        text = document[:-1] + b',"rv":"1"}'
    token = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
    answer = secrets.list(f"?limit=1&continue={token}")
    assert (answer.code, answer.json["reason"]) == (400, "BadRequest")

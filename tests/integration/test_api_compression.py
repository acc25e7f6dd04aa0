"""Compressed answers: who gets them, from what size on, and that they say what plain ones say."""

from __future__ import annotations

import gzip
import http.client
import zlib
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import Collection, collection, labelled, named
from tests.integration.bad_input_wire import Reply, Wire
from tests.integration.cluster import HOST, Cluster

LIMIT_BYTES = 128 << 10
COUNT = 40
SHAPES = {
    "json": "application/json",
    "yaml": "application/yaml",
    "cbor": "application/cbor",
    "table": "application/json;as=Table;g=meta.k8s.io;v=v1",
    "metadata": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
}
INITIAL = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> Collection:
    """A megabyte of Secrets in a namespace of their own, half of it in their annotations."""
    collection(cluster, "", "namespaces").made(named("compressed"))
    made = collection(cluster, "compressed", "secrets")
    for number in range(COUNT):
        obj: dict[str, Any] = labelled(f"c{number:02}", {}, data={"k": f"{number:02}AA" * 4000})
        obj["metadata"]["annotations"] = {"text": f"{number} " * 5000}
        made.made(obj)
    return made


def call(
    collected: Collection, query: str = "", *headers: str, method: str = "GET", version: str = "1.1"
) -> Reply:
    """Send a request with just these headers."""
    with Wire(collected.cluster) as wire:
        head = wire.head(f"{method} {collected.path}{query}", *headers)
        wire.send(head.replace(b"HTTP/1.1", b"HTTP/" + version.encode(), 1))
        reply = wire.reply()
        assert reply is not None
        return reply


def both(collected: Collection, query: str, accept: str) -> tuple[Reply, Reply]:
    """Ask plainly and for gzip, until nothing was changed in between (Tables have ages)."""
    headers = (f"Accept: {accept}", "User-Agent: test/1")
    for _ in range(10):
        before = call(collected, query, *headers)
        packed = call(collected, query, *headers, "Accept-Encoding: gzip")
        if before.body == call(collected, query, *headers).body:
            return before, packed
    raise AssertionError("it never stays the same")


@pytest.mark.parametrize("accept", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("query", ["", "?limit=30", "?pretty=true", "/c07"])
def test_a_large_answer_unpacks_to_the_plain_one(
    large: Collection, query: str, accept: str
) -> None:
    if query == "/c07":
        accept = accept.replace("MetadataList", "Metadata")
    plain, packed = both(large, query, accept)
    assert plain.code == packed.code == 200
    assert "content-encoding" not in plain.headers
    is_large = len(plain.body) > LIMIT_BYTES
    assert (packed.headers.get("content-encoding") == "gzip") is is_large
    assert (packed.headers.get("vary") == "Accept-Encoding") is is_large
    assert packed.headers["content-type"] == plain.headers["content-type"]
    assert (gzip.decompress(packed.body) if is_large else packed.body) == plain.body
    assert is_large is (query != "/c07")


@pytest.mark.parametrize(
    ("accepted", "packs"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0,  gzip ", True),
        ("br,gzip", True),
        ("gzip;q=1.0", False),
        ("*", False),
        ("GZIP", False),
        ("x-gzip", False),
        ("identity", False),
        ("", False),
    ],
)
def test_gzip_has_to_be_named_plainly(large: Collection, accepted: str, *, packs: bool) -> None:
    reply = call(large, "", f"Accept-Encoding: {accepted}")
    assert (reply.headers.get("content-encoding") == "gzip") is packs


def test_the_first_of_two_headers_counts(large: Collection) -> None:
    for first, second, packs in (("br", "gzip", False), ("gzip", "br", True)):
        reply = call(large, "", f"Accept-Encoding: {first}", f"Accept-Encoding: {second}")
        assert (reply.headers.get("content-encoding") == "gzip") is packs


def test_an_answer_is_compressed_when_it_is_longer_than_128_kib(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    maps.made(named("a0", data={"k": "x" * 1000}))
    around = len(maps.get("a0").body) - 1000
    for name, size in (("a1", LIMIT_BYTES), ("a2", LIMIT_BYTES + 1)):
        maps.made(named(name, data={"k": "x" * (size - around)}))
        plain = maps.get(name)
        # The revision may have got a digit more.
        missing = size - len(plain.body)
        maps.put(name, named(name, data={"k": "x" * (size - around + missing)}))
        plain = maps.get(name)
        assert len(plain.body) == size
        packed = call(maps, f"/{name}", "Accept-Encoding: gzip")
        is_packed = size > LIMIT_BYTES
        assert ("content-encoding" in packed.headers) is is_packed
        assert int(packed.headers["content-length"]) == len(packed.body)
        assert (gzip.decompress(packed.body) if is_packed else packed.body) == plain.body


def test_lists_with_a_length_and_streamed_ones_are_both_compressed(large: Collection) -> None:
    whole = call(large, "?limit=8", "Accept-Encoding: gzip")
    assert "content-length" in whole.headers
    streamed = call(large, "", "Accept-Encoding: gzip")
    assert streamed.headers["transfer-encoding"] == "chunked"
    for reply, count in ((whole, 8), (streamed, COUNT)):
        assert reply.headers["content-encoding"] == "gzip"
        assert len(orjson.loads(gzip.decompress(reply.body))["items"]) == count


def test_writes_are_answered_compressed_too(cluster: Cluster, namespace: str) -> None:
    maps = collection(cluster, namespace, "configmaps")
    body = orjson.dumps(named("a", data={"k": "x" * LIMIT_BYTES}))
    with Wire(cluster) as wire:
        line = f"POST {maps.path}"
        wire.send(wire.head(line, "Accept-Encoding: gzip", f"Content-Length: {len(body)}") + body)
        made = wire.reply()
    assert made is not None
    assert (made.code, made.headers["content-encoding"]) == (201, "gzip")
    stored = maps.get("a").body
    assert gzip.decompress(made.body) == stored
    gone = call(maps, "", "Accept-Encoding: gzip", method="DELETE")
    assert gone.headers["content-encoding"] == "gzip"
    items = orjson.loads(gzip.decompress(gone.body))["items"]
    assert [item["metadata"]["name"] for item in items if "k" in item.get("data", {})] == ["a"]


def test_http_1_0_gets_a_compressed_list_up_to_the_end_of_the_connection(large: Collection) -> None:
    with Wire(large.cluster) as wire:
        head = wire.head(f"GET {large.path}", "Accept-Encoding: gzip")
        wire.send(head.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head.lower()
    assert b"transfer-encoding" not in head.lower()
    # The list's own revision is that of the last write of anybody.
    assert orjson.loads(gzip.decompress(body))["items"] == large.list().json["items"]


def test_pipelined_lists_are_answered_in_their_order(large: Collection) -> None:
    with Wire(large.cluster) as wire:
        queries = ["", "?limit=8", "?limit=1", ""]
        encodings = ["gzip", "gzip", "gzip", "identity"]
        wire.send(
            b"".join(
                wire.head(f"GET {large.path}{query}", f"Accept-Encoding: {encoding}")
                for query, encoding in zip(queries, encodings, strict=True)
            )
        )
        replies = [wire.reply() for _ in queries]
    lists = []
    for reply in replies:
        assert reply is not None
        packed = reply.headers.get("content-encoding") == "gzip"
        lists.append(orjson.loads(gzip.decompress(reply.body) if packed else reply.body)["items"])
    assert lists[0] == lists[3] == large.list().json["items"]
    assert [len(items) for items in lists] == [COUNT, 8, 1, COUNT]


def lines_of(cluster: Cluster, path: str, count: int) -> tuple[http.client.HTTPMessage, list[Any]]:
    """Watch with gzip accepted; return the headers and so many events, as soon as they can be."""
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept-Encoding": "gzip"}
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        unpack, data = zlib.decompressobj(31), b""
        packed = answer.headers["content-encoding"] == "gzip"
        while data.count(b"\n") < count:
            part = answer.read1()
            assert part, "the watch has ended"
            while part:
                data += unpack.decompress(part) if packed else part
                part = unpack.unused_data
                if unpack.eof:
                    unpack = zlib.decompressobj(31)
        found = [orjson.loads(line) for line in data.splitlines()[:count]]
    connection.close()
    return answer.headers, found


def test_a_watch_in_place_of_a_list_is_compressed_event_by_event(large: Collection) -> None:
    listed = large.list().json
    path = f"{large.path}?watch=true{INITIAL}"
    headers, events = lines_of(large.cluster, path, COUNT + 1)
    assert (headers["content-encoding"], headers["vary"]) == ("gzip", "Accept-Encoding")
    assert [event["type"] for event in events] == ["ADDED"] * COUNT + ["BOOKMARK"]
    for event, item in zip(events, listed["items"], strict=False):
        assert event["object"] == {"kind": "Secret", "apiVersion": "v1", **item}


def test_what_follows_the_initial_events_is_compressed_and_comes_at_once(
    cluster: Cluster, namespace: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept-Encoding": "gzip"}
    connection.request("GET", f"{secrets.path}?watch=true{INITIAL}", headers=headers)
    with connection.getresponse() as answer:
        # Each part is a member of its own, and whole.
        (end,) = gzip.decompress(answer.read1()).splitlines()
        assert orjson.loads(end)["type"] == "BOOKMARK"
        for name in ("a", "b"):
            secrets.made(named(name))
            (event,) = map(orjson.loads, gzip.decompress(answer.read1()).splitlines())
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
    connection.close()


@pytest.mark.parametrize(
    "query",
    [
        "&resourceVersion=0&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "&resourceVersion=1&allowWatchBookmarks=true&sendInitialEvents=false"
        "&resourceVersionMatch=NotOlderThan",
        "",
    ],
)
def test_other_watches_are_not_compressed(large: Collection, query: str) -> None:
    headers, events = lines_of(large.cluster, f"{large.path}?watch=true{query}", 1)
    assert "content-encoding" not in headers
    assert events[0]["type"] == "ADDED"


def test_kubectl_reads_compressed_lists(large: Collection) -> None:
    names = large.cluster.kubectl("get", "secrets", "-n", "compressed", "-o", "name").stdout.split()
    assert names == [f"secret/c{number:02}" for number in range(COUNT)]
    table = large.cluster.kubectl("get", "secrets", "-n", "compressed", "--no-headers").stdout
    assert len(table.splitlines()) == COUNT


def document(cluster: Cluster, path: str, *headers: str) -> Reply:
    """Ask for a document about the server."""
    with Wire(cluster) as wire:
        wire.send(wire.head(f"GET {path}", *headers))
        reply = wire.reply()
        assert reply is not None
        return reply


@pytest.mark.parametrize(
    ("accepted", "packs"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=x", False),
        ("*", False),
        ("", False),
    ],
)
@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"],
)
def test_openapi_v2_is_compressed_under_the_same_entity_tag(
    cluster: Cluster, accept: str, accepted: str, *, packs: bool
) -> None:
    plain = document(cluster, "/openapi/v2", f"Accept: {accept}")
    packed = document(cluster, "/openapi/v2", f"Accept: {accept}", f"Accept-Encoding: {accepted}")
    assert "content-encoding" not in plain.headers
    assert (packed.headers.get("content-encoding") == "gzip") is packs
    assert (gzip.decompress(packed.body) if packs else packed.body) == plain.body
    for name in ("etag", "content-type"):
        assert packed.headers[name] == plain.headers[name]
    known = f"If-None-Match: {plain.headers['etag']}"
    again = document(cluster, "/openapi/v2", f"Accept: {accept}", "Accept-Encoding: gzip", known)
    assert (again.code, again.body) == (304, b"")
    assert "content-encoding" not in again.headers


@pytest.mark.parametrize("path", ["/openapi/v3", "/openapi/v3/api/v1", "/api/v1", "/apis"])
def test_documents_that_upstream_does_not_compress_go_as_they_are(
    cluster: Cluster, path: str
) -> None:
    plain = document(cluster, path)
    same = document(cluster, path, "Accept-Encoding: gzip")
    assert same.body == plain.body
    assert "content-encoding" not in same.headers


def test_metrics_are_compressed_for_those_who_take_it(cluster: Cluster) -> None:
    packed = document(cluster, "/metrics", "Accept-Encoding: gzip;q=1.0,*;q=0.1")
    assert packed.headers["content-encoding"] == "gzip"
    assert b"\napiserver_request_total" in gzip.decompress(packed.body)
    assert b"\napiserver_request_total" in document(cluster, "/metrics").body

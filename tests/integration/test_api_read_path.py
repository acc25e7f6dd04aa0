"""How the parts of the read path go together: encodings, shapes, gzip, pages, connections."""

from __future__ import annotations

import gzip
import http.client
import zlib

import orjson
import pytest

from kube import codec_cbor, codec_yaml
from tests.integration.api_calls import Collection, Json, collection, labelled, named
from tests.integration.bad_input_wire import Reply, Wire, ask
from tests.integration.cbor_calls import ACCEPT, CBOR, answered, items_of
from tests.integration.cluster import HOST, Cluster

META = "g=meta.k8s.io;v=v1"
TABLE = f"application/json;as=Table;{META}"
LARGE_BYTES = 128 << 10
INITIAL = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
ODD = "?labelSelector=odd%3D1"
FLOW = ("x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid")


@pytest.fixture(scope="module")
def mixed(cluster: Cluster) -> Collection:
    """Two megabytes of Secrets: large ones among many small ones."""
    collection(cluster, "", "namespaces").made(named("mixed"))
    made = collection(cluster, "mixed", "secrets")
    for number in range(60):
        is_large = number % 20 == 7
        data = {f"k{n:04}": "AAAA" * 8 for n in range(15_000 if is_large else 3)}
        made.made(labelled(f"c{number:02}", {"large": str(is_large).lower()}, data=data))
    return made


def shown(document: Json) -> Json:
    """Return a document without what changes with each write of anybody."""
    if document["kind"].endswith(("List", "Table")):
        for key in ("resourceVersion", "continue"):
            document["metadata"].pop(key, None)
    return document


def get(collected: Collection, query: str, *headers: str) -> Reply:
    """Ask for a list, or what else the query names."""
    reply = ask(collected.cluster, f"GET {collected.path}{query}", *headers)
    assert reply is not None
    return reply


@pytest.mark.parametrize(
    "query",
    ["", "?limit=30", "?labelSelector=large%3Dtrue", "?labelSelector=large%3Dtrue&limit=2", "/c07"],
)
@pytest.mark.parametrize("gzipped", [False, True])
def test_large_objects_among_others_are_the_same_in_every_encoding(
    mixed: Collection, query: str, *, gzipped: bool
) -> None:
    encoding = "gzip" if gzipped else "identity"
    plain = shown(orjson.loads(get(mixed, query, "User-Agent: test/1").body))
    for _ in range(2):  # the second time some of it is kept
        for accept, decode in ((CBOR, codec_cbor.decode), ("application/yaml", codec_yaml.decode)):
            reply = get(mixed, query, f"Accept: {accept}", f"Accept-Encoding: {encoding}")
            assert reply.code == 200
            assert reply.headers.get("content-encoding", "identity") == encoding
            body = gzip.decompress(reply.body) if gzipped else reply.body
            assert shown(decode(body)) == plain


@pytest.mark.parametrize("query", ["", "?limit=7", "?labelSelector=large%3Dtrue"])
def test_metadata_in_cbor_is_that_in_json(mixed: Collection, query: str) -> None:
    shape = f"as=PartialObjectMetadataList;{META}"
    plain = get(mixed, query, f"Accept: application/json;{shape}")
    packed = get(mixed, query, f"Accept: application/cbor;{shape}")
    assert packed.headers["content-type"] == CBOR
    document = codec_cbor.decode(packed.body)
    assert packed.body == codec_cbor.encode(document)
    assert list(document) == ["kind", "apiVersion", "metadata", "items"]
    assert shown(document) == shown(orjson.loads(plain.body))


def test_a_large_object_is_answered_in_the_encoding_asked_for_when_it_is_written(
    cluster: Cluster, namespace: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    obj = named("a", data={f"k{n:04}": "xyz " * 8 for n in range(10_000)})
    for query, accept, decode in (
        ("?dryRun=All", "application/yaml", codec_yaml.decode),
        ("?dryRun=All", CBOR, codec_cbor.decode),
        ("", CBOR, codec_cbor.decode),
    ):
        answer = maps.create(obj, query, headers={"Accept": accept})
        assert answer.code == 201
        assert decode(answer.body)["data"] == obj["data"]
    answer = cluster.call("PUT", f"{maps.path}/a", obj, headers={"Accept": "application/yaml"})
    assert codec_yaml.decode(answer.body) == maps.get("a").json
    answer = cluster.call("GET", f"{maps.path}/a", headers={"Accept": TABLE})
    assert answer.json["rows"][0]["cells"][:2] == ["a", 10_000]
    shape = f"application/cbor;as=PartialObjectMetadata;{META}"
    answer = cluster.call("GET", f"{maps.path}/a", headers={"Accept": shape})
    assert codec_cbor.decode(answer.body)["metadata"] == maps.get("a").json["metadata"]


@pytest.mark.parametrize("accept", [CBOR, "application/yaml", TABLE, "application/json"])
def test_connections_end_after_a_streamed_answer_where_they_are_to(
    mixed: Collection, accept: str
) -> None:
    for version, header in (("1.1", "Connection: close"), ("1.0", "Connection: keep-alive")):
        with Wire(mixed.cluster) as wire:
            line = f"GET {mixed.path}?includeObject=Object"
            head = wire.head(line, f"Accept: {accept}", "Accept-Encoding: gzip", header)
            wire.send(head.replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1))
            if version == "1.1":
                reply = wire.reply()
                assert reply is not None
                assert reply.headers["connection"] == "close"
                body = reply.body
                assert wire.is_closed()
            else:
                body = wire.rest().partition(b"\r\n\r\n")[2]
            assert len(gzip.decompress(body)) > 3 * LARGE_BYTES


def test_answers_of_all_kinds_keep_their_order_when_pipelined(mixed: Collection) -> None:
    wanted = [
        ("GET", "", CBOR, 200),
        ("GET", "/c07", "application/yaml", 200),
        ("HEAD", "", CBOR, 405),
    ]
    with Wire(mixed.cluster) as wire:
        for method, query, accept, _ in wanted:
            line = f"{method} {mixed.path}{query}"
            wire.send(wire.head(line, f"Accept: {accept}", "Accept-Encoding: gzip"))
        for method, _, accept, code in wanted:
            reply = wire.reply(to_head=method == "HEAD")
            assert reply is not None
            assert (reply.code, reply.headers["content-type"]) == (code, accept)
            if method == "GET":
                assert len(gzip.decompress(reply.body)) > LARGE_BYTES
        # After a HEAD that it cannot answer the server says that it is the last.
        assert reply.headers["connection"] == "close"
        assert wire.is_closed()


class Unpacked:
    """What a watch sends, unpacked as it comes where it is compressed."""

    def __init__(self, cluster: Cluster, path: str, accept: str) -> None:
        self._connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
        headers = {
            "Authorization": f"Bearer {cluster.token}",
            "Accept": accept,
            "Accept-Encoding": "gzip",
        }
        self._connection.request("GET", path, headers=headers)
        self.answer = self._connection.getresponse()
        self._is_packed = "content-encoding" in self.answer.headers
        self._unpack = zlib.decompressobj(31)
        self.data = b""

    def until(self, text: bytes) -> None:
        """Read on until a text has come, and the event that has it."""
        while text not in self.data:
            part = self.answer.read1()
            assert part, "the watch has ended"
            while part:
                self.data += self._unpack.decompress(part) if self._is_packed else part
                part = self._unpack.unused_data
                if self._unpack.eof:
                    self._unpack = zlib.decompressobj(31)

    def close(self) -> None:
        """Go."""
        self._connection.close()


@pytest.mark.parametrize("accept", [CBOR, TABLE, "application/json"])
def test_a_compressed_watch_stays_so_whoever_writes_its_events(
    cluster: Cluster, namespace: str, accept: str
) -> None:
    maps = collection(cluster, namespace, "secrets")
    revision = maps.list().json["metadata"]["resourceVersion"]
    maps.made(named("made-0"))
    path = f"{maps.path}?watch=true{INITIAL}"
    watches = [Unpacked(cluster, path, accept) for _ in range(2)]
    plain = Unpacked(cluster, f"{maps.path}?watch=true&resourceVersion={revision}", accept)
    assert "content-encoding" not in plain.answer.headers
    for watch in watches:
        assert watch.answer.headers["content-encoding"] == "gzip"
        watch.until(b"initial-events-end")
    for number in range(1, 6):
        maps.made(named(f"made-{number}"))
        for watch in (*watches, plain):
            watch.until(f"made-{number}".encode())
    for watch in (*watches, plain):
        watch.close()
    cut = items_of if accept == CBOR else bytes.splitlines
    without = cut(plain.data)
    assert len(without) == 6
    for watch in watches:
        # Between the first and the others is the mark, of whatever revision it was by then.
        first, _, *others = cut(watch.data)
        assert [first, *others] == without


@pytest.mark.parametrize("accept", [CBOR, TABLE])
def test_a_revision_that_lies_ahead_ends_a_watch_in_its_own_encoding(
    cluster: Cluster, namespace: str, accept: str
) -> None:
    maps = collection(cluster, namespace, "configmaps")
    query = f"?watch=true&resourceVersion=999999999{INITIAL}"
    answer = maps.list(query, headers={"Accept": accept, "Accept-Encoding": "gzip"})
    assert answer.code == 200
    assert "content-encoding" not in answer.headers
    decoded = codec_cbor.decode if accept == CBOR else orjson.loads
    event = decoded(answer.body)
    assert event["type"] == "ERROR"
    assert (event["object"]["kind"], event["object"]["code"]) == ("Status", 504)


@pytest.mark.parametrize("accept", [CBOR, "application/yaml", TABLE, "application/json"])
@pytest.mark.parametrize(
    "query", ["?limit=3", "?labelSelector=odd%3D1", "?limit=2&labelSelector=odd%3D1"]
)
def test_delete_collection_answers_as_the_list_would(
    cluster: Cluster, namespace: str, accept: str, query: str
) -> None:
    secrets = collection(cluster, namespace, "secrets")
    for number in range(6):
        secrets.made(labelled(f"s{number}", {"odd": str(number % 2)}))
    listed = secrets.list(query, headers={"Accept": accept})
    gone = cluster.call("DELETE", secrets.path + query, headers={"Accept": accept})
    assert gone.code == 200
    assert (
        gone.headers["content-type"]
        == listed.headers["content-type"]
        == accept.split(";", maxsplit=1)[0]
    )
    decode = {CBOR: codec_cbor.decode, "application/yaml": codec_yaml.decode}.get(
        accept, orjson.loads
    )
    before, after = shown(decode(listed.body)), shown(decode(gone.body))
    if accept == TABLE:  # which has ages
        before, after = ([row["cells"][0] for row in one["rows"]] for one in (before, after))
    assert after == before
    names = secrets.names()
    assert len(names) == {"?limit=3": 3, ODD: 3}.get(query, 4)
    assert names == [name for name in ("s0", "s1", "s2", "s3", "s4", "s5") if name in names]


def test_long_pages_in_cbor_show_one_state_while_objects_change(mixed: Collection) -> None:
    token, found, revisions = "", [], set()
    while True:
        page = answered(mixed.list(f"?limit=25{token}", headers=ACCEPT))
        found += page["items"]
        revisions.add(page["metadata"]["resourceVersion"])
        mixed.patch(
            f"c{len(found) % 60:02}", {"metadata": {"annotations": {"seen": str(len(found))}}}
        )
        if not page["metadata"].get("continue"):
            break
        token = f"&continue={page['metadata']['continue']}"
    assert [item["metadata"]["name"] for item in found] == [f"c{n:02}" for n in range(60)]
    assert len(revisions) == 1
    assert all("annotations" not in item["metadata"] for item in found[25:])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("GET /api/v1/nothings", 404),
        ("GET /apis/apps/v1/nothings/x", 404),
        ("GET /apis/nowhere.example.com/v1/nothings", 404),
        ("GET /nothing", 404),
        ("GET /api/v1/namespaces/none", 404),
        ("PATCH /api/v1/namespaces", 405),
        ("HEAD /api/v1/namespaces", 405),
        ("GET /api/v1/namespaces?limit=x", 400),
        ("GET /api/v1/namespaces?watch=1&resourceVersion=x", 400),
        ("GET /openapi/v2", 200),
        ("GET /openapi/v3/api/v1", 200),
        ("GET /apis", 200),
        ("GET /metrics", 200),
        ("DELETE /api/v1/namespaces/none?dryRun=All", 404),
    ],
)
def test_answers_name_their_flow_whatever_they_say(cluster: Cluster, line: str, code: int) -> None:
    reply = ask(cluster, line)
    assert reply is not None
    assert (reply.code, [name in reply.headers for name in FLOW]) == (code, [True, True])


def test_who_is_not_known_is_in_no_flow(cluster: Cluster) -> None:
    for path in ("/api/v1/namespaces", "/api/v1/nothings", "/openapi/v2", "/nothing"):
        answer = cluster.call("GET", path, headers={"Authorization": "Bearer wrong"})
        assert answer.code == 401
        assert not any(name in answer.headers for name in FLOW)


def test_time_limits_that_are_none_are_refused_everywhere(cluster: Cluster) -> None:
    for path in ("/api/v1/namespaces", "/version", "/api/v1/namespaces/none"):
        answer = cluster.call("GET", f"{path}?timeout=never")
        assert answer.code == 400
        assert "invalid timeout specified in the request URL" in answer.json["message"]

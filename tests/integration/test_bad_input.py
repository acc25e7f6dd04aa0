"""Bad input: each gets the exact Status or a clean close, and the server goes on."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from tests.integration.bad_input_wire import Wire, ask
from tests.integration.cluster import HOST, Cluster

IDLE = 10_000
JSON = "Content-Type: application/json"
YAML = "Content-Type: application/yaml"
PROTOBUF = "Content-Type: application/vnd.kubernetes.protobuf"


@pytest.fixture
def path(namespace: str) -> str:
    """The collection that the tests write to."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture(autouse=True)
def _goes_on(cluster: Cluster) -> Iterator[None]:
    """Whatever was sent, the same process answers afterwards."""
    before = cluster.pid_of("apiserver")
    yield
    assert cluster.call("GET", "/readyz").code == 200
    assert cluster.pid_of("apiserver") == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"metadata":{"name":"a"',
        b'{"metadata":{"name":"a"},"data":{"k":NaN}}',
        b'{"metadata":{"name":3}}',
        b'{"metadata":[]}',
        b'{"metadata":{"name":"a"},"data":{"k":1}}',
        b'{"metadata":{"name":"a"},"immutable":"yes"}',
        b"[]",
        b'"text"',
        b'{"kind":{}}',
        b"\0",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
)
def test_a_body_that_is_no_object_is_a_bad_request(
    cluster: Cluster, path: str, body: bytes
) -> None:
    reply = ask(cluster, f"POST {path}", JSON, body=body)
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"", JSON, "unexpected end of JSON input (<empty>)"),
        (b'{"metadata":{"name":"a"}}}', JSON, "invalid character '}' after top-level value"),
        (b'{"kind":5}', JSON, "json: cannot unmarshal number into Go struct field .kind of type"),
        (b'{"apiVersion":{}}', JSON, "json: cannot unmarshal object into Go struct field .apiVer"),
        (b"[]", JSON, "json: cannot unmarshal array into Go value of type struct { APIVersion str"),
        (b"a: [", YAML, "yaml: line 1: did not find expected node content (613a205b)"),
        (b"no", PROTOBUF, "provided data does not appear to be a protobuf message, expected pref"),
    ],
)
def test_a_body_of_which_no_kind_can_be_told_is_refused_in_upstreams_words(
    cluster: Cluster, path: str, body: bytes, kind: str, why: str
) -> None:
    reply = ask(cluster, f"POST {path}", kind, body=body)
    assert reply is not None
    start = "the object provided is unrecognized (must be of type ConfigMap): "
    assert reply.status["message"].startswith(start)
    assert why in reply.status["message"]


def test_a_null_is_an_object_in_which_nothing_is_said(cluster: Cluster, path: str) -> None:
    reply = ask(cluster, f"POST {path}", JSON, body=b"null")
    assert reply is not None
    assert reply.code == 422
    assert "name or generateName is required" in reply.status["message"]


@pytest.mark.parametrize(
    ("line", "headers", "code", "reason"),
    [
        ("POST {}", ["Content-Type: text/csv"], 415, "UnsupportedMediaType"),
        ("GET {}", ["Accept: text/csv"], 406, "NotAcceptable"),
        ("GET {}?labelSelector=a+in+(b", [], 400, "BadRequest"),
        ("GET {}?fieldSelector=spec.nope%3Dx", [], 400, "BadRequest"),
        ("GET {}?limit=x", [], 400, "BadRequest"),
        ("GET {}?continue=x", [], 400, "BadRequest"),
        ("GET {}?resourceVersionMatch=Exact", [], 422, "Invalid"),
        ("PUT {}", [JSON], 405, "MethodNotAllowed"),
        ("PATCH {}/a", ["Content-Type: application/json"], 415, "UnsupportedMediaType"),
        ("GET {}/absent", [], 404, "NotFound"),
        ("GET /api/v1/nonsense", [], 404, "NotFound"),
    ],
)
def test_a_bad_request_line_or_header_gets_its_status(
    cluster: Cluster, path: str, line: str, headers: list[str], code: int, reason: str
) -> None:
    body = b"{}" if line[0] == "P" else None
    reply = ask(cluster, line.format(path), *headers, body=body)
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (code, reason)


def test_a_body_over_the_limit_is_refused(cluster: Cluster, path: str) -> None:
    reply = ask(cluster, f"POST {path}", JSON, body=b'{"data":"' + b"x" * (4 << 20))
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    "where",
    [
        "/api/v1/../../etc/passwd",
        "/api/v1/namespaces/%2e%2e/configmaps/a",
        "/api/v1//namespaces",
        "/api/v1/namespaces//configmaps",
        "/api/v1/namespaces/default//configmaps",
        "/api/v1/namespaces/a%2Fb/configmaps",
    ],
)
def test_a_path_trick_finds_nothing(cluster: Cluster, where: str) -> None:
    reply = ask(cluster, f"GET {where}")
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (404, "NotFound")


@pytest.mark.parametrize("where", ["/apis/" + "x/" * 2_000, "//"])
def test_a_path_that_is_no_resource_is_a_plain_404(cluster: Cluster, where: str) -> None:
    reply = ask(cluster, f"GET {where}")
    assert reply is not None
    assert (reply.code, reply.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\0\x01", b"\0" * 64, b"BREW / HTTP/1.1\r\n\r\n"]
)
def test_noise_is_answered_by_400_or_a_close(cluster: Cluster, noise: bytes) -> None:
    with Wire(cluster) as wire:
        wire.send(noise + b"\r\n\r\n")
        reply = wire.reply()
        assert reply is None or reply.code in (400, 404, 405)


@pytest.mark.parametrize(
    ("media_type", "body", "words"),
    [
        ("json", b'{"x" :' + b"[" * 1_000 + b"]" * 1_000 + b"}", "exceeded max depth"),
        ("json", b"[" * 10_000 + b"]" * 10_000, "depth limit exceeded"),
        ("yaml", b"[" * 10_000 + b"]" * 10_000, "exceeded max depth"),
        ("yaml", b"- " * 10_000, "exceeded max depth"),
        ("yaml", b"a: &a [*a]", "value contains itself"),
        ("cbor", b"\x81" * 10_000 + b"\1", "exceeded max nested level"),
        ("cbor", b"\xd9\xd9\xf7" * 10_000 + b"\1", "exceeded max nested level"),
        ("cbor", b"\x9b" + b"\x7f" * 8, "unexpected EOF"),
        ("cbor", b"\x7b" + b"\x7f" * 8, "unexpected EOF"),
        ("cbor", b"\xbf\x61a", "unexpected EOF"),
        ("cbor", b"\xc2\x41\1", "bignum"),
        ("vnd.kubernetes.protobuf", b"k8s", "expected prefix"),
        ("vnd.kubernetes.protobuf", b"k9s\0\x0a\0", "expected prefix"),
        ("vnd.kubernetes.protobuf", b"k8s\0\x0a\xff", "unexpected EOF"),
        (
            "vnd.kubernetes.protobuf",
            b"k8s\0\x0a\x09\x0a\2v1\x12\3Pod\x12\0",
            "converting (v1.Pod) to (core.ConfigMap): unknown conversion",
        ),
        (
            "vnd.kubernetes.protobuf",
            b"k8s\0\x0a\x0f\x0a\2v1\x12\x09ConfigMap\x12\2\x08\1",
            "wrong wireType",
        ),
    ],
)
def test_a_body_made_to_harm_its_reader_is_a_bad_request(
    cluster: Cluster, path: str, media_type: str, body: bytes, words: str
) -> None:
    reply = ask(cluster, f"POST {path}", f"Content-Type: application/{media_type}", body=body)
    assert reply is not None
    code, reason, message = reply.verdict
    assert (code, reason) == (400, "BadRequest")
    assert words in message


@pytest.mark.parametrize("kind", ["[{}]", "{{{}}}", "{{<<: [{}], more: x}}"])
def test_a_yaml_text_that_grows_with_its_aliases_is_refused(
    cluster: Cluster, path: str, kind: str
) -> None:
    keyed = "{{{" in kind
    lines = ["a0: &a0 {x: y}"]
    for level in range(1, 10):
        aliases = [f"k{i}: *a{level - 1}" if keyed else f"*a{level - 1}" for i in range(9)]
        lines.append(f"a{level}: &a{level} {kind.format(', '.join(aliases))}")
    body = "\n".join(lines).encode()
    reply = ask(cluster, f"POST {path}", "Content-Type: application/yaml", body=body)
    assert reply is not None
    assert reply.code == 400
    assert "yaml: document contains excessive aliasing" in reply.status["message"]


def test_half_surrogates_and_bytes_that_are_no_utf8_become_the_replacement_character(
    cluster: Cluster, path: str
) -> None:
    body = b'{"metadata":{"name":"a"},"data":{"k":"\\ud800","l":"\xff","m":"\\ud83d\\ude00"}}'
    reply = ask(cluster, f"POST {path}", JSON, body=body)
    assert reply is not None
    assert reply.code == 201
    data = cluster.call("GET", f"{path}/a").json["data"]
    assert data == {"k": "\ufffd", "l": "\ufffd", "m": "\U0001f600"}


def test_a_warning_with_control_characters_is_left_out_as_upstream_does(
    cluster: Cluster, path: str
) -> None:
    body = b'{"metadata":{"name":"a"},"\\u0001\\r\\nx":1}'
    reply = ask(cluster, f"POST {path}", JSON, body=body)
    assert reply is not None
    assert reply.code == 201
    assert "warning" not in reply.headers


def test_warnings_of_more_than_4096_characters_are_cut_to_256_each(
    cluster: Cluster, path: str
) -> None:
    body = b'{"metadata":{"name":"a"},"%b":1}' % (b"x" * 5_000)
    reply = ask(cluster, f"POST {path}", JSON, body=body)
    assert reply is not None
    assert reply.code == 201
    text = reply.headers["warning"].removeprefix('299 - "').removesuffix('"')
    assert text == 'unknown field \\"' + "x" * 241


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (b'{"dryRun":[1]}', "dryRun"),
        (b'{"preconditions":{"uid":1}}', "preconditions.uid"),
        (b'{"gracePeriodSeconds":1e30}', "gracePeriodSeconds"),
    ],
)
def test_delete_options_of_a_wrong_type_are_a_bad_request(
    cluster: Cluster, path: str, options: bytes, field: str
) -> None:
    reply = ask(cluster, f"DELETE {path}/kube-root-ca.crt", JSON, body=options)
    assert reply is not None
    text = f"json: cannot unmarshal number into Go struct field DeleteOptions.{field}"
    assert reply.verdict == (400, "BadRequest", text)


@pytest.mark.parametrize("media_type", ["merge-patch", "strategic-merge-patch"])
def test_a_deeply_nested_patch_is_a_bad_request(
    cluster: Cluster, path: str, media_type: str
) -> None:
    assert cluster.call("POST", path, {"metadata": {"name": "a"}}).code == 201
    body = b'{"x":' * 1_000 + b"1" + b"}" * 1_000
    head = f"Content-Type: application/{media_type}+json"
    reply = ask(cluster, f"PATCH {path}/a", head, body=body)
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize("where", ["/apis", "/api", "/openapi/v2"])
def test_a_document_in_no_wanted_encoding_is_not_acceptable(cluster: Cluster, where: str) -> None:
    reply = ask(cluster, f"GET {where}", "Accept: text/csv")
    assert reply is not None
    assert (reply.code, reply.status["reason"]) == (406, "NotAcceptable")


def test_a_chunked_body_over_the_limit_is_refused(cluster: Cluster, path: str) -> None:
    with Wire(cluster) as wire:
        wire.send(wire.head(f"POST {path}", JSON, "Transfer-Encoding: chunked"))
        for _ in range(5):
            wire.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        wire.send(b"0\r\n\r\n")
        reply = wire.reply()
        assert reply is not None
        assert (reply.code, reply.status["reason"]) == (413, "RequestEntityTooLarge")
        assert wire.is_closed()


@pytest.mark.parametrize(
    "chunks",
    [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"f" * 20 + b"\r\n", b"2\r\n{}XX0\r\n\r\n"],
)
def test_a_malformed_chunk_ends_the_connection(cluster: Cluster, path: str, chunks: bytes) -> None:
    with Wire(cluster) as wire:
        wire.send(wire.head(f"POST {path}", JSON, "Transfer-Encoding: chunked") + chunks)
        reply = wire.reply()
        assert reply is not None
        assert (reply.code, reply.body) == (400, b"400 Bad Request")
        assert wire.is_closed()


def test_a_body_with_two_lengths_smuggles_no_request_in(cluster: Cluster, path: str) -> None:
    inner = f"DELETE {path}/kept HTTP/1.1\r\nHost: test\r\nX: "
    assert cluster.call("POST", path, {"metadata": {"name": "kept"}}).code == 201
    with Wire(cluster) as wire:
        head = wire.head(f"POST {path}", JSON, "Content-Length: 4", "Transfer-Encoding: chunked")
        wire.send(head + b"0\r\n\r\n" + inner.encode())
        reply = wire.reply()
        assert reply is not None
        assert reply.code == 400
        assert wire.is_closed()
    assert cluster.call("GET", f"{path}/kept").code == 200


def test_trailers_are_no_headers(cluster: Cluster, path: str) -> None:
    body = b'1b\r\n{"metadata":{"name":"abc"}}\r\n0\r\nImpersonate-User: nobody\r\n\r\n'
    with Wire(cluster) as wire:
        wire.send(wire.head(f"POST {path}", JSON, "Transfer-Encoding: chunked") + body)
        reply = wire.reply()
        assert reply is not None
        assert reply.code == 201


def test_an_expected_100_continue_is_sent_only_where_the_body_is_wanted(
    cluster: Cluster, path: str
) -> None:
    body = b'{"metadata":{"name":"a"}}'
    expecting = ("Expect: 100-continue", f"Content-Length: {len(body)}", JSON)
    with Wire(cluster) as wire:
        wire.send(wire.head(f"POST {path}", *expecting))
        first = wire.reply()
        assert first is not None
        assert first.code == 100
        wire.send(body)
        created = wire.reply()
        assert created is not None
        assert created.code == 201
    with Wire(cluster) as wire:
        wire.send(wire.head(f"POST {path}/a", *expecting))
        refused = wire.reply()
        assert refused is not None
        assert refused.code == 405
        assert wire.is_closed()


@pytest.mark.parametrize("where", ["{}", "{}?watch=true&timeoutSeconds=1"])
def test_http_1_0_gets_its_stream_without_chunks(cluster: Cluster, path: str, where: str) -> None:
    for name in "ab":
        body = {"metadata": {"name": name}, "data": {"k": "x" * 200_000}}
        assert cluster.call("POST", path, body).code == 201
    with Wire(cluster) as wire:
        head = wire.head(f"GET {where.format(path)}").replace(b"HTTP/1.1", b"HTTP/1.0")
        wire.send(head)
        head, _, body = wire.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    documents = [orjson.loads(line) for line in body.splitlines()]
    shown = documents[0]["items"] if "items" in documents[0] else [d["object"] for d in documents]
    assert {"a", "b"} <= {item["metadata"]["name"] for item in shown}


def test_requests_sent_together_are_answered_in_order(cluster: Cluster, path: str) -> None:
    with Wire(cluster) as wire:
        parts = []
        for name in "abc":
            body = b'{"metadata":{"name":"%b"}}' % name.encode()
            parts.append(wire.head(f"POST {path}", JSON, f"Content-Length: {len(body)}") + body)
            parts.append(wire.head(f"GET {path}/{name}"))
        wire.send(b"".join(parts))
        answers = [wire.reply() for _ in parts]
        found = [(answer.code, answer.body) for answer in answers if answer is not None]
    assert [code for code, _ in found] == [201, 200] * 3
    assert all(found[i][1] == found[i + 1][1] for i in (0, 2, 4))


@pytest.mark.parametrize("where", ["/%", "/api/v1/namespaces/%zz", "/api/v1/%e"])
def test_a_bad_escape_in_a_path_is_a_bad_request(cluster: Cluster, where: str) -> None:
    reply = ask(cluster, f"GET {where}")
    assert reply is not None
    assert (reply.code, reply.body) == (400, b"400 Bad Request")


def test_headers_without_end_are_refused_and_many_are_not(cluster: Cluster) -> None:
    fine = ask(cluster, "GET /readyz", *["X: a"] * 20_000)
    assert fine is not None
    assert fine.code == 200
    reply = ask(cluster, "GET /readyz", *["X: a"] * 300_000)
    assert reply is not None
    assert reply.code == 431


def test_a_client_that_hangs_up_half_way_leaves_nothing(cluster: Cluster, path: str) -> None:
    for _ in range(50):
        with Wire(cluster) as wire:
            wire.send(wire.head(f"POST {path}", JSON, "Content-Length: 100") + b'{"metadata":')
    assert cluster.call("GET", path).code == 200


def test_plain_text_at_the_tls_port_is_closed(cluster: Cluster) -> None:
    with socket.create_connection((HOST, cluster.port), timeout=20) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = raw.recv(4096)
        assert b"HTTP/1.1 200" not in received


def test_many_idle_connections_slow_nobody(cluster: Cluster, path: str) -> None:
    pid = cluster.pid_of("apiserver")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(IDLE):
            raw = socket.create_connection((HOST, cluster.plain_port), timeout=20)
            stack.enter_context(raw)
        deadline_s = time.monotonic() + 20
        while len(list(Path(f"/proc/{pid}/fd").iterdir())) <= IDLE:
            assert time.monotonic() < deadline_s, "not all connections are accepted"
            time.sleep(0.05)
        assert cluster.call("GET", path, timeout_s=5).code == 200
        assert cluster.call("POST", path, {"metadata": {"name": "a"}}, timeout_s=5).code == 201

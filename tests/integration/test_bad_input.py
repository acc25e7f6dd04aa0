"""Bad input: each gets the exact Status or a clean close, and the server goes on."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.bad_input_wire import Wire, ask
from tests.integration.cluster import HOST, Cluster

IDLE = 10_000
JSON = "Content-Type: application/json"


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
        b"null",
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

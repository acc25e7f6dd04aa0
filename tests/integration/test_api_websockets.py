"""Watches by websocket, as browsers open them: a message for each event."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websocket

from tests.integration.api_calls import Collection, collection, named
from tests.integration.cluster import HOST, Cluster

TEXT = websocket.ABNF.OPCODE_TEXT
BEARER = "base64url.bearer.authorization.k8s.io."


@pytest.fixture
def maps(cluster: Cluster, namespace: str) -> Collection:
    return collection(cluster, namespace, "configmaps")


@contextmanager
def _open(cluster: Cluster, path: str, token: str | None = None, *protocols: str) -> Iterator[Any]:
    headers = [] if token == "" else [f"Authorization: Bearer {token or cluster.token}"]
    socket = websocket.create_connection(
        f"ws://{HOST}:{cluster.plain_port}{path}",
        header=headers,
        subprotocols=list(protocols),
        timeout=20,
    )
    try:
        yield socket
    finally:
        socket.shutdown()


def _refusal(cluster: Cluster, path: str, token: str, *protocols: str) -> int:
    """Return how a handshake is answered that is not to succeed."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if protocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(protocols)
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _next(socket: Any) -> tuple[str, str]:
    opcode, data = socket.recv_data()
    assert opcode == TEXT
    event = json.loads(data)
    return event["type"], event["object"]["metadata"]["name"]


def test_each_event_is_a_text_message(cluster: Cluster, namespace: str, maps: Collection) -> None:
    maps.made(named("a"))
    # Each namespace has a map of the cluster's own, which may come at any time.
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true"
    path += "&fieldSelector=metadata.name%21%3Dkube-root-ca.crt"
    with _open(cluster, path) as socket:
        assert _next(socket) == ("ADDED", "a")
        for number in range(3):
            maps.made(named(f"b{number}"))
        assert maps.delete("a").code == 200
        seen = [_next(socket) for _ in range(4)]
        assert seen == [("ADDED", "b0"), ("ADDED", "b1"), ("ADDED", "b2"), ("DELETED", "a")]


def test_a_watch_ends_with_its_time_by_closing(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets?watch=true&timeoutSeconds=1"
    with _open(cluster, path) as socket:
        opcode, data = socket.recv_data()
        assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1000)


def test_a_refusal_is_an_ordinary_answer(cluster: Cluster) -> None:
    path = "/api/v1/configmaps?watch=true"
    assert _refusal(cluster, f"{path}&labelSelector=%3D%3D", cluster.token) == 400
    assert _refusal(cluster, path, "wrong") == 401
    assert _refusal(cluster, path, cluster.token, "a", "b") == 400


def test_a_revision_that_is_gone_is_told_in_a_message(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=99999999999"
    with _open(cluster, f"{path}&timeoutSeconds=1") as socket:
        opcode, data = socket.recv_data()
        assert opcode in (TEXT, websocket.ABNF.OPCODE_CLOSE)
        if opcode == TEXT:
            assert json.loads(data)["type"] == "ERROR"


def _offer(token: str) -> str:
    return BEARER + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def test_a_browser_shows_its_token_as_a_subprotocol(
    cluster: Cluster, namespace: str, maps: Collection
) -> None:
    maps.made(named("kube-root-ca.crt-or-not"))
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true"
    with _open(cluster, path, "", _offer(cluster.token), "base64.binary.k8s.io") as socket:
        assert socket.subprotocol == "base64.binary.k8s.io"
        assert _next(socket)[0] == "ADDED"


@pytest.mark.parametrize("others", [[], ["x", _offer("more")]])
def test_a_token_that_stands_alone_or_twice_is_refused(cluster: Cluster, others: list[str]) -> None:
    path = "/api/v1/configmaps?watch=true"
    assert _refusal(cluster, path, "", _offer(cluster.token), *others) == 401

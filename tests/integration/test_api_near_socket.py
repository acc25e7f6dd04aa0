"""The API server's Unix socket: for this user alone, and no way round who is let in."""

from __future__ import annotations

import http.client
import json
import socket
import stat
from collections.abc import Iterator

import pytest

from kube.access import read_access
from tests.integration.cluster import Cluster

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class _Near(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@pytest.fixture
def near(cluster: Cluster) -> Iterator[_Near]:
    """A connection to the socket."""
    connection = _Near(read_access(cluster.directory / "run" / "scheduler.kubeconfig").socket)
    yield connection
    connection.close()


def _ask(near: _Near, method: str, path: str, token: str = "", body: object = None) -> object:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    near.request(method, path, None if body is None else json.dumps(body), headers)
    answer = near.getresponse()
    return {"code": answer.status, **json.loads(answer.read())}


def test_only_this_user_can_connect(cluster: Cluster) -> None:
    access = read_access(cluster.directory / "run" / "scheduler.kubeconfig")
    path = cluster.directory / "apiserver.sock"
    assert access.socket == str(path)
    assert access.tls is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("part", "user"),
    [
        ("scheduler", "system:kube-scheduler"),
        ("controllers", "system:kube-controller-manager"),
    ],
)
def test_parts_are_who_they_were_by_certificate(
    cluster: Cluster, near: _Near, part: str, user: str
) -> None:
    token = read_access(cluster.directory / "run" / f"{part}.kubeconfig").token
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = _ask(near, "POST", REVIEWS, token, body)
    assert isinstance(answer, dict)
    found = answer["status"]["userInfo"]
    assert (found["username"], found["groups"]) == (user, ["system:authenticated"])


def test_who_has_no_token_is_nobody(near: _Near) -> None:
    answer = _ask(near, "GET", "/api/v1/nodes")
    assert isinstance(answer, dict)
    assert answer["code"] in (401, 403)
    answer = _ask(near, "GET", "/api/v1/nodes", "guessed")
    assert isinstance(answer, dict)
    assert answer["code"] == 401

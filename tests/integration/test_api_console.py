"""/console over HTTP: who gets the page, who gets figures, and what comes of changes."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.cluster import HOST, Answer, Cluster

LIVE = "/console/api/live"
_FILE = re.compile(r'(?:src|href)="([^"]+)"')
_IMPORT = re.compile(r'from "\./([a-z]+\.js)"')
_USER = "console-viewer"


def fetch(cluster: Cluster, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request without credentials, its path as it is written."""
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, answer.read(), told)
    finally:
        connection.close()


class Stream:
    """An open stream of a user.

    Attributes:
        hello: how it began.
        cells: nodes by name, as they were told last.
    """

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.hello = self.next("hello")
        self.cells: dict[str, list[Any]] = {}
        self._names: dict[int, str] = {}
        self.zones: list[str] = []

    def line(self) -> dict[str, Any] | None:
        """Return the next line, None at the end."""
        text = self._answer.readline()
        if not text:
            return None
        told: dict[str, Any] = json.loads(text)
        if told["type"] == "cells":
            self._take(told)
        return told

    def _take(self, told: dict[str, Any]) -> None:
        self.zones += told.get("zones", ())
        for slot in told.get("gone", ()):
            self.cells.pop(self._names.pop(slot), None)
        for row in told.get("rows", ()):
            self._names[row[0]] = row[1]
            self.cells[row[1]] = row
        for slot, *use in told.get("uses", ()):
            row = self.cells[self._names[slot]]
            self.cells[self._names[slot]] = [*row[:4], *use]

    def next(self, kind: str) -> dict[str, Any]:
        """Return the next line of a kind."""
        while True:
            told = self.line()
            assert told is not None, f"the stream ended before {kind}"
            if told["type"] == kind:
                return told

    def wait(self, name: str, place: int, value: Any) -> None:
        """Return when a node is told with a value at a place of its row."""
        for _ in range(200):
            if name in self.cells and self.cells[name][place] == value:
                return
            assert self.line() is not None, "the stream ended"
        raise AssertionError(f"{name} is {self.cells.get(name)}")


@contextmanager
def streamed(cluster: Cluster, user: str = "", query: str = "") -> Iterator[Stream]:
    """Open a stream, as an admin or in the name of a user."""
    headers = {"Authorization": f"Bearer {cluster.token}"}
    if user:
        headers["Impersonate-User"] = user
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    try:
        connection.request("GET", LIVE + query, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        yield Stream(answer)
    finally:
        connection.close()


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """A node with a zone and room, of this test alone."""
    name = "console-node"
    made = cluster.call(
        "POST",
        "/api/v1/nodes",
        {"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "console-zone"}}},
    )
    assert made.code == 201, made.body
    status = {
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    patch(cluster, f"/api/v1/nodes/{name}/status", {"status": status})
    yield name
    cluster.call("DELETE", f"/api/v1/nodes/{name}")


def patch(cluster: Cluster, path: str, body: Any) -> None:
    """Merge something into an object."""
    answer = cluster.call("PATCH", path, body, content_type="application/merge-patch+json")
    assert answer.code == 200, answer.body


@pytest.fixture
def role(cluster: Cluster) -> Iterator[str]:
    """A role, bound to a user, that lets him ask for the stream."""
    path = "/apis/rbac.authorization.k8s.io/v1"
    rules = [{"nonResourceURLs": [LIVE], "verbs": ["get"]}]
    body = {"metadata": {"name": _USER}, "rules": rules}
    assert cluster.call("POST", f"{path}/clusterroles", body).code == 201
    binding = {
        "metadata": {"name": _USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _USER}],
    }
    assert cluster.call("POST", f"{path}/clusterrolebindings", binding).code == 201
    yield f"{path}/clusterroles/{_USER}"
    cluster.call("DELETE", f"{path}/clusterrolebindings/{_USER}")
    cluster.call("DELETE", f"{path}/clusterroles/{_USER}")


def test_the_page_and_all_that_it_names_is_served_without_credentials(cluster: Cluster) -> None:
    page = fetch(cluster, "/console")
    assert page.code == 200
    assert page.body == fetch(cluster, "/console/").body
    paths = set(_FILE.findall(page.body.decode()))
    scripts = {path for path in paths if path.endswith(".js")}
    while scripts:
        told = fetch(cluster, scripts.pop())
        found = {f"/console/{name}" for name in _IMPORT.findall(told.body.decode())} - paths
        paths |= found
        scripts |= found
    assert len(paths) > 10
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    for path in paths:
        told = fetch(cluster, path)
        assert told.code == 200, path
        assert told.headers["content-type"].startswith(kinds[path.rpartition(".")[2]])


def test_nothing_in_the_page_is_inline_or_from_elsewhere(cluster: Cluster) -> None:
    page = fetch(cluster, "/console").body.decode()
    assert not re.search(r"<style|<script(?![^>]* src=)|\son[a-z]+=|\sstyle=|https?:", page)


def test_the_pages_policy_lets_nothing_else_in(cluster: Cluster) -> None:
    for path in ("/console", "/console/app.js", "/console/icon.svg"):
        headers = fetch(cluster, path).headers
        policy = headers["content-security-policy"]
        for part in (
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'none'",
            "base-uri 'none'",
        ):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in headers
        assert "access-control-allow-origin" not in headers


def test_files_are_compressed_and_known_again(cluster: Cluster) -> None:
    plain = fetch(cluster, "/console/heatmap.js")
    packed = fetch(cluster, "/console/heatmap.js", **{"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    known = fetch(cluster, "/console/heatmap.js", **{"If-None-Match": plain.headers["etag"]})
    assert (known.code, known.body) == (304, b"")
    head = fetch(cluster, "/console/heatmap.js", "HEAD")
    assert (head.code, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(plain.body))
    assert fetch(cluster, "/console/heatmap.js", "POST").code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/console/index.html",
        "/console/nothing.js",
        "/console/../console/cells.py",
        "/console/%2e%2e/cells.py",
        "/console/..%2fcells.py",
        "/console//app.js",
        "/console/api",
        "/consoles",
    ],
)
def test_what_is_no_file_is_not_found_as_ever(cluster: Cluster, path: str) -> None:
    admin = {"Authorization": f"Bearer {cluster.token}"}
    told = fetch(cluster, path, **admin)
    assert (told.code, told.body) == (404, b"404 page not found\n")
    assert fetch(cluster, path).code == 403


def test_figures_are_for_whom_a_role_lets_ask(cluster: Cluster, role: str) -> None:
    assert fetch(cluster, LIVE).code == 403
    assert fetch(cluster, LIVE, Authorization="Bearer nobodys").code == 401
    named = {"Impersonate-User": "somebody-else"}
    told = cluster.call("GET", LIVE, headers=named)
    assert told.code == 403
    assert told.json["reason"] == "Forbidden"
    assert cluster.call("POST", LIVE, {}).code == 405
    with streamed(cluster, _USER) as stream:
        assert stream.hello["user"] == _USER
        assert stream.hello["sees"] == {"nodes": False, "pods": False}
        tick = stream.next("tick")
        assert "nodes" not in tick
        assert "pods" not in tick
        assert {one["name"] for one in tick["partitions"]} >= {"pods", "nodes", "default"}
        assert stream.line()["type"] == "tick"  # type: ignore[index]


def test_who_may_list_nodes_but_not_pods_sees_no_use(
    cluster: Cluster, role: str, node: str
) -> None:
    rules = [
        {"nonResourceURLs": [LIVE], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch"]},
    ]
    patch(cluster, role, {"rules": rules})
    with streamed(cluster, _USER) as stream:
        assert stream.hello["sees"] == {"nodes": True, "pods": False}
        stream.wait(node, 8, 0)
        assert stream.cells[node][4:] == [-1, -1, -1, -1, 0]
        assert "pods" not in stream.next("tick")


def test_a_stream_ends_when_its_user_may_see_it_no_more(cluster: Cluster, role: str) -> None:
    with streamed(cluster, _USER) as stream:
        stream.next("tick")
        patch(cluster, role, {"rules": []})
        while stream.line() is not None:
            pass


def test_nodes_are_told_once_and_then_as_they_change(
    cluster: Cluster, namespace: str, node: str
) -> None:
    with streamed(cluster) as stream:
        stream.wait(node, 3, 0)
        assert stream.zones[stream.cells[node][2]] == "console-zone"
        patch(cluster, f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
        stream.wait(node, 3, 4)
        container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}
        pod = {"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [container]}}
        made = cluster.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        assert made.code == 201, made.body
        stream.wait(node, 4, 250)
        assert stream.cells[node][7:] == [100, 1]
        cluster.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/p?gracePeriodSeconds=0")
        stream.wait(node, 4, 0)
        cluster.call("DELETE", f"/api/v1/nodes/{node}")
        for _ in range(200):
            if node not in stream.cells:
                return
            stream.line()
    raise AssertionError("the node was not told as gone")


def test_requests_of_others_show_in_the_next_seconds_figures(cluster: Cluster) -> None:
    with streamed(cluster, query="?cells=false") as stream:
        before = stream.next("tick")["requests"].get("LIST", [0])[0]
        for _ in range(20):
            cluster.call("GET", "/api/v1/namespaces")
        for _ in range(5):
            tick = stream.next("tick")
            if tick["requests"].get("LIST", [0])[0] >= before + 20:
                break
        else:
            raise AssertionError(tick["requests"])
        assert tick["nodes"]["complete"] in (True, False)
        assert not stream.cells


def test_a_stream_takes_no_seat_while_it_lasts(cluster: Cluster, role: str) -> None:
    with streamed(cluster, _USER) as stream:
        stream.next("tick")
        level = stream.next("tick")["levels"]["global-default"]
    assert level["dispatched"] > 0
    assert level["seats"] == level["executing"] == 0


def test_where_it_is_switched_off_there_is_nothing(bare_cluster: Cluster) -> None:
    admin = {"Authorization": f"Bearer {bare_cluster.token}"}
    for path in ("/console", "/console/app.js", LIVE):
        assert fetch(bare_cluster, path, **admin).code == 404
        assert fetch(bare_cluster, path).code == 403

"""Requests that a node's kubelet, or what listens in a pod, has to answer; by a real TLS server."""

from __future__ import annotations

import asyncio
import base64
import http.client
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import websocket

from apiserver.proxying.kubelets import WEBSOCKETS
from apiserver.proxying.websocket import accept_head
from tests.integration.api_calls import Collection, check_status, collection, named, pod
from tests.integration.cluster import HOST, Answer, Cluster, run_cluster, stop
from tests.integration.fake_backends import Backend, Request, running_backend
from tests.integration.fake_kubelet import LOG, kubelet

_WAIT_S = 20.0


@dataclass
class Place:
    """A pod on a node whose kubelet is the backend."""

    cluster: Cluster
    kubelet: Backend
    pods: Collection
    nodes: Collection
    node: str

    @property
    def path(self) -> str:
        """The pod's."""
        return f"{self.pods.path}/p"

    @property
    def namespace(self) -> str:
        """The pod's."""
        return self.pods.path.split("/")[-2]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run kubectl in the pod's namespace, whatever it says."""
        return self.cluster.kubectl(
            "-n", self.namespace, *arguments, stdin=stdin, check=False, timeout_s=_WAIT_S
        )

    def set_features(self, *features: str) -> None:
        """Have the node declare these."""
        status = {"status": {"declaredFeatures": list(features)}}
        assert self.nodes.patch(f"{self.node}/status", status).code == 200


@pytest.fixture(scope="module")
def backend(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A kubelet."""
    authority = cluster.directory / "pki" / "ca.crt"
    directory = tmp_path_factory.mktemp("kubelet")
    with running_backend(directory, kubelet, client_ca=authority) as running:
        yield running


@pytest.fixture
def place(cluster: Cluster, namespace: str, backend: Backend) -> Iterator[Place]:
    """A pod on a node of this test's own."""
    nodes = collection(cluster, "", "nodes")
    name = f"node-of-{namespace}"
    status = {
        "addresses": [
            {"type": "Hostname", "address": "nowhere.invalid"},
            {"type": "InternalIP", "address": HOST},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": backend.port}},
    }
    nodes.made(named(name, status=status))
    pods = collection(cluster, namespace, "pods")
    pods.made(pod("p", node=name))
    assert pods.patch("p/status", {"status": {"phase": "Running"}}).code == 200
    backend.handler = kubelet
    yield Place(cluster, backend, pods, nodes, name)
    nodes.delete(name)


def test_a_log_is_read_from_the_kubelet_as_the_server_itself(place: Place) -> None:
    result = place.kubectl("logs", "p")
    assert result.stdout.encode() == LOG, result.stderr
    asked = place.kubelet.last
    assert asked.path == f"/containerLogs/{place.namespace}/p/main"
    assert asked.client == "system:masters/kube-apiserver-kubelet-client"
    assert not asked.value("authorization")


def test_every_log_option_reaches_the_kubelet(place: Place) -> None:
    query = (
        "container=main&follow=true&previous=true&sinceSeconds=5&timestamps=true"
        "&tailLines=3&limitBytes=100"
    )
    answer = place.pods.get(f"p/log?{query}")
    assert (answer.code, answer.body) == (200, LOG)
    assert answer.headers["content-type"] == "text/plain"
    asked = place.kubelet.last.target.partition("?")[2]
    assert asked == (
        "follow=true&limitBytes=100&previous=true&sinceSeconds=5&tailLines=3&timestamps=true"
    )
    place.pods.get("p/log?sinceTime=2026-01-02T03:04:05%2B01:00&stream=Stderr")
    assert place.kubelet.last.target.endswith("sinceTime=2026-01-02T02%3A04%3A05Z&stream=Stderr")


def test_a_log_comes_by_websocket_in_messages_of_the_chosen_protocol(place: Place) -> None:
    text, binary = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY
    url = f"ws://{HOST}:{place.cluster.plain_port}{place.path}/log"
    header = [f"Authorization: Bearer {place.cluster.token}"]
    for offered, opcode, log in (
        ([], binary, LOG),
        (["x", "base64.binary.k8s.io"], text, base64.b64encode(LOG)),
    ):
        link = websocket.create_connection(url, 20, header=header, subprotocols=offered)
        assert link.subprotocol == (offered[-1] if offered else None)
        assert [link.recv_data() for _ in range(2)] == [(opcode, b""), (opcode, log)]
        link.shutdown()


def test_log_options_that_exclude_each_other_are_refused(place: Place) -> None:
    both = place.pods.get("p/log?tailLines=1&stream=Stdout")
    text = "`tailLines` and specific `stream` are mutually exclusive for now"
    assert both.code == 422
    assert text in both.json["message"]
    assert place.pods.get("p/log?sinceTime=yesterday").code == 400


def test_what_a_kubelet_refuses_of_a_log_is_told(place: Place) -> None:
    async def refuse(request: Request) -> None:
        await request.answer(int(request.target[-3:]), b"no such container", "text/plain")

    place.kubelet.handler = refuse
    answer = place.pods.get("p/log?tailLines=400")
    check_status(answer, 400, "BadRequest", "no such container")
    answer = place.pods.get("p/log?tailLines=404")
    message = "the server could not find the requested resource ( pods/log p)"
    check_status(answer, 404, "NotFound", message)


def test_a_followed_log_comes_as_it_is_written_and_ends_with_the_kubelet(place: Place) -> None:
    more, released = threading.Event(), threading.Event()

    async def follow(request: Request) -> None:
        await request.begin(200, "Content-Type: text/plain")
        await request.chunk(b"one\n")
        await asyncio.to_thread(more.wait, _WAIT_S)
        await request.chunk(b"two\n")
        await asyncio.to_thread(released.wait, _WAIT_S)

    place.kubelet.handler = follow
    with _get(place, f"{place.path}/log?follow=true") as answer:
        assert answer.readline() == b"one\n"
        more.set()
        assert answer.readline() == b"two\n"
        place.kubelet.cut()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            # A log that was cut off must not look as if it had come to its end.
            answer.read()
    released.set()


def test_a_client_that_goes_ends_the_kubelets_work(place: Place) -> None:
    ended = threading.Event()

    async def wait(request: Request) -> None:
        await request.begin(200)
        await request.chunk(b"x")
        try:
            await request.reader.read(1)
        finally:
            ended.set()

    place.kubelet.handler = wait
    with _get(place, f"{place.path}/log?follow=true") as answer:
        assert answer.read(1) == b"x"
    assert ended.wait(_WAIT_S)


@pytest.mark.parametrize("features", [(), (WEBSOCKETS,)], ids=["translated", "passed on"])
def test_exec_carries_input_output_and_exit_code(place: Place, features: tuple[str, ...]) -> None:
    place.set_features(*features)
    well = place.kubectl("exec", "-i", "p", "--", "cat", stdin="hello\n")
    assert (well.returncode, well.stdout) == (0, "HELLO\n"), well.stderr
    asked = place.kubelet.last
    assert asked.method == ("GET" if features else "POST")
    assert asked.value("upgrade") == ("websocket" if features else "SPDY/3.1")
    assert asked.path == f"/exec/{place.namespace}/p/main"
    assert asked.target.endswith("?command=cat&error=1&input=1&output=1")
    failed = place.kubectl("exec", "-i", "p", "--", "cat", stdin="exit\n")
    assert failed.returncode == 3
    assert "exit code 3" in failed.stderr


def test_much_input_and_output_is_whole(place: Place) -> None:
    text = "abcdefgh" * 250_000 + "\n"
    result = place.kubectl("exec", "-i", "p", "--", "cat", stdin=text)
    assert result.stdout == text.upper(), result.stderr


def test_attach_is_passed_on(place: Place) -> None:
    place.set_features(WEBSOCKETS)
    result = place.kubectl("attach", "p")
    assert result.stdout == "ready\n", result.stderr
    assert place.kubelet.last.path == f"/attach/{place.namespace}/p/main"


def test_ports_are_forwarded_through_a_websocket_to_a_kubelet_of_spdy(place: Place) -> None:
    command = ["kubectl", "--kubeconfig", str(place.cluster.kubeconfig), "-n", place.namespace]
    process = subprocess.Popen(
        [*command, "port-forward", "p", ":8080"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(rb":(\d+) -> 8080", line)
        assert found, line
        for _ in range(2):
            with socket.create_connection((HOST, int(found[1])), _WAIT_S) as forwarded:
                forwarded.sendall(b"abc")
                assert forwarded.recv(10) == b"ABC"
                forwarded.shutdown(socket.SHUT_WR)
                assert forwarded.recv(10) == b""
    finally:
        process.terminate()
        process.communicate(timeout=_WAIT_S)
    assert place.kubelet.last.value("x-stream-protocol-version") == "portforward.k8s.io"


def test_a_kubelet_that_dies_in_a_session_is_a_failure(place: Place) -> None:
    begun = threading.Event()

    async def die(request: Request) -> None:
        await request.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
            b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
        )
        await request.reader.read(1)
        begun.set()
        request.writer.transport.abort()

    place.kubelet.handler = die
    result = place.kubectl("exec", "p", "--", "true")
    assert begun.is_set()
    assert result.returncode == 1
    assert "error stream" in result.stderr or "reset" in result.stderr, result.stderr


def test_a_kubelet_that_is_away_is_named_with_its_address(place: Place) -> None:
    endpoints = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
    assert place.nodes.patch(f"{place.node}/status", endpoints).code == 200
    dial = "dial tcp 127.0.0.1:1: connect: connection refused"
    url = f"https://127.0.0.1:1/containerLogs/{place.namespace}/p/main"
    answer = place.pods.get("p/log")
    check_status(answer, 503, "ServiceUnavailable", f'Get "{url}": {dial}')
    assert "retry-after" not in answer.headers
    result = place.kubectl("exec", "p", "--", "true")
    assert f"error dialing backend: {dial}" in result.stderr or dial in result.stderr
    node = place.nodes.get(f"{place.node}/proxy/healthz")
    check_status(node, 503, "ServiceUnavailable", f"error trying to reach service: {dial}")


def test_sessions_need_an_upgrade(place: Place) -> None:
    for part in ("exec", "attach", "portforward"):
        answer = place.pods.get(f"p/{part}?command=x")
        check_status(answer, 400, "BadRequest", "Upgrade request required")


def test_who_may_only_get_may_not_open_a_session(place: Place) -> None:
    role = {"rules": [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]}
    rbac = "rbac.authorization.k8s.io/v1"
    collection(place.cluster, place.namespace, "roles", rbac).made(named("reader", **role))
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jo"}],
    }
    collection(place.cluster, place.namespace, "rolebindings", rbac).made(named("jo", **binding))
    answer = place.pods.get("p/exec?command=x", headers={"Impersonate-User": "jo"})
    assert answer.code == 403
    assert 'cannot create resource "pods/exec"' in answer.json["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_a_node_is_proxied_to_with_any_method(place: Place, method: str) -> None:
    body = b"body" if method in ("POST", "PUT", "PATCH") else None
    where = f"{place.nodes.path}/{place.node}/proxy/stats/a%20b?x=1&timeout=never"
    answer = place.cluster.call(method, where, body, headers={"X-Remote-User": "evil"})
    assert answer.code == 200, answer.body
    asked = place.kubelet.last
    assert (asked.method, asked.target) == (method, "/stats/a%20b?x=1&timeout=never")
    assert asked.value("x-forwarded-uri").endswith("/proxy/stats/a%20b")
    assert not asked.value("authorization")
    assert not asked.value("x-remote-user")


def test_a_proxy_without_a_path_leads_to_its_slash(place: Place) -> None:
    connection = http.client.HTTPConnection(HOST, place.cluster.plain_port, timeout=_WAIT_S)
    where = f"{place.nodes.path}/{place.node}/proxy"
    token = {"Authorization": f"Bearer {place.cluster.token}"}
    connection.request("GET", f"{where}?a=b", headers=token)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("location")) == (301, f"{where}/?a=b")
    connection.close()


@contextmanager
def _get(place: Place, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(HOST, place.cluster.plain_port, timeout=_WAIT_S)
    connection.request("GET", path, headers={"Authorization": f"Bearer {place.cluster.token}"})
    try:
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def _own_address() -> str:
    """Return an address of this machine that is none of loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback's")
        address: str = probe.getsockname()[0]
        return address


@pytest.fixture
def served(place: Place, tmp_path: Any) -> Iterator[tuple[Place, Backend]]:
    """The same with a server that listens at the pod's address."""
    address = _own_address()

    async def page(request: Request) -> None:
        if request.path == "/moved":
            await request.answer(302, b"", "text/plain", "Location: /there?x=1")
        elif request.path == "/page":
            html = b'<html><a href="/a?b=1&amp;c=2">x</a> <a href="b"> <img src="//else/x"></html>'
            await request.answer(200, html, "text/html")
        else:
            more = ("Access-Control-Allow-Origin: *", "X-Own: 1")
            await request.answer(200, request.target.encode(), "text/plain", *more)

    with running_backend(tmp_path / "pod", page, host=address, tls=False) as backend:
        status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        assert place.pods.patch("p/status", status).code == 200
        yield place, backend


def test_a_pod_is_proxied_to_and_its_urls_are_rewritten(served: tuple[Place, Backend]) -> None:
    place, backend = served
    root = f"{place.pods.path}/p:{backend.port}/proxy"
    answer = place.cluster.call("GET", f"{root}/x/y?z=1")
    assert (answer.code, answer.body) == (200, b"/x/y?z=1")
    assert answer.headers["x-own"] == "1"
    assert "access-control-allow-origin" not in answer.headers
    page = place.cluster.call("GET", f"{root}/page").body.decode()
    assert page == (
        f'<html><a href="{root}/a?b=1&amp;c=2">x</a> <a href="b"> <img src="//else/x"></html>'
    )
    moved: Answer = place.cluster.call("GET", f"{root}/moved")
    assert moved.body == b"/there?x=1"  # urllib has followed where it led


def test_a_service_is_proxied_to_by_port_name_and_number(
    served: tuple[Place, Backend],
) -> None:
    place, backend = served
    services = collection(place.cluster, place.namespace, "services")
    port = {"name": "web", "port": 80, "targetPort": backend.port}
    services.made(named("s", spec={"ports": [port]}))
    slices = collection(place.cluster, place.namespace, "endpointslices", "discovery.k8s.io/v1")
    reference = {"kind": "Pod", "namespace": place.namespace, "name": "p"}
    endpoint = {"addresses": [_own_address()], "targetRef": reference}
    labels = {"kubernetes.io/service-name": "s"}
    slices.made(
        {
            "metadata": {"name": "s", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "web", "port": backend.port, "protocol": "TCP"}],
            "endpoints": [endpoint],
        }
    )
    for name in ("s:web", "s:80", "http:s:web"):
        answer = services.get(f"{name}/proxy/hello")
        assert (answer.code, answer.body) == (200, b"/hello"), name
    wrong = services.get("s:81/proxy/hello")
    check_status(wrong, 503, "ServiceUnavailable", 'no service port 81 found for service "s"')
    # Only what is one of the namespace's pods is led to.
    other = {"endpoints": [{"addresses": ["203.0.113.9"], "targetRef": reference}]}
    assert slices.patch("s", other).code == 200
    answer = services.get("s:web/proxy/hello")
    check_status(answer, 503, "ServiceUnavailable", 'no endpoints available for service "s"')


def test_a_large_body_streams_both_ways(served: tuple[Place, Backend]) -> None:
    place, backend = served
    seen: list[int] = []

    async def echo(request: Request) -> None:
        body = await request.body()
        seen.append(len(body))
        await request.begin(200)
        for at in range(0, len(body), 100_000):
            await request.chunk(body[at : at + 100_000])
        await request.chunk(b"")

    backend.handler = echo
    body = bytes(range(256)) * 40_000
    where = f"{place.pods.path}/p:{backend.port}/proxy/echo"
    answer = place.cluster.call("POST", where, body)
    assert answer.code == 200
    assert (seen, answer.body) == ([len(body)], body)


def test_a_slow_client_holds_the_kubelet_back(place: Place) -> None:
    """What the client has not taken is not gathered here: the kubelet cannot write on."""
    sent = [0]
    ended = threading.Event()

    async def pour(request: Request) -> None:
        await request.begin(200)
        try:
            for _ in range(200):
                await request.chunk(bytes(1 << 20))
                sent[0] += 1
        finally:
            ended.set()

    place.kubelet.handler = pour
    with _get(place, f"{place.path}/log?follow=true") as answer:
        assert len(answer.read(1 << 20)) == 1 << 20
        before = -1
        while sent[0] != before:
            before = sent[0]
            ended.wait(0.5)
        assert sent[0] < 40
        assert len(answer.read(60 << 20)) == 60 << 20  # it goes on where it was
    assert ended.wait(_WAIT_S)


def test_a_server_that_stops_does_not_wait_for_sessions(tmp_path: Any) -> None:
    # Its pod is not to wait for an account that a controller makes.
    with run_cluster(tmp_path, {"admission": {"disable_plugins": "ServiceAccount"}}) as cluster:
        authority = cluster.directory / "pki" / "ca.crt"
        with running_backend(tmp_path / "kubelet", _endless, client_ca=authority) as backend:
            nodes = collection(cluster, "", "nodes")
            endpoint = {"kubeletEndpoint": {"Port": backend.port}}
            addresses = [{"type": "InternalIP", "address": HOST}]
            status = {"addresses": addresses, "daemonEndpoints": endpoint}
            nodes.made(named("n", status=status))
            assert (
                nodes.patch("n/status", {"status": {"declaredFeatures": [WEBSOCKETS]}}).code == 200
            )
            pods = collection(cluster, "default", "pods")
            pods.made(pod("p", node="n"))
            place = Place(cluster, backend, pods, nodes, "n")
            with _get(place, f"{place.path}/log?follow=true") as answer:
                assert answer.read(1) == b"x"
                with socket.create_connection((HOST, cluster.plain_port), _WAIT_S) as session:
                    session.sendall(_EXEC.format(token=cluster.token).encode())
                    assert session.recv(12) == b"HTTP/1.1 101"
                    began_s = time.monotonic()
                    stop(cluster.process)
                    assert time.monotonic() - began_s < 8
                    while session.recv(65_536):
                        pass


_EXEC = (
    "GET /api/v1/namespaces/default/pods/p/exec?command=x&stdout=1 HTTP/1.1\r\nHost: x\r\n"
    "Authorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
)


async def _endless(request: Request) -> None:
    """Begin an answer, or a session, and never end it."""
    if request.value("upgrade"):
        key = request.value("sec-websocket-key").encode()
        await request.send(accept_head(key, "v5.channel.k8s.io"))
    else:
        await request.begin(200)
        await request.chunk(b"x")
    await request.reader.read(1)

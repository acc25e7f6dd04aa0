"""Clients that send or read slowly, or stop: cut off in bounded time and memory, others unharmed.

The cluster has short limits: half a second to send a request or a TLS handshake, and as long to
take something of an answer.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import ssl
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.integration.bad_input_wire import Wire
from tests.integration.cluster import HOST, Cluster, run_cluster

LIMIT_S = 0.5
PATIENCE_S = 30.0
OBJECTS = 40
OBJECT_BYTES = 1_000_000
READERS = 8
SLOW_S = 9.0  # longer than a snapshot is kept
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of little patience, with 40 MB in its configmaps."""
    server = {"read_timeout_s": LIMIT_S, "write_timeout_s": LIMIT_S}
    with run_cluster(tmp_path_factory.mktemp("strict"), {"server": server}) as cluster:
        for number in range(OBJECTS):
            body = {"metadata": {"name": f"big-{number}"}, "data": {"k": "x" * OBJECT_BYTES}}
            assert cluster.call("POST", MAPS, body).code == 201
        yield cluster


def _memory_bytes(cluster: Cluster) -> int:
    """Return what the API server holds itself: the mapped store is not counted."""
    status = Path(f"/proc/{cluster.pid_of('apiserver')}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


def _small_window() -> socket.socket:
    """Return a socket that takes little without being read."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(PATIENCE_S)
    return raw


def _unread(stack: contextlib.ExitStack, cluster: Cluster, line: str) -> socket.socket:
    """Ask for something and do not read it."""
    raw = stack.enter_context(_small_window())
    raw.connect((HOST, cluster.plain_port))
    token = f"Authorization: Bearer {cluster.token}"
    raw.sendall(f"GET {line} HTTP/1.1\r\nHost: x\r\n{token}\r\n\r\n".encode())
    return raw


def _wait_until_alone(cluster: Cluster) -> None:
    """Return when the API server holds no connection at its port without TLS."""
    deadline_s = time.monotonic() + PATIENCE_S
    while count := _connections(cluster):
        assert time.monotonic() < deadline_s, f"{count} connections are left"
        time.sleep(0.05)


def _connections(cluster: Cluster) -> int:
    """Return how many connections to the port without TLS some process of ours or the kernel has.

    As the kernel lists them; those that only wait for late segments do not count.
    """
    address, waiting = f"0100007F:{cluster.plain_port:04X}", "06"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(
        row[1] == address and not row[2].endswith(":0000") and row[3] != waiting for row in rows
    )


def _read_all(raw: socket.socket) -> int:
    """Read until the connection ends; return how much came."""
    count = 0
    try:
        while part := raw.recv(1 << 20):
            count += len(part)
    except ConnectionResetError:
        pass
    return count


@pytest.mark.parametrize("line", [MAPS, f"{MAPS}?watch=true"])
def test_clients_that_do_not_read_are_cut_off_and_cost_little(strict: Cluster, line: str) -> None:
    before = _memory_bytes(strict)
    with contextlib.ExitStack() as stack:
        unread = [_unread(stack, strict, line) for _ in range(READERS)]
        # Others are served meanwhile.
        body = {"metadata": {"name": "other"}}
        assert strict.call("POST", f"{MAPS}?dryRun=All", body, timeout_s=10).code == 201
        assert strict.call("GET", f"{MAPS}?limit=1", timeout_s=10).code == 200
        peak = _memory_bytes(strict) - before
        _wait_until_alone(strict)
        assert all(_read_all(raw) < OBJECTS * OBJECT_BYTES for raw in unread)
    # Some chunks each, not the whole list.
    assert peak < READERS * OBJECTS * OBJECT_BYTES / 4


def test_a_watch_that_is_not_read_holds_no_more_than_its_share_of_events(strict: Cluster) -> None:
    before = _memory_bytes(strict)
    with contextlib.ExitStack() as stack:
        version = strict.call("GET", f"{MAPS}?limit=1").json["metadata"]["resourceVersion"]
        query = f"watch=true&resourceVersion={version}&fieldSelector=metadata.name%3Dbusy"
        for _ in range(READERS):
            _unread(stack, strict, f"{MAPS}?{query}")
        made = strict.call("POST", MAPS, {"metadata": {"name": "busy"}})
        assert made.code == 201
        for number in range(20):
            changed = {"metadata": {"name": "busy"}, "data": {"k": str(number) * OBJECT_BYTES}}
            assert strict.call("PUT", f"{MAPS}/busy", changed, timeout_s=10).code in (200, 422)
        _wait_until_alone(strict)
    assert _memory_bytes(strict) - before < READERS * 20 * OBJECT_BYTES


def test_half_sent_requests_are_closed_and_slow_nobody(strict: Cluster) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(strict)) for _ in range(60)]
        whole = wires[0].head(f"POST {MAPS}", "Content-Length: 9") + b"{"
        halves = [b"", whole[:3], whole[:40], whole[:-3], whole]
        for number, wire in enumerate(wires):
            wire.send(halves[number % len(halves)])
        assert strict.call("GET", f"{MAPS}?limit=1", timeout_s=10).code == 200
        assert all(wire.is_closed() for wire in wires)


@pytest.mark.parametrize("hello", [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01"])
def test_half_a_tls_handshake_is_closed(strict: Cluster, hello: bytes) -> None:
    with socket.create_connection((HOST, strict.port), timeout=PATIENCE_S) as raw:
        raw.sendall(hello)
        assert _read_all(raw) == 0
    assert strict.call("GET", "/readyz").code == 200


@pytest.mark.parametrize("noise", [b"\0" * 64, b"\xff" * 600, b"SSH-2.0-x\r\n" * 20])
def test_noise_at_the_tls_port_is_closed(strict: Cluster, noise: bytes) -> None:
    with socket.create_connection((HOST, strict.port), timeout=PATIENCE_S) as raw:
        with contextlib.suppress(ConnectionError):
            raw.sendall(noise)
        assert _read_all(raw) < 100  # an alert at most


def test_tls_1_1_is_refused_and_1_2_is_not(strict: Cluster) -> None:
    def shake(version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore"):  # of asking for what is that old
            context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection((HOST, strict.port), timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw) as wrapped,
        ):
            return wrapped.version()

    assert shake(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake(ssl.TLSVersion.TLSv1_1)


def test_a_slow_reader_gets_the_list_of_its_revision_whatever_is_written(strict: Cluster) -> None:
    names = {f"big-{number}" for number in range(OBJECTS)}
    with contextlib.ExitStack() as stack:
        raw = _unread(stack, strict, f"{MAPS}?labelSelector=!late")
        data = bytearray(raw.recv(1 << 16))
        changed = {
            "metadata": {"name": "big-9", "annotations": {"late": "yes"}},
            "data": {"k": "y"},
        }
        assert strict.call("PUT", f"{MAPS}/big-9", changed).code == 200
        start_s = time.monotonic()
        # Longer than a snapshot is kept, and slower than anybody else.
        while not data.endswith(b"0\r\n\r\n"):
            part = raw.recv(1 << 16)
            assert part, "the list was cut off"
            data += part
            due_s = start_s + SLOW_S * len(data) / (OBJECTS * OBJECT_BYTES)
            time.sleep(max(0.0, due_s - time.monotonic()))
    answer = http.client.HTTPResponse(_Played(bytes(data)))  # type: ignore[arg-type]
    answer.begin()
    listed = orjson.loads(answer.read())
    revision = int(listed["metadata"]["resourceVersion"])
    items = {item["metadata"]["name"]: item for item in listed["items"]}
    assert names <= items.keys()
    assert all(int(item["metadata"]["resourceVersion"]) <= revision for item in items.values())
    assert len(items["big-9"]["data"]["k"]) == OBJECT_BYTES
    assert int(strict.call("GET", f"{MAPS}/big-9").json["metadata"]["resourceVersion"]) > revision


class _Played:
    """What was read from a socket, to be taken for one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        """Return it as a file."""
        return io.BytesIO(self._data)

"""Connections to each of the workers behind one port, told apart by the process that has them."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any, Final

import orjson

from tests.integration.cluster import HOST, Cluster

_CONNECTIONS_MAX: Final = 200
_TIMEOUT_S: Final = 40.0


class WorkerLink:
    """A keep-alive connection to one worker."""

    def __init__(self, cluster: Cluster) -> None:
        self._token = cluster.token
        self._http = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=_TIMEOUT_S)
        self._http.connect()

    @property
    def local_port(self) -> int:
        """Our end's port."""
        port: int = self._http.sock.getsockname()[1]
        return port

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return code and decoded body."""
        answer = self.open(method, path, body, headers)
        return answer.status, orjson.loads(answer.read())

    def open(
        self, method: str, path: str, body: Any = None, more: dict[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a request; return its answer, whose body is unread."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        headers.update(more or {})
        data = None if body is None else orjson.dumps(body)
        self._http.request(method, path, data, headers)
        return self._http.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._http.close()


def link_all(cluster: Cluster, workers: int) -> list[WorkerLink]:
    """Return a connection to each worker, in their order."""
    pids = [cluster.pid_of(f"apiserver-{number}") for number in range(1, workers + 1)]
    found: dict[int, WorkerLink] = {}
    for _ in range(_CONNECTIONS_MAX):
        link = WorkerLink(cluster)
        # A worker has accepted what it has answered.
        link.call("GET", "/version")
        pid = next(pid for pid in pids if _inode(cluster, link) in _sockets(pid))
        if pid in found:
            link.close()
        else:
            found[pid] = link
        if len(found) == workers:
            return [found[pid] for pid in pids]
    raise AssertionError(f"{_CONNECTIONS_MAX} connections met only {len(found)} workers")


def _inode(cluster: Cluster, link: WorkerLink) -> str:
    """Return the inode of the server's end of a connection."""
    wanted = f":{cluster.plain_port:04X}", f":{link.local_port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted[0]) and fields[2].endswith(wanted[1]):
            return fields[9]
    raise AssertionError("the connection is gone")


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found

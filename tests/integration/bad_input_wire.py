"""Raw HTTP for the tests of bad input: what is sent is bytes, what comes back is taken apart."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import orjson

from tests.integration.cluster import HOST, Cluster

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Reply:
    """An answer as it came over the wire."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> dict[str, Any]:
        """The body as a Status object."""
        document: dict[str, Any] = orjson.loads(self.body)
        assert document["kind"] == "Status", document
        assert document["code"] == self.code
        return document

    @property
    def verdict(self) -> tuple[int, str, str]:
        """Code, reason and message of a Status."""
        status = self.status
        return self.code, status.get("reason", ""), status["message"]


class Wire:
    """One raw connection to the plain port."""

    def __init__(self, cluster: Cluster) -> None:
        self._token = cluster.token
        self.socket = socket.create_connection((HOST, cluster.plain_port), timeout=_TIMEOUT_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def head(self, line: str, *headers: str) -> bytes:
        """Return the head of a request with credentials."""
        lines = [f"{line} HTTP/1.1", "Host: test", f"Authorization: Bearer {self._token}", *headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def reply(self, *, to_head: bool = False) -> Reply | None:
        """Read an answer; None if the connection ended in place of one."""
        try:
            line = self._file.readline()
        except ConnectionResetError:
            return None
        if not line:
            return None
        assert line.startswith(b"HTTP/1.1 "), line
        code = int(line.split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().rstrip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if code == 100:
            return Reply(code, headers, b"")
        if to_head or code in (204, 304):
            return Reply(code, headers, b"")
        return Reply(code, headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._file.read(int(headers["content-length"]))
        body = b""
        while size := int(self._file.readline(), 16):
            body += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return body

    def line(self) -> bytes:
        """Read a line of a streamed answer's chunk: a chunk head, an event, or what ends it."""
        return self._file.readline()

    def rest(self) -> bytes:
        """Return what comes until the end."""
        return self._file.read()

    def is_closed(self) -> bool:
        """Wait for what comes next: True if it is the end."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


def ask(cluster: Cluster, line: str, *headers: str, body: bytes | None = None) -> Reply | None:
    """Send one request over a connection of its own."""
    with Wire(cluster) as wire:
        if body is not None:
            headers = (*headers, f"Content-Length: {len(body)}")
        wire.send(wire.head(line, *headers) + (body or b""))
        return wire.reply(to_head=line.startswith("HEAD "))

"""An API server as a client sees it: blocking requests for setting the scene, and bulk writes.

What is measured is not sent from here, except lists: wrk and the watch clients do that.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

TIMEOUT_S: Final = 30.0
_WRITERS: Final = 8
_BUFFER_BYTES: Final = 1 << 20


class Refused(Exception):
    """The server answered with an error."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server answers, and as whom we ask.

    Attributes:
        url: scheme, host and port.
        token: bearer token, empty for none.
        ca_file: certificates that vouch for an https server; empty: it is not checked.
    """

    url: str
    token: str = ""
    ca_file: str = ""

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    def tls(self) -> ssl.SSLContext | None:
        """Return how to speak TLS to it, None for plain HTTP."""
        if not self.url.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if not self.ca_file:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def headers(self) -> dict[str, str]:
        """Return the headers of every request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def answers(self, path: str) -> bool:
        """Tell whether a GET of `path` succeeds now."""
        try:
            self.request("GET", path)
        except (OSError, http.client.HTTPException, Refused):
            return False
        return True

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection, opened at its first request."""
        context = self.tls()
        if context is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_S, context=context)

    def request(
        self, method: str, path: str, body: bytes | None = None, *, accept: str = ""
    ) -> bytes:
        """Send one request on a connection of its own and return the answer's body.

        Raises:
            Refused: the answer's status is 400 or above.
        """
        connection = self.connect()
        try:
            return self.send(connection, method, path, body, accept=accept)
        finally:
            connection.close()

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        accept: str = "",
    ) -> bytes:
        """Send one request on `connection` and return the answer's body."""
        headers = self.headers() | ({"Content-Type": "application/json"} if body else {})
        if accept:
            headers["Accept"] = accept
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status >= http.client.BAD_REQUEST:
            raise Refused(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer

    def create(self, path: str, body: bytes) -> dict[str, Any]:
        """Create one object and return it as stored."""
        stored: dict[str, Any] = orjson.loads(self.request("POST", path, body))
        return stored

    def create_all(self, path: str, bodies: Iterable[bytes]) -> list[bytes]:
        """Create many objects over several connections; return the answers, in any order."""
        todo = list(bodies)
        parts = [todo[start::_WRITERS] for start in range(_WRITERS)]

        def write(part: list[bytes]) -> list[bytes]:
            connection = self.connect()
            try:
                return [self.send(connection, "POST", path, body) for body in part]
            finally:
                connection.close()

        with ThreadPoolExecutor(_WRITERS) as pool:
            return [answer for answers in pool.map(write, parts) for answer in answers]

    def download(
        self,
        path: str,
        on_head: Callable[[bytes], None],
        headers: Mapping[str, str] | None = None,
        rate: float = 0.0,
    ) -> int:
        """GET `path` and return how many bytes came, without looking at them.

        The connection is closed by the server at the end, so no framing has to be understood.
        `on_head` is given the first bytes of the answer; `rate` is in bytes a second, 0: any.
        """
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Connection: close"]
        sent = {**self.headers(), **(headers or {})}
        lines += [f"{key}: {value}" for key, value in sent.items()]
        plain = socket.create_connection((self.host, self.port), timeout=TIMEOUT_S)
        context = self.tls()
        with context.wrap_socket(plain, server_hostname=self.host) if context else plain as link:
            link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            buffer = bytearray(_BUFFER_BYTES)
            total = link.recv_into(buffer)
            on_head(bytes(buffer[:total]))
            start_s = time.monotonic()
            while received := link.recv_into(buffer):
                total += received
                if rate:
                    time.sleep(max(0.0, start_s + total / rate - time.monotonic()))
            return total

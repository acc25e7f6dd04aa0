"""Greedy clients in one process: each lists, throws away what comes, and lists again.

Run as `python -m tests.bench.greedy_load`: prints `ready` once each has got something, goes on
until its input is closed, and prints one line of JSON. Who is refused comes back when told to.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from typing import Final

import orjson

from tests.bench.endpoint import Endpoint

_END: Final = b"\r\n0\r\n\r\n"
_RETRY: Final = re.compile(rb"(?i)retry-after: (\d+)")
_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")


class Counts:
    """What all clients together got."""

    def __init__(self) -> None:
        self.lists = self.bytes = self.refused = 0


class Client(asyncio.Protocol):
    """One client: looks at heads, and for the end of what is chunked."""

    def __init__(self, request: bytes, counts: Counts) -> None:
        self._request = request
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self.served: asyncio.Future[None] = self._loop.create_future()
        self._head = b""
        self._in_body = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first list."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._head, self._tail, self._in_body = b"", b"", False
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Throw away what has come."""
        self._counts.bytes += len(data)
        if not self._in_body:
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if head.startswith(b"HTTP/1.1 429"):
                self._refused(head)
                return
            if not self.served.done():
                self.served.set_result(None)
            self._in_body = True
            if length := _LENGTH.search(head):
                self._head = b""
                self._left = int(length[1])
            else:
                self._left = -1
        if self._left >= 0:
            self._left -= len(data)
            is_whole = self._left <= 0
        else:
            self._tail = (self._tail + data[-len(_END) :])[-len(_END) :]
            is_whole = self._tail == _END
        if is_whole:
            self._counts.lists += 1
            self._ask()

    def _refused(self, head: bytes) -> None:
        self._counts.refused += 1
        after = _RETRY.search(head)
        self._head = b""
        self._loop.call_later(int(after[1]) if after else 1, self._ask)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a client that lost its connection before it was served."""
        if not self.served.done():
            self.served.set_exception(ConnectionError(f"not served: {exc}"))


async def load(endpoint: Endpoint, path: str, clients: int) -> None:
    """Run the clients until the input ends."""
    loop = asyncio.get_running_loop()
    counts = Counts()
    lines = [f"GET {path} HTTP/1.1", f"Host: {endpoint.host}:{endpoint.port}"]
    lines += [f"{key}: {value}" for key, value in endpoint.headers().items()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    served = []
    for _ in range(clients):
        _, client = await loop.create_connection(
            lambda: Client(request, counts), endpoint.host, endpoint.port
        )
        served.append(client.served)
    await asyncio.wait(served, return_when=asyncio.FIRST_COMPLETED)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(orjson.dumps(vars(counts)).decode(), flush=True)


def main() -> None:
    """Read the command line and list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--clients", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(load(Endpoint(given.url, given.token), given.path, given.clients))


if __name__ == "__main__":
    main()

"""Many watch clients in one process, as lean as Python allows: they count events, parse nothing.

Run as `python -m tests.bench.watch_load`: prints `ready` once every watch is answered, then, when
every client has seen the wanted number of events or time is up, one line of JSON.

An event in JSON ends with `}` and a newline. A newline within JSON is always escaped, and chunk
headers never follow a brace directly, so counting these two bytes counts events whatever the
framing. One in CBOR begins with a map of two whose first key is `type`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Final

import orjson

from tests.bench.endpoint import Endpoint

_MARKS: Final = {"application/json": b"}\n", "application/cbor": b"\xa2\x44type"}
_HEAD_END: Final = b"\r\n\r\n"


class Watcher(asyncio.Protocol):
    """One watch: counts events, tells when it is answered and when it has seen enough."""

    def __init__(
        self, request: bytes, mark: bytes, wanted: int, answered: asyncio.Future[None]
    ) -> None:
        self.seen = 0
        self.bytes = 0
        self.finished_s = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._mark = mark
        self._wanted = wanted
        self._answered = answered
        self._head = b""
        self._end = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the watch."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count what has come."""
        if not self._answered.done():
            self._head += data
            head, end, data = self._head.partition(_HEAD_END)
            if not end:
                return
            self._accept(head)
        self.bytes += len(data)
        # A mark may be cut in two.
        rest = len(self._mark) - 1
        self.seen += data.count(self._mark) + (self._end + data[:rest]).count(self._mark)
        self._end = (self._end + data[-rest:])[-rest:]
        if self.seen >= self._wanted and not self.done.done():
            self.finished_s = time.monotonic()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a watch that ended before it saw everything."""
        error = ConnectionError(f"a watch ended after {self.seen} events: {exc}")
        for waiting in (self._answered, self.done):
            if not waiting.done():
                waiting.set_exception(error)

    def _accept(self, head: bytes) -> None:
        status = head.split(b" ", 2)[1]
        if status == b"200":
            self._answered.set_result(None)
        else:
            self._answered.set_exception(ConnectionError(f"watch refused: {head[:200]!r}"))


async def watch(
    endpoint: Endpoint, path: str, watchers: int, wanted: int, limit_s: float, accept: str
) -> None:
    """Run the watches and print what came of them."""
    loop = asyncio.get_running_loop()
    lines = [f"GET {path} HTTP/1.1", f"Host: {endpoint.host}:{endpoint.port}"]
    lines += [f"{key}: {value}" for key, value in endpoint.headers().items()]
    lines.append(f"Accept: {accept}")
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    clients = []
    answers = []
    tls = endpoint.tls()
    for _ in range(watchers):
        answered: asyncio.Future[None] = loop.create_future()
        client = Watcher(request, _MARKS[accept], wanted, answered)
        await loop.create_connection(
            lambda client=client: client, endpoint.host, endpoint.port, ssl=tls
        )
        clients.append(client)
        answers.append(answered)
    await asyncio.gather(*answers)
    print("ready", flush=True)
    finished = asyncio.gather(*(client.done for client in clients))
    try:
        await asyncio.wait_for(finished, limit_s)
    except TimeoutError:
        print(f"only {min(c.seen for c in clients)} of {wanted} events came", file=sys.stderr)
    result = {
        "delivered": sum(client.seen for client in clients),
        "bytes": sum(client.bytes for client in clients),
        "finished_s": max(client.finished_s for client in clients),
    }
    print(orjson.dumps(result).decode(), flush=True)


def main() -> None:
    """Read the command line and watch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--ca", default="")
    parser.add_argument("--path", required=True)
    parser.add_argument("--watchers", type=int, required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--limit-s", type=float, default=60.0)
    parser.add_argument("--accept", choices=sorted(_MARKS), default="application/json")
    given = parser.parse_args()
    endpoint = Endpoint(given.url, given.token, given.ca)
    asyncio.run(
        watch(endpoint, given.path, given.watchers, given.events, given.limit_s, given.accept)
    )


if __name__ == "__main__":
    main()

"""A fleet of watches in one process: opens them, counts what comes, measures how late it is.

Run as `python -m tests.bench.watch_fleet`. `{n}` in the path stands for the watch's number. Answers
one line of JSON: when all watches are answered, then at each line on standard input: "report" tells
what came since the last report; "end" (or the end of input) closes everything and tells how long
that took.

An event ends with `}` and a newline, as in tests/bench/watch_load.py. How late one is follows from
a time that its object carries, `"sent":"<nanoseconds of the monotonic clock>"`: the clock is one
for all processes of a machine. Sockets are read as the kernel reports them, without asyncio: a
fleet must take events faster than the server sends them.
"""

from __future__ import annotations

import argparse
import re
import resource
import select
import socket
import sys
import time
from array import array
from typing import Any, Final

import orjson

from tests.bench.endpoint import Endpoint

OPENING_MAX: Final = 256
_END: Final = b"}\n"
_HEAD_END: Final = b"\r\n\r\n"
_SENT: Final = re.compile(rb'"sent":"(\d+)"')
_BUFFER_BYTES: Final = 1 << 20
_STEP_NS: Final = 100_000
_STEPS: Final = 100_000
"""Lateness is counted in steps of 0.1 ms, up to 10 s."""


class Fleet:
    """Open watches and what came to them.

    Attributes:
        events, bytes: counted since the last report.
        lost: watches that ended by themselves.
    """

    def __init__(self, endpoint: Endpoint, path: str, watches: int) -> None:
        self.events = self.bytes = self.lost = 0
        self._endpoint = endpoint
        self._path = path
        self._watches = watches
        self._poll = select.epoll()
        self._links: dict[int, socket.socket] = {}
        self._heads: dict[int, bytes] = {}
        self._open_brace: set[int] = set()
        self._late = array("Q", bytes(8 * (_STEPS + 1)))
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._last_event_s = 0.0

    def open(self, limit_s: float) -> None:
        """Open all watches, some at a time; return once each is answered.

        Raises:
            ConnectionError: one was refused, or time is up.
        """
        deadline_s = time.monotonic() + limit_s
        started = 0
        while started < self._watches or self._heads:
            while started < self._watches and len(self._heads) < OPENING_MAX:
                self._start(started)
                started += 1
            self.step(0.1)
            if time.monotonic() > deadline_s or self.lost:
                raise ConnectionError(f"{len(self._heads)} of {started} watches not answered")

    def _start(self, number: int) -> None:
        link = socket.create_connection((self._endpoint.host, self._endpoint.port), timeout=10.0)
        lines = [f"GET {self._path.replace('{n}', str(number))} HTTP/1.1"]
        lines += [f"Host: {self._endpoint.host}:{self._endpoint.port}"]
        lines += [f"{key}: {value}" for key, value in self._endpoint.headers().items()]
        link.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        link.settimeout(0)
        self._links[link.fileno()] = link
        self._heads[link.fileno()] = b""
        self._poll.register(link.fileno(), select.EPOLLIN)

    def step(self, timeout_s: float, also: int | None = None) -> bool:
        """Take what has come; return whether file `also` can be read."""
        asked = False
        for descriptor, _ in self._poll.poll(timeout_s):
            if descriptor == also:
                asked = True
            else:
                self._take(descriptor)
        return asked

    def listen(self, descriptor: int) -> None:
        """Let `step` look at another file too."""
        self._poll.register(descriptor, select.EPOLLIN)

    def _take(self, descriptor: int) -> None:
        try:
            size = self._links[descriptor].recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self.lost += 1
            self._poll.unregister(descriptor)
            self._links.pop(descriptor).close()
            return
        data = self._view[:size].tobytes()
        if descriptor in self._heads:
            data = self._past_head(descriptor, data)
        if data:
            self._count(descriptor, data)

    def _past_head(self, descriptor: int, data: bytes) -> bytes:
        head, end, rest = (self._heads[descriptor] + data).partition(_HEAD_END)
        if not end:
            self._heads[descriptor] = head
            return b""
        if head.split(b" ", 2)[1] != b"200":
            raise ConnectionError(f"watch refused: {head[:200]!r}")
        del self._heads[descriptor]
        return rest

    def _count(self, descriptor: int, data: bytes) -> None:
        found = data.count(_END)
        if descriptor in self._open_brace and data[:1] == b"\n":
            found += 1
        if data[-1:] == b"}":
            self._open_brace.add(descriptor)
        else:
            self._open_brace.discard(descriptor)
        self.events += found
        self.bytes += len(data)
        now_ns = time.monotonic_ns()
        self._last_event_s = now_ns / 1e9
        late = self._late
        for sent in _SENT.findall(data):
            late[min((now_ns - int(sent)) // _STEP_NS, _STEPS)] += 1

    def report(self) -> dict[str, Any]:
        """Tell what came since the last report, and how late."""
        total = sum(self._late)
        used = resource.getrusage(resource.RUSAGE_SELF)
        found = {
            "events": self.events,
            "bytes": self.bytes,
            "lost": self.lost,
            "last_event_s": self._last_event_s,
            "timed": total,
            "p50_us": self._late_us(total * 0.5),
            "p99_us": self._late_us(total * 0.99),
            "max_us": self._late_us(total),
            "cpu_s": used.ru_utime + used.ru_stime,
        }
        self.events = self.bytes = 0
        self._late = array("Q", bytes(8 * (_STEPS + 1)))
        return found

    def _late_us(self, rank: float) -> float:
        passed = 0
        for step, count in enumerate(self._late):
            passed += count
            if count and passed >= rank:
                return (step + 1) * _STEP_NS / 1000
        return 0.0

    def close(self) -> None:
        """End all watches, as a client that just goes away does."""
        for link in self._links.values():
            link.close()
        self._links.clear()


def main() -> None:
    """Read the command line, open the watches and answer what is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--path", required=True)
    parser.add_argument("--watches", type=int, required=True)
    parser.add_argument("--limit-s", type=float, default=60.0)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fleet = Fleet(Endpoint(given.url, given.token), given.path, given.watches)
    start_s = time.monotonic()
    fleet.open(given.limit_s)
    _tell({"opened_s": time.monotonic() - start_s})
    commands = sys.stdin.fileno()
    fleet.listen(commands)
    while True:
        while not fleet.step(1.0, commands):
            pass
        if sys.stdin.readline().strip() != "report":
            break
        _tell(fleet.report())
    start_s = time.monotonic()
    fleet.close()
    _tell({"closed_s": time.monotonic() - start_s})


def _tell(found: dict[str, Any]) -> None:
    print(orjson.dumps(found).decode(), flush=True)


if __name__ == "__main__":
    main()

"""Many readers of one list, and creates at a steady rate beside them, in a process of their own.

Run as `python -m tests.bench.list_load`: every reader downloads the list and throws it away, all at
once; meanwhile objects are created, each at its time whatever became of those before. Prints one
line of JSON when the last reader is through.
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from tests.bench.endpoint import Endpoint
from tests.bench.objects import NAME

_WRITERS: Final = 16
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Reading:
    """What came of one reader: bytes as they were sent, and whether they were compressed."""

    bytes: int = 0
    is_gzip: bool = False

    def accept(self, head: bytes) -> None:
        """Look at the first bytes of the answer."""
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"list refused: {head[:300]!r}")
        self.is_gzip = b"content-encoding: gzip" in head.partition(_HEAD_END)[0].lower()


def read(endpoint: Endpoint, path: str, headers: dict[str, str], rate: float) -> Reading:
    """Download a list at `rate` bytes a second, 0 for as fast as it comes."""
    reading = Reading()
    reading.bytes = endpoint.download(path, reading.accept, headers, rate)
    return reading


def read_all(
    endpoint: Endpoint, path: str, headers: dict[str, str], rate: float, readers: int
) -> list[Reading]:
    """Read a list so many times at once."""
    with ThreadPoolExecutor(max(1, readers)) as pool:
        return list(pool.map(lambda _: read(endpoint, path, headers, rate), range(readers)))


class Creates:
    """Creates at a steady rate; latency counts from when each one was due."""

    def __init__(self, endpoint: Endpoint, path: str, body: bytes, per_second: float) -> None:
        self._endpoint = endpoint
        self._path = path
        self._head, _, self._tail = body.partition(NAME.encode())
        self._interval_s = 1 / per_second
        self._start_s = 0.0
        self._connected = threading.Barrier(_WRITERS, self._begin)
        self._prefix = f"beside-{secrets.token_hex(3)}-"
        self.ended = False
        self.latencies_us: list[float] = []

    def _begin(self) -> None:
        self._start_s = time.monotonic()

    def write(self, writer: int) -> None:
        """Send every so manieth create, until `ended`; none before all are connected."""
        connection = self._endpoint.connect()
        connection.connect()
        self._connected.wait()
        number = writer
        while not self.ended:
            due_s = self._start_s + number * self._interval_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            name = f"{self._prefix}{number}".encode()
            self._endpoint.send(connection, "POST", self._path, self._head + name + self._tail)
            self.latencies_us.append((time.monotonic() - due_s) * 1e6)
            number += _WRITERS
        connection.close()


def run(endpoint: Endpoint, given: argparse.Namespace) -> dict[str, float | bool]:
    """Read and create, and return what came of it."""
    headers = {"Accept": given.accept, **({"Accept-Encoding": "gzip"} if given.gzip else {})}
    # Readers have a process of their own: creates are not to wait for the interpreter's lock.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context) as apart,
        ThreadPoolExecutor(_WRITERS) as pool,
    ):
        apart.submit(time.monotonic).result()
        creates, writing = None, []
        if given.create_body:
            body = Path(given.create_body).read_bytes()
            creates = Creates(endpoint, given.create_path, body, given.creates_per_second)
            writing = [pool.submit(creates.write, writer) for writer in range(_WRITERS)]
            time.sleep(given.lead_s)
        start_s = time.monotonic()
        readings = apart.submit(
            read_all, endpoint, given.path, headers, given.rate, given.readers
        ).result()
        took_s = time.monotonic() - start_s
        if creates is not None:
            time.sleep(max(0.0, given.at_least_s - took_s))
            creates.ended = True
            for one in writing:
                one.result()
        created_s = time.monotonic() - start_s + given.lead_s
    times = sorted(creates.latencies_us) if creates else []
    return {
        "bytes": sum(one.bytes for one in readings),
        "is_gzip": any(one.is_gzip for one in readings),
        "took_s": took_s,
        "creates": len(times),
        "created_s": created_s,
        "create_p50_us": times[len(times) // 2] if times else 0.0,
        "create_p99_us": times[len(times) * 99 // 100] if times else 0.0,
    }


def main() -> None:
    """Read the command line and load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--ca", default="")
    parser.add_argument("--path", required=True)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second of each reader")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--accept", default="application/json")
    parser.add_argument("--create-path", default="")
    parser.add_argument("--create-body", default="", help="a file")
    parser.add_argument("--creates-per-second", type=float, default=100.0)
    parser.add_argument("--lead-s", type=float, default=0.5, help="creates alone, at first")
    parser.add_argument("--at-least-s", type=float, default=0.0, help="go on creating so long")
    given = parser.parse_args()
    endpoint = Endpoint(given.url, given.token, given.ca)
    print(orjson.dumps(run(endpoint, given)).decode(), flush=True)


if __name__ == "__main__":
    main()

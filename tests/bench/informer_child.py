"""The two processes of the scenario `informers`: one tells events, the other is told.

    python -m tests.bench.informer_child serve PODS EVENTS   prints its port; a watch with initial
                                                             events, then a burst of modifications
    python -m tests.bench.informer_child follow PORT PODS EVENTS   prints what it measured, as JSON

Holds are CPU time of the follower between two turns of its event loop, so that other processes of
the machine do not count.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from kube.access import Access
from kube.client import ApiClient
from kube.informers.informer import Delta, Informers
from kube.json_types import JsonObject
from runtime import collection
from runtime.tasks import TaskScope
from tests.bench.cluster_pods import manifest, status

_CHUNK_LINES: Final = 50
_PAGE_BYTES: Final = 4096
_NOW: Final = "2026-01-01T00:00:00Z"


def _lines(kind: str, count: int, first_revision: int) -> Iterator[bytes]:
    pod: dict[str, Any] = manifest("team-0", "web-0")
    pod["status"] = status(_NOW)
    metadata, owner = pod["metadata"], pod["metadata"]["ownerReferences"][0]
    for number in range(count):
        metadata["namespace"] = f"team-{number % 200}"
        metadata["name"] = f"web-{number // 10}-{number:08d}"
        metadata["uid"] = f"{number:08x}-0000-4000-8000-{number:012x}"
        metadata["resourceVersion"] = str(first_revision + number)
        metadata["labels"]["app"] = f"web-{number % 3000}"
        owner["uid"] = f"{number // 10:08x}-0000-4000-8000-000000000000"
        pod["spec"]["nodeName"] = f"node-{number % 100_000}"
        yield b'{"type":"%b","object":%b}\n' % (kind.encode(), orjson.dumps(pod))


def _bookmark(revision: int) -> bytes:
    annotations = {"k8s.io/initial-events-end": "true"}
    metadata = {"resourceVersion": str(revision), "annotations": annotations}
    content = {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": metadata}}
    return orjson.dumps(content) + b"\n"


def _chunks(lines: Sequence[bytes]) -> list[bytes]:
    parts = [b"".join(lines[at : at + _CHUNK_LINES]) for at in range(0, len(lines), _CHUNK_LINES)]
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]


async def _serve(pods: int, events: int) -> None:
    start = [*_lines("ADDED", pods, 1), _bookmark(pods)]
    burst = list(_lines("MODIFIED", events, pods + 1))
    initial, changes = _chunks(start), _chunks(burst)
    go_on = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if request.startswith(b"GET /go"):
            go_on.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in initial:
            writer.write(chunk)
            await writer.drain()
        await go_on.wait()
        for chunk in changes:
            writer.write(chunk)
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


class Holds:
    """How long the event loop did not turn, in CPU time."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._last_s = time.process_time()
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        now_s = time.process_time()
        self.worst_s = max(self.worst_s, now_s - self._last_s)
        self._last_s = now_s
        asyncio.get_running_loop().call_soon(self._turn)


def memory_bytes() -> int:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


async def _follow(port: int, pods: int, events: int) -> None:
    collection.look_at_new()
    async with (
        ApiClient(Access(f"http://127.0.0.1:{port}")) as client,
        TaskScope("informers") as scope,
    ):
        informers = Informers(client)
        informer = informers.of(
            "/api/v1/pods",
            indexers={
                "node": lambda pod: pod["spec"].get("nodeName", ""),
                "namespace": lambda pod: pod["metadata"]["namespace"],
                "owner": _owners,
                "app": lambda pod: pod["metadata"]["labels"]["app"],
                "phase": lambda pod: pod["status"]["phase"],
            },
        )
        seen, told = 0, asyncio.Event()

        def count(deltas: Sequence[Delta]) -> None:
            nonlocal seen
            seen += len(deltas)
            if seen >= pods + events:
                told.set()

        informer.on_changes(count)
        before_bytes = memory_bytes()
        informers.start(scope)
        await informers.wait_synced()
        store = informer.store
        raw_bytes = sum(len(store.raw(key) or b"") for key in store.all_keys())
        kept_bytes = memory_bytes() - before_bytes
        collection.freeze()
        holds = Holds()
        started_s, cpu_s = time.perf_counter(), time.process_time()
        await client.request("GET", "/go")
        await told.wait()
        taken_s, used_s = time.perf_counter() - started_s, time.process_time() - cpu_s
        found = {
            "events_s": events / taken_s,
            "event_cpu_us": used_s / events * 1e6,
            "worst_ms": holds.worst_s * 1000,
            "kept_bytes": (kept_bytes - raw_bytes) / pods,
            "raw_bytes": raw_bytes / pods,
        }
        print(orjson.dumps(found).decode(), flush=True)
        await scope.stop()


def _owners(pod: JsonObject) -> list[str]:
    return [one["uid"] for one in pod["metadata"].get("ownerReferences") or ()]


def main() -> None:
    """Be the process that the command line names."""
    mode, *numbers = sys.argv[1:]
    given = [int(text) for text in numbers]
    uvloop.run(_serve(*given) if mode == "serve" else _follow(*given))


if __name__ == "__main__":
    main()

"""Lists at scale: what long lists cost in memory, and what others notice of them.

Extra memory is the highest `RssAnon` of the API server while lists are read, beyond what it held
before: pages of the replica, mapped from tmpfs, are shared, and there without any list. Creates go
on at 100 a second beside; their latency counts from when each was due. Listed pods differ in names,
uids, times and revisions only, so that they compress better than those of a real cluster.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, Final

import orjson

from tests.bench import objects, wrk
from tests.bench.figures import Figure
from tests.bench.scenarios import CONNECTIONS, Scene

PODS: Final = 20_000
PODS_AT_SCALE: Final = 200_000
READERS: Final = 20
ONE_LIST_MB_MAX: Final = 30.0
ALL_LISTS_MB_MAX: Final = 200.0
CREATE_P99_MS_MAX: Final = 50.0
_API_SERVER: Final = "apiserver"
_ROUND_S: Final = 3
_ROUNDS_MAX: Final = 60
_SAMPLE_S: Final = 0.02
_LOAD_S_MAX: Final = 300.0


def lists_at_scale(scene: Scene) -> list[Figure]:
    """Measure lists of many Pods of 2.6 KB: one, 20 at once, compressed, with creates beside."""
    if _API_SERVER not in scene.server.meter.pids:
        return []
    count = _fill(scene)
    what = f"list {count:,} Pods"
    run = _Run(scene)
    first, alone = run.load(), run.load()
    figures = [
        _throughput(what, alone, 1),
        _memory(f"extra memory of {what}", first, ONE_LIST_MB_MAX),
        _creates("creates beside none", run.load("--at-least-s", "5", readers=0)),
    ]
    for suffix, options in (("", []), (", gzip", ["--gzip"])):
        many = run.load(*options, readers=READERS)
        title = f"{READERS} x {what}{suffix}"
        figures += [
            _throughput(title, many, alone["bytes"] * READERS / many["bytes"]),
            _memory(f"extra memory of {title}", many, ALL_LISTS_MB_MAX),
            _creates(f"creates beside {title}", many),
        ]
    return figures


class _Run:
    """Loads the list and looks at the server's memory meanwhile."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._body = scene.body_file("beside", objects.pod())

    def load(self, *options: str, readers: int = 1) -> dict[str, Any]:
        """Read the list, and return what came of it and `extra_mb`."""
        endpoint, path = self._scene.server.endpoint, self._scene.path("pods")
        command = [
            *(sys.executable, "-m", "tests.bench.list_load", "--url", endpoint.url),
            *("--token", endpoint.token, "--ca", endpoint.ca_file, "--path", path),
            *("--readers", str(readers), "--create-path", path, "--create-body", self._body),
            *options,
        ]
        held = self._anonymous_bytes()
        peak = held
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(_SAMPLE_S):
                peak = max(peak, self._anonymous_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=_LOAD_S_MAX
            )
        finally:
            done.set()
            watcher.join()
        result: dict[str, Any] = orjson.loads(ended.stdout)
        return {**result, "extra_mb": (peak - held) / 1e6}

    def _anonymous_bytes(self) -> int:
        return self._scene.server.meter.anonymous_bytes(_API_SERVER)


def _fill(scene: Scene) -> int:
    """Create pods until there are as many as wanted, and return how many there are."""
    endpoint, path = scene.server.endpoint, scene.path("pods")
    file = scene.body_file("pods", objects.pod())
    for number in range(_ROUNDS_MAX):
        if (count := _count(scene)) >= scene.listed_pods:
            return count
        wrk.run(
            endpoint.url + path,
            "create.lua",
            connections=CONNECTIONS,
            seconds=_ROUND_S,
            token=endpoint.token,
            options={"body": file, "prefix": f"many{number}"},
        )
    raise wrk.LoadFailed(f"only {count} pods were made in {_ROUNDS_MAX} rounds")


def _count(scene: Scene) -> int:
    page = orjson.loads(scene.server.endpoint.request("GET", scene.path("pods") + "?limit=1"))
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def _throughput(what: str, result: dict[str, Any], ratio: float) -> Figure:
    """Return how fast lists were read; of compressed ones what they stand for, and the ratio."""
    rate = result["bytes"] * ratio / result["took_s"] / 1e6
    target = f"1 : {ratio:.1f}" if result["is_gzip"] else ""
    return Figure(what, rate, "MB/s", p50_us=result["took_s"] * 1e6, target=target)


def _memory(what: str, result: dict[str, Any], bar_mb: float) -> Figure:
    extra_mb = result["extra_mb"]
    return Figure(what, extra_mb, "MB", target=f"≤ {bar_mb:.0f} MB", is_met=extra_mb <= bar_mb)


def _creates(what: str, result: dict[str, Any]) -> Figure:
    p99_us = result["create_p99_us"]
    return Figure(
        what,
        result["creates"] / result["created_s"],
        p50_us=result["create_p50_us"],
        p99_us=p99_us,
        target=f"p99 ≤ {CREATE_P99_MS_MAX:.0f} ms",
        is_met=p99_us <= CREATE_P99_MS_MAX * 1000,
    )

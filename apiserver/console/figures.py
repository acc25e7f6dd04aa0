"""What a server does, in few figures: counters of requests, levels, watches, partitions.

Counters are told as they are; who looks works out rates from two of them. Each worker tells its own
part, and the one that is asked adds them up. Many who look share one gathering a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from apiserver.fairness.flows import Flows
from apiserver.metrics import Metrics
from runtime import unix_sockets
from runtime.clock import Clock

AGE_S_MAX: Final = 0.5
WATCHES_MAX: Final = 30
"""Types whose open watches are told; the rest are told together."""
_QUESTION: Final = b"f"
_COMPONENT_S_MAX: Final = 0.5
_COMPONENT_BYTES_MAX: Final = 1 << 20
_PARTITION_KEYS: Final = (
    *("name", "ready", "revision", "objects", "bytes", "lag", "lag_s", "watchers"),
    *("checkpoint", "checkpoint_at_ms", "failure"),
)
_STREAM_KEYS: Final = (
    *("last", "appends", "syncs", "syncSeconds", "retainedBytes", "pendingAppends", "closed"),
)
_ADDED_LEVEL: Final = ("executing", "waiting", "seats", "current", "dispatched", "rejected")


def worker_figures(metrics: Metrics, flows: Flows) -> bytes:
    """Return what this process has to tell, as JSON for `add_up`.

    `requests`, by verb: answered, of these with 429, of these with 5xx, seconds in all, and counts
    by `FINE_BOUNDS_S`. What lasts as long as its client likes, a watch, is not timed.
    """
    requests: dict[str, list[Any]] = {}
    for series in metrics.all_series():
        if not series.totals or series.labels.verb == "WATCH":
            continue
        known = requests.get(series.labels.verb)
        if known is None:
            known = requests[series.labels.verb] = [0, 0, 0, 0.0, [0] * len(series.counts)]
        for code, count in series.totals.items():
            known[0] += count
            known[1] += count if code == 429 else 0
            known[2] += count if code >= 500 else 0
        known[3] += series.sum_s
        known[4] = [a + b for a, b in zip(known[4], series.counts, strict=True)]
    watches: dict[str, int] = {}
    for (group, _, resource), count in metrics.watches.items():
        if count:
            name = f"{resource}.{group}" if group else resource
            watches[name] = watches.get(name, 0) + count
    content = {
        "requests": requests,
        "inflight": [metrics.inflight_read, metrics.inflight_write],
        "watches": watches,
        "watchEvents": sum(metrics.watch_events.values()),
        "levels": _levels(flows),
    }
    return orjson.dumps(content)


def _levels(flows: Flows) -> dict[str, dict[str, int]]:
    found = {}
    for name, level in flows.levels.items():
        tallies = level.tallies.values()
        found[name] = {
            "executing": level.queues.executing,
            "waiting": level.queues.waiting,
            "seats": level.queues.seats_in_use,
            "current": level.current,
            "dispatched": sum(tally.started for tally in tallies),
            "rejected": sum(sum(tally.rejected.values()) for tally in tallies),
        }
    return found


def add_up(parts: Sequence[bytes]) -> dict[str, Any]:
    """Return what all workers have told as one server's figures."""
    total: dict[str, Any] = orjson.loads(parts[0])
    for part in map(orjson.loads, parts[1:]):
        for verb, told in part["requests"].items():
            known = total["requests"].get(verb)
            if known is None:
                total["requests"][verb] = told
                continue
            for place in range(4):
                known[place] += told[place]
            known[4] = [a + b for a, b in zip(known[4], told[4], strict=True)]
        for place in range(2):
            total["inflight"][place] += part["inflight"][place]
        for name, count in part["watches"].items():
            total["watches"][name] = total["watches"].get(name, 0) + count
        total["watchEvents"] += part["watchEvents"]
        for name, told in part["levels"].items():
            known = total["levels"].setdefault(name, dict.fromkeys(_ADDED_LEVEL, 0))
            for key in _ADDED_LEVEL:
                known[key] += told[key]
    total["workers"] = len(parts)
    total["watches"] = _largest(total["watches"])
    return total


def _largest(watches: Mapping[str, int]) -> dict[str, int]:
    ordered = sorted(watches.items(), key=lambda item: (-item[1], item[0]))
    shown = dict(ordered[:WATCHES_MAX])
    if rest := sum(count for _, count in ordered[WATCHES_MAX:]):
        shown["others"] = rest
    return shown


@dataclass(frozen=True, slots=True)
class Sources:
    """Where figures come from.

    Attributes:
        gather: the parts of all workers.
        status: what `ultraplane status` shows.
        scheduler, controllers: where these are asked; None: they do not run here.
    """

    gather: Callable[[], Awaitable[list[bytes]]]
    status: Callable[[], dict[str, Any]]
    scheduler: Path | None = None
    controllers: Path | None = None


class Figures:
    """The figures of the whole server, not older than a moment."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._known_at_s = float("-inf")

    async def now(self) -> dict[str, Any]:
        """Return them; not to be changed."""
        async with self._lock:
            if self._clock.monotonic_s() - self._known_at_s > AGE_S_MAX:
                self._known = await self._gather()
                self._known_at_s = self._clock.monotonic_s()
            return self._known

    async def _gather(self) -> dict[str, Any]:
        sources = self._sources
        parts, scheduler, controllers = await asyncio.gather(
            sources.gather(), _ask(sources.scheduler), _ask(sources.controllers)
        )
        told = sources.status()
        journal = (told["journal"] or {}).get("streams", {})
        return {
            "at_s": self._clock.monotonic_s(),
            "now_ms": self._clock.now_ms(),
            **add_up(parts),
            "partitions": [
                {key: one[key] for key in _PARTITION_KEYS} for one in told["partitions"]
            ],
            "journal": {
                name: {key: stream.get(key) for key in _STREAM_KEYS}
                for name, stream in journal.items()
            },
            "alarms": told["alarms"],
            "scheduler": scheduler,
            "controllers": controllers,
        }


async def _ask(path: Path | None) -> dict[str, Any] | None:
    """Return what a process beside us tells; None: it does not run, or does not answer."""
    if path is None:
        return None
    try:
        content = await unix_sockets.ask(path, _QUESTION, _COMPONENT_S_MAX, _COMPONENT_BYTES_MAX)
        told = orjson.loads(content)
    except (OSError, TimeoutError, ValueError):
        return None
    return told if isinstance(told, dict) else None

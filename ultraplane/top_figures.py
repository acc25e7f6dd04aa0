"""What `ultraplane top` tells: rates and quantiles, worked out of the server's counters.

A server tells counters that only grow; two accounts of them, a while apart, make a rate. Latencies
are of the last ten seconds, straight lines within the server's buckets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, TypeAlias

Tick: TypeAlias = Mapping[str, Any]
WINDOW: Final = 11
"""Accounts that latencies are of: ten seconds."""
_RATE_OVER: Final = 3
_WRITES: Final = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")
_TIMED: Final = ("GET", *_WRITES)
"""What the latency of all is of: lists may take as long as they are long."""


def quantile(bounds: Sequence[float], counts: Sequence[float], part: float) -> float | None:
    """Return a quantile of values counted by bucket, None of no values.

    Args:
        bounds: of the buckets, ascending.
        counts: one more; the last bucket has no end, so its beginning stands for it.
        part: 0 to 1.
    """
    total = sum(counts)
    if not total:
        return None
    left = part * total
    for place, count in enumerate(counts):
        if count and left <= count:
            low = bounds[place - 1] if place else 0.0
            high = bounds[place] if place < len(bounds) else low
            return low + (high - low) * left / count
        left -= count
    return bounds[-1]


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of a verb, or of all: how many a second, and how long they took."""

    per_s: float
    throttled_per_s: float
    failed_per_s: float
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of a moment; JSON for programs has these keys.

    Attributes:
        at_ms: by the server's clock.
        nodes, pods: by state and phase; None: who asks may not list them.
        requests: by verb; `latency` is of gets and writes together.
        lag_s: for how long the slowest partition has known of what it has not applied.
        scheduler, controllers: None: they do not run beside the server, or do not answer.
    """

    at_ms: int
    nodes: dict[str, Any] | None
    pods: dict[str, Any] | None
    requests: dict[str, Requests]
    total_per_s: float
    latency: Requests
    lag_s: float
    partitions: list[dict[str, Any]]
    watches: int
    watch_events_per_s: float
    levels: dict[str, dict[str, Any]]
    scheduler: dict[str, Any] | None
    controllers: dict[str, dict[str, Any]] | None
    alarms: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Window:
    """The last accounts of a server."""

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = bounds_s
        self._ticks: deque[Tick] = deque(maxlen=WINDOW)

    def __len__(self) -> int:
        return len(self._ticks)

    @property
    def is_complete(self) -> bool:
        """Whether there is a rate, and all nodes and pods are counted that may be."""
        if len(self._ticks) < 2:
            return False
        now = self._ticks[-1]
        parts = [now[name] for name in ("nodes", "pods") if name in now]
        return all(part["complete"] for part in parts)

    def take(self, tick: Tick) -> None:
        """Take an account; one of a server that has begun anew is the first of its kind."""
        if self._ticks and _answered(tick) < _answered(self._ticks[-1]):
            self._ticks.clear()
        self._ticks.append(tick)

    def view(self) -> View:
        """Return what is to be shown now."""
        now = self._ticks[-1]
        verbs = sorted(now["requests"])
        return View(
            at_ms=now["now_ms"],
            nodes=now.get("nodes"),
            pods=now.get("pods"),
            requests={verb: self._requests([verb]) for verb in verbs},
            total_per_s=self._requests(verbs).per_s,
            latency=self._requests(_TIMED),
            lag_s=max((one["lag_s"] for one in now["partitions"]), default=0.0),
            partitions=now["partitions"],
            watches=sum(now["watches"].values()),
            watch_events_per_s=self._rate(lambda tick: tick["watchEvents"]),
            levels=now["levels"],
            scheduler=self._scheduler(now.get("scheduler")),
            controllers=self._controllers(now.get("controllers")),
            alarms=now["alarms"],
        )

    def _requests(self, verbs: Sequence[str]) -> Requests:
        count, throttled, failed = (
            self._rate(partial(_sum, verbs=verbs, place=place)) for place in range(3)
        )
        counts = [0.0] * (len(self._bounds_s) + 1)
        now, then = self._ticks[-1]["requests"], self._ticks[0]["requests"]
        for verb in verbs:
            if verb in now:
                before = then[verb][4] if verb in then else [0] * len(counts)
                pairs = zip(now[verb][4], before, strict=True)
                counts = [
                    sum(entry) for entry in zip(counts, (a - b for a, b in pairs), strict=True)
                ]
        p50_s, p99_s = (quantile(self._bounds_s, counts, part) for part in (0.5, 0.99))
        return Requests(count, throttled, failed, p50_s, p99_s)

    def _scheduler(self, told: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if not told:
            return None
        before = self._ticks[0].get("scheduler")
        waits: list[int] = []
        # One that has begun anew has counted less.
        if before and before["bound"] <= told["bound"]:
            waits = [a - b for a, b in zip(told["waits"], before["waits"], strict=True)]
        return {
            "queue": told["queue"],
            "bound_per_s": self._rate(lambda tick: (tick.get("scheduler") or {}).get("bound", 0)),
            "refused_per_s": self._rate(
                lambda tick: (tick.get("scheduler") or {}).get("refused", 0)
            ),
            "bound": told["bound"],
            "wait_p50_s": quantile(told["bounds_s"], waits, 0.5),
            "wait_p99_s": quantile(told["bounds_s"], waits, 0.99),
        }

    def _controllers(self, told: Mapping[str, Any] | None) -> dict[str, dict[str, Any]] | None:
        if told is None:
            return None
        found = {}
        for name, queue in told.items():
            rates = {
                f"{key}_per_s": self._rate(partial(_of_queue, name=name, key=key))
                for key in ("worked", "failed")
            }
            found[name] = {"waiting": queue["waiting"], "delayed": queue["delayed"], **rates}
        return found

    def _rate(self, counter: Callable[[Tick], float]) -> float:
        """Return how much a counter grows a second, of late."""
        if len(self._ticks) < 2:
            return 0.0
        now, then = self._ticks[-1], self._ticks[max(0, len(self._ticks) - _RATE_OVER)]
        passed_s = now["at_s"] - then["at_s"]
        return max(0.0, counter(now) - counter(then)) / passed_s if passed_s > 0 else 0.0


def _sum(tick: Tick, verbs: Sequence[str], place: int) -> int:
    told = tick["requests"]
    return sum(told[verb][place] for verb in verbs if verb in told)


def _of_queue(tick: Tick, name: str, key: str) -> int:
    queues = tick.get("controllers") or {}
    return queues[name][key] if name in queues else 0


def _answered(tick: Tick) -> int:
    return _sum(tick, tuple(tick["requests"]), 0)

"""Looks at everything once in an interval: the server's metrics, processes, what watches tell."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from kube.client import ApiClient, Unreachable
from kube.status import StatusError
from scaletest.counting import Counting
from scaletest.exposition import Exposition
from scaletest.latencies import (
    FAMILY,
    Histograms,
    Kind,
    between,
    by_kind,
    quantile_s,
    read_histograms,
)
from scaletest.load import Errors
from scaletest.processes import ProcessUse
from scaletest.samples import Record, Sample, Window
from scaletest.watching import Nodes, WaitingPods

WINDOW_S: Final = 300.0
"""The stretch over which upstream's objectives take their percentile."""
_RECENT_S: Final = 10.0
_GAP_S: Final = 0.3
_REQUESTS_MIN: Final = 20
_OBJECTS_MIN: Final = 100
_READ_S_MAX: Final = 60.0
_REQUESTS: Final = "apiserver_request_total"
_EVENTS: Final = "apiserver_watch_events_total"
_GAUGES: Final = {
    "store_bytes": "apiserver_storage_size_bytes",
    "journal_bytes": "ultraplane_journal_log_bytes",
    "inflight": "apiserver_current_inflight_requests",
    "queued": "apiserver_flowcontrol_current_inqueue_requests",
    "pending_appends": "ultraplane_journal_pending_appends",
    "lag_entries": "ultraplane_storage_lag_entries",
    "watches": "apiserver_longrunning_requests",
}
_OBJECTS: Final = ("apiserver_resource_objects", "apiserver_storage_objects")
_ALARM: Final = "ultraplane_alarm"
_WANTED: Final = (FAMILY, _REQUESTS, _EVENTS, _ALARM, *_OBJECTS, *_GAUGES.values())
_READS: Final = frozenset({"GET", "LIST"})
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})

Page = Mapping[str, list[tuple[Mapping[str, str], float]]]


class Answered(NamedTuple):
    """What answers are told apart by."""

    verb: str
    resource: str
    subresource: str
    code: str


class Sampler:
    """See the module's head.

    Args of the constructor:
        client: of the server.
        record: where samples go.
        errors: where failures are counted.
        nodes, waiting: what watches tell.
        use: looks at processes.

    Attributes:
        phase: what is under way.
        on_sample: is told of each sample.
    """

    def __init__(
        self,
        client: ApiClient,
        record: Record,
        errors: Errors,
        nodes: Nodes,
        waiting: WaitingPods,
        use: ProcessUse,
    ) -> None:
        self.phase = ""
        self.on_sample: Callable[[Sample], None] = lambda _sample: None
        self._client = client
        self._record = record
        self._errors = errors
        self._nodes = nodes
        self._waiting = waiting
        self._use = use
        self._pages = Exposition(_WANTED)
        self._answers: Counting[Answered] = Counting()
        self._events: Counting[str] = Counting()
        self._recent: deque[tuple[float, Histograms]] = deque()
        self._window: tuple[float, Histograms] | None = None
        self._start_s = client.clock.monotonic_s()
        self._last_s = 0.0
        self._turn = asyncio.Lock()

    def now_s(self) -> float:
        """Return the time since the start of the run."""
        return self._client.clock.monotonic_s() - self._start_s

    async def run(self, every_s: float) -> None:
        """Sample for as long as it runs."""
        while True:
            began_s = self.now_s()
            await self.sample()
            await self._client.clock.sleep(max(every_s / 4, every_s - (self.now_s() - began_s)))

    async def begin(self, phase: str) -> None:
        """Have latencies from here on belong to a phase; empty: to none."""
        await self.sample(cut=True)
        self.phase = phase

    async def sample(self, *, cut: bool = False) -> None:
        """Take a sample; with `cut`, end the window of latencies with it.

        One is taken after the other, and a while after: rates of a few milliseconds say nothing.
        """
        async with self._turn:
            await self._client.clock.sleep(max(0.0, self._last_s + _GAP_S - self.now_s()))
            await self._take(cut=cut)

    async def _take(self, *, cut: bool) -> None:
        try:
            page = self._pages.read(await self._fetch())
        except (StatusError, Unreachable, ValueError) as error:
            self._errors.add(f"GET /metrics: {error}")
            return
        now_s = self.now_s()
        histograms = read_histograms(page.get(FAMILY, ()))
        self._note_window(now_s, histograms, cut=cut)
        sample = self._sample(now_s, page, histograms)
        if sample is not None:
            self._record.samples.append(sample)
            self.on_sample(sample)

    async def _fetch(self) -> list[bytes]:
        lines: list[bytes] = []
        fetching = self._client.stream(
            "/metrics", {}, read_timeout_s=_READ_S_MAX, accept="text/plain"
        )
        async with fetching as parts:
            async for part in parts:
                lines += part
        return lines

    def _sample(self, now_s: float, page: Page, histograms: Histograms) -> Sample | None:
        past_s, self._last_s = now_s - self._last_s, now_s
        answers = self._answers.look(_answers(page))
        events = self._events.look(_by(page.get(_EVENTS, ()), "resource"))
        self._record.responses = _sums(self._answers.totals, lambda one: one.code)
        self._record.failures = _failures(self._answers.totals)
        if past_s <= 0:
            return None
        objects = _objects(page)
        figures = {name: int(_sum(page, family)) for name, family in _GAUGES.items()}
        return Sample(
            at_s=now_s,
            phase=self.phase,
            nodes=len(self._nodes.names),
            ready_nodes=len(self._nodes.ready),
            pods=objects.get("pods", 0),
            waiting=len(self._waiting),
            objects={name: count for name, count in objects.items() if count >= _OBJECTS_MIN},
            objects_total=sum(objects.values()),
            reads_s=_count(answers, lambda one: one.verb in _READS) / past_s,
            writes_s=_count(answers, lambda one: one.verb in _WRITES) / past_s,
            bound_s=_count(answers, _is_binding) / past_s,
            refused_s=_count(answers, lambda one: one.code == "429") / past_s,
            events_s=sum(events.values()) / past_s,
            alarm=max((int(value) for _, value in page.get(_ALARM, ())), default=0),
            p99_s=self._recent_p99_s(now_s, histograms),
            processes=self._use.look(now_s),
            **figures,
        )

    def _recent_p99_s(self, now_s: float, histograms: Histograms) -> dict[str, float | None]:
        recent = self._recent
        recent.append((now_s, histograms))
        while len(recent) > 2 and recent[1][0] <= now_s - _RECENT_S:
            recent.popleft()
        added = by_kind(between(histograms, recent[0][1]))
        found: dict[str, float | None] = {}
        for kind in Kind:
            buckets = added.get(kind)
            enough = buckets is not None and buckets.total >= _REQUESTS_MIN
            found[kind.value] = quantile_s(buckets, 0.99) if buckets and enough else None
        return found

    def _note_window(self, now_s: float, histograms: Histograms, *, cut: bool) -> None:
        if self._window is None:
            self._window = (now_s, histograms)
            return
        began_s, before = self._window
        if not cut and now_s - began_s < WINDOW_S:
            return
        added = between(histograms, before)
        if added and self.phase:
            self._record.windows.append(Window(self.phase, began_s, now_s, added))
        self._window = (now_s, histograms)


def _answers(page: Page) -> dict[Answered, float]:
    found: dict[Answered, float] = {}
    for labels, value in page.get(_REQUESTS, ()):
        key = Answered(
            labels["verb"], labels["resource"], labels.get("subresource", ""), labels["code"]
        )
        found[key] = found.get(key, 0.0) + value
    return found


def _by(rows: Iterable[tuple[Mapping[str, str], float]], label: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in rows:
        found[labels[label]] = found.get(labels[label], 0.0) + value
    return found


def _objects(page: Page) -> dict[str, int]:
    for family in _OBJECTS:
        if family in page:
            rows = page[family]
            # Upstream's newer family has group and resource apart.
            named = (({**labels, "resource": _name(labels)}, value) for labels, value in rows)
            return {name: int(count) for name, count in _by(named, "resource").items()}
    return {}


def _name(labels: Mapping[str, str]) -> str:
    group, resource = labels.get("group", ""), labels["resource"]
    return f"{group}/{resource}" if group else resource


def _is_binding(one: Answered) -> bool:
    return one.subresource == "binding" and one.verb == "POST" and one.code == "201"


def _count(gained: Mapping[Answered, int], wanted: Callable[[Answered], bool]) -> int:
    return sum(count for one, count in gained.items() if wanted(one))


def _sum(page: Page, family: str) -> float:
    return sum(value for _, value in page.get(family, ()))


def _sums(totals: Mapping[Answered, int], name: Callable[[Answered], str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one, count in totals.items():
        found[name(one)] = found.get(name(one), 0) + count
    return found


def _failures(totals: Mapping[Answered, int]) -> dict[str, int]:
    refused = {one: count for one, count in totals.items() if one.code >= "400"}
    return _sums(
        refused,
        lambda one: " ".join(
            (one.code, one.verb, "/".join(filter(None, (one.resource, one.subresource))))
        ),
    )

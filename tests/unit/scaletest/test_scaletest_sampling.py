"""Samples of a server's metrics, and how phases end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kube.access import Access
from kube.client import ApiClient, Unreachable
from runtime.clock import SimulatedClock, SystemClock
from scaletest.load import Errors
from scaletest.plan import make_plan
from scaletest.processes import ProcessUse
from scaletest.running import Phase, Target, _Patience, _Run
from scaletest.sampler import Sampler
from scaletest.samples import Ending, PhaseRecord, Record, Sample
from scaletest.stage import PhaseFailed, Stage
from scaletest.watching import Nodes, WaitingPods

FAMILY = "apiserver_request_duration_seconds_bucket"


class _Client:
    """Gives one page of metrics after another; an empty one is a server that does not answer."""

    def __init__(self, pages: list[str]) -> None:
        self.clock = SimulatedClock()
        self._pages = iter(pages)

    @asynccontextmanager
    async def stream(self, path: str, _query: Any, **_more: Any) -> AsyncIterator[Any]:
        assert path == "/metrics"
        page = next(self._pages)
        if not page:
            raise Unreachable("nobody there")

        async def parts() -> AsyncIterator[list[bytes]]:
            for line in page.encode().split(b"\n"):
                yield [line]

        yield parts()


def _page(creates: int, bindings: int, refused: int, pods: int) -> str:
    labels = 'component="apiserver",group="",resource="pods",scope="resource",version="v1"'
    common = f'{labels},subresource=""'
    return "\n".join(
        [
            "# TYPE apiserver_request_total counter",
            f'apiserver_request_total{{code="201",{common},verb="POST"}} {creates}',
            f'apiserver_request_total{{code="429",{common},verb="POST"}} {refused}',
            f'apiserver_request_total{{code="200",{common},verb="GET"}} {creates / 2}',
            f'apiserver_request_total{{code="101",{common},verb="WATCH"}} 1000',
            f'apiserver_request_total{{code="201",{labels},subresource="binding",verb="POST"}} '
            f"{bindings}",
            f'{FAMILY}{{{common},le="0.1",verb="POST"}} {creates}',
            f'{FAMILY}{{{common},le="+Inf",verb="POST"}} {creates}',
            f'apiserver_resource_objects{{group="",resource="pods"}} {pods}',
            'apiserver_resource_objects{group="apps",resource="daemonsets"} 2',
            f'apiserver_storage_size_bytes{{partition="a"}} {pods}',
            'apiserver_storage_size_bytes{partition="b"} 5',
            'ultraplane_alarm{alarm="a"} 0',
            'ultraplane_alarm{alarm="b"} 2',
        ]
    )


async def _sampled(pages: list[str], pause_s: float = 10.0) -> tuple[Record, Errors]:
    client = _Client(pages)
    record, errors = Record(), Errors()
    waiting = WaitingPods(record.waits_s, client.clock.monotonic_s)
    use = ProcessUse(dict)
    sampler = Sampler(client, record, errors, Nodes(), waiting, use)  # type: ignore[arg-type]
    sampler.phase = "launch"
    for number in range(len(pages)):
        taking = asyncio.ensure_future(sampler.sample(cut=number == len(pages) - 1))
        while not taking.done():
            await client.clock.advance(pause_s if not number else pause_s / 2)
    return record, errors


def test_rates_are_what_counters_gained_by_the_time_that_passed() -> None:
    pages = [_page(100, 50, 0, 10), _page(1100, 550, 100, 500)]
    record, errors = asyncio.run(_sampled(pages))
    first, second = record.samples
    past_s = second.at_s - first.at_s
    assert past_s > 0
    assert second.bound_s == pytest.approx(500 / past_s)
    assert second.writes_s == pytest.approx((1000 + 500 + 100) / past_s)
    assert second.reads_s == pytest.approx(500 / past_s)
    assert second.refused_s == pytest.approx(100 / past_s)
    assert (first.bound_s, first.writes_s) == (0, 0)
    assert errors.total == 0


def test_samples_tell_sizes_objects_and_the_worst_alarm() -> None:
    record, _ = asyncio.run(_sampled([_page(0, 0, 0, 10), _page(0, 0, 0, 500)]))
    sample = record.samples[-1]
    assert (sample.pods, sample.objects_total, sample.store_bytes, sample.alarm) == (
        500,
        502,
        505,
        2,
    )
    assert sample.objects == {"pods": 500}  # daemonsets are too few to be drawn


def test_answers_are_counted_from_the_first_sample_on() -> None:
    record, _ = asyncio.run(_sampled([_page(100, 50, 3, 0), _page(200, 60, 5, 0)]))
    assert record.responses == {"201": 110, "429": 2, "200": 50}
    assert record.failures == {"429 POST pods": 2}


def test_a_window_ends_with_its_phase() -> None:
    record, _ = asyncio.run(_sampled([_page(0, 0, 0, 0), _page(500, 0, 0, 0)]))
    (window,) = record.windows
    assert window.phase == "launch"
    assert [one.total for one in window.histograms.values()] == [500]


def test_a_server_that_does_not_answer_is_an_error_and_no_end() -> None:
    pages = [_page(0, 0, 0, 0), "", _page(900, 0, 0, 7)]
    record, errors = asyncio.run(_sampled(pages))
    assert dict(errors.counts) == {"GET /metrics: nobody there": 1}
    assert [one.pods for one in record.samples] == [0, 7]


class _Silent:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Ending | None]] = []

    def on_phase(self, phase: PhaseRecord) -> None:
        self.heard.append((phase.name, phase.ending))

    def on_sample(self, sample: Sample, phase: PhaseRecord | None) -> None:
        pass


def _played(
    body: Callable[[Stage, PhaseRecord], Awaitable[None]], timeout_s: float = 30.0
) -> tuple[PhaseRecord, Ending, list[tuple[str, Ending | None]]]:
    access = Access("http://127.0.0.1:1")
    observer = _Silent()

    async def play() -> tuple[PhaseRecord, Ending]:
        client = ApiClient(access, clock=SystemClock())
        run = _Run(client, Target(access, dict, lambda: 0), make_plan(0.01), observer)

        async def begin(_phase: str) -> None:
            pass

        run._sampler.begin = begin  # type: ignore[method-assign]
        phase = Phase("launch", "Nodes", body, lambda _plan: timeout_s)
        ending = await run.play(phase)
        return run.record.phases[0], ending

    record, ending = asyncio.run(play())
    return record, ending, observer.heard


def test_a_phase_that_does_its_work_is_done_and_both_ends_are_told() -> None:
    async def body(_stage: Stage, phase: PhaseRecord) -> None:
        phase.figures["x"] = 1.0

    record, ending, heard = _played(body)
    assert (record.ending, ending, record.figures) == (Ending.DONE, Ending.DONE, {"x": 1.0})
    assert heard == [("launch", None), ("launch", Ending.DONE)]


def test_a_phase_that_cannot_be_done_says_why() -> None:
    async def body(_stage: Stage, _phase: PhaseRecord) -> None:
        raise PhaseFailed("3 pods have failed")

    record, ending, _ = _played(body)
    assert (ending, record.why) == (Ending.FAILED, "3 pods have failed")


def test_a_phase_that_takes_too_long_is_ended() -> None:
    async def body(_stage: Stage, _phase: PhaseRecord) -> None:
        await asyncio.Event().wait()

    record, ending, _ = _played(body, timeout_s=0.01)
    assert ending is Ending.TIMED_OUT
    assert record.why.startswith("not done within")


def test_a_phase_that_gets_on_has_more_time_and_one_that_stalls_has_not() -> None:
    async def play(steps: int) -> PhaseRecord:
        phase = PhaseRecord("launch", "Nodes", 0.0)
        patience_s = 0.05
        try:
            async with asyncio.timeout(patience_s) as limit:
                patience = _Patience(limit, phase, patience_s, stalled_s=0.05)
                for step in range(20):
                    phase.done = min(step, steps)
                    patience.look()
                    await asyncio.sleep(0.01)
            phase.ending = Ending.DONE
        except TimeoutError:
            phase.ending = Ending.TIMED_OUT
        return phase

    assert asyncio.run(play(20)).ending is Ending.DONE
    assert asyncio.run(play(3)).ending is Ending.TIMED_OUT

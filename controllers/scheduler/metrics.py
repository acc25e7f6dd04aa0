"""The scheduler's metrics by upstream's names (kube-scheduler's /metrics), and who serves them.

Kept are those that upstream calls stable or beta and that mean something here: attempts and how
long they take, from queue to node, the queue's places, preemption, and what is known.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from controllers.scheduler.engine import Engine
from controllers.scheduler.queue import Place, PodQueue, Waiting

SCHEDULED: Final = "scheduled"
REFUSED: Final = "unschedulable"
FAILED: Final = "error"
_PLACES: Final = (Place.ACTIVE, Place.BACKOFF, Place.UNSCHEDULABLE, Place.GATED)
_ATTEMPT_S: Final = tuple(0.001 * 2**power for power in range(15))
_SLI_S: Final = tuple(0.01 * 2**power for power in range(20))
_ATTEMPTS: Final = tuple(2**power for power in range(5))
_VICTIMS: Final = tuple(2**power for power in range(7))
_ATTEMPTS_MAX: Final = 15
_HEAD_S: Final = 10.0
_HEAD_BYTES_MAX: Final = 16 << 10
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class _Now(Collector):
    """What is so at the moment, worked out when somebody asks."""

    def __init__(self, queue: PodQueue, engine: Engine) -> None:
        self._queue = queue
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        """Yield gauges, and what the queue has counted."""
        pending = GaugeMetricFamily(
            "scheduler_pending_pods", "Pods that wait, by where they wait.", labels=["queue"]
        )
        for place in _PLACES:
            pending.add_metric([place.value], self._queue.count(place))
        yield pending
        incoming = CounterMetricFamily(
            "scheduler_queue_incoming_pods",
            "Pods that were put into a place of the queue, by what put them there.",
            labels=["event", "queue"],
        )
        for (event, where), number in sorted(self._queue.entered.items()):
            incoming.add_metric([event, where], number)
        yield incoming
        state = self._engine.state
        cache = GaugeMetricFamily(
            "scheduler_cache_size",
            "What is known: nodes, pods on them, assumed pods.",
            labels=["type"],
        )
        cache.add_metric(["nodes"], state.columns.nodes)
        cache.add_metric(["pods"], len(state.placed))
        cache.add_metric(["assumed_pods"], len(self._engine.assumed))
        yield cache
        refused = GaugeMetricFamily(
            "scheduler_unschedulable_pods",
            "Unschedulable pods by the plugins that refused them.",
            labels=["plugin", "profile"],
        )
        counts: dict[tuple[str, str], int] = {}
        for pods in self._queue.stuck.values():
            for pod in pods.values():
                for plugin in pod.refused_by:
                    key = (plugin, pod.shape.scheduler)
                    counts[key] = counts.get(key, 0) + 1
        for key, number in sorted(counts.items()):
            refused.add_metric(list(key), number)
        yield refused


class SchedulerMetrics:
    """See the module's head.

    Args of the constructor:
        queue, engine: what is measured.
    """

    def __init__(self, queue: PodQueue, engine: Engine) -> None:
        self._queue = queue
        registry = self._registry = CollectorRegistry()
        registry.register(_Now(queue, engine))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        labels = ("result", "profile")
        self._attempts = Counter(
            "scheduler_schedule_attempts", "Attempts to schedule pods.", labels, registry=registry
        )
        self._attempt_s = Histogram(
            "scheduler_scheduling_attempt_duration_seconds",
            "How long an attempt takes.",
            labels,
            buckets=_ATTEMPT_S,
            registry=registry,
        )
        self._of_attempts: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._sli_s = Histogram(
            "scheduler_pod_scheduling_sli_duration_seconds",
            "From when a pod enters the queue to when it is bound, by attempts.",
            ("attempts",),
            buckets=_SLI_S,
            registry=registry,
        )
        self._pod_attempts = Histogram(
            "scheduler_pod_scheduling_attempts",
            "Attempts that it took to schedule a pod.",
            buckets=_ATTEMPTS,
            registry=registry,
        )
        self._preemptions = Counter(
            "scheduler_preemption_attempts", "Attempts to make room.", registry=registry
        )
        self._victims = Histogram(
            "scheduler_preemption_victims",
            "Pods that had to go for another.",
            buckets=_VICTIMS,
            registry=registry,
        )

    def attempted(self, pod: Waiting, result: str, took_s: float) -> None:
        """Count an attempt."""
        labels = (result, pod.shape.scheduler)
        known = self._of_attempts.get(labels)
        if known is None:  # to look them up by labels takes longer than to count
            known = (self._attempts.labels(*labels), self._attempt_s.labels(*labels))
            self._of_attempts[labels] = known
        known[0].inc()
        known[1].observe(took_s)

    def bound(self, pod: Waiting) -> None:
        """Count a pod that is bound."""
        attempts = str(pod.attempts) if pod.attempts <= _ATTEMPTS_MAX else f"{_ATTEMPTS_MAX}+"
        waited_s = self._queue.clock.monotonic_s() - pod.first_s
        self._sli_s.labels(attempts).observe(waited_s)
        self._pod_attempts.observe(pod.attempts)

    def preempted(self, victims: int | None) -> None:
        """Count an attempt to make room, and who has to go; None: nobody."""
        self._preemptions.inc()
        if victims is not None:
            self._victims.observe(victims)

    def text(self) -> bytes:
        """Return them in Prometheus's text format."""
        return generate_latest(self._registry)


def metrics_address(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT; for an argument parser.

    Raises:
        ValueError: it is not on loopback: whoever asks is not asked who they are.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is not an address of loopback")
    return host, int(port)


async def serve_metrics(address: tuple[str, int], metrics: SchedulerMetrics) -> None:
    """Answer GET /metrics, /healthz, /livez and /readyz over plain HTTP, until cancelled.

    Raises:
        OSError: the address can't be had.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = _reply(head, metrics)
                length = f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                kind = f"Content-Type: {_TEXT}\r\n"
                writer.write(f"HTTP/1.1 {status}\r\n{kind}{length}".encode() + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, *address, limit=_HEAD_BYTES_MAX)
    async with server:
        await server.serve_forever()


def _reply(head: bytes, metrics: SchedulerMetrics) -> tuple[str, bytes]:
    method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if method != b"GET":
        return "405 Method Not Allowed", b"only GET\n"
    match path.partition(b"?")[0]:
        case b"/metrics":
            return "200 OK", metrics.text()
        case b"/healthz" | b"/livez" | b"/readyz":
            return "200 OK", b"ok"
        case _:
            return "404 Not Found", b"there are /metrics, /healthz, /livez and /readyz\n"

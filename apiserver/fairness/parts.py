"""Priority and fairness put together: the gate of one server process, and what serves it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from apiserver.fairness.dumps import Dumps
from apiserver.fairness.figures import FairnessFigures
from apiserver.fairness.flows import Flows
from apiserver.fairness.gate import FairGate, Gate
from apiserver.fairness.inflight import InflightGate
from apiserver.fairness.keeper import Keeper
from apiserver.fairness.samples import Samples
from apiserver.fairness.watch_counts import WatchCounts
from apiserver.fairness.work import SampledSizes, WorkEstimator
from apiserver.server import Server


@dataclass(frozen=True, slots=True)
class Fairness:
    """The parts.

    Attributes:
        gate: lets requests in.
        keeper: looks after the objects; to be run.
        dumps: the debug tables, None without priority and fairness.
        flows: levels and what they do; nobody goes through them without priority and fairness.
    """

    gate: Gate
    keeper: Keeper
    dumps: Dumps | None
    flows: Flows


def make_fairness(server: Server) -> Fairness:
    """Return the parts that a server's settings ask for; its metrics are told of them."""
    settings, clock = server.settings, server.clock
    # Each of several processes serves its part of the requests, with its part of the seats.
    workers = getattr(settings, "workers", 1)
    reads = math.ceil(settings.max_requests_inflight / workers)
    writes = math.ceil(settings.max_mutating_requests_inflight / workers)
    flows = Flows(reads + writes, clock.monotonic_s())
    figures = FairnessFigures(flows, clock.monotonic_s)
    samples = Samples(flows)
    keeper = Keeper(server, flows, figures, samples)
    if not settings.priority_and_fairness:
        return Fairness(InflightGate(reads, writes), keeper, None, flows)
    server.metrics.gauges += (figures, samples.families)
    watches = WatchCounts()
    estimator = WorkEstimator(SampledSizes(server.store))
    gate = FairGate(flows, estimator, watches, clock)
    return Fairness(gate, keeper, Dumps(flows, clock), flows)

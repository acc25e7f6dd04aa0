"""What a run has measured: samples in time, phases, latencies; plain values, made into JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from scaletest.latencies import Histograms
from scaletest.processes import Use


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of things at one moment.

    Attributes:
        at_s: since the start of the run.
        phase: which one was under way; empty: none.
        nodes, ready_nodes: of the run.
        pods: in the API.
        waiting: pods without a node: the scheduler's queue, and what its watch has not told yet.
        objects: by resource, of those with a hundred or more.
        objects_total: all.
        store_bytes: of the replica.
        journal_bytes: of the log's files.
        reads_s, writes_s: requests a second; reads are gets and lists.
        bound_s: pods bound a second.
        events_s: watch events a second.
        refused_s: requests refused with 429, a second.
        inflight: requests being handled.
        queued: requests that wait in priority and fairness.
        pending_appends: of the journal.
        alarm: the worst that the server tells of; 0: none.
        lag_entries: entries of the log not applied yet.
        watches: open.
        p99_s: of requests in the last ten seconds or so, by kind; None: too few.
        processes: what they use.
    """

    at_s: float
    phase: str
    nodes: int
    ready_nodes: int
    pods: int
    waiting: int
    objects: dict[str, int]
    objects_total: int
    store_bytes: int
    journal_bytes: int
    reads_s: float
    writes_s: float
    bound_s: float
    events_s: float
    refused_s: float
    inflight: int
    queued: int
    pending_appends: int
    alarm: int
    lag_entries: int
    watches: int
    p99_s: dict[str, float | None]
    processes: dict[str, Use]


class Ending(Enum):
    """How a phase ended."""

    DONE = "done"
    TIMED_OUT = "timed out"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class PhaseRecord:
    """What became of a phase.

    Attributes:
        name: of the phase.
        title: what it does, for people.
        start_s, end_s: since the start of the run.
        ending: how it ended; None: it has not.
        why: what went wrong.
        figures: what it has measured of itself.
        done, total: how far it is, for those who watch.
    """

    name: str
    title: str
    start_s: float
    end_s: float = 0.0
    ending: Ending | None = None
    why: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Latencies of a stretch of time, at most five minutes long and within one phase."""

    phase: str
    start_s: float
    end_s: float
    histograms: Histograms


@dataclass(slots=True)
class Record:
    """All that a run has measured, so far.

    Attributes:
        samples: in order of time.
        phases: in order.
        windows: latencies of the server, by its own account.
        latencies_s: measured by the probing client, by operation.
        waits_s: from the creation of a pod until it has a node, as a watch tells.
        responses: how many answers of each code the server gave.
        failures: of those of 400 and above, by code, verb and resource.
        errors: of the tester's own requests, by text.
        deliberate: 429s that the tester got.
        restarts: of processes.
        machine: what the run ran on.
    """

    samples: list[Sample] = field(default_factory=list)
    phases: list[PhaseRecord] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    latencies_s: dict[str, list[float]] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    responses: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    deliberate: int = 0
    restarts: int = 0
    machine: dict[str, Any] = field(default_factory=dict)

    def phase(self, name: str) -> PhaseRecord | None:
        """Return the record of a phase; None: it has not begun."""
        return next((one for one in self.phases if one.name == name), None)


def percentile(values: list[float], share: float) -> float:
    """Return the value below or at which `share` of all lie (nearest rank); 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]

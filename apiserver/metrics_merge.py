"""The metrics of several workers as those of one server.

Whoever scrapes reaches one worker, by the kernel's choice, and wants to hear of all. The asked one
gathers what the others export and adds it up: counters, histograms and most gauges are sums, the
seats among them, of which each has a part. What is told of the replica and the journal is the same
thing seen by each of them, and is taken once; and some figures are no amounts: see `_OTHERWISE`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson
from prometheus_client import generate_latest
from prometheus_client.core import Metric

_OF_THE_REPLICA: Final = (
    *("apiserver_storage_", "apiserver_resource_objects", "ultraplane_storage_"),
    *("ultraplane_journal_", "etcd_disk_", "ultraplane_alarm", "ultraplane_disk_"),
)
# What each of them does to objects on their way there, and back.
_OF_EACH: Final = (
    "apiserver_storage_transformation_",
    "apiserver_storage_envelope_",
)
_INFORMATION: Final = "_info"
_OTHERWISE: Final[dict[str, Callable[[float, float], float]]] = {
    # Since all of them have been there.
    "process_start_time_seconds": min,
    # A part of the whole: that of who gets least.
    "apiserver_flowcontrol_seat_fair_frac": min,
    # Each has a clock of its own; that of the busiest.
    "apiserver_flowcontrol_current_r": max,
    # Of a sum of what has little to do with each other.
    "apiserver_flowcontrol_demand_seats_stdev": math.hypot,
}


class _Merged:
    """Families as prometheus-client's renderer asks for them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        return self._families


def export(families: Iterable[Metric]) -> bytes:
    """Return families as bytes for `render_merged`."""
    return orjson.dumps(
        [
            (
                family.name,
                family.documentation,
                family.type,
                [(sample.name, sample.labels, sample.value) for sample in family.samples],
            )
            for family in families
        ]
    )


def render_merged(exports: Sequence[bytes]) -> bytes:
    """Return all that was exported, added up, in the Prometheus text format."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for content in exports:
        for name, documentation, kind, samples in orjson.loads(content):
            if name not in families:
                families[name] = Metric(name, documentation, kind)
                values[name] = {}
            _add(values[name], name, samples)
    for name, known in values.items():
        for (sample, labels), value in known.items():
            families[name].add_sample(sample, dict(labels), value)
    text: bytes = generate_latest(_Merged(families.values()))
    return text


def _add(
    known: dict[tuple[str, tuple[tuple[str, str], ...]], float], family: str, samples: list[Any]
) -> None:
    is_shared = family.startswith(_OF_THE_REPLICA) and not family.startswith(_OF_EACH)
    join = max if is_shared else _OTHERWISE.get(family, operator.add)
    for sample, labels, value in samples:
        if value is None:
            continue  # JSON has no NaN
        key = (sample, tuple(labels.items()))
        before = known.get(key)
        if before is None:
            known[key] = value
        elif not sample.endswith(_INFORMATION):
            known[key] = join(before, value)

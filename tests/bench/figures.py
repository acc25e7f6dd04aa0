"""What is measured, what we hold ourselves to, and what upstream costs.

Upstream's figures: kube-apiserver 1.33 with etcd over HTTPS on two such cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

GET_RATIO_MIN: Final = 0.45
CREATE_RATIO_MIN: Final = 0.25
LIST_MB_S_MIN: Final = 150.0
WATCH_US_MAX: Final = 8.0
JOURNAL_APPENDS_S_MIN: Final = 20_000.0
PARTITIONS_RATIO_MIN: Final = 4.0
LISTED_PODS: Final = 10_000
WORKER_RATIO_MIN: Final = 1.6
JETSTREAM_RATIO_MIN: Final = 0.8
RESTART_KEPT_S_MAX: Final = 2.0
RESTART_LOST_S_MAX: Final = 20.0
JOIN_S_MAX: Final = 30.0
CHECKPOINT_RATIO_MAX: Final = 2.0
WATCHERS: Final = 100
EVENTS: Final = 1_000

UPSTREAM: Final[Mapping[str, str]] = {
    "create ConfigMap 1 KB": "930 µs CPU",
    "create ConfigMap 1 KB, alone": "1.3 ms each",
    "create Pod 2.6 KB": "1,460 µs CPU",
    "get ConfigMap 1 KB": "410 µs CPU",
    "get Pod 2.6 KB": "410 µs CPU",
    "merge-patch ConfigMap": "1,210 µs CPU",
    "list 10,000 Pods": "32 ms / 1,000",
    "watch 100 x 1,000": "23 µs CPU",
    "memory afterwards": "740 MB",
}


@dataclass(slots=True)
class Figure:
    """One line of the report.

    Attributes:
        what: what was done.
        rate: operations a second, or what `unit` says.
        unit: of the rate.
        p50_us, p99_us: latency, None where it means nothing.
        cpu_us: server CPU per operation by process, empty where unknown.
        bare_rate: the same bytes' rate on bare uvicorn.
        ratio_min: the least part of `bare_rate` that we accept.
        target: the bar in words, where it is no ratio.
        is_met: whether that bar is reached; None without one.
    """

    what: str
    rate: float
    unit: str = "/s"
    p50_us: float | None = None
    p99_us: float | None = None
    cpu_us: dict[str, float] = field(default_factory=dict)
    bare_rate: float | None = None
    ratio_min: float | None = None
    target: str = ""
    is_met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """The rate as a part of bare uvicorn's."""
        return self.rate / self.bare_rate if self.bare_rate else None

    @property
    def verdict(self) -> bool | None:
        """Whether the bar is reached, None where there is none or nothing to compare with."""
        if self.ratio_min is None or self.ratio is None:
            return self.is_met
        return self.ratio >= self.ratio_min


def at_most(what: str, value: float, unit: str, most: float) -> Figure:
    """Return a figure that is not to be larger."""
    return Figure(what, value, unit, target=f"≤ {most:g} {unit}", is_met=value <= most)

"""What the journal counts: plain attributes, cheap to bump, and their JSON form."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any, Final

SYNC_SECONDS_BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
"""Upper bounds; one more bucket holds what is slower."""
APPEND_SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0)


@dataclass(slots=True)
class StreamStats:
    """Counters of one stream since the service started."""

    appends: int = 0
    records: int = 0
    frame_bytes: int = 0
    """Bytes of durable frames: payloads and their heads."""
    repeated_keys: int = 0
    """Appends answered from the key window: retries of what had been committed."""
    refused_full: int = 0
    """Appends refused for want of disk space."""
    syncs: int = 0
    """Commit groups; appends / syncs is how many shared one fdatasync."""
    sync_seconds: float = 0.0
    """Time in write and fdatasync together."""
    sync_buckets: list[int] = field(default_factory=lambda: [0] * (len(SYNC_SECONDS_BUCKETS) + 1))

    append_seconds: float = 0.0
    """From when appends were received until they were answered."""
    append_buckets: list[int] = field(
        default_factory=lambda: [0] * (len(APPEND_SECONDS_BUCKETS) + 1)
    )
    trimmed_segments: int = 0
    trimmed_bytes: int = 0

    def count_appends(self, received_s: list[float], now_s: float) -> None:
        """Note the appends of one group: when each was received."""
        self.appends += len(received_s)
        self.append_seconds += len(received_s) * now_s - sum(received_s)
        buckets = self.append_buckets
        for at_s in received_s:
            buckets[bisect_left(APPEND_SECONDS_BUCKETS, now_s - at_s)] += 1

    def count_sync(self, seconds: float) -> None:
        """Note one group's write and fdatasync."""
        self.syncs += 1
        self.sync_seconds += seconds
        self.sync_buckets[bisect_left(SYNC_SECONDS_BUCKETS, seconds)] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the counters for a STATS reply."""
        return {
            "appends": self.appends,
            "records": self.records,
            "frameBytes": self.frame_bytes,
            "repeatedKeys": self.repeated_keys,
            "refusedFull": self.refused_full,
            "appendSeconds": round(self.append_seconds, 6),
            "appendSecondsBuckets": _named(APPEND_SECONDS_BUCKETS, self.append_buckets),
            "trimmedSegments": self.trimmed_segments,
            "trimmedBytes": self.trimmed_bytes,
            "syncs": self.syncs,
            "syncSeconds": round(self.sync_seconds, 6),
            "syncSecondsBuckets": _named(SYNC_SECONDS_BUCKETS, self.sync_buckets),
        }


def _named(bounds: tuple[float, ...], buckets: list[int]) -> dict[str, int]:
    return dict(zip([*map(str, bounds), "+Inf"], buckets, strict=True))

"""Figures about the replica, the journal and what is left, under upstream's names where it has any.

What upstream's server says of etcd is said here of the journal and the replica: a commit is a
request to etcd, the log is its write-ahead log. Labels are upstream's, or name the partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from apiserver.quota import QuotaGate
from storage.alarms import ALARMS
from storage.space import SpaceWatch
from storage.store_view import StoreView

_PARTITION: Final = ("partition",)
_STREAM: Final = ("stream",)
# Family, what it says, key of a partition's status, factor.
_GAUGES: Final = (
    ("apiserver_storage_size_bytes", "Bytes of the replica.", "bytes", 1.0),
    (
        "ultraplane_storage_plain_bytes",
        "Bytes of the objects, as they are when not compressed.",
        "plain_bytes",
        1.0,
    ),
    (
        "ultraplane_storage_object_bytes",
        "Bytes of the pages that hold the objects.",
        "object_bytes",
        1.0,
    ),
    ("ultraplane_storage_spare_bytes", "Bytes of pages to be used again.", "spare_bytes", 1.0),
    ("ultraplane_storage_revision", "Applied revision.", "revision", 1.0),
    ("ultraplane_storage_changes", "Changes that history holds.", "changes", 1.0),
    ("ultraplane_storage_ready", "Whether the partition serves.", "ready", 1.0),
    ("ultraplane_storage_recovery_seconds", "What its start took.", "recovery_s", 1.0),
    ("ultraplane_storage_checkpoint_revision", "Of the newest one.", "checkpoint", 1.0),
    ("ultraplane_storage_checkpoint_bytes", "Of the newest one.", "checkpoint_bytes", 1.0),
    ("ultraplane_storage_checkpoint_seconds", "What it took.", "checkpoint_s", 1.0),
    (
        "ultraplane_storage_checkpoint_timestamp_seconds",
        "When it was written, 0 if there is none.",
        "checkpoint_at_ms",
        0.001,
    ),
    (
        "ultraplane_storage_checkpoint_failures",
        "Attempts that failed since the start.",
        "checkpoint_failures",
        1.0,
    ),
)
_JOURNAL_GAUGES: Final = (
    ("ultraplane_journal_log_bytes", "Bytes of the log's files.", "retainedBytes"),
    ("ultraplane_journal_segments", "Files of the log.", "segments"),
    ("ultraplane_journal_first_sequence", "Of the oldest entry kept.", "first"),
    ("ultraplane_journal_last_sequence", "Of the newest durable entry.", "last"),
    ("ultraplane_journal_pending_appends", "Appends that wait for the disk.", "pendingAppends"),
    ("ultraplane_journal_pending_bytes", "Their bytes.", "pendingBytes"),
)
_JOURNAL_COUNTERS: Final = (
    ("ultraplane_journal_appends", "Appends made durable.", "appends"),
    ("ultraplane_journal_groups", "Groups written and synced together.", "syncs"),
    ("ultraplane_journal_repeated_appends", "Retries of what was committed.", "repeatedKeys"),
    ("ultraplane_journal_refused_appends", "Refused for want of space.", "refusedFull"),
    ("ultraplane_journal_trimmed_segments", "Files of the log deleted.", "trimmedSegments"),
    ("ultraplane_journal_trimmed_bytes", "Bytes of the log deleted.", "trimmedBytes"),
    ("etcd_disk_wal_write_bytes", "Bytes written to the log.", "frameBytes"),
)


class StorageMetrics:
    """The families of the replica and the journal, as they are when asked for."""

    def __init__(self, store: StoreView, watch: SpaceWatch, gate: QuotaGate) -> None:
        self._store = store
        self._watch = watch
        self._gate = gate

    def collect(self) -> Iterable[Metric]:
        """Yield the families."""
        status = self._store.status()
        yield from _objects(status)
        for name, what, key, factor in _GAUGES:
            family = GaugeMetricFamily(name, what, labels=_PARTITION)
            for partition, known in status.items():
                family.add_metric([partition], known[key] * factor)
            yield family
        yield from self._lag(status)
        yield from self._limits()
        journal = self._watch.journal
        yield _single(
            "ultraplane_journal_up", "Whether the journal answers.", float(journal is not None)
        )
        if journal is not None:
            yield from _journal(journal["streams"])

    def _lag(self, status: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
        entries = GaugeMetricFamily(
            "ultraplane_storage_lag_entries", "Known of and not applied.", labels=_PARTITION
        )
        seconds = GaugeMetricFamily(
            "ultraplane_storage_lag_seconds",
            "For how long an entry that is known of has not been applied.",
            labels=_PARTITION,
        )
        for partition, known in status.items():
            entries.add_metric([partition], max(0, known["journal_tail"] - known["revision"]))
            seconds.add_metric([partition], self._watch.lag_s.get(partition, 0.0))
        yield entries
        yield seconds

    def _limits(self) -> Iterator[Metric]:
        watch = self._watch
        level = GaugeMetricFamily(
            "ultraplane_alarm",
            "0: none, 1: warning, 2: read-only, 3: deletes-only.",
            labels=["alarm"],
        )
        worst = dict.fromkeys(ALARMS, 0)
        for alarm in watch.alarms:
            worst[alarm.name] = max(worst[alarm.name], int(alarm.level))
        for name, value in worst.items():
            level.add_metric([name], value)
        yield level
        free = GaugeMetricFamily(
            "ultraplane_disk_free_bytes", "What is left of a file system.", labels=["disk"]
        )
        size = GaugeMetricFamily("ultraplane_disk_size_bytes", "How large it is.", labels=["disk"])
        disks = {"memory": watch.memory, "data": watch.data}
        if watch.log is not None and watch.log.disk is not None:
            disks["log"] = watch.log.disk
        for name, disk in disks.items():
            if disk.size_bytes:
                free.add_metric([name], disk.free_bytes)
                size.add_metric([name], disk.size_bytes)
        yield free
        yield size
        refused = CounterMetricFamily(
            "ultraplane_refused_writes", "Writes for which there was no room.", labels=["alarm"]
        )
        for name, count in self._gate.refused.items():
            refused.add_metric([name], count)
        yield refused


def _objects(status: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    old = GaugeMetricFamily(
        "apiserver_storage_objects", "Objects by resource.", labels=["resource"]
    )
    new = GaugeMetricFamily(
        "apiserver_resource_objects", "Objects by resource.", labels=["group", "resource"]
    )
    for known in status.values():
        for storage, count in known["objects"].items():
            group, _, resource = storage.rpartition("/")
            old.add_metric([storage], count)
            new.add_metric([group, resource], count)
    yield old
    yield new


def _journal(streams: Mapping[str, dict[str, Any]]) -> Iterator[Metric]:
    for name, what, key in _JOURNAL_GAUGES:
        gauge = GaugeMetricFamily(name, what, labels=_STREAM)
        for stream, known in streams.items():
            gauge.add_metric([stream], known[key])
        yield gauge
    for name, what, key in _JOURNAL_COUNTERS:
        counter = CounterMetricFamily(name, what, labels=_STREAM)
        for stream, known in streams.items():
            counter.add_metric([stream], known.get(key, 0))
        yield counter
    syncs = HistogramMetricFamily(
        "etcd_disk_wal_fsync_duration_seconds",
        "Seconds that writing and syncing a group took.",
        labels=_STREAM,
    )
    appends = HistogramMetricFamily(
        "ultraplane_journal_append_duration_seconds",
        "Seconds from receiving an append until it was durable and answered.",
        labels=_STREAM,
    )
    closed = GaugeMetricFamily(
        "ultraplane_journal_closed", "Whether a stream takes no more appends.", labels=_STREAM
    )
    holds = GaugeMetricFamily(
        "ultraplane_journal_hold_sequence",
        "From where on a replica needs the log.",
        labels=["stream", "replica"],
    )
    for stream, known in streams.items():
        syncs.add_metric([stream], _added(known["syncSecondsBuckets"]), known["syncSeconds"])
        if "appendSecondsBuckets" in known:
            buckets = _added(known["appendSecondsBuckets"])
            appends.add_metric([stream], buckets, known["appendSeconds"])
        closed.add_metric([stream], float(known["closed"] is not None))
        for replica, sequence in known["holds"].items():
            holds.add_metric([stream, replica], sequence)
    yield syncs
    yield appends
    yield closed
    yield holds


def _single(name: str, what: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, what)
    family.add_metric([], value)
    return family


def _added(buckets: Mapping[str, int]) -> list[tuple[str, float]]:
    rows: list[tuple[str, float]] = []
    total = 0
    for bound, count in buckets.items():
        total += count
        rows.append((bound, total))
    return rows

"""What the storage tests share: replicas driven by hand, and stores over a memory journal."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from journal.memory import MemoryEngine
from runtime.clock import SimulatedClock
from runtime.tasks import TaskScope
from storage.applier import Applied, Applier, Entry, Sent, rebuild_indexes
from storage.compressing import Compressing
from storage.dictionaries import add_dictionary, load_dictionary
from storage.environment import Environment, MappedEnvironment
from storage.event import parse_row
from storage.feed_wire import Hello
from storage.journal_port import JournalPort
from storage.mapped_partition import MappedPartition
from storage.partition import Partition
from storage.partition_view import PartitionView
from storage.scan import BodyScan, Query, RecordScan, Scan
from storage.store import Store, StoreOptions
from storage.txn import ANY, Op, Outcome, Put, encode
from storage.types_table import TypeTable
from storage.values import Values, is_plain

INDEXES = {"pods": ("spec.nodeName",)}
TYPES_MAX = 4
BODY = b'{"metadata":{"resourceVersion":""}}'
SPLICE_AT = BODY.index(b'""') + 1
_T = TypeVar("_T")
_ids = itertools.count(1)


def meta(labels: str = "", node: str = "") -> bytes:
    """Return a search blob, as the API server builds it."""
    return f"\0{labels}\0\x01spec.nodeName={node}\x01".encode()


def put(
    name: str,
    *,
    resource: str = "pods",
    namespace: str = "default",
    node: str = "",
    labels: str = "",
    expected: int = ANY,
    expires_at_ms: int = 0,
) -> Put:
    """Return a put of a small pod."""
    return Put(
        resource, namespace, name, meta(labels, node), BODY, SPLICE_AT, expected, expires_at_ms
    )


def body_at(revision: int) -> bytes:
    """Return BODY as stored at a revision."""
    return b'{"metadata":{"resourceVersion":"%d"}}' % revision


def record_of(*ops: Op) -> bytes:
    """Return a journal record with an id of its own."""
    return encode(ops, next(_ids).to_bytes(16, "big"))


class Replica:
    """A partition without a journal: the test feeds it."""

    def __init__(
        self,
        path: Path,
        indexes: dict[str, tuple[str, ...]] | None = None,
        *,
        compressing: bool = False,
    ) -> None:
        self.path = path
        self.clock = SimulatedClock()
        self.environment = Environment(path, map_bytes=64 << 20)
        types = TypeTable(INDEXES if indexes is None else indexes)
        self._scope = TaskScope("test")
        port = JournalPort(MemoryEngine(), "pods", self._scope, self.clock.monotonic_s, "r")
        self.partition = Partition("pods", self.environment, types, port, self.clock)
        rebuild_indexes(self.environment, types)
        if compressing:
            self.compress()
        self.outcomes: list[Outcome] = []
        applier = self.partition._applier
        applier.apply = self._remember(applier)  # type: ignore[method-assign]

    def _remember(self, applier: Applier):  # type: ignore[no-untyped-def]
        original = applier.apply

        def apply(entries: Iterable[Entry], sent: Mapping[bytes, Sent]) -> Applied:
            applied = original(entries, sent)
            self.outcomes += [outcome for _, outcome in applied.outcomes]
            return applied

        return apply

    def compress(self) -> None:
        """Compress from now on, by dictionaries of its own, and rewrite what is there."""
        environment = self.environment
        data = b"".join(meta(node=node) + BODY for node in ("n0", "n1", "n2", "")) * 4
        with self.partition.rewriting() as txn:
            for type_id in range(TYPES_MAX):
                assert add_dictionary(environment, txn, type_id.to_bytes(2, "big"), 0.9, data)
        compressing = Compressing(self.partition, self.clock)
        while compressing.step():
            pass

    def compressed(self) -> int:
        """Return how many stored values are compressed, superseded ones included."""
        txn, environment = self.environment.read(), self.environment
        try:
            values = [value for _, value in txn.cursor(environment.objects)]
            rows = [parse_row(row) for _, row in txn.cursor(environment.events)]
        finally:
            txn.abort()
        values += [row.previous_value for row in rows if row.previous_value]
        return sum(not is_plain(value) for value in values)

    def apply_records(self, records: Sequence[bytes], timestamp_ms: int = 0) -> list[Outcome]:
        """Apply records in one pass and return their outcomes."""
        first = self.partition.revision + 1
        before = len(self.outcomes)
        self.partition.apply(
            [Entry(first + i, timestamp_ms, record) for i, record in enumerate(records)]
        )
        return self.outcomes[before:]

    def run(self, *ops: Op) -> Outcome:
        """Apply one transaction and return its outcome."""
        return self.apply_records([record_of(*ops)])[0]

    def scan(self, query: Query) -> RecordScan:
        """Begin a scan at the query's revision."""
        return begin_scan(self.partition, query)

    def bodies(self, query: Query, *, strip: int = 0) -> BodyScan:
        """Begin a scan of bodies at the latest revision."""
        partition = self.partition
        return BodyScan(
            partition.views, partition.snapshots, query, partition.revision, strip=strip
        )

    def names(self, query: Query) -> list[str]:
        """Return `namespace/name` of all that a query finds."""
        return [f"{record.namespace}/{record.name}" for record in drain(self.scan(query))]

    def dump(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """Return the content of every table, as it is without compression."""
        return dump(self.environment)

    def close(self) -> None:
        """Give the files back."""
        self.partition.snapshots.close()
        self.environment.close()


def dump(environment: Environment) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return the content of every table, as it is without compression."""
    plain = environment.values.plain
    tables = ("objects", "versions", "events", "index", "expiry", "types", "meta")
    txn = environment.read()
    try:
        content = {name: list(txn.cursor(getattr(environment, name))) for name in tables}
    finally:
        txn.abort()
    content["objects"] = [(key, plain(value)) for key, value in content["objects"]]
    for at, (key, row) in enumerate(content["events"]):
        previous = parse_row(row).previous_value
        if previous:
            content["events"][at] = key, row.removesuffix(previous) + plain(previous)
    return content


def begin_scan(partition: PartitionView, query: Query) -> RecordScan:
    """Begin a scan at the query's revision."""
    if query.revision is not None:
        partition.check_retained(query.revision)
    revision = partition.revision if query.revision is None else query.revision
    return RecordScan(partition.views, partition.snapshots, query, revision)


class SharedEnvironment(MappedEnvironment):
    """Another's environment, as if it were mapped: a process can open one only once."""

    def __init__(self, environment: Environment) -> None:
        vars(self).update(vars(environment))
        # Another process knows only what it finds in the tables.
        self.values = Values(partial(load_dictionary, self))

    def close(self) -> None:
        """Leave it to the other."""


class MappedReplica:
    """A partition that maps another's environment; the test tells it of each step."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        monotonic_s = replica.clock.monotonic_s
        port = JournalPort(MemoryEngine(), "pods", TaskScope("test"), monotonic_s, "")
        self.partition = MappedPartition(
            "pods",
            replica.path,
            TypeTable(INDEXES),
            port,
            replica.clock,
            lambda *_: SharedEnvironment(self._replica.environment),
        )
        self.map(replica)

    def map(self, replica: Replica) -> None:
        """Hear of a keeper, the first or the next."""
        self._replica = replica
        environment = replica.environment
        revision = replica.partition.revision
        self.partition.on_hello(Hello(environment.identity, environment.map_bytes, revision))

    def follow(self) -> None:
        """Hear how far the keeper has come."""
        self.partition.on_applied(self._replica.partition.revision)

    def close(self) -> None:
        """Give the files back."""
        self.partition.unmap()


def drain(scan: Scan[_T]) -> list[_T]:
    """Return all that a scan yields."""
    return [item for chunk in scan for item in chunk]


def options(path: Path, **changes: object) -> StoreOptions:
    """Return options for a store with one partition below `path`."""
    values: dict[str, object] = {
        "memory_path": path / "memory",
        "data_path": path / "data",
        "partitions": {"default": ()},
        "indexes": INDEXES,
        "map_bytes": 64 << 20,
    }
    return StoreOptions(**(values | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def running_store(
    path: Path,
    journal: MemoryEngine,
    clock: SimulatedClock | None = None,
    **changes: object,
) -> AsyncIterator[Store]:
    """Run a store that is ready."""
    async with Store(journal, options(path, **changes), clock=clock) as store:
        yield store

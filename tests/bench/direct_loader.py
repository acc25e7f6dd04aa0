"""Writes objects to the journal, as the API server's own transactions do, but faster."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import orjson

from apiserver.resources import Catalog, Resource
from journal.client import JournalClient
from kube.builtin_kinds import builtin_registry
from storage.partition_map import DEFAULT_PARTITIONS, PartitionMap
from storage.record import splice
from storage.txn import ABSENT, Put, encode
from tests.bench import cluster_pods
from tests.bench.cluster_objects import Kind, Object
from tests.bench.endpoint import Endpoint
from tests.bench.scale_cluster import Cluster

NAMES_MAX: Final = 20_000
_RECORDS_PER_APPEND: Final = 64
_APPENDS_UNDER_WAY: Final = 32
_PROGRESS_S: Final = 20.0
_LOOK_S: Final = 0.5


class Source:
    """Makes the objects of one kind.

    Attributes:
        kind: of which.
        stream: of the journal, in which they are.
        count: how many it has made.
        plain_bytes: what they have together, as JSON.
        names: namespace and name of some of them.
        first: the path of the one that was created.
    """

    def __init__(self, kind: Kind, stored: bytes, catalog: Catalog, stream: str) -> None:
        self.kind, self.stream = kind, stream
        self.count = self.plain_bytes = 0
        self.names: list[tuple[str, str]] = []
        self._resource: Resource = catalog.by_storage[kind.storage]
        obj: Object = orjson.loads(stored)
        revision = int(obj["metadata"]["resourceVersion"])
        again, _ = self._resource.encode(orjson.loads(stored))
        metadata = obj["metadata"]
        collection = kind.collection.format(metadata.get("namespace", ""))
        self.first = f"{collection}/{metadata['name']}"
        if splice(again, self._resource.splice_at, revision) != stored:
            raise ValueError("what is loaded is not what the API server stores")
        self._next: Callable[[], Object]
        if kind.vary is None:
            self._next = cluster_pods.Pods(stored).next
        else:
            # The same for the same kind, whatever else is loaded.
            self._next = partial(_varied, kind.vary, random.Random(kind.storage), obj)
        self._prefix = os.urandom(8)

    def record(self, expires_at_ms: int) -> bytes:
        """Return the journal's record of another object."""
        obj, resource = self._next(), self._resource
        body, meta = resource.encode(obj)
        key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        self.count += 1
        if len(self.names) < NAMES_MAX:
            self.names.append(key)
        self.plain_bytes += len(body)
        storage, splice_at = self.kind.storage, resource.splice_at
        put = Put(storage, *key, meta, body, splice_at, ABSENT, expires_at_ms)
        return encode((put,), self._prefix + self.count.to_bytes(8, "big"))

    def records(self, now_ms: int) -> list[bytes]:
        """Return the records of one append."""
        expires_at_ms = now_ms + self.kind.ttl_s * 1000 if self.kind.ttl_s else 0
        return [self.record(expires_at_ms) for _ in range(_RECORDS_PER_APPEND)]


def sources(kinds: Sequence[Kind], endpoint: Endpoint) -> list[Source]:
    """Create one object of each kind through the API, and return what makes others of them."""
    catalog = Catalog(builtin_registry().enabled({}))
    streams = PartitionMap(DEFAULT_PARTITIONS)
    return [
        Source(kind, _stored(kind, endpoint), catalog, streams.of(kind.storage)) for kind in kinds
    ]


async def load(cluster: Cluster, sources: Sequence[Source], count: int, rate: float) -> None:
    """Append `count` objects, as the sources' shares say, `rate` a second at most.

    No faster than the replica follows: it forgets history by entries of the log, too, and where
    those come late it keeps more than it is to keep.
    """
    chance, now_ms = random.Random(3), time.time_ns() // 1_000_000
    shares = [source.kind.share for source in sources]
    async with JournalClient(cluster.journal, deadline_s=120) as journal:
        under_way: set[asyncio.Task[int]] = set()
        begun_s = told_s = looked_s = time.monotonic()
        followed = asyncio.ensure_future(asyncio.to_thread(_follow, sources, cluster))
        for done_count in range(0, count, _RECORDS_PER_APPEND):
            (source,) = chance.choices(sources, shares)
            append = journal.append(source.stream, source.records(now_ms), os.urandom(16))
            under_way.add(asyncio.ensure_future(append))
            await asyncio.sleep(max(0.0, begun_s + done_count / rate - time.monotonic()))
            if time.monotonic() - looked_s >= _LOOK_S:
                await followed
                followed = asyncio.ensure_future(asyncio.to_thread(_follow, sources, cluster))
                looked_s = time.monotonic()
            if time.monotonic() - told_s >= _PROGRESS_S:
                told_s = time.monotonic()
                sys.stderr.write(f"{done_count:,} after {told_s - begun_s:,.0f} s\n")
            if len(under_way) >= _APPENDS_UNDER_WAY:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for append_done in done:
                    append_done.result()
        await asyncio.gather(followed, *under_way)


def _follow(sources: Sequence[Source], cluster: Cluster) -> None:
    """Wait until all that is in the log now is applied: so does a consistent read."""
    for source in sources:
        cluster.endpoint.request("GET", source.first)


def _varied(
    vary: Callable[[random.Random, Object], None], chance: random.Random, obj: Object
) -> Object:
    vary(chance, obj)
    return obj


def _stored(kind: Kind, endpoint: Endpoint) -> bytes:
    """Create an object, and give a pod a kubelet's status; return it as it is stored."""
    obj = kind.manifest()
    collection = kind.collection.format(obj["metadata"].get("namespace", ""))
    obj = endpoint.create(collection, orjson.dumps(obj))
    path = f"{collection}/{obj['metadata']['name']}"
    if kind.storage == "pods":
        obj["status"] = cluster_pods.status(obj["metadata"]["creationTimestamp"])
        endpoint.request("PUT", f"{path}/status", orjson.dumps(obj))
    # An answer ends with a line's end, which is not stored.
    return endpoint.request("GET", path).rstrip(b"\n")

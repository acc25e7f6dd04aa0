"""What the journal makes of NATS JetStream: 64 writers on three servers, beside bare nats-py.

Both do so in turns on the same servers, each with a stream of three replicas on files, records of
1 KB and an id for each; bare nats-py gets its acknowledgements, the journal its sequences, for
which it follows its own log. The ratio is of all turns together, as the servers share the cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Final

import nats
import uvloop
from nats.js import JetStreamContext

from journal.jetstream import JetStreamJournal
from journal.nats_options import NatsOptions
from tests.bench.figures import JETSTREAM_RATIO_MIN, Figure
from tests.bench.scenarios import Scene
from tests.integration.nats_servers import HOST, NatsCluster, running_nats

WRITERS: Final = 64
TURNS: Final = 6
_RECORD: Final = os.urandom(1024)
_SUBJECT: Final = "bare.log"


def jetstream(scene: Scene) -> list[Figure]:
    """Measure appends of 64 writers."""
    with running_nats(scene.directory / "nats", 3) as cluster:
        rates = uvloop.run(_measure(cluster, max(1.0, scene.seconds / TURNS)))
    figure = Figure("append on JetStream, 3 replicas, 1 KB", rates[1])
    figure.bare_rate, figure.ratio_min = rates[0], JETSTREAM_RATIO_MIN
    return [figure]


async def _measure(cluster: NatsCluster, seconds: float) -> tuple[float, float]:
    servers = [f"nats://{HOST}:{server.port}" for server in cluster.servers]
    client = await nats.connect(servers[0])
    bare = client.jetstream()
    await bare.add_stream(name="bare", subjects=[_SUBJECT], num_replicas=3)
    async with JetStreamJournal(cluster.url, NatsOptions(replicas=3)) as journal:

        async def append() -> None:
            await journal.append("bench", (_RECORD,), os.urandom(16))

        ways = (lambda: _publish(bare), append)
        for way in ways:
            await _rate(way, 0.5)
        rates: list[list[float]] = [[], []]
        for turn in range(2 * TURNS):
            # First the one, then the other first: what comes second finds fuller disks.
            which = (turn + turn // 2) % 2
            rates[which].append(await _rate(ways[which], seconds))
    await client.close()
    return sum(rates[0]) / TURNS, sum(rates[1]) / TURNS


async def _publish(bare: JetStreamContext) -> None:
    await bare.publish(_SUBJECT, _RECORD, headers={"Nats-Msg-Id": os.urandom(16).hex()})


async def _rate(write: Callable[[], Awaitable[None]], seconds: float) -> float:
    end_s = time.perf_counter() + seconds
    count = 0

    async def run() -> None:
        nonlocal count
        while time.perf_counter() < end_s:
            await write()
            count += 1

    await asyncio.gather(*(run() for _ in range(WRITERS)))
    return count / seconds

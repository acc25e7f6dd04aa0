"""`ultraplane up` on NATS JetStream: one server and its workers, two servers, leaders that die."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final

import pytest

from journal.engine import Journal
from journal.errors import JournalError, NoQuorum
from journal.jetstream import JetStreamJournal
from journal.nats_options import NatsOptions
from tests.contract.journal_suite.harness import read_until, records_of
from tests.integration.cluster import run_cluster
from tests.integration.nats_servers import NatsCluster, running_nats

pytestmark = [pytest.mark.nats, pytest.mark.slow]

_WRITERS: Final = 16
_LOG: Final = "ultraplane-log-pods"
_ELECTION_S_MAX: Final = 25.0
"""Servers wait 4 to 9 s before they elect; this machine may be busy."""


def _config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def _settings(nats: NatsCluster, **more: Any) -> dict[str, Any]:
    return {
        "journal": {"address": nats.url, "external": True},
        "storage": {"checkpoint_interval_s": 1},
        "supervisor": {"controllers": False},
        **more,
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_on_nats_keeps_its_objects_over_a_restart(tmp_path: Path, workers: int) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    with running_nats(tmp_path / "nats") as nats:
        (tmp_path / "up").mkdir()
        settings = _settings(nats, server={"workers": workers})
        with run_cluster(tmp_path / "up", settings) as cluster:
            created = cluster.call("POST", maps, _config_map("one"))
            assert created.code == 201, created.body
        with run_cluster(tmp_path / "up", settings) as cluster:
            found = cluster.call("GET", f"{maps}/one")
            assert found.json["metadata"]["uid"] == created.json["metadata"]["uid"]


def test_two_servers_on_nats_see_each_others_writes_at_once(tmp_path: Path) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    one_dir, other_dir = tmp_path / "one", tmp_path / "other"
    one_dir.mkdir()
    other_dir.mkdir()
    with (
        running_nats(tmp_path / "nats") as nats,
        run_cluster(one_dir, _settings(nats, memory_dir=str(one_dir / "memory"))) as one,
        run_cluster(
            other_dir,
            _settings(nats, memory_dir=str(other_dir / "memory"), join=str(one.directory)),
        ) as other,
    ):
        for number in range(20):
            assert one.call("POST", maps, _config_map(f"map-{number}")).code == 201
            # A list without a revision is of all that was acknowledged, by whichever server.
            names = [item["metadata"]["name"] for item in other.call("GET", maps).json["items"]]
            assert f"map-{number}" in names


def test_a_killed_leader_loses_and_doubles_no_acknowledged_write(tmp_path: Path) -> None:
    with running_nats(tmp_path / "nats", 3) as nats:
        pause_s = asyncio.run(_write_over_a_kill(nats))
    assert pause_s < _ELECTION_S_MAX


async def _write_over_a_kill(nats: NatsCluster) -> float:
    """Kill the leader of a stream that is written to; return for how long no write came through."""
    acknowledged: dict[int, bytes] = {}
    answered_s = [time.monotonic()]
    longest_s = 0.0
    ended = asyncio.Event()

    async def write(journal: Journal, writer: int) -> None:
        nonlocal longest_s
        number = 0
        while not ended.is_set():
            number += 1
            record = b"%d/%d" % (writer, number)
            sequence = await journal.append("pods", [record], os.urandom(16))
            assert sequence not in acknowledged
            acknowledged[sequence] = record
            now_s = time.monotonic()
            longest_s = max(longest_s, now_s - answered_s[0])
            answered_s[0] = now_s

    async with JetStreamJournal(nats.url, NatsOptions(replicas=3)) as journal:
        await journal.append("pods", [b"first"], os.urandom(16))
        async with asyncio.TaskGroup() as group:
            for writer in range(_WRITERS):
                group.create_task(write(journal, writer))
            await _wait_for(lambda: len(acknowledged) >= 500)
            leader = await asyncio.to_thread(nats.leader_of, _LOG)
            leader.kill()
            before = len(acknowledged)
            await _wait_for(lambda: len(acknowledged) >= before + 1000)
            leader.start()
            await asyncio.to_thread(nats.wait_healthy)
            ended.set()
        tail = await journal.tail("pods")
        assert tail >= max(acknowledged)
    await _check_log(nats, acknowledged, tail)
    return longest_s


async def _check_log(nats: NatsCluster, acknowledged: dict[int, bytes], tail: int) -> None:
    async with JetStreamJournal(nats.url, NatsOptions(replicas=3)) as fresh:
        records = records_of(await read_until(fresh, "pods", 1, tail))
    assert len(records) == len(set(records)) == tail
    for sequence, record in acknowledged.items():
        assert records[sequence - 1] == record


async def _wait_for(is_so: Any) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - servers give no event
            await asyncio.sleep(0.02)


def test_without_a_majority_writes_are_refused_and_go_on_when_it_is_back(tmp_path: Path) -> None:
    async def run(nats: NatsCluster) -> None:
        async with JetStreamJournal(nats.url, NatsOptions(replicas=3)) as journal:
            first = await journal.append("pods", [b"a"], os.urandom(16))
            for server in nats.servers[:2]:
                server.kill()
            with pytest.raises(JournalError) as caught:
                await journal.append("pods", [b"b"], os.urandom(16), deadline_s=4)
            assert "in time" in str(caught.value)
            assert not journal.connected_to("pods")
            for server in nats.servers[:2]:
                server.start()
            await asyncio.to_thread(nats.wait_healthy)
            await _wait_for(lambda: journal.connected_to("pods"))
            assert await journal.append("pods", [b"c"], os.urandom(16)) > first

    with running_nats(tmp_path / "nats", 3) as nats:
        asyncio.run(run(nats))


def test_servers_that_cannot_be_reached_are_named_as_such(tmp_path: Path) -> None:
    async def run(nats: NatsCluster) -> None:
        nats.stop()
        async with JetStreamJournal(nats.url) as journal:
            with pytest.raises(NoQuorum, match="nothing was written"):
                await journal.append("pods", [b"a"], os.urandom(16), deadline_s=0.5)

    with running_nats(tmp_path / "nats") as nats:
        asyncio.run(run(nats))

"""The client's patience: reconnecting, resending, deadlines, limits."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from journal import client_reader, client_session
from journal.client import JournalClient
from journal.engine import Limits
from journal.errors import DeadlineExceeded, Disconnected, Overloaded, SequenceTrimmed
from journal.protocol import parse_address
from journal.service import JournalService
from tests.unit.journal.service_setup import Setup, acknowledged, running_service, until


def key() -> bytes:
    return os.urandom(16)


def cut_connections(setup: Setup) -> None:
    for connection in list(setup.service._connections):
        connection.abort()


def test_appends_under_way_are_resent_and_applied_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.append("pods", [b"first"], key())
            setup.gate.clear()
            futures = [journal.submit("pods", [b"%d" % number], key()) for number in range(20)]
            budget = setup.engine.stream("pods").committer.budget
            await until(lambda: budget.held_count == 20)
            cut_connections(setup)
            await until(lambda: journal.resent == 20)
            setup.gate.set()
            async with asyncio.timeout(10):
                assert await asyncio.gather(*futures) == list(range(2, 22))
            assert await journal.tail("pods") == 21
            assert journal.connections == 2

    asyncio.run(run())


def test_appends_wait_for_a_service_that_comes_later(tmp_path: Path) -> None:
    async def run() -> None:
        async with JournalClient(f"unix:{tmp_path}/s") as journal:
            future = journal.submit("pods", [b"a"], key())
            tail = asyncio.ensure_future(journal.tail("nodes"))
            async with running_service(tmp_path):
                assert await acknowledged(future) == 1
                assert await acknowledged(tail) == 0

    asyncio.run(run())


def test_readers_go_on_after_a_restart_without_gap_or_repetition(tmp_path: Path) -> None:
    async def run() -> None:
        async with JournalClient(f"unix:{tmp_path}/s") as journal:
            seen: list[int] = []

            async def read() -> None:
                async with aclosing(journal.read("pods", 1)) as reading:
                    async for batches in reading:
                        seen.extend(batch.first_sequence for batch in batches)

            reader = asyncio.ensure_future(read())
            for turn in range(4):
                async with running_service(tmp_path) as setup:
                    for _ in range(50):
                        await journal.append("pods", [b"x"], key())
                    cut_connections(setup)
                    await journal.append("pods", [b"x"], key())
                    await until(lambda turn=turn: len(seen) == 51 * (turn + 1))  # type: ignore[misc]
            reader.cancel()
            assert seen == list(range(1, 205))

    asyncio.run(run())


def test_without_an_answer_the_deadline_says_perhaps_and_why(tmp_path: Path) -> None:
    async def run() -> None:
        async with JournalClient(f"unix:{tmp_path}/nobody", deadline_s=0.05) as journal:
            with pytest.raises(DeadlineExceeded, match="may or may not be applied") as caught:
                await journal.append("pods", [b"a"], key())
            assert "nobody" in str(caught.value)
            with pytest.raises(DeadlineExceeded):
                await journal.tail("pods")
            assert journal.has_room

    asyncio.run(run())


def test_an_answer_after_the_deadline_is_ignored_and_a_retry_learns_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.append("pods", [b"a"], key())
            setup.gate.clear()
            late = key()
            with pytest.raises(DeadlineExceeded):
                await journal.append("pods", [b"b"], late, deadline_s=0.05)
            setup.gate.set()
            assert await journal.append("pods", [b"b"], late) == 2
            assert await journal.tail("pods") == 2

    asyncio.run(run())


def test_closing_tells_everyone_who_waits(tmp_path: Path) -> None:
    async def run() -> None:
        journal = JournalClient(f"unix:{tmp_path}/s")
        await journal.start()
        future = journal.submit("pods", [b"a"], key())
        tail = asyncio.ensure_future(journal.tail("pods"))
        reading = asyncio.ensure_future(anext(journal.read("pods", 1)))
        await asyncio.sleep(0)
        await journal.close()
        for waiting in (future, tail, reading):
            with pytest.raises(Disconnected):
                await waiting
        with pytest.raises(Disconnected):
            journal.submit("pods", [b"a"], key())

    asyncio.run(run())


def test_submit_refuses_and_append_waits_when_too_much_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_session, "UNDER_WAY_COUNT_MAX", 4)

    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.append("pods", [b"a"], key())
            setup.gate.clear()
            futures = [journal.submit("pods", [b"b"], key()) for _ in range(4)]
            with pytest.raises(Overloaded):
                journal.submit("pods", [b"c"], key())
            with pytest.raises(Overloaded, match="nothing was sent"):
                await journal.append("pods", [b"c"], key(), deadline_s=0.01)
            waiting = asyncio.ensure_future(journal.append("pods", [b"c"], key()))
            setup.gate.set()
            assert await asyncio.gather(*futures) == [2, 3, 4, 5]
            assert await acknowledged(waiting) == 6

    asyncio.run(run())


def test_a_slow_reader_holds_up_nobody_and_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_reader, "WINDOW_BYTES", 50_000)
    limits = Limits(tail_cache_bytes=100_000, read_chunk_bytes=10_000, group_bytes_max=20_000)

    async def run() -> None:
        async with (
            running_service(tmp_path, limits) as setup,
            JournalClient(setup.address) as journal,
        ):
            await journal.append("pods", [b"first"], key())
            async with aclosing(journal.read("pods", 1)) as reading:
                got = [batch.first_sequence for batch in await anext(reading)]
                # The reader does not ask for more; everybody else goes on.
                for number in range(300):
                    await journal.append("pods", [bytes(5_000)], key())
                    assert await journal.tail("pods") == number + 2
                assert journal._started is not None
                (queue,) = journal._started._readers.values()
                # The window, and the one chunk that crossed its end.
                assert queue._held_bytes < 50_000 + 600_000
                while len(got) < 301:
                    got += [batch.first_sequence for batch in await anext(reading)]
            assert got == list(range(1, 302))

    asyncio.run(run())


def test_two_readers_of_one_client_do_not_share_their_window(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.append("pods", [bytes(1000)] * 3, key())
            async with (
                aclosing(journal.read("pods", 1)) as one,
                aclosing(journal.read("pods", 2)) as two,
            ):
                assert len((await anext(one))[0].records) == 3
                assert len((await anext(two))[0].records) == 2

    asyncio.run(run())


def test_a_trimmed_read_fails_with_the_first_kept(tmp_path: Path) -> None:
    limits = Limits(segment_bytes=20_000, group_bytes_max=10_000, allocation_bytes=20_000)

    async def run() -> None:
        async with (
            running_service(tmp_path, limits) as setup,
            JournalClient(setup.address) as journal,
        ):
            for _ in range(10):
                await journal.append("pods", [bytes(5000)], key())
            await journal.trim("pods", 10)
            first, _ = await journal.bounds("pods")
            with pytest.raises(SequenceTrimmed) as caught:
                await anext(journal.read("pods", 1))
            assert caught.value.first == first > 1

    asyncio.run(run())


def test_stats_count_what_was_done(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            repeated = key()
            await journal.append("pods", [b"a", b"b"], repeated)
            await journal.append("pods", [b"a", b"b"], repeated)
            stats = await journal.stats()
            pods = stats["streams"]["pods"]
            assert stats["connections"] == 1
            assert (pods["appends"], pods["records"], pods["repeatedKeys"]) == (1, 2, 1)
            assert pods["syncs"] == sum(pods["syncSecondsBuckets"].values()) == 1
            assert (pods["first"], pods["last"], pods["closed"]) == (1, 2, None)
            assert journal.appends == 2

    asyncio.run(run())


def test_a_service_that_turns_the_client_away_is_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup:
            service = JournalService(setup.engine, connections_max=0)
            await service.start(parse_address(f"unix:{tmp_path}/full"))
            async with JournalClient(f"unix:{tmp_path}/full", deadline_s=0.1) as journal:
                with pytest.raises(DeadlineExceeded, match="all the connections"):
                    await journal.tail("pods")
                service._connections_max = 1
                await asyncio.wait_for(journal.wait_connected(), 10)
            await service.stop()

    asyncio.run(run())

"""The feed tells mappers how far a partition has come, and is held up by none of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.tasks import TaskScope
from runtime.unix_sockets import short_path
from storage import feed as feed_module
from storage.environment import Identity
from storage.feed import PINNED_TICKS_MAX, SILENT_TICKS_MAX, Feed
from storage.feed_client import FeedClient
from storage.feed_wire import (
    SOCKET_NAME,
    FeedBroken,
    FeedKind,
    Hello,
    decode_applied,
    decode_hello,
    decode_json,
    encode_applied,
    encode_hello,
    encode_json,
)
from tests.unit.storage.replicas import Replica, put

TIMEOUT_S = 20.0


class Heard:
    """A mapper that notes what it is told."""

    def __init__(self) -> None:
        self.hellos: list[Hello] = []
        self.revisions: list[int] = []
        self.statuses: list[dict[str, Any]] = []
        self.news = asyncio.Event()

    def on_hello(self, hello: Hello) -> None:
        self.hellos.append(hello)
        self.news.set()

    def on_applied(self, revision: int) -> None:
        self.revisions.append(revision)
        self.news.set()

    def on_status(self, status: dict[str, Any]) -> dict[str, Any]:
        self.statuses.append(status)
        self.news.set()
        return {"watchers": 7}

    async def until_revision(self, revision: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not self.revisions or self.revisions[-1] < revision:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def feeding(path: Path) -> AsyncIterator[tuple[Replica, Feed, TaskScope]]:
    """A replica with its feed, whose clock stands still."""
    replica = Replica(path)
    async with TaskScope("test feed") as scope:
        feed = Feed(replica.partition, replica.clock, lambda: {"bytes": 5})
        await feed.start(scope)
        try:
            yield replica, feed, scope
        finally:
            feed.stop()
            await scope.stop()
            replica.close()


def client(replica: Replica, heard: Heard) -> FeedClient:
    joining = {"name": "apiserver-1"}
    return FeedClient(replica.path / SOCKET_NAME, heard, joining, replica.clock)


def test_a_mapper_hears_which_files_and_then_of_each_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with feeding(tmp_path) as (replica, feed, scope):
            replica.run(put("a"))
            heard = Heard()
            scope.spawn(client(replica, heard).run(), name="client")
            async with asyncio.timeout(TIMEOUT_S):
                await heard.news.wait()
            replica.run(put("b"))
            await heard.until_revision(2)
            assert heard.hellos == [Hello(replica.environment.identity, 64 << 20, 1)]
            feed.tick()
            replica.run(put("c"))
            await heard.until_revision(3)
            pid = os.getpid()
            feed.tick()
            replica.run(put("d"))
            await heard.until_revision(4)
            assert heard.statuses[-1]["bytes"] == 5
            assert {"name": "apiserver-1", "watchers": 7, "pid": pid} in feed.mappers

    asyncio.run(scenario())


def test_steps_that_arrive_together_are_told_as_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with feeding(tmp_path) as (replica, _, scope):
            heard = Heard()
            scope.spawn(client(replica, heard).run(), name="client")
            async with asyncio.timeout(TIMEOUT_S):
                await heard.news.wait()
            for _ in range(50):
                replica.run(put("a"))
            await heard.until_revision(50)
            assert len(heard.revisions) < 10
            assert heard.revisions == sorted(heard.revisions)

    asyncio.run(scenario())


def test_one_that_does_not_read_costs_no_memory_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "UNREAD_BYTES_MAX", 100)

    async def scenario() -> None:
        async with feeding(tmp_path) as (replica, feed, _):
            silent = socket.socket(socket.AF_UNIX)
            silent.settimeout(0)
            snapshot = replica.environment.read()
            with silent:
                with short_path(tmp_path / SOCKET_NAME) as name:
                    silent.connect(name)
                await asyncio.get_running_loop().sock_recv(silent, 1)
                (link,) = feed._links
                for _ in range(20_000):
                    feed._on_applied(1)
                assert link._transport.get_write_buffer_size() < 2000
                await replica.clock.advance(SILENT_TICKS_MAX + 1)
                assert feed._full_status()["cut_off"] == [os.getpid()]
                assert feed.mappers == []
            snapshot.abort()

    asyncio.run(scenario())


def test_one_cut_off_that_pins_a_snapshot_is_killed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(feed_module.os, "kill", lambda *given: killed.append(given))

    async def scenario() -> None:
        async with feeding(tmp_path) as (replica, feed, _):
            for pid in (17, 18):
                feed._stopped[pid] = 0
            monkeypatch.setattr(type(replica.environment), "readers", lambda _: {17})
            feed.tick()
            # The other one has died: its snapshots are given back.
            assert feed._full_status()["cut_off"] == [17]
            assert killed == []
            await replica.clock.advance(PINNED_TICKS_MAX + 1)
            assert killed == [(17, signal.SIGKILL)]
            assert feed._full_status()["cut_off"] == []

    asyncio.run(scenario())


def test_a_stranger_is_hung_up_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with feeding(tmp_path) as (_, feed, _scope):
            for nonsense in (b"GET / HTTP/1.1\r\n\r\n", encode_applied(5), b"\x00\x00\x00\x00\x05"):
                with short_path(tmp_path / SOCKET_NAME) as name:
                    reader, writer = await asyncio.open_unix_connection(name)
                writer.write(nonsense)
                async with asyncio.timeout(TIMEOUT_S):
                    try:
                        while await reader.read(4096):
                            pass
                    except ConnectionResetError:
                        pass
                writer.transport.abort()
            assert feed.mappers == []

    asyncio.run(scenario())


def test_a_failure_of_who_is_told_ends_the_client_with_it(tmp_path: Path) -> None:
    class Broken(Heard):
        def on_hello(self, hello: Hello) -> None:
            raise ValueError("a bug")

    async def scenario() -> None:
        async with feeding(tmp_path) as (replica, _, _scope):
            with pytest.raises(ValueError, match="a bug"):
                async with asyncio.timeout(TIMEOUT_S):
                    await client(replica, Broken()).run()

    asyncio.run(scenario())


def test_frames_survive_their_encoding_and_nonsense_is_refused() -> None:
    hello = Hello(Identity(1, 2), 3, 4)
    assert decode_hello(encode_hello(hello)[5:]) == hello
    assert decode_applied(encode_applied(9)[5:]) == 9
    assert decode_json(encode_json(FeedKind.STATUS, {"a": 1})[5:]) == {"a": 1}
    other_version = bytearray(encode_hello(hello)[5:])
    other_version[8] += 1
    for decode, payload in (
        (decode_hello, b""),
        (decode_hello, bytes(other_version)),
        (decode_applied, b"123"),
        (decode_json, b"{"),
        (decode_json, b"[]"),
    ):
        with pytest.raises(FeedBroken):
            decode(payload)

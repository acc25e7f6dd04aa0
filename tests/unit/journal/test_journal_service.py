"""The service, spoken to without its client."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from journal import connection as connection_module
from journal.client import JournalClient
from journal.engine import Limits
from journal.errors import Overloaded, ProtocolError, TooManyConnections, UnsupportedFormat
from journal.main import main
from journal.protocol import (
    APPEND_HEAD,
    GREETING,
    HELLO_MAGIC,
    ID,
    READ,
    TWO,
    Kind,
    UnixAddress,
    decode_appended,
    decode_error,
    decode_failed,
    encode_append_head,
)
from journal.record import decode_batches, encode_body
from journal.service import JournalService, serve
from tests.unit.journal.service_setup import raw_connection, running_service, until


def append_payload(name: bytes, *appends: tuple[int, bytes]) -> bytes:
    entries = b""
    for identity, record in appends:
        keyed = os.urandom(16) + encode_body([record])
        entries += APPEND_HEAD.pack(identity, len(keyed)) + keyed
    return encode_append_head(name, len(entries))[5:] + entries


def test_an_acknowledgement_precedes_the_push_of_its_batch(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            raw.send(Kind.READ, READ.pack(1, 1, 1 << 20) + b"pods")
            for turn in range(20):
                raw.send(Kind.APPEND, append_payload(b"pods", (100 + turn, b"%d" % turn)))
                acknowledgement = await raw.receive()
                push = await raw.receive()
                assert acknowledgement is not None
                assert push is not None
                assert (acknowledgement[0], push[0]) == (Kind.APPENDED, Kind.FRAMES)
                assert list(decode_appended(acknowledgement[1])) == [100 + turn, turn + 1]
                (batch,) = decode_batches(push[1][TWO.size :])
                assert batch.records == (b"%d" % turn,)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.READ, b"short"),
        (Kind.APPEND, b""),
        (Kind.APPEND, b"\4pods" + APPEND_HEAD.pack(1, 500) + b"cut off"),
        (Kind.APPEND, b"\4pods" + APPEND_HEAD.pack(1, 3) + b"abc"),
        (Kind.BOUNDS, ID.pack(1) + b"\xff\xfe"),
        (Kind.WELCOME, b""),
        (Kind.STATS, b"123456789"),
    ],
)
def test_a_malformed_frame_ends_its_connection_alone_with_an_error(
    kind: Kind, payload: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as other:
            await other.append("pods", [b"a"], bytes(16))
            async with raw_connection(setup.address) as raw:
                await raw.greet()
                raw.send(kind, payload)
                frame = await raw.receive()
                assert frame is not None
                assert frame[0] == Kind.ERROR
                assert isinstance(decode_error(frame[1]), ProtocolError)
                assert await raw.receive() is None
            assert await other.tail("pods") == 1
            assert other.connections == 1

    asyncio.run(run())
    assert "is closed" in caplog.text


def test_an_oversized_frame_ends_the_connection_before_it_is_received(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            raw.writer.write(b"\xff\xff\xff\x7f\x02")
            frame = await raw.receive()
            assert frame is not None
            assert "passes the limit" in str(decode_error(frame[1]))
            assert await raw.receive() is None

    asyncio.run(run())


def test_another_protocol_version_is_refused_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            raw.send(Kind.HELLO, GREETING.pack(HELLO_MAGIC, 99))
            frame = await raw.receive()
            assert frame is not None
            error = decode_error(frame[1])
            assert isinstance(error, UnsupportedFormat)
            assert "protocol 99" in str(error)

    asyncio.run(run())


def test_who_does_not_greet_is_told_so_and_gives_up_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HELLO_SECONDS_MAX", 0.01)

    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            frame = await raw.receive()
            assert frame is not None
            assert "no HELLO" in str(decode_error(frame[1]))
            assert await raw.receive() is None

    asyncio.run(run())


def test_who_greeted_may_be_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HELLO_SECONDS_MAX", 0.01)

    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            await asyncio.sleep(0.05)
            raw.send(Kind.STATS, ID.pack(1))
            assert await raw.receive() is not None

    asyncio.run(run())


@pytest.mark.parametrize("size", ["0", "-1", "4096", "1.5", "x"])
def test_a_segment_size_out_of_range_is_refused_with_the_range(
    size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--data-dir", "nowhere", "--listen", "unix:nowhere", f"--segment-mib={size}"])
    assert "is not 1 to 4000" in capsys.readouterr().err


def test_a_bad_append_fails_alone_among_good_ones(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            bad = bytes(16) + b"\5\0\0\0"
            payload = append_payload(b"pods", (1, b"a")) + APPEND_HEAD.pack(2, len(bad)) + bad
            payload += append_payload(b"pods", (3, b"c"))[5:]
            raw.send(Kind.APPEND, payload)
            frames = [await raw.receive(), await raw.receive()]
            kinds = {frame[0]: frame[1] for frame in frames if frame is not None}
            assert decode_failed(kinds[Kind.FAILED])[0] == 2
            assert list(decode_appended(kinds[Kind.APPENDED])) == [1, 1, 3, 2]

    asyncio.run(run())


def test_no_more_is_sent_than_the_window_allows(tmp_path: Path) -> None:
    async def run() -> None:
        limits = Limits(tail_cache_bytes=1, read_chunk_bytes=4096)
        async with running_service(tmp_path, limits) as setup:
            for _ in range(100):
                await setup.engine.append("pods", [bytes(10_000)], os.urandom(16))
            async with raw_connection(setup.address) as raw:
                await raw.greet()
                raw.send(Kind.READ, READ.pack(7, 1, 1) + b"pods")
                frame = await raw.receive()
                assert frame is not None
                first_data = frame[1][TWO.size :]
                assert len(first_data) < 400_000
                # Whatever else it did, the service answers this next, and sends no frames.
                raw.send(Kind.BOUNDS, ID.pack(8) + b"pods")
                answer = await raw.receive()
                assert answer is not None
                assert answer[0] == Kind.RESULT
                raw.send(Kind.CREDIT, ID.pack(7) + (len(first_data)).to_bytes(4, "little"))
                more = await raw.receive()
                assert more is not None
                assert more[0] == Kind.FRAMES
                expected = decode_batches(first_data)[-1].last_sequence + 1
                assert decode_batches(more[1][TWO.size :])[0].first_sequence == expected

    asyncio.run(run())


def test_writers_are_paused_while_the_disk_is_slow_and_all_is_written_then(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        limits = Limits(pending_bytes_max=200_000, pending_count_max=1000)
        async with (
            running_service(tmp_path, limits) as setup,
            JournalClient(setup.address) as journal,
        ):
            await journal.append("pods", [b"segment"], os.urandom(16))
            setup.gate.clear()
            appends = [journal.submit("pods", [bytes(50_000)], os.urandom(16)) for _ in range(200)]
            budget = setup.engine.stream("pods").committer.budget
            await until(lambda: budget.full)
            for _ in range(200):
                await asyncio.sleep(0)
            # The limit, and what one read of the socket had brought already.
            assert budget.held_bytes < 200_000 + (2 << 20)
            assert not any(future.done() for future in appends)
            setup.gate.set()
            async with asyncio.timeout(20):
                assert await asyncio.gather(*appends) == list(range(2, 202))

    asyncio.run(run())


def test_stopping_answers_what_was_received(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.append("pods", [b"a"], os.urandom(16))
            setup.gate.clear()
            appends = [journal.submit("pods", [b"b"], os.urandom(16)) for _ in range(10)]
            budget = setup.engine.stream("pods").committer.budget
            await until(lambda: budget.held_count == 10)
            stopping = asyncio.ensure_future(setup.service.stop())
            await asyncio.sleep(0)
            setup.gate.set()
            await stopping
            assert await asyncio.gather(*appends) == list(range(2, 12))
            assert journal.connections == 1

    asyncio.run(run())


def test_too_many_connections_are_turned_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup:
            service = JournalService(setup.engine, connections_max=1)
            await service.start(UnixAddress(f"{tmp_path}/t"))
            async with raw_connection(f"unix:{tmp_path}/t") as first:
                await first.greet()
                async with raw_connection(f"unix:{tmp_path}/t") as second:
                    frame = await second.receive()
                    assert frame is not None
                    assert isinstance(decode_error(frame[1]), TooManyConnections)
            await service.stop()

    asyncio.run(run())


def test_subscriptions_of_a_connection_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "SUBSCRIPTIONS_MAX", 2)

    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            for identity in range(3):
                raw.send(Kind.READ, READ.pack(identity, 1, 1000) + b"pods")
            frame = await raw.receive()
            assert frame is not None
            identity, error = decode_failed(frame[1])
            assert identity == 2
            assert isinstance(error, Overloaded)

    asyncio.run(run())


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path):
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600

    asyncio.run(run())


def test_tcp_serves_as_well(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup:
            service = await serve(setup.engine, "tcp:127.0.0.1:0")
            async with JournalClient(f"tcp:127.0.0.1:{service.tcp_port}") as journal:
                assert await journal.append("pods", [b"a"], bytes(16)) == 1
            await service.stop()

    asyncio.run(run())


def test_a_tcp_peer_that_goes_without_a_word_is_found_out_on_both_sides(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup:
            service = await serve(setup.engine, "tcp:127.0.0.1:0")
            async with JournalClient(f"tcp:127.0.0.1:{service.tcp_port}") as journal:
                await journal.wait_connected()
                (connection,) = service._connections
                assert journal._started is not None
                for side in (connection, journal._started.link):
                    assert side is not None
                    assert side._transport is not None
                    peer = side._transport.get_extra_info("socket")
                    assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                    assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
            await service.stop()

    asyncio.run(run())


def test_nothing_is_shown_before_its_fsync_returned(tmp_path: Path) -> None:
    """Invariant 1: not to a reader at the tail, nor to one that comes, nor as tail or bounds."""

    async def run() -> None:
        limits = Limits(segment_bytes=4096, group_bytes_max=4096, allocation_bytes=4096)
        async with running_service(tmp_path, limits) as setup:
            engine = setup.engine
            await engine.append("pods", [bytes(3000)], os.urandom(16))
            at_the_tail = asyncio.ensure_future(anext(engine.read("pods", 2)))
            await asyncio.sleep(0)
            for size in (100, 3000):  # into the open segment, and into a new one
                held = setup.engine.stream("pods").last
                setup.gate.clear()
                append = asyncio.ensure_future(engine.append("pods", [bytes(size)], os.urandom(16)))
                entered = engine.stream("pods").committer
                await until(lambda found=entered: found._busy)  # type: ignore[misc]
                late = asyncio.ensure_future(anext(engine.read("pods", held + 1)))
                for _ in range(20):
                    await asyncio.sleep(0)
                assert await engine.bounds("pods") == (1, held)
                assert not append.done()
                assert not late.done()
                assert at_the_tail.done() == (held > 1)
                setup.gate.set()
                assert await append == held + 1
                assert (await late)[0].first_sequence == held + 1
            assert (await at_the_tail)[0].first_sequence == 2

    asyncio.run(run())

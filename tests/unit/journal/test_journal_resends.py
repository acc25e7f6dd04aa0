"""A client cut off while others fill the journal's memory of keys: nothing it sent is doubled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from journal.client import JournalClient
from journal.engine import Limits
from journal.errors import OutcomeUnknown
from journal.protocol import (
    HELLO,
    HELLO_MAGIC,
    ID,
    PROTOCOL_VERSION,
    RESEND_HEAD,
    Kind,
    decode_error,
    decode_hold,
    encode_hold,
)
from runtime.clock import SimulatedClock
from tests.unit.journal.service_setup import (
    Setup,
    acknowledged,
    raw_connection,
    running_service,
    until,
)

_KEYS = 8
_LIMITS = Limits(key_window=_KEYS)


def key() -> bytes:
    return os.urandom(16)


def _cut_off(setup: Setup, journal: JournalClient) -> None:
    """End a client's connection, and keep it from coming back."""
    for connection in list(setup.service._connections):
        if connection.client == journal._name:
            connection.abort()


async def _fill(setup: Setup, count: int) -> None:
    for _ in range(count):
        await setup.engine.append("pods", [b"other"], key())


def test_an_append_cut_off_for_longer_than_keys_are_remembered_is_not_doubled(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        # It stands still: the client comes back when it is moved.
        clock = SimulatedClock()
        async with running_service(tmp_path, _LIMITS) as setup:
            async with JournalClient(setup.address, clock=clock) as journal:
                await journal.bounds("pods")
                # Committed, but the answer never leaves: the connection is held at the service.
                setup.gate.clear()
                future = journal.submit("pods", [b"mine"], key())
                committer = setup.engine.stream("pods").committer
                await until(lambda: committer.budget.held_count == 1)
                _cut_off(setup, journal)
                await until(lambda: not journal.connected)
                setup.gate.set()
                await _fill(setup, _KEYS + 2)
                await clock.advance(1)
                with pytest.raises(OutcomeUnknown):
                    await acknowledged(future)
            assert await setup.engine.tail("pods") == _KEYS + 3

    asyncio.run(run())


def test_an_append_is_resent_with_what_was_known_when_it_was_first_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path, _LIMITS) as setup:
            await _fill(setup, 3 * _KEYS)
            async with JournalClient(setup.address) as journal:
                # Before anything was heard of the stream, nothing can be said: refused if resent.
                setup.gate.clear()
                unheard = journal.submit("pods", [b"a"], key())
                committer = setup.engine.stream("pods").committer
                await until(lambda: committer.budget.held_count == 1)
                _cut_off(setup, journal)
                await until(lambda: journal.resent == 1)
                setup.gate.set()
                # It was under way, so it has an outcome all the same.
                assert await acknowledged(unheard) == 3 * _KEYS + 1
                await _fill(setup, _KEYS)
                assert await journal.append("pods", [b"b"], key()) == 4 * _KEYS + 2
                setup.gate.clear()
                heard = journal.submit("pods", [b"c"], key())
                await until(lambda: committer.budget.held_count == 1)
                _cut_off(setup, journal)
                await until(lambda: journal.resent == 2)
                setup.gate.set()
                assert await acknowledged(heard) == 4 * _KEYS + 3

    asyncio.run(run())


def test_what_was_learned_of_a_stream_elsewhere_counts_for_an_append_that_was_lost(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with running_service(tmp_path, _LIMITS) as setup:
            await _fill(setup, 3 * _KEYS)
            async with JournalClient(setup.address) as journal:
                await journal.wait_connected()
                for learned in (0, 3 * _KEYS):
                    journal.learn("pods", learned)
                    lost = journal.submit("pods", [b"a"], key())
                    _cut_off(setup, journal)
                    if not learned:
                        with pytest.raises(OutcomeUnknown):
                            await acknowledged(lost)
                    else:
                        assert await acknowledged(lost) == 3 * _KEYS + 1

    asyncio.run(run())


def test_appends_keep_their_order_when_some_are_resent(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, JournalClient(setup.address) as journal:
            await journal.bounds("pods")
            first = journal.submit("pods", [b"1"], key())
            retry = asyncio.ensure_future(journal.append("pods", [b"2"], key(), resent_after=0))
            await asyncio.sleep(0)
            last = journal.submit("pods", [b"3"], key())
            assert [await acknowledged(one) for one in (first, retry, last)] == [1, 2, 3]

    asyncio.run(run())


def test_a_clients_new_connection_ends_its_old_one(tmp_path: Path) -> None:
    hello = HELLO.pack(HELLO_MAGIC, PROTOCOL_VERSION, b"the-same-client!")

    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as old:
            old.send(Kind.HELLO, hello)
            await old.receive()
            async with raw_connection(setup.address) as new:
                new.send(Kind.HELLO, hello)
                frame = await new.receive()
                assert frame is not None
                assert frame[0] == Kind.WELCOME
                assert await old.receive() is None
                # And that is not taken for the end of the new one.
                assert list(setup.service._clients) == [b"the-same-client!"]
                new.send(Kind.STATS, ID.pack(1))
                frame = await new.receive()
                assert frame is not None
                assert frame[0] == Kind.TEXT

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.RESEND, b""),
        (Kind.RESEND, b"\x04pods" + RESEND_HEAD.pack(1, 40, 0) + bytes(39)),
        (Kind.RESEND, b"\x04pods" + RESEND_HEAD.pack(1, 15, 0) + bytes(15)),
        (Kind.RESEND, b"\x04pods" + RESEND_HEAD.pack(1, 15, 0)[:-1]),
        (Kind.HOLD, bytes(16)),
        (Kind.HOLD, bytes(15)),
        (Kind.HOLD, bytes(16) + b"\x09short"),
        (Kind.HOLD, bytes(16) + b"\x01\xffpods"),
    ],
)
def test_cut_off_frames_end_the_connection(kind: Kind, payload: bytes, tmp_path: Path) -> None:
    async def run() -> None:
        async with running_service(tmp_path) as setup, raw_connection(setup.address) as raw:
            await raw.greet()
            raw.send(kind, payload)
            frame = await raw.receive()
            assert frame is not None
            assert frame[0] == Kind.ERROR
            assert "frame" in str(decode_error(frame[1]))
            assert await raw.receive() is None

    asyncio.run(run())


def test_a_hold_frame_reads_back() -> None:
    frame = encode_hold(7, 9, b"replica-1", b"pods")
    assert decode_hold(frame[5:]) == (7, 9, "replica-1", "pods")

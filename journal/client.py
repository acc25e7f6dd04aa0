"""The journal's asyncio client: one connection, coalesced appends, and patience.

Invariants:
    - An append is answered exactly once: with its sequence, with the service's refusal, or with
      DeadlineExceeded or Disconnected, which mean "perhaps".
    - After a lost connection everything unanswered is sent again (journal/client_session.py), so
      no append is applied twice, and readers miss and repeat nothing.
    - What is under way is bounded: `append` waits for room, `submit` raises Overloaded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

import orjson

from journal.client_link import connect
from journal.client_session import ClientSession
from journal.engine import Batch, check_sequence, check_stream_name
from journal.errors import Disconnected, JournalError, Overloaded
from journal.protocol import CLIENT_BYTES, ID, TWO, Kind, encode, encode_hold, parse_address
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskCrashed, TaskScope

_log = logging.getLogger(__name__)

DEADLINE_SECONDS: Final = 30.0
CONNECT_SECONDS_MAX: Final = 5.0
BACKOFF_SECONDS_MIN: Final = 0.02
BACKOFF_SECONDS_MAX: Final = 1.0
STEADY_SECONDS: Final = 5.0
"""A connection that lasted so long was a good one: the pauses begin anew."""
EXPIRE_SECONDS: Final = 0.1
"""How often deadlines are looked at: they may be late by as much."""


class JournalClient:
    """`Journal` over a socket. Use as `async with JournalClient(address) as journal`.

    Args of the constructor:
        address: `unix:/path` or `tcp:host:port`.
        clock: for the pauses between attempts to connect.
        deadline_s: how long calls wait for an answer unless they say otherwise.
        on_crash: hears of a bug in the client's own tasks; without it, `close` raises it.
    """

    def __init__(
        self,
        address: str,
        *,
        clock: Clock | None = None,
        deadline_s: float = DEADLINE_SECONDS,
        on_crash: Callable[[TaskCrashed], None] | None = None,
    ) -> None:
        self.connections = 0
        """How many times it connected."""
        self._address = parse_address(address)
        self._address_text = address
        self._clock = clock or SystemClock()
        self._deadline_s = deadline_s
        self._random = random.Random()
        self._scope = TaskScope("journal-client", on_crash=on_crash)
        self._started: ClientSession | None = None
        self._connected = asyncio.Event()
        self._closed = False
        self._name = os.urandom(CLIENT_BYTES)

    async def start(self) -> None:
        """Begin to connect, in the background; appends wait until it has."""
        assert self._started is None, "started twice"
        self._started = ClientSession()
        self._scope.spawn(self._run_connection(self._started), name="journal-connection")
        self._scope.spawn(self._run_deadlines(self._started), name="journal-deadlines")

    async def close(self) -> None:
        """Hang up; whoever still waits gets Disconnected."""
        if self._closed:
            return
        self._closed = True
        session = self._started
        try:
            await self._scope.stop()
        finally:
            if session is not None:
                if session.link is not None:
                    session.link.close()
                session.detach("the client was closed")
                session.fail_all(Disconnected("the journal client was closed"))

    async def __aenter__(self) -> JournalClient:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._started is not None and self._started.link is not None

    @property
    def appends(self) -> int:
        """How many appends were acknowledged."""
        return self._started.appends if self._started is not None else 0

    @property
    def resent(self) -> int:
        """How many appends were sent again after a lost connection."""
        return self._started.resent if self._started is not None else 0

    @property
    def has_room(self) -> bool:
        """Whether `submit` takes an append now."""
        return not self._session.budget.full

    async def wait_connected(self) -> None:
        """Return when there is a connection."""
        await self._connected.wait()

    def submit(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        deadline_s: float | None = None,
    ) -> asyncio.Future[int]:
        """Send an append with those of this turn of the loop; the cheap form of `append`.

        Returns:
            Its first sequence, once durable. Cancelling it does not unsend the append.

        Raises:
            Overloaded: too much is under way; nothing was sent.
            RecordTooLarge, BadRequest: nothing was sent. Disconnected: the client is closed.
        """
        return self._session.submit(
            stream,
            records,
            idempotency_key,
            self._deadline_s if deadline_s is None else deadline_s,
        )

    def submit_for(
        self,
        waiter: asyncio.Future[Any],
        stream: str,
        record: bytes,
        idempotency_key: bytes,
        deadline_s: float,
        translate: Callable[[JournalError], Exception],
    ) -> None:
        """Send an append as `submit`, for a waiter that reads the log and finds the record there.

        Args:
            waiter: gets what `translate` makes of a failure; is left alone when all goes well.
            stream, record, idempotency_key, deadline_s: as for `submit`.
            translate: words a failure for the waiter.

        Raises:
            JournalError: as `submit`.
        """
        self._session.submit_for(waiter, stream, record, idempotency_key, deadline_s, translate)

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
        deadline_s: float | None = None,
    ) -> int:
        """See `Journal.append`; waits while too much is under way.

        Args:
            stream: its name.
            records: one or more opaque records.
            idempotency_key: 16 bytes, the same on every retry.
            resent_after: for a retry by the caller; those of the client itself see to it.
            deadline_s: seconds from now after which DeadlineExceeded is raised.
        """
        seconds = self._deadline_s if deadline_s is None else deadline_s
        if self._session.budget.full:
            await self._wait_for_room(seconds)
        return await self._session.submit(stream, records, idempotency_key, seconds, resent_after)

    async def read(self, stream: str, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        """See `Journal.read`; goes on by itself after a lost connection."""
        check_stream_name(stream)
        check_sequence(from_sequence)
        session = self._session
        reader = session.open_reader(stream, from_sequence)
        try:
            while True:
                batches = await reader.take()
                if batches:
                    yield batches
                credit = reader.credit()
                if credit is not None:
                    session.send(credit)
        finally:
            session.close_reader(reader)

    async def tail(self, stream: str) -> int:
        """See `Journal.tail`."""
        _, last = await self.bounds(stream)
        return last

    async def bounds(self, stream: str) -> tuple[int, int]:
        """See `Journal.bounds`."""
        answer: tuple[int, int] = await self._session.request(
            lambda identity: encode(Kind.BOUNDS, ID.pack(identity) + stream.encode()),
            self._deadline_s,
        )
        self._session.learn(stream, answer[1])
        return answer

    def learn(self, stream: str, sequence: int) -> None:
        """Take note that a sequence of a stream is durable, as somebody else has seen."""
        if self._started is not None:
            self._started.learn(stream, sequence)

    async def trim(self, stream: str, before: int) -> None:
        """See `Journal.trim`."""
        await self._session.request(
            lambda identity: encode(Kind.TRIM, TWO.pack(identity, before) + stream.encode()),
            self._deadline_s,
        )

    async def hold(self, stream: str, holder: str, before: int) -> tuple[int, int]:
        """See `Journal.hold`."""
        check_stream_name(stream)
        check_stream_name(holder)
        answer: tuple[int, int] = await self._session.request(
            lambda identity: encode_hold(identity, before, holder.encode(), stream.encode()),
            self._deadline_s,
        )
        return answer

    async def stats(self) -> dict[str, Any]:
        """Return the service's counters: `connections`, and `streams` by name."""
        answer = await self._session.request(
            lambda identity: encode(Kind.STATS, ID.pack(identity)), self._deadline_s
        )
        counters: dict[str, Any] = orjson.loads(answer)
        return counters

    @property
    def _session(self) -> ClientSession:
        if self._closed:
            raise Disconnected("the journal client was closed")
        assert self._started is not None, "start the client first"
        return self._started

    async def _wait_for_room(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._session.budget.wait_for_room()
        except TimeoutError as error:
            raise Overloaded("too many appends are under way; nothing was sent") from error

    async def _run_connection(self, session: ClientSession) -> None:
        failures = short_lived = 0
        while True:
            try:
                link = await connect(self._address, session, self._name, CONNECT_SECONDS_MAX)
            except (OSError, JournalError) as error:
                if failures == 0:
                    _log.warning(
                        "no connection to the journal at %s: %s", self._address_text, error
                    )
                session.detach(f"no connection to {self._address_text}: {error}")
                await self._clock.sleep(self._backoff_s(failures))
                failures += 1
                continue
            failures = 0
            connected_s = self._clock.monotonic_s()
            self.connections += 1
            _log.info("connected to the journal at %s", self._address_text)
            session.attach(link)
            self._connected.set()
            try:
                reason = await link.lost
            finally:
                self._connected.clear()
            session.detach(f"connection to {self._address_text} lost: {reason or 'hung up'}")
            _log.warning("connection to the journal at %s lost: %s", self._address_text, reason)
            # A service that hangs up soon each time must not be hammered: each attempt sends all
            # that is unanswered, and perhaps that is what it hangs up for.
            lasted_s = self._clock.monotonic_s() - connected_s
            await self._clock.sleep(self._backoff_s(short_lived))
            short_lived = 0 if lasted_s >= STEADY_SECONDS else short_lived + 1

    def _backoff_s(self, failures: int) -> float:
        longest: float = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2 ** min(failures, 16))
        return longest * self._random.uniform(0.5, 1.0)

    async def _run_deadlines(self, session: ClientSession) -> None:
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            session.expire()

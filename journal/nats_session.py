"""The connection to NATS that all streams of a process share, and the tasks that keep it.

A lost link is replaced by one to the next server; streams' followers and what is unanswered go on
over it. Which server serves does not matter: streams and their leaders are found through any.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from journal.engine import Limits, check_stream_name
from journal.errors import Disconnected, JournalError, Overloaded
from journal.nats_fold import MARK_HEAD
from journal.nats_follower import Follower
from journal.nats_link import NatsLink, Unreachable
from journal.nats_ops import Op, Outbox
from journal.nats_options import NatsOptions, connect_arguments, parse_servers, public_address
from journal.nats_stream import StreamState
from runtime.clock import Clock
from runtime.tasks import TaskCrashed, TaskScope

_log = logging.getLogger(__name__)

BACKOFF_SECONDS: Final = (0.02, 1.0)
STEADY_SECONDS: Final = 5.0
"""A link that lasted so long was a good one: the pauses begin anew."""
TICK_SECONDS: Final = 0.1
PROBE_SECONDS: Final = 1.0
"""How often a stream that is away is looked for while nobody asks for anything."""


class NatsSession:
    """Link, streams and followers of one process."""

    def __init__(
        self,
        address: str,
        options: NatsOptions,
        clock: Clock,
        on_crash: Callable[[TaskCrashed], None] | None,
    ) -> None:
        self.connections = 0
        self._clock = clock
        self.outbox: Outbox | None = None
        parse_servers(address)
        self._address = address
        self._options = options
        self._scope = TaskScope("jetstream", on_crash=on_crash)
        self._streams: dict[str, StreamState] = {}
        self._followers: dict[str, Follower] = {}
        self._attached = asyncio.Event()
        self._attempts = random.randrange(1 << 16)
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether there is a link now."""
        return self.outbox is not None and self.outbox.link is not None

    def connected_to(self, name: str) -> bool:
        """Whether there is a link, and a stream answers as far as is known."""
        state = self._streams.get(name)
        return self.connected and (state is None or not state.away)

    def returns_of(self, name: str) -> int:
        """Return a number that changes when the link or a stream is back."""
        state = self._streams.get(name)
        return self.connections + (0 if state is None else state.returns)

    def start(self) -> None:
        """Begin."""
        assert self.outbox is None, "started twice"
        self.outbox = Outbox()
        self._scope.spawn(self._run_link(self.outbox), name="nats-link")
        self._scope.spawn(self._run_ticks(self.outbox), name="nats-ticks")

    async def close(self) -> None:
        """End all."""
        if self._closed:
            return
        self._closed = True
        outbox, self.outbox = self.outbox, None
        try:
            await self._scope.stop()
        finally:
            if outbox is not None:
                link = outbox.link
                outbox.detach("the journal was closed")
                error = Disconnected("the journal was closed")
                outbox.fail_all(error)
                for state in self._streams.values():
                    state.fail(error)
                if link is not None:
                    await link.close()

    async def link(self) -> NatsLink:
        """Return the link, when there is one."""
        while True:
            await self._attached.wait()
            if self.outbox is not None and self.outbox.link is not None:
                return self.outbox.link
            self._attached.clear()

    def stream(self, name: str) -> StreamState:
        """Return a stream; one that is asked for the first time is opened in the background.

        Raises:
            BadRequest: a bad name. Overloaded: there are too many. Disconnected: all has ended.
        """
        state = self._streams.get(name)
        if state is not None:
            return state
        if self.outbox is None:
            raise Disconnected("the journal was closed, or not started")
        check_stream_name(name)
        if len(self._streams) >= Limits().streams_max:
            raise Overloaded("too many streams are in use")
        state = StreamState(name, self._options, self._clock, self.outbox)
        follower = Follower(state, self._options, self.link)
        self._streams[name], self._followers[name] = state, follower
        self._scope.spawn(follower.run(), name=f"follow-{name}")
        self._scope.spawn(follower.note(), name=f"note-{name}")
        return state

    async def purge(self, state: StreamState) -> None:
        """Give the space of what is trimmed back; if that fails, the next trim does it."""
        try:
            await self._followers[state.name].purge()
        except (Unreachable, JournalError) as error:
            _log.warning("the trimmed messages of %s stay for now: %s", state.name, error)

    async def _run_link(self, outbox: Outbox) -> None:
        failures = short_lived = 0
        shown = public_address(self._address)
        while True:
            self._attempts += 1
            try:
                arguments = connect_arguments(self._address, self._options, self._attempts)
                link = await NatsLink.connect(arguments, outbox.on_answer)
            except (Unreachable, OSError, ValueError) as error:
                if failures == 0:
                    _log.warning("no connection to NATS at %s: %s", shown, error)
                outbox.detach(f"no connection to {shown}: {error}")
                await asyncio.sleep(_pause_s(failures))
                failures += 1
                continue
            failures = 0
            connected_s = self._clock.monotonic_s()
            await self._use(link, outbox)
            lasted_s = self._clock.monotonic_s() - connected_s
            await asyncio.sleep(_pause_s(short_lived))
            short_lived = 0 if lasted_s >= STEADY_SECONDS else short_lived + 1

    async def _use(self, link: NatsLink, outbox: Outbox) -> None:
        """Go on over a link until it is lost."""
        self.connections += 1
        _log.info("connected to NATS at %s", link.place)
        try:
            async with TaskScope("nats-writer") as scope:
                scope.spawn(link.run_writer(), name="nats-writer")
                outbox.attach(link)
                self._attached.set()
                reason = await asyncio.shield(link.lost)
        finally:
            self._attached.clear()
            outbox.detach(f"the connection to {link.place} is lost")
            await link.close()
        _log.warning("connection to NATS at %s lost: %s", link.place, reason)

    async def _run_ticks(self, outbox: Outbox) -> None:
        probed_s = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            outbox.tick()
            now_s = asyncio.get_running_loop().time()
            if now_s - probed_s < PROBE_SECONDS:
                continue
            probed_s = now_s
            for state in self._streams.values():
                if state.away and state.failure is None and not state.is_asked:
                    key = random.randbytes(16)
                    state.start(Op(state, key, b"", lambda _: MARK_HEAD, now_s + 30), None)


def _pause_s(failures: int) -> float:
    least, most = BACKOFF_SECONDS
    longest: float = min(most, least * 2 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)

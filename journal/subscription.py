"""One reader of the service: a position in a stream, served at its own speed.

    LIVE      has everything; the committer's groups are pushed to it from memory
    CATCHING  a task reads chunks for it, from the tail cache or from files
    BLOCKED   may be sent nothing: its window is used up, or the connection's buffer is full

No state queues anything: a subscription that falls behind keeps its position and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Protocol

from journal.errors import JournalError
from journal.protocol import encode_failed, encode_frames_head
from journal.record import Chunk
from journal.stream_log import StreamLog


class State(Enum):
    """Where a subscription stands; drawn at the module's head."""

    LIVE = "live"
    CATCHING = "catching up"
    BLOCKED = "blocked"
    ENDED = "ended"


class Sink(Protocol):
    """The connection of a subscription."""

    @property
    def writable(self) -> bool:
        """Whether more may be sent now."""
        ...

    def send(self, *parts: bytes) -> None:
        """Send with everything else of this turn of the loop."""
        ...


class Subscription:
    """A reader of one stream, on one connection."""

    def __init__(
        self,
        identity: int,
        log: StreamLog,
        from_sequence: int,
        window_bytes: int,
        sink: Sink,
    ) -> None:
        self.state = State.BLOCKED
        self._identity = identity
        self._log = log
        self._next_sequence = from_sequence
        self._credit_bytes = window_bytes
        self._sink = sink
        self._spawn: Callable[[Coroutine[Any, Any, None]], object] | None = None

    def start(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """Begin to send; `spawn` starts the tasks that catch up."""
        self._spawn = spawn
        self._log.listen(self._on_group)
        self.resume()

    def end(self) -> None:
        """Send nothing more."""
        self.state = State.ENDED
        self._log.unlisten(self._on_group)

    def add_credit(self, credit_bytes: int) -> None:
        """The reader takes so many more bytes."""
        self._credit_bytes += credit_bytes
        self.resume()

    def resume(self) -> None:
        """Go on if something had blocked it and nothing does now."""
        if self.state is State.BLOCKED and self._may_send and self._spawn is not None:
            self.state = State.CATCHING
            self._spawn(self._run_catch_up())

    def _is_catching(self) -> bool:
        # A method, as types are narrowed by properties even across an await.
        return self.state is State.CATCHING

    @property
    def _may_send(self) -> bool:
        return self._credit_bytes > 0 and self._sink.writable

    def _on_group(self, chunk: Chunk) -> None:
        if self.state is not State.LIVE:
            return
        if self._may_send:
            self._send(chunk)
        else:
            self.state = State.BLOCKED

    async def _run_catch_up(self) -> None:
        try:
            while self._is_catching():
                chunk = await self._log.chunk(self._next_sequence)
                if not self._is_catching():
                    return
                if chunk is None:
                    # Nothing is awaited between finding the tail and being live: no gap.
                    self.state = State.LIVE
                    return
                self._send(chunk)
                # The connection flushes between chunks, and then knows whether its buffer is full.
                await asyncio.sleep(0)
                if not self._may_send and self._is_catching():
                    self.state = State.BLOCKED
                    return
        except JournalError as error:
            self._sink.send(encode_failed(self._identity, error))
            self.end()

    def _send(self, chunk: Chunk) -> None:
        assert chunk.first_sequence <= self._next_sequence < chunk.next_sequence, "a gap"
        self._next_sequence = chunk.next_sequence
        self._credit_bytes -= len(chunk.data)
        head = encode_frames_head(self._identity, chunk.next_sequence, len(chunk.data))
        self._sink.send(head, chunk.data)

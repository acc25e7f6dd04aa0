"""A subscription on the client's side: chunks that arrived and were not yet taken.

Invariants: `received` is the sequence after the last chunk held or taken, and where a new
connection subscribes again; the held bytes never pass the window by more than one chunk.
"""

from __future__ import annotations

import asyncio
from typing import Final

from journal.engine import Batch
from journal.errors import JournalError
from journal.protocol import CREDIT, READ, Kind, encode
from journal.record import decode_batches

WINDOW_BYTES: Final = 4 << 20


class ReaderQueue:
    """What a reader's subscription holds between the socket and the reader."""

    def __init__(self, identity: int, stream: str, from_sequence: int) -> None:
        self.identity = identity
        self.stream = stream
        self._name = stream.encode()
        self._asked = from_sequence
        self._received = from_sequence
        self._chunks: list[bytes] = []
        self._held_bytes = 0
        self._taken_bytes = 0
        self._failure: JournalError | None = None
        self._arrived = asyncio.Event()

    def encode_read(self) -> bytes:
        """Return the READ frame that continues behind what was received."""
        self._taken_bytes = 0
        window_bytes = max(0, WINDOW_BYTES - self._held_bytes)
        head = READ.pack(self.identity, self._received, window_bytes)
        return encode(Kind.READ, head + self._name)

    def push(self, next_sequence: int, data: bytes) -> None:
        """Take a chunk that arrived."""
        self._received = next_sequence
        self._chunks.append(data)
        self._held_bytes += len(data)
        self._arrived.set()

    def fail(self, error: JournalError) -> None:
        """End the reader with `error`, after what arrived before it."""
        self._failure = error
        self._arrived.set()

    async def take(self) -> list[Batch]:
        """Wait for chunks and return all of their batches.

        Raises:
            JournalError: the subscription failed, and everything before that was taken.
        """
        await self._arrived.wait()
        if not self._chunks:
            assert self._failure is not None
            raise self._failure
        chunks, self._chunks = self._chunks, []
        if self._failure is None:
            self._arrived.clear()
        self._taken_bytes += self._held_bytes
        self._held_bytes = 0
        batches: list[Batch] = []
        for chunk in chunks:
            # A chunk may begin before the last one's end: files are read by frames, what is in the
            # service's memory by groups of them.
            found = decode_batches(chunk, self._asked)
            if found:
                self._asked = found[-1].last_sequence + 1
                batches += found
        return batches

    def credit(self) -> bytes | None:
        """Return a CREDIT frame for what was taken, when it is worth sending."""
        if self._taken_bytes < WINDOW_BYTES // 2:
            return None
        taken, self._taken_bytes = self._taken_bytes, 0
        return encode(Kind.CREDIT, CREDIT.pack(self.identity, taken))

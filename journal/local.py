"""The local engine: streams as segment files in one directory of this machine.

    <directory>/lock                       held by the process that has it open
    <directory>/.reserve                   space for when the disk is full
    <directory>/<stream>/<first sequence>.log
    <directory>/<stream>/<first sequence>.summary   of a segment that gets no more frames
    <directory>/<stream>/waypoint          its end and keys at the last trim or orderly end
    <directory>/<stream>/durable            how far it was synced, by the last group
    <directory>/<stream>/holds             who needs it, and from where on

Invariants: one process at a time; every stream was recovered before the engine answers; a stream
whose end can't be trusted stops the engine from opening, so that nobody appends behind that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from journal.disk import Environment, lock_directory, make_directory, sync_directory
from journal.engine import Batch, check_append, check_sequence, check_stream_name
from journal.errors import BadRequest, JournalError, Overloaded, StreamClosed
from journal.record import encode_body
from journal.recovery import Recovered
from journal.reserve import Reserve
from journal.stream_log import StreamLog

_log = logging.getLogger(__name__)


class LocalEngine:
    """`Journal` on local disk. Made by `open`; belongs to one event loop."""

    def __init__(
        self,
        directory: Path,
        environment: Environment,
        streams: dict[str, StreamLog],
        lock_descriptor: int,
    ) -> None:
        self.limits = environment.limits
        self._directory = directory
        self._environment = environment
        self._streams = streams
        self._lock_descriptor: int | None = lock_descriptor

    @classmethod
    async def open(cls, directory: Path, environment: Environment | None = None) -> LocalEngine:
        """Lock the directory, making it if need be, and recover its streams.

        Raises:
            DirectoryLocked: another process has it.
            CorruptStream, UnsupportedFormat: a stream can't be trusted; nothing was opened.
        """
        environment = environment or Environment()
        await asyncio.to_thread(make_directory, directory)
        lock_descriptor = lock_directory(directory)
        reserve = Reserve(directory, environment.limits.reserve_bytes, environment.ops.allocate)
        environment = replace(environment, reserve=reserve)
        streams: dict[str, StreamLog] = {}
        try:
            for path in sorted(await asyncio.to_thread(_stream_directories, directory)):
                started = time.monotonic()
                found, writer = await asyncio.to_thread(StreamLog.recover, path, environment)
                streams[path.name] = StreamLog(path, environment, found, writer)
                _log.info(
                    "stream %r: %d segments, sequences %d to %d, recovered in %.2f s",
                    path.name,
                    len(found.segments),
                    streams[path.name].first,
                    streams[path.name].last,
                    time.monotonic() - started,
                )
            # Names found here may be in the kernel's memory only: a kill came between making them
            # and making them durable. What is appended below them now must not vanish with them.
            await asyncio.to_thread(_sync_names, directory)
            await asyncio.to_thread(reserve.take)
        except BaseException as error:
            if isinstance(error, JournalError):
                _log.critical("the journal does not open: %s", error)
            for stream in streams.values():
                stream.stop()
            os.close(lock_descriptor)
            raise
        return cls(directory, environment, streams, lock_descriptor)

    def stream(self, name: str) -> StreamLog:
        """Return a stream, which may be empty; its directory is made by the first append.

        Raises:
            BadRequest: a bad name. Overloaded: there are too many streams.
            StreamClosed: the engine was closed.
        """
        found = self._streams.get(name)
        return found if found is not None else self._add(name, Recovered())

    def _add(self, name: str, found: Recovered) -> StreamLog:
        check_stream_name(name)
        if self._lock_descriptor is None:
            raise StreamClosed("the journal is closed")
        if len(self._streams) >= self.limits.streams_max:
            raise Overloaded(f"the journal has its {self.limits.streams_max} streams")
        fresh = StreamLog(self._directory / name, self._environment, found, None)
        self._streams[name] = fresh
        return fresh

    def begin(self, stream: str, first_sequence: int, timestamp_ms: int = 0) -> None:
        """Let a stream that holds nothing yet begin at a later sequence than 1.

        For a log that goes on where one that was lost had ended. Nothing is written: the first
        append gets the sequence, and makes it so for good.

        Args:
            stream: its name.
            first_sequence: of its first record.
            timestamp_ms: what its timestamps do not fall below.

        Raises:
            BadRequest: it was used before, or the name or sequence is none.
            Overloaded: there are too many streams.
        """
        check_sequence(first_sequence)
        if stream in self._streams:
            raise BadRequest(f"stream {stream!r} has begun already")
        found = Recovered(
            next_sequence=first_sequence,
            timestamp_ms=timestamp_ms,
            keys_after=first_sequence - 1,
            noted_sequence=first_sequence,
        )
        self._add(stream, found)

    async def append(
        self,
        stream: str,
        records: Sequence[bytes],
        idempotency_key: bytes,
        *,
        resent_after: int | None = None,
    ) -> int:
        """See `Journal.append`; waits while too many appends are waiting."""
        check_append(records, idempotency_key, self.limits.append_bytes_max)
        log = self.stream(stream)
        await log.committer.budget.wait_for_room()
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        keyed_body = idempotency_key + encode_body(records)
        done = partial(_resolve, future)
        log.submit(idempotency_key, keyed_body, len(records), done, resent_after)
        return await future

    async def read(self, stream: str, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        """See `Journal.read`."""
        check_sequence(from_sequence)
        async for batches in self.stream(stream).read(from_sequence):
            yield batches

    async def tail(self, stream: str) -> int:
        """See `Journal.tail`."""
        return self.stream(stream).last

    async def bounds(self, stream: str) -> tuple[int, int]:
        """See `Journal.bounds`."""
        log = self.stream(stream)
        return log.first, log.last

    async def trim(self, stream: str, before: int) -> None:
        """See `Journal.trim`; whole segments go, and the newest one stays."""
        await self.stream(stream).trim(before)

    async def hold(self, stream: str, holder: str, before: int) -> tuple[int, int]:
        """See `Journal.hold`."""
        log = self.stream(stream)
        await log.hold(holder, before)
        return log.first, log.last

    def to_json(self) -> dict[str, Any]:
        """Return every stream's counters."""
        return {name: log.to_json() for name, log in sorted(self._streams.items())}

    def disk(self) -> dict[str, int | bool] | None:
        """Return what is left of the disk; None if it does not tell."""
        assert self._environment.reserve is not None
        try:
            return self._environment.reserve.to_json()
        except OSError as error:
            _log.warning("what is left of the journal's disk is not known: %s", error)
            return None

    async def drain(self) -> None:
        """Return when every append that was submitted has been answered."""
        for log in list(self._streams.values()):
            await log.drain()

    async def close(self) -> None:
        """Finish the appends that were submitted, close the files, unlock the directory."""
        if self._lock_descriptor is None:
            return
        descriptor, self._lock_descriptor = self._lock_descriptor, None
        await self.drain()
        for log in self._streams.values():
            log.stop()
        os.close(descriptor)


def _sync_names(directory: Path) -> None:
    sync_directory(directory)
    with suppress(PermissionError):  # of a parent that we may enter, but not read
        sync_directory(directory.parent)


def _stream_directories(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()]


def _resolve(future: asyncio.Future[int], first_sequence: int, error: JournalError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(first_sequence)
    else:
        future.set_exception(error)

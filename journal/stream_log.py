"""One stream of the local engine: its committer, its segments, and what readers see of them.

Readers have no queue here. A reader is a position; it gets the chunk that holds that position,
from the tail cache if it is near the end, else from a file, at its own speed. Who has reached the
tail listens for the next group.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias

from journal.committer import Committer, Done, Group
from journal.disk import Environment, FileOps, make_directory, sync_directory
from journal.disk_log import NO_SPACE, DiskLog
from journal.engine import Batch, check_from_sequence
from journal.errors import JournalError, JournalFull, SequenceTrimmed, StreamClosed
from journal.holds import Holds, write_holds
from journal.record import Chunk, decode_batches
from journal.recovery import Recovered, recover
from journal.segment import INDEX_STEP_BYTES, SegmentInfo, SegmentWriter, read_bytes, slice_frames
from journal.summary import summary_path, write_summary
from journal.tail_cache import TailCache
from journal.waypoint import Waypoint, write_waypoint

_log = logging.getLogger(__name__)

Listener: TypeAlias = Callable[[Chunk], None]

_first_sequence = attrgetter("first_sequence")


class StreamLog:
    """A stream on local disk."""

    def __init__(
        self,
        directory: Path,
        environment: Environment,
        found: Recovered,
        writer: SegmentWriter | None,
    ) -> None:
        self.name = directory.name
        disk_log = DiskLog(directory, environment, writer)
        self.committer = Committer(directory, environment, disk_log, found, self)
        self._directory = directory
        self._limits = environment.limits
        self._segments = found.segments
        self._cache = TailCache(environment.limits.tail_cache_bytes)
        self._listeners: dict[Listener, None] = {}
        self._grown = asyncio.Event()
        self._stopped = False
        self._trim_lock = asyncio.Lock()
        self._files = threading.Lock()
        """Held while a trim's thread works: cancelling the trim does not end it, and `stop` must
        not leave it at work in a directory that another process may take."""
        self._ops = environment.ops
        self._clock = environment.clock
        self._holds = Holds(
            self._limits.hold_seconds,
            self._limits.holders_max,
            found.holds,
            self._clock.monotonic_s(),
        )
        self._noted_sequence = found.noted_sequence
        self._last_ms = found.timestamp_ms
        self._summing: set[asyncio.Future[None]] = set()

    @staticmethod
    def recover(
        directory: Path, environment: Environment
    ) -> tuple[Recovered, SegmentWriter | None]:
        """Read a stream's directory and open its tail; blocks, runs in any thread.

        Raises:
            CorruptStream, UnsupportedFormat: see `recovery.recover`; nothing was changed.
        """
        found = recover(directory, directory.name, environment.limits.key_window)
        for unsummed in found.unsummed:
            _sum_up(*unsummed, environment.ops)
        if not found.segments:
            return found, None
        sync_directory(directory)  # the tail's name may be younger than its last sync
        tail = found.segments[-1]
        return found, SegmentWriter.reopen(
            tail.path, tail.end_offset, found.rewrite_from, environment.ops
        )

    def submit(
        self,
        key: bytes,
        keyed_body: bytes,
        count: int,
        done: Done,
        resent_after: int | None = None,
    ) -> None:
        """Have an append committed; see `Committer.submit`."""
        self.committer.submit(key, keyed_body, count, done, resent_after)

    @property
    def first(self) -> int:
        """The first retained sequence."""
        return self._segments[0].first_sequence if self._segments else 1

    @property
    def last(self) -> int:
        """The last durable sequence, 0 if there is none."""
        return self.committer.position.next_sequence - 1

    async def chunk(self, sequence: int) -> Chunk | None:
        """Return frames that hold `sequence`, or None at the tail. They may begin before it.

        Raises:
            SequenceTrimmed, SequenceAhead, CorruptStream: as `Journal.read`.
            JournalError: the file can't be read now.
        """
        check_from_sequence(sequence, self.first, self.last)
        if sequence > self.last:
            return None
        cached = self._cache.get(sequence, self._limits.read_chunk_bytes)
        return cached if cached is not None else await self._chunk_from_disk(sequence)

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every group from now on, after the appends' own answers."""
        self._listeners[listener] = None

    def unlisten(self, listener: Listener) -> None:
        """Stop calling `listener`."""
        self._listeners.pop(listener, None)

    async def read(self, from_sequence: int) -> AsyncGenerator[list[Batch], None]:
        """Yield batches endlessly; see `Journal.read`."""
        sequence = from_sequence
        while True:
            chunk = await self.chunk(sequence)
            if chunk is None:
                if self._stopped:
                    raise StreamClosed(f"stream {self.name!r}: the journal has stopped")
                await self._grown.wait()
                continue
            batches = decode_batches(chunk.data, sequence)
            sequence = chunk.next_sequence
            yield batches

    async def trim(self, before: int) -> None:
        """Delete the segments all of whose records are before `before`, but never the tail.

        Nor what a holder needs. Their keys are written down first, so that a retry is known even
        after a restart.
        """
        async with self._trim_lock:
            before = self._nobody_needs(before)
            keep = 0
            while keep < len(self._segments) - 1 and self._segments[keep].next_sequence <= before:
                keep += 1
            if keep == 0:
                return
            paths = [info.path for info in self._segments[:keep]]
            waypoint = self.committer.waypoint()
            noted = await asyncio.to_thread(self._note, waypoint)
            stats = self.committer.stats
            stats.trimmed_segments += keep
            stats.trimmed_bytes += sum(info.end_offset for info in self._segments[:keep])
            # Readers are refused before the files go.
            del self._segments[:keep]
            await asyncio.to_thread(self._delete, paths)
            if not noted:
                await asyncio.to_thread(self._note, waypoint)

    async def hold(self, holder: str, before: int) -> None:
        """Keep the log from `before` on for a holder; see `Journal.hold`.

        Raises:
            BadRequest, Overloaded: see `Holds.renew`. JournalFull: there is no space to note it.
        """
        must_note = self._holds.renew(holder, before, self._clock.monotonic_s())
        # A trim that has begun ends first, so that `first` is true once this returns.
        async with self._trim_lock:
            holds = self._holds.to_json()
            if holds == self._holds.noted:
                return
            try:
                await asyncio.to_thread(self._note_holds, holds)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                if must_note:
                    raise JournalFull(f"stream {self.name!r}: no space for a hold") from error
                # The disk keeps more than is needed, and trimming is what makes space.
            else:
                self._holds.noted = holds

    def _nobody_needs(self, before: int) -> int:
        """Return up to where the log may be trimmed when `before` is asked for."""
        for holder, needed in self._holds.expire(self._clock.monotonic_s()).items():
            _log.warning(
                "stream %r: %s was silent for more than %g s, so the log is no longer kept for it "
                "from sequence %d on",
                self.name,
                holder,
                self._limits.hold_seconds,
                needed,
            )
        least = self._holds.least()
        return before if least is None else min(before, least)

    async def drain(self) -> None:
        """Return when every submitted append has been answered, and what was sealed summed up."""
        await self.committer.drain()
        if self._summing:
            await asyncio.wait(self._summing)

    def stop(self) -> None:
        """Close the files; readers waiting at the tail get StreamClosed."""
        self.committer.stop()
        waypoint = self.committer.waypoint()
        with self._files:
            self._stopped = True
            if waypoint.next_sequence > self._noted_sequence:
                try:
                    write_waypoint(self._directory, waypoint, self._ops)
                except OSError as error:
                    _log.warning("%s: the log's end was not noted: %s", self._directory, error)
        self._wake_readers()

    def to_json(self) -> dict[str, Any]:
        """Return what a STATS reply says of the stream."""
        committer = self.committer
        return {
            **committer.stats.to_json(),
            "first": self.first,
            "last": self.last,
            "segments": len(self._segments),
            "retainedBytes": sum(info.end_offset for info in self._segments),
            "pendingAppends": committer.budget.held_count,
            "pendingBytes": committer.budget.held_bytes,
            "tailCacheBytes": self._cache.held_bytes,
            "listeners": len(self._listeners),
            "holds": self._holds.to_json(),
            "closed": str(committer.closed) if committer.closed is not None else None,
        }

    def on_published(self, group: Group) -> None:
        """Take the group into the segments and the tail cache."""
        new, chunk = group.new_segment, group.chunk
        if new is not None:
            first = chunk.first_sequence
            if self._segments:
                self._note_sealed(self._segments[-1])
            self._segments.append(SegmentInfo(new.path, first, new.header.salt, first))
        info = self._segments[-1]
        if len(chunk.data) <= INDEX_STEP_BYTES:
            info.extend(chunk.first_sequence, chunk.next_sequence, len(chunk.data))
        else:
            for append in group.appends:
                first = append.first_sequence
                info.extend(first, first + append.count, append.frame_bytes)
        self._last_ms = group.timestamp_ms
        self._cache.push(chunk)

    def on_answered(self, group: Group) -> None:
        """Give the group to the readers at the tail."""
        for listener in list(self._listeners):
            listener(group.chunk)
        self._wake_readers()

    def _wake_readers(self) -> None:
        self._grown.set()
        self._grown.clear()

    def _note(self, waypoint: Waypoint) -> bool:
        """Write a waypoint; return whether there was space for it. Runs in any thread."""
        with self._files:
            if self._stopped:
                return True
            try:
                write_waypoint(self._directory, waypoint, self._ops)
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                # Trimming is what makes space: it must not wait for it.
                _log.warning("%s: no space for the keys of what is trimmed", self._directory)
                return False
            self._noted_sequence = waypoint.next_sequence
            return True

    def _note_holds(self, holds: dict[str, int]) -> None:
        """Write the holds down. Runs in any thread."""
        with self._files:
            if self._stopped:
                raise StreamClosed(f"stream {self.name!r}: the journal is stopping")
            make_directory(self._directory)
            write_holds(self._directory, holds, self._ops)

    def _note_sealed(self, info: SegmentInfo) -> None:
        """Have a summary written of a segment that gets no more frames."""
        if not info.index_offsets:
            return
        keys, timestamp_ms = self.committer.keys_of(info), self._last_ms

        def work() -> None:
            with self._files:
                # It may have been trimmed meanwhile.
                if not self._stopped and info.path.exists():
                    _sum_up(info, timestamp_ms, keys, self._ops)

        summing = asyncio.get_running_loop().run_in_executor(None, work)
        self._summing.add(summing)
        summing.add_done_callback(self._summing.discard)

    def _delete(self, paths: list[Path]) -> None:
        """Oldest first, so that a crash in between leaves no gap. Runs in any thread."""
        with self._files:
            if self._stopped:
                return
            for path in paths:
                path.unlink(missing_ok=True)
                summary_path(path).unlink(missing_ok=True)
            sync_directory(self._directory)

    async def _chunk_from_disk(self, sequence: int) -> Chunk:
        place = bisect_right(self._segments, sequence, key=_first_sequence) - 1
        info = self._segments[place]
        offset = info.locate(sequence)
        wanted = self._limits.read_chunk_bytes + INDEX_STEP_BYTES
        while True:
            length = min(wanted, info.end_offset - offset)
            try:
                data = await asyncio.to_thread(read_bytes, info.path, offset, length)
            except FileNotFoundError as error:
                raise SequenceTrimmed(self.first) from error
            except OSError as error:
                # One reader's trouble, which may pass (file descriptors) or not (a bad sector):
                # the stream's writers and its readers near the tail go on.
                raise JournalError(f"reading {info.path} at byte {offset}: {error}") from error
            found = slice_frames(info, offset, data, sequence)
            if isinstance(found, Chunk):
                return found
            wanted = found


def _sum_up(
    info: SegmentInfo, timestamp_ms: int, keys: Sequence[tuple[bytes, int]], ops: FileOps
) -> None:
    """Write a segment's summary, if there is space for it."""
    try:
        write_summary(info, timestamp_ms, keys, ops)
    except OSError as error:
        # The next start reads the segment instead.
        _log.warning("%s: it was not summed up: %s", info.path, error)

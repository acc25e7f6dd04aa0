"""A stream's open tail on disk, as the disk thread sees it: write a group, sync it, or say why not.

Invariants:
    - After DURABLE the group survives a crash of the machine.
    - After REFUSED nothing of it is in the file, and the next group may be tried.
    - The durable mark is moved after DURABLE, and for nothing else.
    - After FAILED nothing is known; the tail is cut to the last durable byte as far as possible,
      and is never written again.
"""

from __future__ import annotations

import errno
import logging
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from journal.disk import Environment, make_directory
from journal.durable_mark import DurableMark
from journal.record import SegmentHeader
from journal.segment import SegmentWriter

_log = logging.getLogger(__name__)

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_LACKING: Final = NO_SPACE | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What may be wanting before a group is written, and come back."""


class Fate(Enum):
    """What became of a group."""

    DURABLE = "durable"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the disk thread reports of a group."""

    fate: Fate
    seconds: float = 0.0
    error: OSError | None = None


@dataclass(frozen=True, slots=True)
class NewSegment:
    """A segment to begin before the group is written."""

    path: Path
    header: SegmentHeader


class DiskLog:
    """The writing end of a stream; used by its disk thread only."""

    def __init__(
        self, directory: Path, environment: Environment, writer: SegmentWriter | None
    ) -> None:
        self._mark = DurableMark(directory)
        self._ops = environment.ops
        self._allocation_bytes = environment.limits.allocation_bytes
        self._reserve = environment.reserve
        self._writer = writer

    def commit(self, data: bytes, new_segment: NewSegment | None, next_sequence: int) -> Outcome:
        """Write and sync one group, after beginning a new segment if told to.

        A full disk is tried once more if there is a reserve to give up.

        Args:
            data: the group's frames.
            new_segment: to begin first.
            next_sequence: after the group.
        """
        outcome = self._commit_or_give_up_reserve(data, new_segment)
        if outcome.fate is Fate.DURABLE:
            # Before anybody is told: whoever was, can count on it.
            self._mark.move(next_sequence)
        return outcome

    def _commit_or_give_up_reserve(self, data: bytes, new_segment: NewSegment | None) -> Outcome:
        outcome, reserve = self._commit(data, new_segment), self._reserve
        if reserve is None:
            return outcome
        if outcome.fate is Fate.REFUSED and _is_full(outcome) and reserve.give_up():
            return self._commit(data, new_segment)
        reserve.look()
        return outcome

    def _commit(self, data: bytes, new_segment: NewSegment | None) -> Outcome:
        started = time.monotonic()
        try:
            writer = self._writer if new_segment is None else self._roll(new_segment)
            assert writer is not None, "the first group of a stream begins a segment"
            writer.reserve(len(data), self._allocation_bytes)
        except OSError as error:
            # Nothing of the group was written, whatever went wrong; only a lack heals.
            fate = Fate.REFUSED if error.errno in _LACKING else Fate.FAILED
            return Outcome(fate, error=error)
        try:
            writer.write(data)
        except OSError as error:
            return Outcome(_withdraw(writer, error), error=error)
        try:
            writer.sync()
        except OSError as error:
            _cut_failed(writer)
            return Outcome(Fate.FAILED, error=error)
        writer.advance(len(data))
        return Outcome(Fate.DURABLE, time.monotonic() - started)

    def close(self) -> None:
        """Close the tail segment, giving back the space allocated ahead."""
        self._mark.close()
        if self._writer is not None:
            _seal(self._writer)
            self._writer = None

    def _roll(self, new: NewSegment) -> SegmentWriter:
        make_directory(new.path.parent)
        fresh = SegmentWriter.create(new.path, new.header, self._ops, self._allocation_bytes)
        sealed, self._writer = self._writer, fresh
        if sealed is not None:
            _seal(sealed)
        return fresh


def _is_full(outcome: Outcome) -> bool:
    return outcome.error is not None and outcome.error.errno in NO_SPACE


def _seal(writer: SegmentWriter) -> None:
    """Close a segment that gets no more frames; all it holds is durable already."""
    try:
        writer.cut()
    except OSError as error:
        _log.warning("space allocated behind a sealed segment was not given back: %s", error)
    finally:
        writer.close()


def _withdraw(writer: SegmentWriter, error: OSError) -> Fate:
    """Cut off a half-written group; REFUSED if it is gone for good and only space was lacking."""
    if error.errno not in NO_SPACE:
        _cut_failed(writer)
        return Fate.FAILED
    try:
        writer.cut()
        # Else whole frames of it, which the kernel may have written out, come back after a crash
        # of the machine: to callers who were told that nothing was written.
        writer.sync()
    except OSError:
        return Fate.FAILED
    return Fate.REFUSED


def _cut_failed(writer: SegmentWriter) -> None:
    """Cut off a group of unknown fate as far as possible; recovery judges what is left."""
    try:
        writer.cut()
    except OSError as error:
        _log.warning("a failed commit was not cut off: %s", error)

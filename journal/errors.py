"""What can go wrong in the journal, named for what the caller does next.

Codes travel in FAILED and ERROR frames (journal/protocol.py); `detail` is a number whose meaning
belongs to the code. They are part of the wire format: never renumber.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class JournalError(Exception):
    """Any failure of the journal; alone, one the caller can only report."""

    code: ClassVar[int] = 1

    @property
    def detail(self) -> int:
        """The number that goes with the code on the wire; 0 if it has none."""
        return 0


class StreamClosed(JournalError):
    """A write or fsync failed: the stream takes no more appends until the service is restarted.

    An append that was under way may or may not survive. What was durable before stays readable.
    Contrast JournalFull: nothing was written there, and it heals by itself.
    """

    code = 2


class JournalFull(JournalError):
    """No space left on the journal's device: nothing was written; retry when there is space."""

    code = 3


class SequenceTrimmed(JournalError):
    """The asked-for sequence was trimmed away; the oldest one still there is `first`."""

    code = 4

    def __init__(self, first: int, message: str | None = None) -> None:
        super().__init__(message or f"trimmed away; the first retained sequence is {first}")
        self.first = first

    @property
    def detail(self) -> int:
        """The first retained sequence."""
        return self.first


class SequenceAhead(JournalError):
    """A read starts beyond tail + 1: the reader knows a log that this journal does not hold.

    Never retried: either the journal's directory was lost or replaced, or the reader's state
    belongs to another journal. `last` is the last durable sequence.
    """

    code = 5

    def __init__(self, last: int, message: str | None = None) -> None:
        super().__init__(message or f"read from beyond the log's end; the last sequence is {last}")
        self.last = last

    @property
    def detail(self) -> int:
        """The last durable sequence."""
        return self.last


class Overloaded(JournalError):
    """A queue is at its limit: nothing was written; retry after a pause."""

    code = 6


class RecordTooLarge(JournalError):
    """The append is larger than the journal takes: nothing was written; retrying never helps."""

    code = 7


class CorruptStream(JournalError):
    """Bytes that were durable are damaged; an operator must decide, the journal does not guess.

    Contrast a torn tail, which no acknowledgement can have covered and which is cut off silently.
    """

    code = 8

    def __init__(self, path: Path | str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = Path(path)
        self.offset = offset
        self.reason = reason

    @property
    def detail(self) -> int:
        """The byte offset of the damage in its file."""
        return self.offset


class UnsupportedFormat(JournalError):
    """A file or a peer speaks a format version this program does not know; nothing was touched."""

    code = 9


class DirectoryLocked(JournalError):
    """Another process has the journal directory open; nothing was touched."""

    code = 10


class BadRequest(JournalError):
    """The request itself is wrong (bad name, no records); nothing was written; don't retry."""

    code = 11


class ProtocolError(JournalError):
    """The peer sent bytes that are not the protocol; the connection is closed."""

    code = 12


class Disconnected(JournalError):
    """The client was closed while the call was under way; an append may or may not be applied."""

    code = 13


class DeadlineExceeded(JournalError):
    """No answer in time. An append may or may not be applied: retry with the same key to learn."""

    code = 14


class OutcomeUnknown(JournalError):
    """A resent append may have been committed so long ago that its key is forgotten.

    It was not committed now: that might have been the second time. Contrast DeadlineExceeded, after
    which the same key still tells.
    """

    code = 16


class TooManyConnections(JournalError):
    """The service has all the connections it takes; retry later."""

    code = 15


class NoQuorum(JournalError):
    """Too few of the journal's servers are there, or none can be reached: nothing was written.

    It heals by itself. Contrast DeadlineExceeded, where something may have been sent.
    """

    code = 17


def _all_errors() -> dict[int, type[JournalError]]:
    found: dict[int, type[JournalError]] = {JournalError.code: JournalError}
    for kind in JournalError.__subclasses__():
        assert kind.code not in found, f"{kind.__name__} reuses a code"
        found[kind.code] = kind
    return found


_BY_CODE = _all_errors()


def error_from_wire(code: int, detail: int, message: str) -> JournalError:
    """Return the error a FAILED or ERROR frame stands for; unknown codes become JournalError."""
    kind = _BY_CODE.get(code, JournalError)
    if kind is SequenceTrimmed:
        return SequenceTrimmed(detail, message)
    if kind is SequenceAhead:
        return SequenceAhead(detail, message)
    if kind is CorruptStream:
        path, _, reason = message.partition(f": damaged at byte {detail}: ")
        return CorruptStream(path, detail, reason)
    return kind(message)

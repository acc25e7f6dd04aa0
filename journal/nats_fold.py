"""What a JetStream log means: each message in its order, folded into numbers, keys and holds.

A stream of the journal is a JetStream stream, a message of it an append of one or more records, a
trim, a hold or a mark. Whether an append counts, and which sequences its records get, is decided by
its place in the log alone, so every reader comes to the same answer and nobody needs to be asked:

    - one whose key is among the last `key_window` keys that counted is a repetition: nothing;
    - one that was first sent when `after` was durable, which is before what the remembered keys
      reach back to, may be a repetition: nothing (whoever sent it hears OutcomeUnknown);
    - any other gets the next sequences, one a record.

Everything in a message's head is checked before anything changes; what makes no sense, or was
published by others, is nothing too. The state can be written down (`encode`), and a reader that
starts from it needs only what came after. Marks, one every `MARK_EVERY` messages, say how many
records lie before a message, so that reading can begin anywhere.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import google_crc32c
import orjson

from journal.engine import KEY_BYTES, RECORDS_PER_APPEND_MAX, Limits
from journal.errors import CorruptStream, UnsupportedFormat
from journal.key_window import KeyWindow

FORMAT_VERSION: Final = 1
MARK_EVERY: Final = 1024
HOLDERS_MAX: Final = Limits().holders_max
CLOCK_AHEAD_MS_MAX: Final = 5000
"""A writer's clock counts no further ahead of the server's, or one would set the time of all."""

_MAGIC: Final = b"UPNFOLD\n"
_HEAD = struct.Struct("<8sIII")


class Mark(NamedTuple):
    """Up to and with the message at `position`, there are `last` records."""

    position: int
    last: int
    timestamp_ms: int


class Hold(NamedTuple):
    """What a holder needs, and the message that said so."""

    before: int
    position: int


def append_head(after: int, count: int, now_ms: int) -> str:
    """Return the head of an append."""
    return f"a {after} {count} {now_ms}"


def trim_head(before: int, expired: Iterable[tuple[str, int]]) -> str:
    """Return the head of a trim; `expired` are holders and the positions of their silent holds."""
    return " ".join((f"t {before}", *(f"{holder}:{place}" for holder, place in expired)))


def hold_head(holder: str, before: int, expired: Iterable[tuple[str, int]]) -> str:
    """Return the head of a hold."""
    return " ".join((f"h {before} {holder}", *(f"{name}:{place}" for name, place in expired)))


MARK_HEAD: Final = "m"


class Fold:
    """The state of one stream after the message at `position`.

    Attributes:
        position: the last message's JetStream sequence.
        first, last: of the records that are retained; last + 1 if none is.
        timestamp_ms: the last append's.
        keys: of the last appends that counted.
        holds: by holder.
        ignored: positions of appends that did not count, within what is retained.
        marks: in their order; the first lies before the first retained record.
    """

    def __init__(self, key_window: int, mark_every: int = MARK_EVERY) -> None:
        self.position = 0
        self.first = 1
        self.last = 0
        self.timestamp_ms = 0
        self.keys = KeyWindow(key_window)
        self.holds: dict[str, Hold] = {}
        self.ignored: list[int] = []
        self.marks: list[Mark] = [Mark(0, 0, 0)]
        self._key_window = key_window
        self._mark_every = mark_every

    def apply(self, position: int, key: bytes, head: str, server_ms: int) -> int:
        """Take the next message.

        Returns:
            For an append its first sequence, for anything else 1; 0 if it has changed nothing.
        """
        parts = head.split(" ")
        try:
            if parts[0] == "a":
                result = self._append(position, key, parts, server_ms)
            elif parts[0] == "h":
                result = self._hold(position, parts)
            elif parts[0] == "t":
                result = self._trim(parts)
            else:
                result = int(parts[0] == "m")
        except (ValueError, IndexError):
            result = 0
        self.position = position
        if position % self._mark_every == 0:
            self.marks.append(Mark(position, self.last, self.timestamp_ms))
        return result

    def _append(self, position: int, key: bytes, parts: Sequence[str], server_ms: int) -> int:
        _, after, count, now_ms = parts
        after_sequence, records, stamp = int(after), int(count), int(now_ms)
        if not 0 < records <= RECORDS_PER_APPEND_MAX or len(key) != KEY_BYTES:
            return 0  # no reader takes it for an append either: see counts_as_append
        keys = self.keys
        if keys.get(key) is not None or after_sequence < keys.complete_after:
            self.ignored.append(position)
            return 0
        first = self.last + 1
        self.last += records
        stamp = min(stamp, server_ms + CLOCK_AHEAD_MS_MAX)
        self.timestamp_ms = max(self.timestamp_ms, stamp)
        keys.add(key, first)
        return first

    def _hold(self, position: int, parts: Sequence[str]) -> int:
        before, holder, expired = int(parts[1]), parts[2], _parse_expired(parts[3:])
        if before < 1:
            return 0
        self._expire(expired)
        if holder not in self.holds and len(self.holds) >= HOLDERS_MAX:
            return 0
        self.holds[holder] = Hold(before, position)
        return 1

    def _trim(self, parts: Sequence[str]) -> int:
        before, expired = int(parts[1]), _parse_expired(parts[2:])
        self._expire(expired)
        for hold in self.holds.values():
            before = min(before, hold.before)
        # Whole stretches between marks go, as others' segments do: what is left begins at a mark.
        place = self._mark_place(min(before, self.last + 1))
        if place > 0:
            del self.marks[:place]
            self.first = self.marks[0].last + 1
            del self.ignored[: bisect_right(self.ignored, self.marks[0].position)]
        return 1

    def _expire(self, expired: Iterable[tuple[str, int]]) -> None:
        for holder, position in expired:
            hold = self.holds.get(holder)
            # One that was renewed since is not the one that was found silent.
            if hold is not None and hold.position == position:
                del self.holds[holder]

    def mark_before(self, sequence: int) -> Mark:
        """Return from where on the log holds a retained record."""
        return self.marks[self._mark_place(sequence)]

    def is_ignored(self, position: int) -> bool:
        """Whether the append there, which was folded already, did not count."""
        place = bisect_left(self.ignored, position)
        return place < len(self.ignored) and self.ignored[place] == position

    def _mark_place(self, sequence: int) -> int:
        return max(0, bisect_left(self.marks, sequence, key=lambda mark: mark.last) - 1)

    def encode(self) -> bytes:
        """Return everything, to start from later."""
        scalars = {
            "version": FORMAT_VERSION,
            "position": self.position,
            "first": self.first,
            "last": self.last,
            "timestamp_ms": self.timestamp_ms,
            "complete_after": self.keys.complete_after,
            "key_window": self._key_window,
            "mark_every": self._mark_every,
            "holds": {holder: list(hold) for holder, hold in self.holds.items()},
        }
        keys = self.keys.items()
        numbers = [
            array("Q", (number for mark in self.marks for number in mark)),
            array("Q", self.ignored),
            array("Q", (first for _, first in keys)),
        ]
        packed = zlib.compress(b"".join(_sized(each.tobytes()) for each in numbers), 1)
        text = orjson.dumps(scalars)
        body = text + packed + b"".join(key for key, _ in keys)
        return _HEAD.pack(_MAGIC, google_crc32c.value(body), len(text), len(packed)) + body

    @classmethod
    def decode(cls, data: bytes, key_window: int, mark_every: int) -> Fold:
        """Return what `encode` wrote.

        Raises:
            CorruptStream: it is damaged. UnsupportedFormat: it is not ours.
        """
        magic, crc, text_bytes, packed_bytes = _HEAD.unpack_from(data.ljust(_HEAD.size))
        body = data[_HEAD.size :]
        if magic != _MAGIC or crc != google_crc32c.value(body):
            raise CorruptStream("the log's noted state", 0, "it fails its checksum")
        scalars: dict[str, Any] = orjson.loads(body[:text_bytes])
        wanted = (FORMAT_VERSION, key_window, mark_every)
        found = (scalars["version"], scalars["key_window"], scalars["mark_every"])
        if found != wanted:
            raise UnsupportedFormat(f"the log's noted state is of format {found}, not {wanted}")
        fold = cls(key_window, mark_every)
        for name in ("position", "first", "last", "timestamp_ms"):
            setattr(fold, name, scalars[name])
        fold.holds = {holder: Hold(*hold) for holder, hold in scalars["holds"].items()}
        marks, ignored, firsts = _numbers(zlib.decompress(body[text_bytes:][:packed_bytes]))
        fold.marks = [Mark(*marks[at : at + 3]) for at in range(0, len(marks), 3)]
        fold.ignored = list(ignored)
        keys = body[text_bytes + packed_bytes :]
        cut = (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES))
        pairs = zip(cut, firsts, strict=True)
        fold.keys = KeyWindow(key_window, pairs, scalars["complete_after"])
        return fold


def counts_as_append(key: bytes, head: str) -> tuple[int, int] | None:
    """Return an append's number of records and its writer's time; None for anything else."""
    parts = head.split(" ")
    if len(parts) != 4 or parts[0] != "a" or len(key) != KEY_BYTES:
        return None
    try:
        int(parts[1])
        records, stamp = int(parts[2]), int(parts[3])
    except ValueError:
        return None
    return (records, stamp) if 0 < records <= RECORDS_PER_APPEND_MAX else None


def _parse_expired(parts: Sequence[str]) -> list[tuple[str, int]]:
    found = []
    for part in parts:
        holder, _, position = part.rpartition(":")
        found.append((holder, int(position)))
    return found


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _numbers(data: bytes) -> list[array[int]]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(array("Q", data[at + 4 : at + 4 + size]))
        at += 4 + size
    return found

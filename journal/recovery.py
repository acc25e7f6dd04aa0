"""What to believe of a stream's files after a crash.

The decisions are pure functions over bytes. The rule: the log ends where its last whole frame of
the last segment ends. What follows is, in this order of suspicion,

    CLEAN    zeroes or nothing: space allocated ahead
    TORN     the remains of a group whose fsync never returned: cut off, nobody was told of it
    DAMAGED  anything that had been durable: refused, with file and byte offset

TORN and DAMAGED are told apart by the frames behind the bad place. One whose group began behind
it proves that the bad place had been durable (journal/record.py says why). For the last group
there is the durable mark (journal/durable_mark.py), which outlives the process, if not always the
machine, and the waypoint of the last orderly end or trim (journal/waypoint.py): a log that ends
before them is refused. If they tell nothing of it, the group is cut off with a warning that names
the byte counts.

Only the last segment can have a torn end, and only it is read each time. Of a sealed one its
header, its size and its summary (journal/summary.py) are looked at; damage to its frames is found,
and refused with its place, when they are read. Where the summary is not there, or not right, the
whole segment is read, and summed up for the next time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from journal.durable_mark import read_mark
from journal.engine import KEY_WINDOW
from journal.errors import CorruptStream
from journal.holds import read_holds
from journal.record import (
    FRAME_MAGIC,
    SEGMENT_HEADER_BYTES,
    Frame,
    decode_segment_header,
    read_frame,
)
from journal.segment import SUFFIX, TEMPORARY_SUFFIX, SegmentInfo, read_bytes
from journal.summary import SUMMARY_SUFFIX, Summary, read_summary
from journal.waypoint import read_waypoint

_log = logging.getLogger(__name__)


class Tail(Enum):
    """What follows the last whole frame of a segment."""

    CLEAN = "clean"
    TORN = "torn"
    DAMAGED = "damaged"


@dataclass(slots=True)
class Recovered:
    """A stream as its files tell it."""

    segments: list[SegmentInfo] = field(default_factory=list)
    next_sequence: int = 1
    timestamp_ms: int = 0
    keys: list[tuple[bytes, int]] = field(default_factory=list)
    """Idempotency keys and their first sequences, oldest first, at most the key window."""
    keys_after: int = 0
    """Every append after this sequence has its key in `keys`."""
    holds: dict[str, int] = field(default_factory=dict)
    """Who needs the log, and from where on."""
    noted_sequence: int = 1
    """The next sequence that the waypoint names, 1 if there is none."""
    rewrite_from: int = SEGMENT_HEADER_BYTES
    """Where the last group of the last segment begins."""
    unsummed: list[Unsummed] = field(default_factory=list)
    """Sealed segments that had to be read."""


class Unsummed(NamedTuple):
    """What a summary says, of a segment that has none."""

    info: SegmentInfo
    timestamp_ms: int
    keys: Sequence[tuple[bytes, int]]


def judge_tail(data: bytes, end: int, salt: int) -> Tail:
    """Decide what the bytes from `end` on are; no whole frame begins at `end`."""
    rest = data[end:]
    if rest.count(0) == len(rest):
        return Tail.CLEAN
    place = data.find(FRAME_MAGIC, end + 1)
    while place >= 0:
        frame = read_frame(data, place, salt)
        if frame is not None and frame.group_offset > end:
            return Tail.DAMAGED
        place = data.find(FRAME_MAGIC, place + 1)
    return Tail.TORN


def scan_frames(data: bytes, info: SegmentInfo, found: Recovered) -> Frame | None:
    """Walk the frames of a segment, extending `info` and `found`; return the last one.

    Raises:
        CorruptStream: a whole frame does not continue the sequence or the time before it.
    """
    position = SEGMENT_HEADER_BYTES
    last: Frame | None = None
    while (frame := read_frame(data, position, info.salt)) is not None:
        if frame.first_sequence != info.next_sequence or frame.timestamp_ms < found.timestamp_ms:
            raise CorruptStream(
                info.path,
                position,
                f"sequence {frame.first_sequence} at {frame.timestamp_ms} ms follows sequence "
                f"{info.next_sequence - 1} at {found.timestamp_ms} ms",
            )
        info.extend(frame.first_sequence, frame.next_sequence, frame.end - position)
        found.timestamp_ms = frame.timestamp_ms
        found.keys.append((frame.key, frame.first_sequence))
        position = frame.end
        last = frame
    return last


def _open_segment(data: bytes, path: Path, stream: str) -> SegmentInfo:
    try:
        header = decode_segment_header(data[:SEGMENT_HEADER_BYTES], str(path))
    except ValueError as error:
        raise CorruptStream(path, 0, str(error)) from error
    if header.stream != stream or path.name != f"{header.first_sequence:020d}{SUFFIX}":
        raise CorruptStream(
            path,
            0,
            f"header says stream {header.stream!r}, first sequence {header.first_sequence}: "
            "the file was moved or renamed",
        )
    first = header.first_sequence
    return SegmentInfo(path, first, header.salt, first)


def _check_tail(data: bytes, info: SegmentInfo, *, sealed: bool) -> None:
    end = info.end_offset
    tail = judge_tail(data, end, info.salt)
    if tail is Tail.CLEAN:
        return
    if sealed:
        raise CorruptStream(info.path, end, "a sealed segment does not end with whole frames")
    if tail is Tail.DAMAGED:
        raise CorruptStream(
            info.path, end, "frames written after these bytes were durable follow them"
        )
    torn_bytes = len(data[end:].rstrip(b"\0"))
    _log.warning(
        "%s: cutting %d bytes of an unfinished commit at byte %d, after sequence %d",
        info.path,
        torn_bytes,
        end,
        info.next_sequence - 1,
    )


def _take_summary(path: Path, stream: str, found: Recovered) -> Summary | None:
    """Return a sealed segment's summary, if it can be believed, and note what it says.

    Raises:
        CorruptStream, UnsupportedFormat: the segment's header is damaged, or a newer one.
    """
    info = _open_segment(read_bytes(path, 0, SEGMENT_HEADER_BYTES), path, stream)
    summary = read_summary(path, info.first_sequence, info.salt)
    if summary is None or summary.timestamp_ms < found.timestamp_ms:
        return None
    _check_follows(info, found)
    found.segments.append(summary.info)
    found.next_sequence = summary.info.next_sequence
    found.timestamp_ms = summary.timestamp_ms
    return summary


def _read_segment(path: Path, stream: str, found: Recovered, *, sealed: bool) -> None:
    """Read a segment, verifying every checksum, and note what it holds."""
    data = path.read_bytes()
    info = _open_segment(data, path, stream)
    _check_follows(info, found)
    last = scan_frames(data, info, found)
    _check_tail(data, info, sealed=sealed)
    found.segments.append(info)
    found.next_sequence = info.next_sequence
    found.rewrite_from = last.group_offset if last is not None else SEGMENT_HEADER_BYTES


def _check_follows(info: SegmentInfo, found: Recovered) -> None:
    path = info.path
    if found.segments and info.first_sequence != found.next_sequence:
        raise CorruptStream(
            path,
            0,
            f"begins with sequence {info.first_sequence}, but the segment before ends with "
            f"{found.next_sequence - 1}: a file is missing or was cut",
        )


def recover(directory: Path, stream: str, key_window: int = KEY_WINDOW) -> Recovered:
    """Learn what a stream's segments hold; change nothing but leftovers.

    Blocks: call it in a thread. Every checksum of the last segment is verified, and of those that
    have no summary, and sequences across all files.

    Raises:
        CorruptStream: bytes that had been durable are damaged or missing, or the holds are.
        UnsupportedFormat: a newer program wrote a segment.
    """
    found = Recovered()
    for leftover in directory.glob(f"*{TEMPORARY_SUFFIX}"):
        # A segment that never got its name never held an acknowledged byte.
        leftover.unlink()
    paths = sorted(directory.glob(f"*{SUFFIX}"))
    for leftover in directory.glob(f"*{SUMMARY_SUFFIX}"):
        if not leftover.with_suffix(SUFFIX).exists():
            leftover.unlink()
    keys: list[Summary | Sequence[tuple[bytes, int]]] = []
    for path in paths:
        sealed = path is not paths[-1]
        summary = _take_summary(path, stream, found) if sealed else None
        if summary is not None:
            keys.append(summary)
            continue
        _read_segment(path, stream, found, sealed=sealed)
        del found.keys[:-key_window]
        if sealed and found.keys:
            found.unsummed.append(Unsummed(found.segments[-1], found.timestamp_ms, found.keys))
        keys.append(found.keys)
        found.keys = []
    found.keys = _last_keys(keys, key_window)
    _heed_waypoint(directory, found)
    _check_durable(directory, found, read_mark(directory))
    del found.keys[:-key_window]
    found.holds = read_holds(directory)
    return found


def _last_keys(
    segments: Sequence[Summary | Sequence[tuple[bytes, int]]], count_max: int
) -> list[tuple[bytes, int]]:
    """Return the newest keys, oldest first; of the other segments none is even unpacked."""
    found: list[tuple[bytes, int]] = []
    for one in reversed(segments):
        if len(found) >= count_max:
            break
        found[:0] = one.keys() if isinstance(one, Summary) else one
    return found[-count_max:]


def _heed_waypoint(directory: Path, found: Recovered) -> None:
    """Take the keys that were trimmed with their segments.

    Raises:
        CorruptStream: the log ends before what was durable, or the waypoint is damaged.
    """
    waypoint = read_waypoint(directory)
    first = found.segments[0].first_sequence if found.segments else found.next_sequence
    found.keys_after = first - 1
    if waypoint is None:
        return
    _check_durable(directory, found, waypoint.next_sequence)
    trimmed = [(key, sequence) for key, sequence in waypoint.keys if sequence < first]
    found.keys[:0] = trimmed
    if trimmed and waypoint.next_sequence >= first:
        # Else there was no space to note the keys of a later trim, and those in between are gone.
        found.keys_after = trimmed[0][1] - 1
    found.timestamp_ms = max(found.timestamp_ms, waypoint.timestamp_ms)
    found.noted_sequence = waypoint.next_sequence


def _check_durable(directory: Path, found: Recovered, next_sequence: int) -> None:
    """Refuse a log that ends before what was durable.

    Raises:
        CorruptStream: it does.
    """
    if found.next_sequence >= next_sequence:
        return
    # With no segment at all, nothing but the directory is left to be named.
    path, end = directory, 0
    if found.segments:
        path, end = found.segments[-1].path, found.segments[-1].end_offset
    raise CorruptStream(
        path,
        end,
        f"the log ends with sequence {found.next_sequence - 1} there, but it was durable up to "
        f"{next_sequence - 1}: its end is damaged or missing",
    )

"""Who still needs a stream's log, and from where on: replicas' durable checkpoints, seen from here.

Trimming goes below the least of all holds, so that no replica's log is trimmed by another. A hold
that was not renewed for `Limits.hold_seconds` no longer counts, or a replica that is gone for good
would fill the disk. Kept in the stream's directory as

    "UPHOLDS1 " crc32c of the rest, 8 hex digits, "\\n", JSON: {holder: sequence}

Only what makes a hold stronger has to be durable before it is acknowledged: a new holder, or one
that goes back. Forgetting that one has moved on only keeps more. Times are not kept: holders have
all of `hold_seconds` again when the journal was started, as they could not renew while it was away.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import google_crc32c
import orjson

from journal.disk import FileOps, replace_file
from journal.engine import check_sequence, check_stream_name
from journal.errors import CorruptStream, Overloaded

HOLDS_NAME: Final = "holds"
_MAGIC: Final = b"UPHOLDS1 "
_HEAD_BYTES: Final = len(_MAGIC) + 9


class Holds:
    """The holders of one stream, with what each needs and when it last said so.

    Args of the constructor:
        seconds: how long a hold lasts without being renewed.
        count_max: how many there may be.
        found: those that were kept, by holder.
        now_s: monotonic, for all that are found.
    """

    def __init__(
        self, seconds: float, count_max: int, found: Mapping[str, int], now_s: float
    ) -> None:
        self._seconds = seconds
        self._count_max = count_max
        self._holds = {holder: (before, now_s) for holder, before in found.items()}
        self.noted: Mapping[str, int] = found
        """What is on the disk; its owner replaces it after writing `to_json`."""

    def renew(self, holder: str, before: int, now_s: float) -> bool:
        """Take what a holder says; return whether the disk would keep too little for it.

        Raises:
            BadRequest: a bad name or sequence. Overloaded: there are too many holders.
        """
        check_stream_name(holder)
        check_sequence(before)
        if holder not in self._holds and len(self._holds) >= self._count_max:
            self.expire(now_s)
        if holder not in self._holds and len(self._holds) >= self._count_max:
            raise Overloaded(f"the stream has its {self._count_max} holders")
        self._holds[holder] = (before, now_s)
        noted = self.noted.get(holder)
        return noted is None or before < noted

    def expire(self, now_s: float) -> dict[str, int]:
        """Forget those that were silent for too long; return them with what they needed."""
        gone = {
            holder: before
            for holder, (before, renewed_s) in self._holds.items()
            if now_s - renewed_s > self._seconds
        }
        for holder in gone:
            del self._holds[holder]
        return gone

    def least(self) -> int | None:
        """Return the first sequence that somebody needs, None if nobody holds anything."""
        return min((before for before, _ in self._holds.values()), default=None)

    def to_json(self) -> dict[str, int]:
        """Return each holder's sequence."""
        return {holder: before for holder, (before, _) in sorted(self._holds.items())}


def read_holds(directory: Path) -> dict[str, int]:
    """Return what was kept of a stream's holds; blocks.

    Raises:
        CorruptStream: the file is damaged. Without it, replicas' logs might be trimmed.
    """
    path = directory / HOLDS_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    body = data[_HEAD_BYTES:]
    if data[:_HEAD_BYTES] != _head(body):
        raise CorruptStream(
            path,
            0,
            "it fails its checksum; without it, every replica that runs "
            "says again what it needs: delete it when all of them do",
        )
    found: dict[str, int] = orjson.loads(body)
    return found


def write_holds(directory: Path, holds: Mapping[str, int], ops: FileOps) -> None:
    """Replace what is kept, durably; blocks.

    Raises:
        OSError: what was there before is still there, or this is.
    """
    body = orjson.dumps(dict(holds))
    replace_file(ops, directory / HOLDS_NAME, _head(body) + body)


def _head(body: bytes) -> bytes:
    return _MAGIC + b"%08x\n" % google_crc32c.value(body)

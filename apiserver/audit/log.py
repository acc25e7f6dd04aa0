"""The audit log's file: a JSON object a line, written beside the event loop, rotated by size.

What waits to be written is bounded; what does not fit is dropped, counted, and told in the server's
log: auditing must not bring down what it watches. A file that has become too large is renamed to
`<name>-<time>.log`, and the oldest of those are deleted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.clock import Clock

_log: Final = logging.getLogger(__name__)
WAITING_MAX: Final = 10_000
WAITING_BYTES_MAX: Final = 64 << 20
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How large a file becomes, and how many old ones stay and for how long; 0: no limit."""

    bytes_max: int = 100 << 20
    backups_max: int = 10
    age_days_max: int = 0


class AuditLog:
    """Writes lines; `run` has to run.

    Attributes:
        dropped: how many lines did not fit or could not be written.
    """

    def __init__(self, path: Path, limits: LogLimits, clock: Clock) -> None:
        self.dropped = 0
        self._path = path
        self._limits = limits
        self._clock = clock
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._has_some = asyncio.Event()

    def put(self, line: bytes) -> None:
        """Have a line written, its end included."""
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes > WAITING_BYTES_MAX:
            self._drop(1)
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._has_some.set()

    async def run(self) -> None:
        """Write what comes, until cancelled; what waits then is written at once."""
        try:
            while True:
                await self._has_some.wait()
                lines = self._take()
                try:
                    await asyncio.to_thread(self.write, lines)
                except OSError as error:
                    _log.error("the audit log cannot be written: %s", error)
                    self._drop(len(lines))
                    await self._clock.sleep(_RETRY_S)
        finally:
            if self._waiting:
                self.write(self._take())

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines to the file, which is opened each time: others may move it away.

        Raises:
            OSError: it cannot be written.
        """
        data = b"".join(lines)
        if self._limits.bytes_max:
            self._rotate(len(data))
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while data:
                data = data[os.write(handle, data) :]
        finally:
            os.close(handle)

    def _take(self) -> list[bytes]:
        lines, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        self._has_some.clear()
        return lines

    def _drop(self, count: int) -> None:
        if self.dropped % 1000 == 0:
            _log.error("audit events are lost: %d before this one", self.dropped)
        self.dropped += count

    def _rotate(self, more_bytes: int) -> None:
        try:
            size_bytes = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size_bytes == 0 or size_bytes + more_bytes <= self._limits.bytes_max:
            return
        now_s = named_s = self._clock.now_s()
        while (old := self._backup_at(named_s)).exists():
            named_s += 0.001
        self._path.rename(old)
        self._prune(now_s)

    def _backup_at(self, now_s: float) -> Path:
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now_s))
        millis = int(now_s * 1000) % 1000
        return self._path.with_name(f"{self._path.stem}-{stamp}.{millis:03d}{self._path.suffix}")

    def _prune(self, now_s: float) -> None:
        pattern = f"{self._path.stem}-????-??-??T??-??-??.???{self._path.suffix}"
        backups = sorted(self._path.parent.glob(pattern), reverse=True)
        limits = self._limits
        kept = backups[: limits.backups_max] if limits.backups_max else backups
        oldest_s = now_s - limits.age_days_max * 86_400
        for path in backups:
            if path not in kept or (limits.age_days_max and path.stat().st_mtime < oldest_s):
                path.unlink(missing_ok=True)

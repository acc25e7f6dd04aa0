"""What processes of this machine use, from /proc: a few small files for each, once a sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

_TICKS_S: Final = os.sysconf("SC_CLK_TCK")
Pids = Callable[[], Mapping[str, int]]
"""Says which processes there are now: a name for each process id."""


class Use(NamedTuple):
    """What a process used since the last look.

    Attributes:
        cores: seconds of CPU a second.
        own_bytes: of memory that is its alone.
        mapped_bytes: of files and shared memory it has mapped, the replica above all; several
            processes may have the same.
    """

    cores: float
    own_bytes: int
    mapped_bytes: int


@dataclass(slots=True)
class _Known:
    pid: int
    cpu_s: float
    at_s: float


class ProcessUse:
    """Looks at processes again and again; a name whose process id changes begins anew."""

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self._known: dict[str, _Known] = {}

    def look(self, now_s: float) -> dict[str, Use]:
        """Return what each process uses.

        Args:
            now_s: monotonic.
        """
        found = {}
        for name, pid in self._pids().items():
            try:
                cpu_s, memory = _cpu_s(pid), _memory(pid)
            except (OSError, ValueError, IndexError):
                self._known.pop(name, None)  # it has just ended
                continue
            known = self._known.get(name)
            cores = 0.0
            if known is not None and known.pid == pid and now_s > known.at_s:
                cores = (cpu_s - known.cpu_s) / (now_s - known.at_s)
            self._known[name] = _Known(pid, cpu_s, now_s)
            found[name] = Use(cores, *memory)
        return found


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def _memory(pid: int) -> tuple[int, int]:
    own = mapped = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "RssAnon":
            own = int(rest.split()[0]) << 10
        elif name in ("RssFile", "RssShmem"):
            mapped += int(rest.split()[0]) << 10
    return own, mapped

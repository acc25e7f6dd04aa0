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


OTHERS: Final = "others on this machine"


class ProcessUse:
    """Looks at processes again and again; a name whose process id changes begins anew.

    What all other processes of the machine used is there by the name OTHERS: figures of a machine
    that has more to do than the run are worth less.
    """

    def __init__(self, pids: Pids) -> None:
        self._pids = pids
        self._known: dict[str, _Known] = {}
        self._machine: _Known | None = None

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
        found[OTHERS] = Use(self._others(now_s, found), 0, 0)
        return found

    def _others(self, now_s: float, found: Mapping[str, Use]) -> float:
        busy_s, last = _busy_s(), self._machine
        self._machine = _Known(0, busy_s, now_s)
        if last is None or now_s <= last.at_s:
            return 0.0
        cores = (busy_s - last.cpu_s) / (now_s - last.at_s)
        return max(0.0, cores - sum(use.cores for use in found.values()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


def _busy_s() -> float:
    """Return the seconds that all cores together were not idle, nor waiting for a disk."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()[1:8]
    user, nice, system, _idle, _waiting, hard, soft = map(int, first)
    return (user + nice + system + hard + soft) / _TICKS_S


def _memory(pid: int) -> tuple[int, int]:
    own = mapped = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "RssAnon":
            own = int(rest.split()[0]) << 10
        elif name in ("RssFile", "RssShmem"):
            mapped += int(rest.split()[0]) << 10
    return own, mapped

"""What processes cost: CPU time and resident memory, from /proc (Linux only)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_UTIME: Final = 11  # fields of /proc/<pid>/stat, counted after the command's closing parenthesis
_RSS_PAGES: Final = 21
_PARENT: Final = 1


@dataclass(frozen=True, slots=True)
class Meter:
    """Reads the cost of a server's processes.

    Attributes:
        pids: process ids by the name of what runs in them; empty where they are unknown.
    """

    pids: Mapping[str, int] = field(default_factory=dict)

    def cpu_us(self) -> dict[str, float]:
        """Return the user and system CPU time used so far, in microseconds, by name."""
        return {name: _cpu_us(pid) for name, pid in self.pids.items()}

    def spent_us(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return the CPU time used since `before` was read."""
        return {name: used - before[name] for name, used in self.cpu_us().items()}

    def resident_bytes(self) -> int:
        """Return the resident memory of all processes together, shared pages counted in each."""
        return sum(int(_stat(pid)[_RSS_PAGES]) * _PAGE_BYTES for pid in self.pids.values())

    def anonymous_bytes(self, name: str) -> int:
        """Return the memory that a process holds itself: files that are mapped do not count."""
        text = Path(f"/proc/{self.pids[name]}/status").read_text()
        (line,) = [line for line in text.splitlines() if line.startswith("RssAnon:")]
        return int(line.split()[1]) * 1024


def main_thread_us(pid: int) -> tuple[float, float]:
    """Return what a process's main thread has used of CPUs, and how long it waited for one."""
    used_ns, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(used_ns) / 1000, int(waited_ns) / 1000


def memory_bytes(pid: int, kind: str) -> int:
    """Return a process's resident memory of a kind: RssAnon, RssFile or RssShmem."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, size = line.partition(":")
        if name == kind:
            return int(size.split()[0]) << 10
    raise ValueError(f"there is no {kind}")


def private_bytes(pids: Mapping[str, int]) -> int:
    """Return the memory of processes that is theirs alone: neither files nor shared."""
    total = 0
    for pid in pids.values():
        status = Path(f"/proc/{pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
        total += int(line.split()[1]) * 1024
    return total


def children_of(parent: int) -> list[int]:
    """Return the ids of the processes that `parent` started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = _stat(int(path.name))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[_PARENT]) == parent:
            found.append(int(path.name))
    return sorted(found)


def _cpu_us(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) * 1e6 / _TICKS_A_SECOND


def _stat(pid: int) -> list[str]:
    # The command may hold spaces and parentheses; the last parenthesis ends it.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

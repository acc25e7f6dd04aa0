"""What the disk and the clock of a part's process do: set by a campaign, obeyed by its hooks.

A small file that both sides map. Nothing in the product knows of it: hooks.py is loaded by an
interpreter that is started with tests/faults/seam on its path, which only campaigns do.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

SWITCHES_VARIABLE: Final = "FAULT_SWITCHES"
FILE_BYTES: Final = 64
SEAM: Final = Path(__file__).parent / "seam"
_ROOT: Final = Path(__file__).parents[2]

CLOCK_OFFSET_S: Final = struct.Struct("<d"), 0
SYNC_DELAY_S: Final = struct.Struct("<d"), 8
SYNC_FAILS: Final = struct.Struct("<B"), 16
"""1: EIO, and what was written stays; 2: EIO, and the kernel has dropped it."""
TORN: Final = struct.Struct("<B"), 17
"""1: the next write is cut off, 2: it loses sectors; then the process dies."""
TORN_PART: Final = struct.Struct("<H"), 18
"""Of 65,536, how much of it gets through."""


class Switches:
    """The campaign's end of the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(FILE_BYTES))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), FILE_BYTES)

    def set(self, switch: tuple[struct.Struct, int], value: float) -> None:
        """Turn a switch; processes see it at their next call."""
        form, place = switch
        form.pack_into(self._shared, place, value if form.format == "<d" else int(value))

    def get(self, switch: tuple[struct.Struct, int]) -> float:
        """Return what a switch is at."""
        form, place = switch
        return float(form.unpack_from(self._shared, place)[0])

    def clear(self) -> None:
        """Let everything be as it is without a campaign."""
        self._shared[:] = bytes(FILE_BYTES)

    def environment(self) -> dict[str, str]:
        """Return what a process must be started with to obey."""
        path = os.pathsep.join([str(_ROOT), str(SEAM)])
        return {**os.environ, "PYTHONPATH": path, SWITCHES_VARIABLE: str(self.path)}

"""What a part does to its process before it serves."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
from pathlib import Path
from ultraplane.serve import keep_freed_memory

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if {keep}:
    keep_freed_memory()
before = resident_bytes()
blocks = [bytes(b"x" * 200_000) for _ in range(150)]
del blocks
print(resident_bytes() - before)
"""


def _kept_bytes(*, keep: bool) -> int:
    command = [sys.executable, "-c", SCRIPT.format(keep=keep)]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_what_was_freed_is_kept_for_the_next_request() -> None:
    assert _kept_bytes(keep=True) > 20_000_000
    assert _kept_bytes(keep=False) < 5_000_000

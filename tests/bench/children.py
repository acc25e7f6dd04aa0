"""Measurements in processes of their own: a module of this folder, which prints what it found."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import orjson

from tests.bench.endpoint import Refused

_FAULT_CHARS_MAX: Final = 4000


def command_of(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this folder."""
    return [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)]


def run_child(module: str, *arguments: object, limit_s: float) -> list[dict[str, Any]]:
    """Run a module of this folder; return the objects that it prints, one a line.

    Raises:
        Refused: it failed.
        subprocess.TimeoutExpired: it took longer than `limit_s` seconds.
    """
    ended = subprocess.run(
        command_of(module, *arguments), capture_output=True, timeout=limit_s, check=False
    )
    if ended.returncode:
        fault = ended.stderr.decode(errors="replace")[-_FAULT_CHARS_MAX:]
        raise Refused(f"{module} failed: {fault}")
    return [orjson.loads(line) for line in ended.stdout.splitlines() if line.startswith(b"{")]

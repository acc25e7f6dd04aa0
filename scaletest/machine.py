"""What a run ran on, so that its figures can be judged."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return cores, memory, system, and how busy the machine was before."""
    return {
        "cores": os.cpu_count() or 0,
        "cpu": _first("/proc/cpuinfo", "model name"),
        "memory_bytes": _kilobytes(_first("/proc/meminfo", "MemTotal")),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def available_bytes() -> int:
    """Return how much memory can be had without taking it from others; 0 if nobody says."""
    return _kilobytes(_first("/proc/meminfo", "MemAvailable"))


def _first(path: str, name: str) -> str:
    try:
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    except OSError:
        pass
    return ""


def _kilobytes(text: str) -> int:
    number = text.partition(" ")[0]
    return int(number) << 10 if number.isdigit() else 0

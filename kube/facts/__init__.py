"""Facts about Kubernetes that no package carries: small tab-separated tables in this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parent


def rows(name: str) -> Iterator[list[str]]:
    """Yield the rows of table `name` as lists of columns; lines that start with # are comments."""
    for line in (DIRECTORY / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def listed(column: str) -> tuple[str, ...]:
    """Return a comma-separated column as a tuple; "-" is none."""
    return () if column == "-" else tuple(column.split(","))

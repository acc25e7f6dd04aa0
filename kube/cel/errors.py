"""What can go wrong with an expression; the messages are upstream's."""

from __future__ import annotations


class CelError(Exception):
    """An evaluation failed: a missing key, an overflow, no such overload."""


class CompileError(CelError):
    """An expression cannot be compiled; nothing was ever evaluated."""


class CostExceeded(CelError):
    """An evaluation was stopped, as it did more work than it may: never absorbed by `||`."""

"""Durations as Go writes them: `1m30s`, `250ms`, `1.5h`. What clients put into `?timeout=`.

client-go sends its own time limit with every request, printed by Go: a minute is `1m0s`.
"""

from __future__ import annotations

import re
from typing import Final

from kube.field import quote

_UNITS_S: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, micro sign
    "μs": 1e-6,  # U+03BC, Greek mu
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_SECONDS_MAX: Final = (2**63 - 1) / 1e9
_next_part = re.compile(r"([0-9]*\.?[0-9]*)([^0-9.]*)").match


def parse_go_duration(text: str) -> float:
    """Return the seconds of a duration, as Go's time.ParseDuration reads it.

    Raises:
        ValueError: it is none; the message is Go's.
    """
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f"time: invalid duration {quote(text)}")
    total_s = 0.0
    while rest:
        part = _next_part(rest)
        assert part is not None
        number, unit = part.groups()
        if number in ("", "."):
            raise ValueError(f"time: invalid duration {quote(text)}")
        if not unit:
            raise ValueError(f"time: missing unit in duration {quote(text)}")
        if unit not in _UNITS_S:
            raise ValueError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total_s += float(number) * _UNITS_S[unit]
        if total_s > _SECONDS_MAX:
            raise ValueError(f"time: invalid duration {quote(text)}")
        rest = rest[part.end() :]
    return -total_s if text[0] == "-" else total_s

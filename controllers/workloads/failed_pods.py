"""How long a failed daemon stays, so that controller and kubelet do not fight: longer each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 1.0
MOST_S: Final = 900.0
_REMEMBERED_MAX: Final = 65_536


@dataclass(slots=True)
class _Failure:
    delay_s: float
    at_s: float


class FailedPods:
    """By node and DaemonSet; the longest untouched are forgotten first."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Hashable, _Failure] = OrderedDict()

    def delay_s(self, key: Hashable, now_s: float) -> float:
        """Return how long a failed pod is still to be left; 0: it is deleted now, which counts."""
        known = self._failures.get(key)
        if known is not None and now_s - known.at_s < known.delay_s:
            return known.delay_s - (now_s - known.at_s)
        # One that has worked for long enough begins anew.
        is_first = known is None or now_s - known.at_s > 2 * MOST_S
        delay_s = FIRST_S if known is None or is_first else min(MOST_S, 2 * known.delay_s)
        self._failures[key] = _Failure(delay_s, now_s)
        self._failures.move_to_end(key)
        while len(self._failures) > _REMEMBERED_MAX:
            self._failures.popitem(last=False)
        return 0.0

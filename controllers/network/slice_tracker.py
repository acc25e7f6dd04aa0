"""What the slices of each Service were when we wrote them last: is what the watch told older?

By uid the generation of each slice (it grows with everything but annotations), or that it should be
gone. A sync on a stale cache would write what it wrote before, or make slices twice. A slice that
others delete at the moment in which we write it may leave a note that no watch will ever confirm:
after 30 s of waiting all notes of the Service are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kube.json_types import JsonObject
from runtime.clock import Clock

STALE_S_MAX: Final = 30.0
_GONE: Final = -1


def version_of(piece: JsonObject) -> tuple[str, int]:
    """Return a slice's uid and generation."""
    metadata = piece["metadata"]
    return metadata["uid"], metadata.get("generation", 0)


class SliceTracker:
    """By Service, "namespace/name"; see the module's head."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, dict[str, int]] = {}
        self._stale_since_s: dict[str, float] = {}

    def wrote(self, service: str, piece: JsonObject) -> None:
        """Note a slice as the server answered it."""
        metadata = piece["metadata"]
        self._known.setdefault(service, {})[metadata["uid"]] = metadata.get("generation", 0)

    def deleted(self, service: str, piece: JsonObject) -> None:
        """Note that a slice was deleted."""
        self._known.setdefault(service, {})[piece["metadata"]["uid"]] = _GONE

    def is_news(self, service: str, piece: JsonObject) -> bool:
        """Tell whether a slice that the watch told of is newer than what we wrote (ShouldSync)."""
        known = self._known.get(service, {}).get(piece["metadata"]["uid"])
        return known is None or int(piece["metadata"].get("generation", 0)) > known

    def saw_deletion(self, service: str, piece: JsonObject) -> bool:
        """Note that a slice of ours is gone; return whether that comes as a surprise."""
        known = self._known.get(service, {}).pop(piece["metadata"]["uid"], None)
        return known is not None and known != _GONE

    def is_stale(self, service: str, told: Iterable[tuple[str, int]]) -> bool:
        """Tell whether slices are older than what we wrote.

        Args:
            service: whose they are.
            told: uid and generation of each, as the cache has them.
        """
        if not self._is_older(service, told):
            self._stale_since_s.pop(service, None)
            return False
        now_s = self._clock.monotonic_s()
        if now_s - self._stale_since_s.setdefault(service, now_s) < STALE_S_MAX:
            return True
        self.forget(service)
        return False

    def _is_older(self, service: str, told: Iterable[tuple[str, int]]) -> bool:
        known = self._known.get(service)
        if not known:
            return False
        seen: set[str] = set()
        for uid, generation in told:
            seen.add(uid)
            state = known.get(uid)
            if state is not None and (state == _GONE or state > generation):
                return True
        return any(state != _GONE and uid not in seen for uid, state in known.items())

    def forget(self, service: str) -> None:
        """Forget a Service."""
        self._known.pop(service, None)
        self._stale_since_s.pop(service, None)

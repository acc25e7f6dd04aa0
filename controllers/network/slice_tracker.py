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

    def is_stale(self, service: str, pieces: Iterable[JsonObject]) -> bool:
        """Tell whether slices, as the cache has them, are older than what we wrote."""
        if not self._is_older(service, pieces):
            self._stale_since_s.pop(service, None)
            return False
        now_s = self._clock.monotonic_s()
        if now_s - self._stale_since_s.setdefault(service, now_s) < STALE_S_MAX:
            return True
        self.forget(service)
        return False

    def _is_older(self, service: str, pieces: Iterable[JsonObject]) -> bool:
        known = self._known.get(service)
        if not known:
            return False
        told: set[str] = set()
        for piece in pieces:
            metadata = piece["metadata"]
            told.add(metadata["uid"])
            generation = known.get(metadata["uid"])
            if generation is not None and (
                generation == _GONE or generation > metadata.get("generation", 0)
            ):
                return True
        return any(state != _GONE and uid not in told for uid, state in known.items())

    def forget(self, service: str) -> None:
        """Forget a Service."""
        self._known.pop(service, None)
        self._stale_since_s.pop(service, None)

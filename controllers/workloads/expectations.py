"""What a controller has asked for and not yet seen, so that it does not ask for it twice.

A create is answered before the watch tells of it: a sync in between would count too few pods and
create more. So a controller notes what it expects, and syncs of that owner only look until all of
it was seen, or five minutes have passed (client-go's ControllerExpectations). Deletions are
expected by key, as a pod may be told of many times between the request and its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from runtime.clock import Clock

EXPIRES_S: Final = 300.0


@dataclass(slots=True)
class _Expected:
    at_s: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """By the key of an owner; see the module's head."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def satisfied(self, owner: str) -> bool:
        """Return whether all was seen, or it is too late to wait for it."""
        expected = self._expected.get(owner)
        if expected is None or (expected.creations <= 0 and not expected.deletions):
            return True
        return self._clock.monotonic_s() - expected.at_s > EXPIRES_S

    def expect(self, owner: str, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Expect so many new ones, and these to go, beside what is still waited for."""
        now_s = self._clock.monotonic_s()
        if self.satisfied(owner):
            self._expected[owner] = _Expected(now_s, creations, set(deletions))
            return
        expected = self._expected[owner]
        expected.at_s = now_s
        expected.creations = max(0, expected.creations) + creations
        expected.deletions.update(deletions)

    def created(self, owner: str, count: int = 1) -> None:
        """Note that so many were seen, or will never be."""
        if (expected := self._expected.get(owner)) is not None:
            expected.creations -= count

    def deleted(self, owner: str, key: str) -> None:
        """Note that one was seen to go, or will not."""
        if (expected := self._expected.get(owner)) is not None:
            expected.deletions.discard(key)

    def forget(self, owner: str) -> None:
        """Forget an owner that is gone."""
        self._expected.pop(owner, None)

"""What controllers need to know of persistent volume claims: whether they are there, and whose.

Most have no owners and are not being deleted: those share one brief. An owner that has to wait
until a claim is gone is woken when it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject


class ClaimBrief(NamedTuple):
    """What is kept of a claim."""

    references: tuple[JsonObject, ...]
    is_deleting: bool


_PLAIN: Final = ClaimBrief((), is_deleting=False)


class ClaimBook:
    """All claims by their keys; fed by the informer of claims."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._briefs: dict[str, ClaimBrief] = {}
        self._waiting: dict[str, str] = {}
        self._wake = wake

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of changes."""
        for delta in deltas:
            if delta.change is Change.DELETED:
                self._briefs.pop(delta.key, None)
                if (owner := self._waiting.pop(delta.key, None)) is not None:
                    self._wake(owner)
                continue
            metadata = delta.object["metadata"]
            references = tuple(metadata.get("ownerReferences") or ())
            brief = ClaimBrief(references, "deletionTimestamp" in metadata)
            self._briefs[delta.key] = _PLAIN if brief == _PLAIN else brief

    def get(self, key: str) -> ClaimBrief | None:
        """Return what is known of a claim, None: there is none."""
        return self._briefs.get(key)

    def wait(self, key: str, owner: str) -> None:
        """Have `owner` woken when a claim is gone."""
        if key in self._briefs:
            self._waiting[key] = owner

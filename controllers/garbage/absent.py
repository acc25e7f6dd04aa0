"""Owners that are known not to be there: the last few hundred, so that thousands of dependents of
one owner cost one question. An identity holds a uid, and what is gone never comes back.
"""

from __future__ import annotations

from typing import Final

from controllers.garbage.nodes import Identity

_KEPT_MAX: Final = 500


class AbsentOwners:
    """The last identities found absent; who is asked for stays longest."""

    def __init__(self, kept_max: int = _KEPT_MAX) -> None:
        self._kept: dict[Identity, None] = {}
        self._kept_max = kept_max

    def add(self, identity: Identity) -> None:
        """Take down that there is no such object."""
        self._kept.pop(identity, None)
        self._kept[identity] = None
        while len(self._kept) > self._kept_max:
            del self._kept[next(iter(self._kept))]

    def __contains__(self, identity: Identity) -> bool:
        if identity not in self._kept:
            return False
        self.add(identity)
        return True

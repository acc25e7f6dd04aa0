"""The seam for what a write needs besides the verb: who looks at it, before it is prepared."""

from __future__ import annotations

from typing import Protocol

from apiserver.authn import User
from kube.json_types import JsonObject


class Guard(Protocol):
    """Looks at writes of a type."""

    def check(self, user: User, new: JsonObject, old: JsonObject | None, part: str) -> None:
        """Refuse a write that `user` may not make.

        Args:
            user: who writes.
            new: what is to be, as the client sent it and with defaults.
            old: what is; None for a new object.
            part: the subresource that is written, "" for the object itself.

        Raises:
            StatusError: 403 or 404.
        """
        ...

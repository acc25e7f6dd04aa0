"""The seam for what a write needs besides the verb: who looks at it, before it is prepared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from apiserver.authn import NotYet, User
from apiserver.authz import Attributes, Authorizer
from kube.json_types import JsonObject


@dataclass(slots=True)
class Writer:
    """Who writes.

    Attributes:
        said: what somebody far away was asked about them meanwhile.
    """

    user: User
    said: dict[Attributes, bool] = field(default_factory=dict)

    def may(self, authorizer: Authorizer, asked: Attributes) -> bool:
        """Tell whether the writer may do something besides.

        Raises:
            NotYet: somebody has to be asked; then it can be told.
        """
        said = self.said.get(asked)
        if said is not None:
            return said
        decision = authorizer.known(self.user, asked)
        if decision is None:
            raise NotYet(self._ask(authorizer, asked))
        return decision.allowed

    async def _ask(self, authorizer: Authorizer, asked: Attributes) -> None:
        decision = await authorizer.decide_at_last(self.user, asked)
        self.said[asked] = decision.allowed


class Guard(Protocol):
    """Looks at writes of a type."""

    def check(self, writer: Writer, new: JsonObject, old: JsonObject | None, part: str) -> None:
        """Refuse a write that its writer may not make.

        Args:
            writer: who writes.
            new: what is to be, as the client sent it and with defaults.
            old: what is; None for a new object.
            part: the subresource that is written, "" for the object itself.

        Raises:
            StatusError: 403 or 404.
            NotYet: somebody has to be asked first.
        """
        ...

"""What the plugins that users extend have in common: they go by objects that they follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

from apiserver.admission.chain import Plugin
from apiserver.resources import Resource

if TYPE_CHECKING:
    from apiserver.server import Server


class Followed(Protocol):
    """Webhooks or policies, as the replica has them now."""

    def settle(self) -> bool:
        """Take in what has changed; tell whether that was anything."""
        ...

    def when_due(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever `settle` is to be asked."""
        ...

    def about(self, resource: Resource, subresource: str, operation: str) -> object:
        """Return who may be about an operation; nothing that counts as true: nobody."""
        ...


_Followed = TypeVar("_Followed", bound=Followed)


class FollowingPlugin(Plugin, Generic[_Followed]):
    """A plugin that looks at what its users' objects are about."""

    is_dynamic: ClassVar[bool] = True

    def __init__(self, server: Server, followed: _Followed) -> None:
        self._server = server
        self._followed = followed

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return bool(self._followed.about(resource, subresource, operation))

    def settle(self) -> bool:
        """See Plugin."""
        return self._followed.settle()

    def when_due(self, tell: Callable[[], None]) -> None:
        """See Plugin."""
        self._followed.when_due(tell)

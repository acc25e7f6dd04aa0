"""Webhook configurations kept in step with the replica, for one kind of webhook."""

from __future__ import annotations

from collections.abc import Callable

from apiserver.errors import from_storage_error
from apiserver.following import Following
from apiserver.resources import Resource
from apiserver.server import Server
from apiserver.webhooks.configuration import ADMIT, MUTATING, VALIDATING, Hooks, Invocation
from storage.errors import StorageError
from storage.watcher import Scope


class FollowedHooks:
    """The webhooks of one kind, as the replica has them now."""

    def __init__(self, server: Server, step: str) -> None:
        self._hooks = Hooks(server.catalog, step)
        storage = MUTATING if step == ADMIT else VALIDATING
        self._following = Following(server.store, (Scope(storage),), self._hooks)

    def settle(self) -> bool:
        """Take in what has changed; tell whether that was anything.

        Raises:
            StatusError: 503, the replica cannot be read: nobody is let past unasked.
        """
        try:
            return self._following.settle()
        except StorageError as error:
            raise from_storage_error(error) from error

    def when_due(self, tell: Callable[[], None]) -> None:
        """See Following."""
        self._following.when_due(tell)

    def about(self, resource: Resource, subresource: str, operation: str) -> tuple[Invocation, ...]:
        """Return who has rules about an operation, in order."""
        return self._hooks.about(resource, subresource, operation)

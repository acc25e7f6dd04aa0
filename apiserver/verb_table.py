"""Which handler serves which verb of which resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from apiserver.exchange import Exchange
from apiserver.resources import Target
from apiserver.server import Server

Handler = Callable[[Server, Exchange, Target], Awaitable[None]]
PROXY: Final = "proxy"
"""The subresource whose methods are those of whoever is behind it."""
_ACROSS_NAMESPACES: Final = frozenset({"list", "watch"})


class Verbs:
    """Handlers by what is asked for.

    Attributes:
        main: of the resource itself, by verb.
        parts: of subresources, by (storage resource or "*", subresource, verb).
        virtual: create handlers of resources that are not stored, by storage resource.
    """

    def __init__(
        self,
        main: dict[str, Handler],
        parts: dict[tuple[str, str, str], Handler],
        virtual: dict[tuple[str, str], Handler],
    ) -> None:
        self.main = main
        self.parts = parts
        self.virtual = virtual

    def find(self, target: Target, verb: str) -> Handler | None:
        """Return the handler, None if this resource does not have the verb."""
        resource = target.resource
        if target.subresource:
            info = target.subresource_info
            if info is None:
                return None
            if target.subresource == PROXY:
                return self.parts.get(("*", PROXY, ""))
            if verb not in info.verbs:
                return None
            key = (resource.storage, target.subresource, verb)
            return self.parts.get(key) or self.parts.get(("*", target.subresource, verb))
        if verb not in resource.info.verbs:
            return None
        if resource.namespaced and not target.namespace and verb not in _ACROSS_NAMESPACES:
            return None  # what is in all namespaces can only be looked at
        if resource.info.virtual:
            return self.virtual.get((resource.storage, verb))
        return self.main.get(verb)

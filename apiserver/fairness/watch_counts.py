"""How many watches see a write, as far as can be told before it is made: upstream's watchTracker.

Watches are counted by what their path and `metadata.name` say. Of pods, those that select a node
are left out: a pod's write is shown to one of them at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from apiserver.authz import Attributes
from apiserver.exchange import Exchange

_NODE_NAME: Final = re.compile(r"(?:^|,)\s*spec\.nodeName={1,2}[^,]")
_NAME: Final = re.compile(r"(?:^|,)\s*metadata\.name={1,2}([^,=!\\]+)(?:,|$)")


def selected_name(exchange: Exchange) -> str:
    """Return the one name that a list or watch selects, "" if it does not."""
    found = _NAME.search(exchange.parameter("fieldSelector"))
    return found[1].strip() if found is not None else ""


_Kind = tuple[str, str, str, str]
"""Group, resource, namespace and name."""


class WatchCounts:
    """The open watches by what they see; entries go with their last watch."""

    def __init__(self) -> None:
        self._counts: dict[_Kind, int] = {}

    def add(self, request: Attributes, exchange: Exchange) -> Callable[[], None]:
        """Count a watch; the result takes that back."""
        if request.resource == "pods" and _NODE_NAME.search(exchange.parameter("fieldSelector")):
            return _nothing
        name = request.name or selected_name(exchange)
        kind = (request.group, request.resource, request.namespace, name)
        counts = self._counts
        counts[kind] = counts.get(kind, 0) + 1

        def forget() -> None:
            counts[kind] -= 1
            if not counts[kind]:
                del counts[kind]

        return forget

    def interested_in(self, request: Attributes) -> int:
        """Return how many watches may be shown what a request writes."""
        counts = self._counts
        if not counts:
            return 0
        group, resource, namespace = request.group, request.resource, request.namespace
        found = counts.get((group, resource, "", ""), 0)
        if namespace:
            found += counts.get((group, resource, namespace, ""), 0)
        if request.name:
            found += counts.get((group, resource, namespace, request.name), 0)
        return found

    def __len__(self) -> int:
        return len(self._counts)


def _nothing() -> None:
    pass

"""How many watches see a write, as far as can be told before it is made: upstream's watchTracker.

Watches are counted by what their path and `metadata.name` say. Of pods, those that select a node
are left out: a pod's write is shown to one of them at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from apiserver.authz import Attributes
from apiserver.exchange import Exchange

_NODE_NAME: Final = re.compile(r"(?:^|,)\s*spec\.nodeName={1,2}[^,]")
_NAME: Final = re.compile(r"(?:^|,)\s*metadata\.name={1,2}([^,=!\\]+)(?:,|$)")


def selected_name(exchange: Exchange) -> str:
    """Return the one name that a list or watch selects, "" if it does not."""
    found = _NAME.search(exchange.parameter("fieldSelector"))
    return found[1].strip() if found is not None else ""


class ResourceWatches:
    """The open watches of one resource.

    Attributes:
        everywhere: how many see all of it.
        places: how many see a namespace or one name, by both; entries go with their last watch.
    """

    __slots__ = ("everywhere", "places")

    def __init__(self) -> None:
        self.everywhere = 0
        self.places: dict[tuple[str, str], int] = {}

    def count(self, place: tuple[str, str], step: int) -> None:
        """Count a watch of a namespace and name, "" for all, or take it back."""
        if place == ("", ""):
            self.everywhere += step
            return
        count = self.places.get(place, 0) + step
        if count:
            self.places[place] = count
        else:
            del self.places[place]

    def interested_in(self, request: Attributes) -> int:
        """Return how many watches may be shown what a request writes."""
        found, places = self.everywhere, self.places
        if places:
            namespace, name = request.namespace, request.name
            if namespace:
                found += places.get((namespace, ""), 0)
            if name:
                found += places.get((namespace, name), 0)
        return found


class WatchCounts:
    """The open watches by what they see."""

    def __init__(self) -> None:
        # An entry for each resource that was ever watched or written: that is the bound.
        self._resources: dict[tuple[str, str], ResourceWatches] = {}

    def of(self, request: Attributes) -> ResourceWatches:
        """Return the watches of a request's resource; it is the same object for ever."""
        kind = (request.group, request.resource)
        found = self._resources.get(kind)
        if found is None:
            found = self._resources[kind] = ResourceWatches()
        return found

    def add(self, request: Attributes, exchange: Exchange) -> Callable[[], None]:
        """Count a watch; the result takes that back."""
        if request.resource == "pods" and _NODE_NAME.search(exchange.parameter("fieldSelector")):
            return _nothing
        place = (request.namespace, request.name or selected_name(exchange))
        watches = self.of(request)
        watches.count(place, 1)
        return partial(watches.count, place, -1)

    def __len__(self) -> int:
        """How many different things are watched."""
        every = self._resources.values()
        return sum(len(watches.places) + bool(watches.everywhere) for watches in every)


def _nothing() -> None:
    pass

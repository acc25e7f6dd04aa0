"""How many seats a request takes: upstream's work estimators, over what the local replica knows.

A list, and a watch that begins with one, takes a seat for each 100 KB that it goes through, as far
as it is held at once: 1 MB at most. A write takes one seat, and where ten watches and more see it,
seats for a while after its answer, as telling them is work too. A level caps both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.fairness.requests import ONE_SEAT, Width
from apiserver.fairness.watch_counts import selected_name
from apiserver.options import parse_bool
from storage.errors import TooManySnapshots
from storage.scan import Query
from storage.store_view import StoreView

BYTES_PER_SEAT: Final = 100_000
HELD_BYTES_MAX: Final = 1_000_000
LIST_SEATS_MAX: Final = 100
WRITE_SEATS_MAX: Final = 10
WATCHES_PER_SEAT: Final = 10
LINGER_S: Final = 0.005
_SAMPLE: Final = 32
_SAMPLE_AGE_S: Final = 10.0
_NO_LIMIT: Final = 1 << 62


class Size(NamedTuple):
    """What the replica holds of a resource."""

    objects: int
    mean_bytes: int


Sizes = Callable[[str, float], Size]
"""From a storage resource and the time to what there is."""


class SampledSizes:
    """Sizes of resources: the count is exact, the mean that of a few objects, looked at rarely."""

    def __init__(self, store: StoreView) -> None:
        self._store = store
        self._means: dict[str, tuple[float, int]] = {}

    def __call__(self, storage: str, now_s: float) -> Size:
        """Return what there is of a resource; nothing where it is not known.

        Raises:
            StorageError: the store is not there.
        """
        count = self._store.count(storage)
        if not count:
            return Size(0, 0)
        sampled_s, mean_bytes = self._means.get(storage, (-math.inf, 0))
        if now_s - sampled_s > _SAMPLE_AGE_S:
            try:
                with self._store.scan_bodies(Query(storage, limit=_SAMPLE)) as scan:
                    bodies = next(scan, [])
            except TooManySnapshots:
                # So busy that it cannot be looked at: it is not known to be small.
                return Size(count, mean_bytes or BYTES_PER_SEAT)
            mean_bytes = sum(map(len, bodies)) // max(1, len(bodies))
            # One entry for each resource served: that is the bound.
            self._means[storage] = now_s, mean_bytes
        return Size(count, mean_bytes)


class WorkEstimator:
    """Estimates lists and watches; all it does is O(1)."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def width(
        self,
        exchange: Exchange,
        request: Attributes,
        storage: str,
        widest: int | None,
        now_s: float,
    ) -> Width:
        """Return what a list or watch takes.

        Args:
            exchange: of the request.
            request: what is asked for.
            storage: the resource's name in storage.
            widest: seats that its level lets one request take; None: no limit of its own.
            now_s: the time.

        Raises:
            StatusError: 400, the query cannot be read.
            StorageError: the store is not there.
        """
        if request.verb == "list" or _begins_with_a_list(exchange):
            most = min(LIST_SEATS_MAX, widest or LIST_SEATS_MAX)
            if most > 1:
                return self._list_width(exchange, request, self._sizes(storage, now_s), most)
        return ONE_SEAT

    @staticmethod
    def _list_width(exchange: Exchange, request: Attributes, size: Size, most: int) -> Width:
        if size.objects * size.mean_bytes <= BYTES_PER_SEAT:
            return ONE_SEAT
        if request.name or selected_name(exchange):
            return ONE_SEAT
        objects = size.objects
        if exchange.scope["query_string"] and request.verb == "list":
            objects = min(objects, _limit_of(exchange))
            if exchange.parameter("fieldSelector") or exchange.parameter("labelSelector"):
                objects = max(objects, size.objects // 2)
        held_bytes = min(objects * size.mean_bytes, HELD_BYTES_MAX)
        return Width(max(1, min(most, math.ceil(held_bytes / BYTES_PER_SEAT))))


def _begins_with_a_list(exchange: Exchange) -> bool:
    version = exchange.parameter("resourceVersion")
    if version in ("", "0"):
        return True
    return bool(parse_bool(exchange.query.get("sendInitialEvents")))


def _limit_of(exchange: Exchange) -> int:
    """Return a list's limit; one that is none, or cannot be read, bounds nothing."""
    text = exchange.parameter("limit")
    return (
        int(text) or _NO_LIMIT
        if text.isascii() and text.isdigit() and len(text) < 19
        else (_NO_LIMIT)
    )


def write_width(watches: int, widest: int | None) -> Width:
    """Return what a write takes; with fewer seats than it should have, for longer.

    Args:
        watches: how many see it.
        widest: seats that its level lets one request take; None: no limit of its own.
    """
    if watches < WATCHES_PER_SEAT:
        return ONE_SEAT
    seats = math.ceil(watches / WATCHES_PER_SEAT)
    taken = min(seats, WRITE_SEATS_MAX, widest or WRITE_SEATS_MAX)
    return Width(1, taken, LINGER_S * seats / taken)

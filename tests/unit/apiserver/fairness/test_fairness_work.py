"""Seats of a request by what it goes through, and of a write by who watches."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

import pytest

from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.fairness.requests import Width
from apiserver.fairness.watch_counts import WatchCounts, selected_name
from apiserver.fairness.work import Size, WorkEstimator, write_width


def _exchange(query: str = "") -> Exchange:
    scope = {
        "method": "GET",
        "path": "/api/v1/pods",
        "query_string": query.encode(),
        "headers": [],
    }
    return Exchange(scope, cast("Any", None), cast("Any", None), 1024)


def _asked(verb: str, resource: str = "pods", name: str = "", part: str = "") -> Attributes:
    return Attributes(verb, "", "v1", resource, part, "a", name)


PODS = Size(10_000, 2_600)


def _width(verb: str, query: str = "", size: Size = PODS, widest: int | None = None) -> Width:
    estimator = WorkEstimator(lambda _storage, _now_s: size)
    return estimator.width(_exchange(query), _asked(verb), "pods", widest, 0.0)


@pytest.mark.parametrize(
    ("verb", "query", "seats"),
    [
        ("list", "", 10),
        ("list", "limit=100", 3),
        ("list", "limit=500", 10),
        ("list", "limit=0", 10),
        ("list", "limit=no", 10),
        ("list", "limit=9999999999999999999999", 10),
        ("list", "limit=100&labelSelector=a", 10),
        ("list", "fieldSelector=metadata.name=a", 1),
        ("list", "fieldSelector=metadata.name!=a", 10),
        ("watch", "", 10),
        ("watch", "resourceVersion=0", 10),
        ("watch", "resourceVersion=7", 1),
        ("watch", "resourceVersion=7&sendInitialEvents=true", 10),
        ("watch", "limit=1", 10),
    ],
)
def test_lists_and_watches_that_begin_with_one_take_a_seat_for_each_hundred_kilobytes(
    verb: str, query: str, seats: int
) -> None:
    assert _width(verb, query).seats == seats


def test_a_small_collection_takes_one_seat() -> None:
    assert _width("list", size=Size(30, 2_600)).seats == 1
    assert _width("list", size=Size(0, 0)).seats == 1


def test_a_level_bounds_what_a_list_takes() -> None:
    assert _width("list", widest=8).seats == 8
    assert _width("list", widest=1).seats == 1


@pytest.mark.parametrize(
    ("watches", "widest", "final_seats", "linger_ms"),
    [(0, None, 0, 0), (9, None, 0, 0), (10, None, 1, 5), (95, None, 10, 5), (200, None, 10, 10),
     (95, 5, 5, 10)],
)  # fmt: skip
def test_a_write_that_many_watch_takes_seats_after_it(
    watches: int, widest: int | None, final_seats: int, linger_ms: float
) -> None:
    width = write_width(watches, widest)
    assert (width.seats, width.final_seats) == (1, final_seats)
    assert width.linger_s * 1000 == pytest.approx(linger_ms)


def _seen(counts: WatchCounts, request: Attributes) -> int:
    return counts.of(request).interested_in(request)


def test_watches_are_counted_by_what_they_see() -> None:
    counts = WatchCounts()
    everywhere = counts.add(Attributes("watch", "", "v1", "pods"), _exchange())
    counts.add(Attributes("watch", "", "v1", "pods", "", "a"), _exchange())
    counts.add(
        Attributes("watch", "", "v1", "pods", "", "a"),
        _exchange("fieldSelector=metadata.name%3Dn"),
    )
    on_node = "fieldSelector=spec.nodeName%3Dn1"
    counts.add(Attributes("watch", "", "v1", "pods"), _exchange(on_node))
    assert _seen(counts, _asked("update", name="n")) == 3
    assert _seen(counts, _asked("update", name="m")) == 2
    assert _seen(counts, Attributes("create", "", "v1", "pods", "", "b")) == 1
    assert _seen(counts, _asked("update", "secrets")) == 0
    everywhere()
    assert _seen(counts, _asked("update", name="n")) == 2
    assert len(counts) == 2


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("metadata.name=a", "a"),
        ("spec.nodeName=b, metadata.name==a", "a"),
        ("metadata.name=a ,spec.nodeName=b", "a"),
        ("metadata.name!=a", ""),
        ("metadata.names=a", ""),
        ("", ""),
    ],
)
def test_the_one_name_that_a_selector_leaves_is_found(selector: str, name: str) -> None:
    assert selected_name(_exchange(f"fieldSelector={quote(selector)}")) == name

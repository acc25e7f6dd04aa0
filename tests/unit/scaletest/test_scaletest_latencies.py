"""Metrics pages and histograms: what is read off them, against Prometheus' own rules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaletest.counting import Counting
from scaletest.exposition import Exposition
from scaletest.latencies import (
    FAMILY,
    Buckets,
    Kind,
    Request,
    between,
    by_kind,
    by_verb_and_scope,
    kind_of,
    merged,
    quantile_s,
    read_histograms,
    share_within,
)

BOUNDS = (0.1, 0.2, 0.4, math.inf)
GET_POD = Request("GET", "resource", "", "pods", "")


def _page(**counts: Sequence[float]) -> list[bytes]:
    lines = [b"# HELP x y", b"# TYPE x histogram", b"other_total 3.0", b""]
    for verb, values in counts.items():
        total = 0.0
        for bound, count in zip(("0.1", "0.2", "0.4", "+Inf"), values, strict=True):
            total += count
            labels = f'component="apiserver",group="",le="{bound}",resource="pods"'
            labels += f',scope="resource",subresource="",verb="{verb}",version="v1"'
            lines.append(f"{FAMILY}{{{labels}}} {total}".encode())
    return lines


def _histograms(**counts: Sequence[float]) -> dict[Request, Buckets]:
    return dict(read_histograms(Exposition([FAMILY]).read(_page(**counts))[FAMILY]))


def test_a_page_gives_wanted_samples_with_their_labels_plain() -> None:
    lines = [b'a_total{x="1",y="say \\"no\\"\\n\\\\"} 5.0', b'b_total{x="1"} 6', b"a_total 7e3"]
    found = Exposition(["a_total"]).read(lines)
    assert found == {"a_total": [({"x": "1", "y": 'say "no"\n\\'}, 5.0), ({}, 7000.0)]}


def test_pages_are_read_alike_the_second_time() -> None:
    exposition = Exposition([FAMILY])
    assert exposition.read(_page(GET=(1, 2, 3, 4))) == exposition.read(_page(GET=(1, 2, 3, 4)))


def test_a_line_that_is_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="float"):
        Exposition(["a"]).read([b"a x"])


def test_buckets_hold_what_is_theirs_alone() -> None:
    assert _histograms(GET=(1, 2, 3, 4)) == {GET_POD: Buckets(BOUNDS, (1, 2, 3, 4))}


def test_what_happened_between_two_looks_is_the_difference() -> None:
    before, now = _histograms(GET=(1, 2, 3, 4), PUT=(1, 0, 0, 0)), _histograms(GET=(1, 5, 3, 5))
    assert between(now, before) == {GET_POD: Buckets(BOUNDS, (0, 3, 0, 1))}
    assert between(now, now) == {}


def test_a_server_that_was_started_again_counts_from_zero() -> None:
    before, now = _histograms(GET=(10, 0, 0, 0)), _histograms(GET=(1, 1, 0, 0))
    assert between(now, before)[GET_POD].counts == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("counts", "share", "seconds"),
    [
        ((100, 0, 0, 0), 0.5, 0.05),  # evenly filled from zero
        ((50, 50, 0, 0), 0.99, 0.198),
        ((0, 0, 100, 0), 0.25, 0.25),
        ((98, 0, 0, 2), 0.99, 0.4),  # above all bounds: the last finite one
        ((0, 0, 0, 0), 0.99, 0.0),
    ],
)
def test_percentiles_are_those_of_histogram_quantile(
    counts: tuple[float, ...], share: float, seconds: float
) -> None:
    """Prometheus: linear within the bucket of the rank; of +Inf, the bound below it."""
    assert quantile_s(Buckets(BOUNDS, counts), share) == pytest.approx(seconds)


@given(st.lists(st.floats(0.0, 0.399), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(
    times_s: list[float], share: float
) -> None:
    counts = [0.0] * len(BOUNDS)
    for time_s in times_s:
        counts[next(at for at, bound in enumerate(BOUNDS) if time_s <= bound)] += 1
    true = sorted(times_s)[math.ceil(share * len(times_s)) - 1]
    at = next(at for at, bound in enumerate(BOUNDS) if true <= bound)
    low = BOUNDS[at - 1] if at else 0.0
    assert low <= quantile_s(Buckets(BOUNDS, tuple(counts)), share) <= BOUNDS[at]


def test_the_share_within_a_limit_counts_whole_buckets_alone() -> None:
    buckets = Buckets(BOUNDS, (90, 5, 4, 1))
    assert share_within(buckets, 0.2) == 0.95
    assert share_within(buckets, 0.3) == 0.95
    assert share_within(buckets, 60) == 0.99


@pytest.mark.parametrize(
    ("verb", "subresource", "kind"),
    [
        ("GET", "", Kind.GET),
        ("PATCH", "status", Kind.WRITE),
        ("APPLY", "", Kind.WRITE),
        ("POST", "binding", Kind.WRITE),
        ("LIST", "", Kind.LIST),
        ("DELETECOLLECTION", "", Kind.LIST),
        ("WATCH", "", None),
        ("CONNECT", "exec", None),
        ("GET", "log", None),
    ],
)
def test_requests_fall_under_the_objective_upstream_has_for_them(
    verb: str, subresource: str, kind: Kind | None
) -> None:
    """API call latency of sig-scalability: single objects, lists; no watches, no connections."""
    assert kind_of(Request(verb, "resource", "", "pods", subresource)) is kind


def test_sums_are_by_objective_and_by_verb() -> None:
    found = _histograms(GET=(1, 0, 0, 0), PUT=(0, 2, 0, 0), PATCH=(0, 0, 3, 0), WATCH=(0, 0, 0, 9))
    assert {kind: one.counts for kind, one in by_kind(found).items()} == {
        Kind.GET: (1, 0, 0, 0),
        Kind.WRITE: (0, 2, 3, 0),
    }
    assert set(by_verb_and_scope(found)) == {(verb, "resource") for verb in ("GET", "PUT", "PATCH")}
    assert merged([]) is None


def test_counters_add_up_from_the_first_look_on_over_restarts() -> None:
    counting: Counting[str] = Counting()
    assert counting.look({"a": 100.0}) == {}
    assert counting.look({"a": 103.0, "b": 2.0}) == {"a": 3, "b": 2}
    assert counting.look({"a": 103.0, "b": 2.0}) == {}
    assert counting.look({"a": 1.0, "b": 2.0}) == {"a": 1}
    assert counting.totals == {"a": 4, "b": 2}

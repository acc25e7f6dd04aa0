"""Latencies of requests between two looks at a server's histograms.

Histograms of the server count since its start, so what happened in between is the difference,
bucket by bucket. A percentile is read off the buckets as Prometheus' histogram_quantile does: the
rank's place within its bucket, taken as evenly filled. Requests are told apart as upstream's
objectives do (sig-scalability's API call latency): single objects, and lists by scope; watches and
connections have no latency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, NamedTuple

FAMILY: Final = "apiserver_request_duration_seconds_bucket"
_CONNECTIONS: Final = frozenset({"WATCH", "WATCHLIST", "CONNECT", "PROXY"})
_STREAMS: Final = frozenset({"proxy", "log", "exec", "attach", "portforward"})
_SINGLE_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE"})


class Kind(Enum):
    """What an objective is about."""

    GET = "get"
    WRITE = "write"
    LIST = "list"


class Request(NamedTuple):
    """What requests are told apart by."""

    verb: str
    scope: str
    group: str
    resource: str
    subresource: str


class Buckets(NamedTuple):
    """How many requests took how long.

    Attributes:
        bounds_s: upper bounds, ascending; the last is infinite.
        counts: of each bucket alone.
    """

    bounds_s: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        """How many there are."""
        return sum(self.counts)


Histograms = Mapping[Request, Buckets]


def kind_of(request: Request) -> Kind | None:
    """Return which objective a request falls under; None: none."""
    if request.verb in _CONNECTIONS or request.subresource in _STREAMS:
        return None
    if request.verb == "GET":
        return Kind.GET
    # A deletecollection reads and writes many objects: upstream's objective for writes is about
    # single ones, so it is judged as what it is like.
    if request.verb in ("LIST", "DELETECOLLECTION"):
        return Kind.LIST
    return Kind.WRITE if request.verb in _SINGLE_WRITES else None


def read_histograms(rows: Iterable[tuple[Mapping[str, str], float]]) -> Histograms:
    """Return the histograms of a page.

    Args:
        rows: labels and values of the family FAMILY; each is the count up to its bound.
    """
    found: dict[Request, list[tuple[float, float]]] = {}
    for labels, value in rows:
        request = Request(
            labels.get("verb", ""),
            labels.get("scope", ""),
            labels.get("group", ""),
            labels.get("resource", ""),
            labels.get("subresource", ""),
        )
        found.setdefault(request, []).append((float(labels["le"]), value))
    return {request: _buckets(sorted(pairs)) for request, pairs in found.items()}


def _buckets(pairs: list[tuple[float, float]]) -> Buckets:
    counts, below = [], 0.0
    for _, value in pairs:
        counts.append(value - below)
        below = value
    return Buckets(tuple(bound for bound, _ in pairs), tuple(counts))


def between(now: Histograms, before: Histograms) -> dict[Request, Buckets]:
    """Return what was added; requests of which there was none are left out.

    A server that was started again counts from zero: all it has counted is news.
    """
    added = {}
    for request, buckets in now.items():
        gained = _gained(buckets, before.get(request))
        if gained.total:
            added[request] = gained
    return added


def _gained(now: Buckets, before: Buckets | None) -> Buckets:
    if before is None or before.bounds_s != now.bounds_s or before.total > now.total:
        return now
    pairs = zip(now.counts, before.counts, strict=True)
    return Buckets(now.bounds_s, tuple(max(0.0, new - old) for new, old in pairs))


def merged(several: Iterable[Buckets]) -> Buckets | None:
    """Return the sum of histograms of equal bounds; None: there is none."""
    total: Buckets | None = None
    for one in several:
        if total is None:
            total = one
        else:
            assert one.bounds_s == total.bounds_s, "the server's histograms differ in their bounds"
            counts = tuple(map(float.__add__, total.counts, one.counts))
            total = Buckets(total.bounds_s, counts)
    return total


def quantile_s(buckets: Buckets, share: float) -> float:
    """Return the time within which `share` of the requests were done, in seconds.

    As histogram_quantile: of what lies above the last finite bound, that bound is said.
    """
    rank, seen, lower_s = share * buckets.total, 0.0, 0.0
    for bound_s, count in zip(buckets.bounds_s, buckets.counts, strict=True):
        if count and seen + count >= rank:
            if bound_s == float("inf"):
                return lower_s
            return lower_s + (bound_s - lower_s) * (max(0.0, rank - seen) / count)
        seen += count
        lower_s = bound_s if bound_s != float("inf") else lower_s
    return 0.0


def share_within(buckets: Buckets, limit_s: float) -> float:
    """Return the share of requests whose bucket ends at or below a limit: no guess is in it."""
    within = sum(
        count
        for bound_s, count in zip(buckets.bounds_s, buckets.counts, strict=True)
        if bound_s <= limit_s
    )
    return within / buckets.total if buckets.total else 1.0


def by_kind(histograms: Histograms) -> dict[Kind, Buckets]:
    """Return the sums by objective."""
    found: dict[Kind, list[Buckets]] = {}
    for request, buckets in histograms.items():
        kind = kind_of(request)
        if kind is not None:
            found.setdefault(kind, []).append(buckets)
    return {kind: total for kind, several in found.items() if (total := merged(several))}


def by_verb_and_scope(histograms: Histograms) -> dict[tuple[str, str], Buckets]:
    """Return the sums by verb and scope, of what an objective is about."""
    found: dict[tuple[str, str], list[Buckets]] = {}
    for request, buckets in histograms.items():
        if kind_of(request) is not None:
            found.setdefault((request.verb, request.scope), []).append(buckets)
    return {key: total for key, several in found.items() if (total := merged(several))}

"""How requests for resources are served: what path, method and query decide, and nobody else.

Nearly all requests are for a collection, or for an object of one, that was asked for before, with
the same method. So a plan is kept for each kind of request, and only the name is new.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from apiserver.asked import attributes_of
from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.metrics import Metrics, RequestLabels, Series
from apiserver.options import parse_bool
from apiserver.resources import COLLECTION_LENGTH_MAX, Catalog, Target
from apiserver.verb_table import Handler, Verbs

_PLANS_MAX: Final = 10_000
_SERIES_MAX: Final = 50_000
_NAMED_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "POST": "create",
}
_COLLECTION_VERBS: Final = {
    "GET": "list",
    "HEAD": "list",
    "POST": "create",
    "DELETE": "deletecollection",
}
_SHOWN_VERBS: Final = {"create": "POST", "update": "PUT", "": "other"}
"""Metrics name requests by these where upstream does not by the verb."""
_Kind = tuple[str, str, str]
"""Of requests for an object: method, collection, subresource."""


class Plan(NamedTuple):
    """How a request is served: what its path, method and query decide."""

    target: Target
    verb: str
    handler: Handler | None
    attributes: Attributes
    series: Series


class Plans:
    """The plans of all requests for resources."""

    def __init__(self, catalog: Catalog, verbs: Verbs, metrics: Metrics) -> None:
        self._catalog = catalog
        self._verbs = verbs
        self._metrics = metrics
        self._creates: dict[str, Plan] = {}
        self._alike: dict[_Kind, Plan] = {}
        self._series: dict[tuple[int | str, str, str, str], Series] = {}

    def find(self, exchange: Exchange) -> Plan | None:
        """Return how to serve a request, None if its path is not one of resources that there are.

        Raises:
            StatusError: 400, the query can't be read.
        """
        path, method = exchange.path, exchange.method
        if method == "POST":
            known = self._creates.get(path)
            if known is not None:
                return known
        collection, _, name = path.rpartition("/")
        if name:
            known = self._alike.get((method, collection, ""))
            if known is not None:
                return _named(known, name, path)
            collection, _, named = collection.rpartition("/")
            known = self._alike.get((method, collection, name))
            if known is not None and named:
                return _named(known, named, path)
        return self._make(exchange)

    def _make(self, exchange: Exchange) -> Plan | None:
        path = exchange.path
        try:
            target = self._catalog.find(path)
        except KeyError:
            return None
        if target is None:
            return None
        verb = _verb_of(exchange, target)
        attributes = attributes_of(exchange, target, verb)
        handler = self._verbs.find(target, verb)
        plan = Plan(target, verb, handler, attributes, self._series_of(target, verb))
        # Strangers must not fill it with long paths: nobody has been asked who they are yet. Custom
        # types come and go: each request looks for them.
        if not target.resource.info.custom and len(path) <= COLLECTION_LENGTH_MAX:
            self._keep(exchange.method, path, plan)
        return plan

    def _keep(self, method: str, path: str, plan: Plan) -> None:
        target = plan.target
        if not target.name:
            if plan.verb == "create":
                _put(self._creates, path, plan)
            return
        tail = f"/{target.name}/{target.subresource}" if target.subresource else f"/{target.name}"
        # Of old watches, and of what is beyond a proxy, the query or the rest would count too.
        if plan.handler is not None and path.endswith(tail) and not (target.watch or target.rest):
            _put(self._alike, (method, path.removesuffix(tail), target.subresource), plan)

    def _series_of(self, target: Target, verb: str) -> Series:
        # As upstream: a create is about one object, though it is sent to a collection.
        if target.name or verb == "create":
            scope = "resource"
        else:
            scope = "namespace" if target.namespace else "cluster"
        # Anybody may ask for any subresource: only those that there are may become labels.
        known = target.subresource if target.subresource_info else ""
        resource = target.resource
        # A custom type's resource may be gone, and another one be where it was.
        which: int | str = id(resource)
        if resource.info.custom:
            which = f"{resource.api_version}/{resource.plural}"
        key = (which, verb, known, scope)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= _SERIES_MAX:
                self._series.clear()
            labels = RequestLabels(
                _SHOWN_VERBS.get(verb, verb.upper()),
                resource.group,
                resource.version,
                resource.plural,
                known,
                scope,
            )
            series = self._series[key] = self._metrics.series(labels)
        return series


def _put(plans: dict[Any, Plan], key: Any, plan: Plan) -> None:
    if len(plans) >= _PLANS_MAX:
        del plans[next(iter(plans))]
    plans[key] = plan


def _named(known: Plan, name: str, path: str) -> Plan:
    """Return the plan of a request that differs from another in the name of the object alone."""
    target, verb, handler, asked, series = known
    resource, namespace, _, subresource, _, _ = target
    # Made as tuples: what named tuples are made by costs as much again.
    target = tuple.__new__(Target, (resource, namespace, name, subresource, "", False))
    asked = tuple.__new__(Attributes, (*asked[:6], name, path, asked[8]))
    return tuple.__new__(Plan, (target, verb, handler, asked, series))


def _verb_of(exchange: Exchange, target: Target) -> str:
    method = exchange.method
    if target.subresource:
        return _NAMED_VERBS.get(method, "")
    if target.watch:
        return "watch" if method in ("GET", "HEAD") else ""
    verb = (_NAMED_VERBS if target.name else _COLLECTION_VERBS).get(method, "")
    if verb in ("list", "get") and exchange.scope["query_string"]:
        # On one object the parameter is honoured too, as for any list of it.
        watch = parse_bool(exchange.query.get("watch"))
        if watch and verb == "list":
            return "watch"
    return "" if verb == "create" and target.name else verb

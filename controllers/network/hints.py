"""Which endpoints a proxy should prefer: hints on slices. Pure.

By `trafficDistribution` (k8s.io/endpointslice/trafficdist) each ready endpoint has a hint for its
own zone, with PreferSameNode for its node, too. Otherwise there are none. What is only to be done
in proportion to zones' CPU is in `topology.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from controllers.network.slices import Plan, endpoints_of
from kube.json_types import JsonObject

_BY_ZONE: Final = frozenset({"PreferClose", "PreferSameZone", "PreferSameNode"})
_MODES: Final = (
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)
Hint = Callable[[JsonObject], JsonObject | None]


def is_automatic(service: JsonObject) -> bool:
    """Tell whether an annotation asks for hints by zones' CPU; the older one counts first."""
    notes = service["metadata"].get("annotations") or {}
    for name in _MODES:
        if name in notes:
            return notes[name] in ("Auto", "auto")
    return False


def hint_by(distribution: str | None) -> Hint | None:
    """Return the hints that a Service's trafficDistribution asks for, None for none at all."""
    if distribution not in _BY_ZONE:
        return None
    by_node = distribution == "PreferSameNode"

    def hint(endpoint: JsonObject) -> JsonObject | None:
        hints: JsonObject = {}
        if zone := endpoint.get("zone"):
            hints["forZones"] = [{"name": zone}]
        if by_node and (node := endpoint.get("nodeName")):
            hints["forNodes"] = [{"name": node}]
        return hints or None

    return hint


def is_ready(endpoint: JsonObject) -> bool:
    """Tell whether an endpoint says that it is ready."""
    return (endpoint.get("conditions") or {}).get("ready") is True


def apply(plan: Plan, hint: Hint) -> None:
    """Give all ready endpoints their hints; slices that had others are updated."""
    for name, piece in list(plan.kept.items()):
        if any(is_ready(one) and one.get("hints") != hint(one) for one in endpoints_of(piece)):
            plan.update[name] = plan.kept.pop(name)
    for piece in written(plan):
        for endpoint in endpoints_of(piece):
            if is_ready(endpoint):
                set_hints(endpoint, hint(endpoint))


def remove(plan: Plan) -> None:
    """Take all hints away; slices that had some are updated."""
    for name, piece in list(plan.kept.items()):
        if any("hints" in one for one in endpoints_of(piece)):
            plan.update[name] = plan.kept.pop(name)
    for piece in written(plan):
        for endpoint in endpoints_of(piece):
            endpoint.pop("hints", None)


def written(plan: Plan) -> Iterable[JsonObject]:
    """Yield the slices that will be written."""
    yield from plan.create
    yield from plan.update.values()


def set_hints(endpoint: JsonObject, hints: JsonObject | None) -> None:
    """Give an endpoint its hints, in place."""
    if hints is None:
        endpoint.pop("hints", None)
    else:
        endpoint["hints"] = hints

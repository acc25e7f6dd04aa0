"""The quality of service class of a pod, by what it asks for. Follows upstream's helper/qos."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apiserver.types.pods.quantities import nanos
from kube.json_types import JsonObject

_RESOURCES: Final = ("cpu", "memory")


def qos_class(spec: JsonObject) -> str:
    """Return BestEffort, Burstable or Guaranteed."""
    if "resources" in spec:
        # Amounts of the pod as a whole decide alone.
        askers: Iterable[JsonObject] = (spec["resources"],)
    else:
        askers = [
            container.get("resources", {})
            for name in ("containers", "initContainers")
            for container in spec.get(name, ())
        ]
        if not any(askers):
            return "BestEffort"
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for resources in askers:
        _add(requests, resources.get("requests", {}))
        found = _add(limits, resources.get("limits", {}))
        guaranteed = guaranteed and found == len(_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and requests == limits:
        return "Guaranteed"
    return "Burstable"


def _add(total: dict[str, int], amounts: dict[str, str]) -> int:
    """Add what counts of a resource list; return how many resources it had."""
    found = 0
    for name in _RESOURCES:
        text = amounts.get(name)
        if text is not None and (amount := nanos(text)) > 0:
            total[name] = total.get(name, 0) + amount
            found += 1
    return found

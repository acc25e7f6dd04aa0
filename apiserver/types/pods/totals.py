"""What a pod asks for in all: its containers' requests or limits taken together.

Init containers run one after the other, so the largest counts; those that restart always keep
running beside what starts later (sidecars), so they add up. Follows k8s.io/component-helpers
`resource`.
"""

from __future__ import annotations

from apiserver.types.pods.quantities import Amounts, add_into, max_into
from kube.json_types import JsonObject


def aggregate(spec: JsonObject, side: str) -> Amounts:
    """Return the effective container `requests` or `limits` (`side`) of a pod spec.

    Overhead and pod-level resources are not part of it.
    """
    total: Amounts = {}
    for container in spec.get("containers", ()):
        add_into(total, _amounts(container, side))
    initial = spec.get("initContainers")
    if initial:
        sidecars: Amounts = {}
        peak: Amounts = {}
        for container in initial:
            amounts = dict(_amounts(container, side))
            if container.get("restartPolicy") == "Always":
                add_into(total, amounts)
                add_into(sidecars, amounts)
                amounts = dict(sidecars)
            else:
                add_into(amounts, sidecars)
            max_into(peak, amounts)
        max_into(total, peak)
    return total


def _amounts(container: JsonObject, side: str) -> Amounts:
    amounts: Amounts = container.get("resources", {}).get(side, {})
    return amounts

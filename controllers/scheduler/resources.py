"""What a pod takes of a node, by upstream's arithmetic (component-helpers/resource).

Amounts are integers: thousandths for cpu, whole units (bytes) for the rest, rounded up as upstream
does. Containers that start one after another count by the most, sidecars with all that start after
them; limits of the whole pod take the place of its containers' where it has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube.json_types import JsonObject
from kube.quantity import QuantityError, parse_value

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL: Final = "ephemeral-storage"
PODS: Final = "pods"
NATIVE: Final = (CPU, MEMORY, EPHEMERAL)
DEFAULT_MILLI_CPU: Final = 100
DEFAULT_MEMORY_BYTES: Final = 200 << 20
NONZERO_DEFAULTS: Final = {CPU: DEFAULT_MILLI_CPU, MEMORY: DEFAULT_MEMORY_BYTES}
"""What scores think a container takes that does not say."""
AMOUNT_MAX: Final = 2**52
"""Nobody has more, and a node's sums, times a hundred, stay within 64 bits."""

Amounts = dict[str, int]


def amount_of(name: str, quantity: Any) -> int:
    """Return a quantity in the unit of its resource; what cannot be read is nothing."""
    try:
        parsed = parse_value(quantity)
    except QuantityError:
        return 0
    amount = parsed.milli_value if name == CPU else parsed.value
    return max(0, min(amount, AMOUNT_MAX))


def amounts_of(quantities: Mapping[str, Any] | None) -> Amounts:
    """Return a map of quantities as amounts."""
    return {name: amount_of(name, value) for name, value in (quantities or {}).items()}


def pod_requests(spec: JsonObject, missing: Mapping[str, int] | None = None) -> Amounts:
    """Return what a pod requests.

    Args:
        spec: of the pod.
        missing: what a container is taken to request of resources that it does not name.
    """
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, _container_requests(container, missing))
    started: Amounts = {}
    most: Amounts = {}
    for container in spec.get("initContainers") or ():
        requests = _container_requests(container, missing)
        if container.get("restartPolicy") == "Always":
            _add(total, requests)
            _add(started, requests)
            requests = dict(started)
        else:
            _add(requests, started)
        _raise_to(most, requests)
    _raise_to(total, most)
    whole = amounts_of((spec.get("resources") or {}).get("requests"))
    for name, amount in whole.items():
        if name in (CPU, MEMORY) or name.startswith("hugepages-"):
            total[name] = amount
    _add(total, amounts_of(spec.get("overhead")))
    return total


def _container_requests(container: JsonObject, missing: Mapping[str, int] | None) -> Amounts:
    requests = amounts_of((container.get("resources") or {}).get("requests"))
    for name, amount in (missing or {}).items():
        requests.setdefault(name, amount)
    return requests


def _add(total: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        total[name] = min(total.get(name, 0) + amount, AMOUNT_MAX)


def _raise_to(total: Amounts, least: Amounts) -> None:
    for name, amount in least.items():
        if amount > total.get(name, 0):
            total[name] = amount

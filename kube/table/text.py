"""How values look in cells: labels, selectors, containers, shortened lists, ages.

Placeholders differ by column upstream and so do they here: `<none>`, `<unset>`, `<unknown>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kube import durations
from kube.json_types import JsonObject

NONE: Final = "<none>"
UNSET: Final = "<unset>"
LIST_MAX: Final = 3


def name_of(obj: JsonObject) -> str:
    """Return an object's name, empty when it has none."""
    name: str = obj["metadata"].get("name", "")
    return name


def age_of(obj: JsonObject, now_s: float) -> str:
    """Return how long ago an object was created."""
    return durations.age(obj["metadata"].get("creationTimestamp"), now_s)


def is_deleted(obj: JsonObject) -> bool:
    """Tell whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def labels(pairs: Mapping[str, str] | None) -> str:
    """Return labels as `a=b,c=d` by key, `<none>` without any."""
    if not pairs:
        return NONE
    return ",".join(f"{key}={pairs[key]}" for key in sorted(pairs))


def selector(value: JsonObject | None) -> str:
    """Return a LabelSelector as one writes it on a command line; empty if it selects everything.

    Raises:
        ValueError: an operator is unknown, or values are missing where it needs some.
    """
    if not value:
        return ""
    found = [(key, f"{key}={item}") for key, item in value.get("matchLabels", {}).items()]
    found += [(item["key"], _requirement(item)) for item in value.get("matchExpressions", ())]
    return ",".join(text for _, text in sorted(found, key=lambda pair: pair[0]))


def selector_or_none(value: JsonObject | None) -> str:
    """Return a LabelSelector as `selector` does, `<none>` if empty, `<error>` if malformed."""
    try:
        return selector(value) or NONE
    except ValueError:
        return "<error>"


def selector_structure(value: JsonObject) -> str:
    """Return a LabelSelector the way upstream's binding columns show it, structure and all."""
    pairs = value.get("matchLabels", {})
    wanted = "".join(f"{key}: {pairs[key]}," for key in sorted(pairs))
    rules = "".join(
        f"LabelSelectorRequirement{{Key:{rule.get('key', '')},Operator:{rule.get('operator', '')},"
        f"Values:[{' '.join(rule.get('values', ()))}],}},"
        for rule in value.get("matchExpressions", ())
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{wanted}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
    )


def containers(pod_spec: JsonObject) -> tuple[str, str]:
    """Return the names and the images of a pod's containers, comma-separated."""
    items = pod_spec.get("containers", ())
    names = ",".join(item.get("name", "") for item in items)
    return names, ",".join(item.get("image", "") for item in items)


def template_containers(owner_spec: JsonObject) -> tuple[str, str]:
    """Return the names and images of the containers in a workload's pod template."""
    return containers(owner_spec.get("template", {}).get("spec", {}))


def shortened(items: Sequence[str]) -> str:
    """Return the first items and how many more there are; `<unset>` when that is empty."""
    text = ",".join(items[:LIST_MAX])
    if len(items) > LIST_MAX:
        return f"{text} + {len(items) - LIST_MAX} more..."
    return text or UNSET


def condition_status(conditions: Iterable[JsonObject], kind: str) -> str | None:
    """Return the status of the first condition of a type, None when there is none."""
    for condition in conditions:
        if condition.get("type") == kind:
            status: str = condition.get("status", "")
            return status
    return None


def dig(obj: JsonObject, *keys: str) -> Any:
    """Return a nested value, None when any step is absent."""
    value: Any = obj
    for key in keys:
        value = value.get(key)
        if value is None:
            return None
    return value


def _requirement(item: JsonObject) -> str:
    key, operator, values = item["key"], item.get("operator"), item.get("values", ())
    match operator:
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case "In" | "NotIn" if values:
            return f"{key} {operator.lower()} ({','.join(sorted(values))})"
        case _:
            raise ValueError(f"{operator!r} is not a valid label selector operator")

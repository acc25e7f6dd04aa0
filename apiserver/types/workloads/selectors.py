"""Label selectors of workloads, matched against the labels of their own pod templates."""

from __future__ import annotations

from kube.json_types import JsonObject


class SelectorError(ValueError):
    """A label selector is malformed, so nothing can be said about what it matches."""


def matches(selector: JsonObject | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector selects `labels`; none selects nothing, an empty one everything.

    Raises:
        SelectorError: an expression has an unknown operator, or lacks or has values wrongly.
    """
    if selector is None:
        return False
    for expression in selector.get("matchExpressions", ()):
        if not _expression_matches(expression, labels):
            return False
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def is_empty(selector: JsonObject | None) -> bool:
    """Whether a selector states nothing."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def render(selector: JsonObject | None) -> str:
    """Return a LabelSelector in the text form of requests: `app=web,tier in (a,b)`.

    Keys are sorted, as upstream's are; a missing selector is empty.
    """
    parts: list[tuple[str, str]] = []
    for key, value in (selector or {}).get("matchLabels", {}).items():
        parts.append((key, f"{key}={value}"))
    for expression in (selector or {}).get("matchExpressions", ()):
        key = expression.get("key", "")
        values = ",".join(sorted(expression.get("values", ())))
        match expression.get("operator"):
            case "In":
                parts.append((key, f"{key} in ({values})"))
            case "NotIn":
                parts.append((key, f"{key} notin ({values})"))
            case "Exists":
                parts.append((key, key))
            case "DoesNotExist":
                parts.append((key, f"!{key}"))
            case other:
                raise SelectorError(f"{other!r} is not a valid label selector operator")
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _expression_matches(expression: JsonObject, labels: dict[str, str]) -> bool:
    key = expression.get("key", "")
    values = expression.get("values", ())
    operator = expression.get("operator", "")
    if operator in {"In", "NotIn"}:
        if not values:
            raise SelectorError("for 'in', 'notin' operators, values set can't be empty")
        return (key in labels and labels[key] in values) is (operator == "In")
    if operator not in {"Exists", "DoesNotExist"}:
        raise SelectorError(f"{operator!r} is not a valid label selector operator")
    if values:
        raise SelectorError("values set must be empty for exists and does not exist")
    return (key in labels) is (operator == "Exists")

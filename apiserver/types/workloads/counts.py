"""Checks that workloads share: counts, percentages, templates, immutable fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apiserver.types.formats import is_valid_percent
from apiserver.types.meta import NOT_NEGATIVE, validate_label_selector
from apiserver.types.pods.pod_spec import check_template
from apiserver.types.workloads.selectors import is_empty, matches
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

ABOVE_REPLICAS: Final = "cannot be greater than status.replicas"


def check_counts(
    holder: JsonObject, names: Iterable[str], path: str, errors: list[FieldError]
) -> None:
    """Refuse negative numbers among the named fields."""
    for name in names:
        value = holder.get(name)
        if value is not None and value < 0:
            errors.append(invalid(f"{path}.{name}", value, NOT_NEGATIVE))


def check_not_above(
    status: JsonObject, names: Iterable[str], path: str, errors: list[FieldError]
) -> None:
    """Refuse counts in a status above its `replicas`."""
    replicas = status.get("replicas", 0)
    for name in names:
        value = status.get(name, 0)
        if value > replicas:
            errors.append(invalid(f"{path}.{name}", value, ABOVE_REPLICAS))


def check_available(
    status: JsonObject, path: str, errors: list[FieldError], *, shown: str = "readyReplicas"
) -> None:
    """Refuse more available than ready replicas."""
    available = status.get("availableReplicas", 0)
    if available > status.get("readyReplicas", 0):
        text = f"cannot be greater than {shown}"
        errors.append(invalid(f"{path}.availableReplicas", available, text))


def check_collisions(new: JsonObject, old: JsonObject, errors: list[FieldError]) -> None:
    """Refuse that the collision count goes down or away."""
    now = new.get("status", {}).get("collisionCount")
    then = old.get("status", {}).get("collisionCount")
    if then is not None and (now is None or now < then):
        errors.append(invalid("status.collisionCount", now or 0, "cannot be decremented"))


def check_int_or_percent(value: int | str, path: str, errors: list[FieldError]) -> None:
    """Check a number or percentage that is not negative."""
    if isinstance(value, str):
        errors.extend(invalid(path, value, fault) for fault in is_valid_percent(value))
    elif value < 0:
        errors.append(invalid(path, value, NOT_NEGATIVE))


def int_or_percent(value: int | str) -> int:
    """Return the number before the percent sign, or the number itself; 0 for what is neither."""
    if isinstance(value, int):
        return value
    if not is_valid_percent(value):
        return int(value[:-1])
    return int(value) if value.removeprefix("-").isdigit() else 0


def check_at_most_all(value: int | str, path: str, errors: list[FieldError]) -> None:
    """Refuse more than 100%."""
    if isinstance(value, str) and not is_valid_percent(value) and int(value[:-1]) > 100:
        errors.append(invalid(path, value, "must not be greater than 100%"))


def check_selector(
    selector: JsonObject | None, kind: str, path: str, errors: list[FieldError]
) -> None:
    """Check a selector that must be given and select something less than everything."""
    if selector is None:
        errors.append(required(path))
        return
    errors += validate_label_selector(selector, path)
    if is_empty(selector):
        errors.append(invalid(path, selector, f"empty selector is invalid for {kind}"))


def check_selects_template(
    selector: JsonObject | None, template: JsonObject, path: str, errors: list[FieldError]
) -> None:
    """Check that a workload selects the pods it makes; `path` is that of the template.

    Raises:
        SelectorError: the selector is malformed.
    """
    labels = template.get("metadata", {}).get("labels", {})
    if not matches(selector, labels):
        text = "`selector` does not match template `labels`"
        errors.append(invalid(f"{path}.metadata.labels", labels or None, text))


def check_running_template(
    template: JsonObject, path: str, kind: str, errors: list[FieldError]
) -> None:
    """Check the template of pods that are to run for good."""
    check_template(template, path, errors)
    check_runs_always(template, path, kind, errors)


def check_runs_always(template: JsonObject, path: str, kind: str, errors: list[FieldError]) -> None:
    """Check that pods of a template are restarted whenever they end."""
    spec = template.get("spec", {})
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        errors.append(not_supported(f"{path}.spec.restartPolicy", policy, ("Always",)))
    if "activeDeadlineSeconds" in spec:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden(f"{path}.spec.activeDeadlineSeconds", text))


def check_immutable(
    new: JsonObject, old: JsonObject, name: str, path: str, errors: list[FieldError]
) -> None:
    """Refuse a change of the field `name`, which may be absent in either."""
    now: Any = new.get(name)
    if now != old.get(name):
        errors.append(invalid(f"{path}.{name}", now, "field is immutable"))

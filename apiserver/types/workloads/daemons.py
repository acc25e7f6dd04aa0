"""DaemonSets: one pod on each node; and PodTemplates, which make nothing by themselves.

The internal `templateGeneration` of DaemonSets shows in v1 as an annotation; the server owns it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import validate_label_selector
from apiserver.types.pods.defaults import default_pod_template
from apiserver.types.pods.pod_spec import check_template
from apiserver.types.pods.warnings import template_warnings
from apiserver.types.workloads.counts import (
    check_at_most_all,
    check_collisions,
    check_counts,
    check_immutable,
    check_int_or_percent,
    check_running_template,
    check_selects_template,
    int_or_percent,
)
from apiserver.types.workloads.selectors import SelectorError, is_empty
from kube.field import FieldError, invalid, not_supported, required
from kube.json_types import JsonObject

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
_STRATEGIES: Final = ("RollingUpdate", "OnDelete")
_COUNTS: Final = (
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
)


def default_daemon_set(obj: JsonObject) -> None:
    """Default a DaemonSet."""
    spec = obj.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    default_pod_template(spec.setdefault("template", {}))


def _template_generation(obj: JsonObject) -> int:
    text = obj["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _set_template_generation(obj: JsonObject, generation: int) -> None:
    obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(generation)


def _prepare_create(obj: JsonObject) -> None:
    obj["status"] = {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    }
    _set_template_generation(obj, max(1, _template_generation(obj)))


def _prepare_update(new: JsonObject, old: JsonObject) -> None:
    generation = _template_generation(old)
    if new["spec"].get("template") != old["spec"].get("template"):
        generation += 1
    _set_template_generation(new, generation)


def validate_daemon_set(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a DaemonSet."""
    errors: list[FieldError] = []
    spec = obj["spec"]
    selector = spec.get("selector")
    template = spec.get("template", {})
    errors += validate_label_selector(selector, "spec.selector")
    # What is wrong with it was said above.
    with suppress(SelectorError):
        check_selects_template(selector, template, "spec.template", errors)
    if selector is not None and is_empty(selector):
        text = "empty selector is invalid for daemonset"
        errors.append(invalid("spec.selector", selector, text))
    check_running_template(template, "spec.template", "DaemonSet", errors)
    check_counts(spec, ("minReadySeconds",), "spec", errors)
    _check_strategy(spec.get("updateStrategy", {}), "spec.updateStrategy", errors)
    check_counts(spec, ("revisionHistoryLimit",), "spec", errors)
    return errors


def _check_strategy(strategy: JsonObject, path: str, errors: list[FieldError]) -> None:
    kind = strategy.get("type", "")
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        errors.append(not_supported(path, strategy, _STRATEGIES))
        return
    where = f"{path}.rollingUpdate"
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        errors.append(required(where))
        return
    names = ("maxUnavailable", "maxSurge")
    values = {name: rolling.get(name, 0) for name in names}
    for name in names:
        check_int_or_percent(values[name], f"{where}.{name}", errors)
    for name in names:
        check_at_most_all(values[name], f"{where}.{name}", errors)
    unavailable, surge = (int_or_percent(values[name]) != 0 for name in names)
    if unavailable and surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{where}.maxSurge", values["maxSurge"], text))
    elif not unavailable and not surge:
        errors.append(required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def _validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = validate_daemon_set(new)
    check_immutable(new["spec"], old["spec"], "selector", "spec", errors)
    return errors


def _validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    check_counts(new.get("status", {}), _COUNTS, "status", errors)
    check_collisions(new, old, errors)
    return errors


def _warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    template = new["spec"].get("template", {})
    if old is not None and old["spec"].get("template") == template:
        return []
    return template_warnings(template, "spec.template")


def _default_pod_template(obj: JsonObject) -> None:
    default_pod_template(obj.setdefault("template", {}))


def _validate_pod_template(obj: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    check_template(obj["template"], "template", errors)
    return errors


def _validate_pod_template_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    return _validate_pod_template(new)


def _pod_template_warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    if old is not None and old.get("template") == new.get("template"):
        return []
    return template_warnings(new.get("template", {}), "template")


HOOKS: Final[dict[str, TypeHooks]] = {
    "apps/daemonsets": TypeHooks(
        default=default_daemon_set,
        prepare_create=_prepare_create,
        validate_create=validate_daemon_set,
        prepare_update=_prepare_update,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=_warnings,
        generation=True,
        has_status=True,
    ),
    "podtemplates": TypeHooks(
        default=_default_pod_template,
        validate_create=_validate_pod_template,
        validate_update=_validate_pod_template_update,
        warnings=_pod_template_warnings,
        generation=True,
        spec_keys=("template",),
    ),
}

"""ReplicationControllers, ReplicaSets and Deployments: interchangeable pods, kept at a number."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_dns1123_label
from apiserver.types.hooks import TypeHooks
from apiserver.types.pods.defaults import default_pod_template
from apiserver.types.pods.warnings import template_warnings
from apiserver.types.workloads.counts import (
    check_at_most_all,
    check_available,
    check_collisions,
    check_counts,
    check_immutable,
    check_int_or_percent,
    check_not_above,
    check_running_template,
    check_selector,
    check_selects_template,
    int_or_percent,
)
from apiserver.types.workloads.fields import status_replicas
from apiserver.types.workloads.selectors import SelectorError
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_STRATEGIES: Final = ("Recreate", "RollingUpdate")
_SET_COUNTS: Final = (
    "replicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "availableReplicas",
    "observedGeneration",
)
_DEPLOYMENT_COUNTS: Final = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
)


def default_controller(obj: JsonObject) -> None:
    """Default a ReplicationController: selector and labels come from the template."""
    spec = obj.setdefault("spec", {})
    template = spec.get("template")
    if template is not None:
        labels = template.get("metadata", {}).get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            meta = obj.setdefault("metadata", {})
            if not meta.get("labels"):
                meta["labels"] = dict(labels)
        default_pod_template(template)
    spec.setdefault("replicas", 1)


def default_replica_set(obj: JsonObject) -> None:
    """Default a ReplicaSet."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_pod_template(spec.setdefault("template", {}))


def default_deployment(obj: JsonObject) -> None:
    """Default a Deployment."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    default_pod_template(spec.setdefault("template", {}))


def _reset_counted_status(obj: JsonObject) -> None:
    obj["status"] = {"replicas": 0}


def _reset_status(obj: JsonObject) -> None:
    obj["status"] = {}


def validate_controller(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a ReplicationController."""
    errors: list[FieldError] = []
    spec = obj["spec"]
    check_counts(spec, ("minReadySeconds",), "spec", errors)
    selector = spec.get("selector")
    if not selector:
        errors.append(required("spec.selector"))
    check_counts(spec, ("replicas",), "spec", errors)
    template = spec.get("template")
    if template is None:
        errors.append(required("spec.template"))
        return errors
    if selector:
        check_selects_template({"matchLabels": selector}, template, "spec.template", errors)
    check_running_template(template, "spec.template", "ReplicationController", errors)
    return errors


def validate_replica_set(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a ReplicaSet."""
    errors: list[FieldError] = []
    spec = obj["spec"]
    check_counts(spec, ("replicas", "minReadySeconds"), "spec", errors)
    # Upstream names deployments here too.
    check_selector(spec.get("selector"), "deployment", "spec.selector", errors)
    _check_selected_template(spec, errors)
    return errors


def validate_deployment(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a Deployment."""
    errors: list[FieldError] = []
    spec = obj["spec"]
    check_counts(spec, ("replicas",), "spec", errors)
    check_selector(spec.get("selector"), "deployment", "spec.selector", errors)
    _check_selected_template(spec, errors)
    _check_strategy(spec.get("strategy", {}), "spec.strategy", errors)
    names = ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    check_counts(spec, names, "spec", errors)
    deadline_s = spec.get("progressDeadlineSeconds")
    if deadline_s is not None and deadline_s <= spec.get("minReadySeconds", 0):
        text = "must be greater than minReadySeconds"
        errors.append(invalid("spec.progressDeadlineSeconds", deadline_s, text))
    return errors


def _check_selected_template(spec: JsonObject, errors: list[FieldError]) -> None:
    selector = spec.get("selector")
    template = spec.get("template", {})
    try:
        check_selects_template(selector, template, "spec.template", errors)
    except SelectorError:
        errors.append(invalid("spec.selector", selector, "invalid label selector"))
        return
    check_running_template(template, "spec.template", "ReplicaSet", errors)


def _check_strategy(strategy: JsonObject, path: str, errors: list[FieldError]) -> None:
    kind = strategy.get("type", "")
    rolling = strategy.get("rollingUpdate")
    where = f"{path}.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            errors.append(forbidden(where, text))
    elif kind != "RollingUpdate":
        errors.append(not_supported(path, strategy, _STRATEGIES))
    elif rolling is None:
        errors.append(required(where, "this should be defaulted and never be nil"))
    else:
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        check_int_or_percent(unavailable, f"{where}.maxUnavailable", errors)
        check_int_or_percent(surge, f"{where}.maxSurge", errors)
        if not int_or_percent(unavailable) and not int_or_percent(surge):
            text = "may not be 0 when `maxSurge` is 0"
            errors.append(invalid(f"{where}.maxUnavailable", unavailable, text))
        check_at_most_all(unavailable, f"{where}.maxUnavailable", errors)


def _validate_controller_update(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    return validate_controller(new)


def _validate_replica_set_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = validate_replica_set(new)
    check_immutable(new["spec"], old["spec"], "selector", "spec", errors)
    return errors


def _validate_deployment_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = validate_deployment(new)
    check_immutable(new["spec"], old["spec"], "selector", "spec", errors)
    return errors


def _validate_set_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status", {})
    check_counts(status, _SET_COUNTS, "status", errors)
    names = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    check_not_above(status, names, "status", errors)
    check_available(status, "status", errors)
    return errors


def _validate_deployment_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status", {})
    check_counts(status, _DEPLOYMENT_COUNTS, "status", errors)
    names = ("updatedReplicas", "readyReplicas", "availableReplicas")
    check_not_above(status, names, "status", errors)
    check_available(status, "status", errors)
    check_collisions(new, old, errors)
    return errors


def _keep_labels(new: JsonObject, old: JsonObject) -> None:
    """A Deployment's status update does not change its labels."""
    labels = old["metadata"].get("labels")
    if labels is None:
        new["metadata"].pop("labels", None)
    else:
        new["metadata"]["labels"] = labels


def replicated_warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    """Return the warnings of a workload's name (at creation) and changed pod template."""
    found = []
    if old is None and (faults := is_dns1123_label(new["metadata"].get("name", ""))):
        found.append(
            "metadata.name: this is used in Pod names and hostnames, which can result in "
            f"surprising behavior; a DNS label is recommended: [{' '.join(faults)}]"
        )
    template = new["spec"].get("template")
    if template and (old is None or old["spec"].get("template") != template):
        found += template_warnings(template, "spec.template")
    return found


HOOKS: Final[dict[str, TypeHooks]] = {
    "replicationcontrollers": TypeHooks(
        default=default_controller,
        prepare_create=_reset_counted_status,
        validate_create=validate_controller,
        validate_update=_validate_controller_update,
        validate_status=_validate_set_status,
        warnings=replicated_warnings,
        fields={"status.replicas": status_replicas},
        generation=True,
        has_status=True,
    ),
    "apps/replicasets": TypeHooks(
        default=default_replica_set,
        prepare_create=_reset_counted_status,
        validate_create=validate_replica_set,
        validate_update=_validate_replica_set_update,
        validate_status=_validate_set_status,
        warnings=replicated_warnings,
        generation=True,
        has_status=True,
    ),
    "apps/deployments": TypeHooks(
        default=default_deployment,
        prepare_create=_reset_status,
        validate_create=validate_deployment,
        validate_update=_validate_deployment_update,
        prepare_status=_keep_labels,
        validate_status=_validate_deployment_status,
        warnings=replicated_warnings,
        generation=True,
        has_status=True,
    ),
}

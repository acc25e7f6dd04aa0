"""StatefulSets and the ControllerRevisions that remember their templates."""

from __future__ import annotations

from typing import Any, Final

from apiserver.types.formats import name_is_dns_label, name_is_dns_subdomain
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import (
    validate_annotations,
    validate_immutable,
    validate_labels,
    validate_nonnegative,
)
from apiserver.types.pods.annotations import check_annotations
from apiserver.types.pods.defaults import default_pod_template
from apiserver.types.pods.volume_defaults import default_claim_spec
from apiserver.types.pods.warnings import template_warnings
from apiserver.types.workloads.counts import (
    check_at_most_all,
    check_available,
    check_collisions,
    check_counts,
    check_int_or_percent,
    check_not_above,
    check_runs_always,
    check_selector,
    check_selects_template,
    int_or_percent,
)
from apiserver.types.workloads.selectors import SelectorError, is_empty
from kube.field import FieldError, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

_RETENTION: Final = ("Retain", "Delete")
_COUNTS: Final = (
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
)
_MUTABLE: Final = frozenset(
    {
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "revisionHistoryLimit",
    }
)


def default_stateful_set(obj: JsonObject) -> None:
    """Default a StatefulSet and the claims it makes."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    policy.setdefault("whenDeleted", "Retain")
    policy.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    default_pod_template(spec.setdefault("template", {}))
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        default_claim_spec(claim.setdefault("spec", {}))
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def _reset_status(obj: JsonObject) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def validate_stateful_set(obj: JsonObject) -> list[FieldError]:
    """Return the faults of a StatefulSet.

    The pod spec itself is not checked, as it may mount volumes that only the claims will give it.
    """
    errors: list[FieldError] = []
    spec = obj["spec"]
    policy = spec.get("podManagementPolicy", "")
    if not policy:
        errors.append(required("spec.podManagementPolicy"))
    elif policy not in {"OrderedReady", "Parallel"}:
        text = "must be 'OrderedReady' or 'Parallel'"
        errors.append(invalid("spec.podManagementPolicy", policy, text))
    _check_strategy(spec.get("updateStrategy", {}), "spec.updateStrategy", errors)
    retention = spec.get("persistentVolumeClaimRetentionPolicy")
    if retention is not None:
        for name in ("whenDeleted", "whenScaled"):
            value = retention.get(name, "")
            if value not in _RETENTION:
                where = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
                errors.append(not_supported(where, value, _RETENTION))
    check_counts(spec, ("replicas", "minReadySeconds"), "spec", errors)
    if "ordinals" in spec:
        start = spec["ordinals"].get("start", 0)
        errors += validate_nonnegative(start, "spec.ordinals.start")
    check_selector(spec.get("selector"), "statefulset", "spec.selector", errors)
    _check_template(spec, errors)
    check_runs_always(spec.get("template", {}), "spec.template", "StatefulSet", errors)
    return errors


def _check_template(spec: JsonObject, errors: list[FieldError]) -> None:
    selector = spec.get("selector")
    template = spec.get("template", {})
    meta = template.get("metadata", {})
    try:
        # No selector selects nothing, an empty one everything.
        if selector is None or not is_empty(selector):
            check_selects_template(selector, template, "spec.template", errors)
    except SelectorError:
        errors.append(invalid("spec.selector", selector, ""))
        return
    annotations = meta.get("annotations", {})
    errors += validate_labels(meta.get("labels"), "spec.template.labels")
    errors += validate_annotations(annotations, "spec.template.annotations")
    check_annotations(annotations, template["spec"], "spec.template.annotations", errors)


def _check_strategy(strategy: JsonObject, path: str, errors: list[FieldError]) -> None:
    kind = strategy.get("type", "")
    rolling = strategy.get("rollingUpdate")
    where = f"{path}.rollingUpdate"
    if not kind:
        errors.append(required(path))
    elif kind == "OnDelete":
        if rolling is not None:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(invalid(where, rolling, text))
    elif kind != "RollingUpdate":
        text = "must be 'RollingUpdate' or 'OnDelete'"
        errors.append(invalid(path, strategy, text))
    elif rolling is not None:
        check_counts(rolling, ("partition",), where, errors)
        unavailable = rolling.get("maxUnavailable")
        if unavailable is not None:
            target = f"{where}.maxUnavailable"
            check_int_or_percent(unavailable, target, errors)
            if not int_or_percent(unavailable):
                errors.append(invalid(target, unavailable, "cannot be 0"))
            check_at_most_all(unavailable, target, errors)


def _fixed(spec: JsonObject) -> dict[str, Any]:
    fixed = {key: value for key, value in spec.items() if key not in _MUTABLE}
    if "volumeClaimTemplates" in fixed:
        # The status of a claim template says nothing, and older objects lack its default.
        fixed["volumeClaimTemplates"] = [
            {key: value for key, value in claim.items() if key != "status"}
            for claim in fixed["volumeClaimTemplates"]
        ]
    return fixed


def _validate_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = validate_stateful_set(new)
    if _fixed(new["spec"]) != _fixed(old["spec"]):
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
            "'minReadySeconds' are forbidden"
        )
        errors.append(forbidden("spec", text))
    return errors


def _validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status", {})
    check_counts(status, _COUNTS, "status", errors)
    names = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    check_not_above(status, names, "status", errors)
    check_available(status, "status", errors, shown="status.readyReplicas")
    check_collisions(new, old, errors)
    return errors


def _warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    found = []
    template = new["spec"].get("template", {})
    if old is None or old["spec"].get("template") != template:
        found += template_warnings(template, "spec.template")
    limit = new["spec"].get("revisionHistoryLimit", 0)
    if limit < 0:
        found.append(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; "
            "a value >= 0 is recommended"
        )
    return found


def _validate_revision(obj: JsonObject) -> list[FieldError]:
    errors: list[FieldError] = []
    if obj.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    check_revision = validate_nonnegative(obj.get("revision", 0), "revision")
    return errors + check_revision


def _validate_revision_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    errors = _validate_revision(new)
    return errors + validate_immutable(new.get("data"), old.get("data"), "data")


HOOKS: Final[dict[str, TypeHooks]] = {
    "apps/statefulsets": TypeHooks(
        default=default_stateful_set,
        prepare_create=_reset_status,
        validate_create=validate_stateful_set,
        validate_update=_validate_update,
        validate_status=_validate_status,
        warnings=_warnings,
        name_check=name_is_dns_label,
        generation=True,
        has_status=True,
    ),
    "apps/controllerrevisions": TypeHooks(
        validate_create=_validate_revision,
        validate_update=_validate_revision_update,
        name_check=name_is_dns_subdomain,
    ),
}

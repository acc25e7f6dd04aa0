"""What may change in a pod that exists: very little.

Images, a shorter deadline, more tolerations, fewer scheduling gates; and for a pod still gated,
narrower node selection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from apiserver.types.formats import range_error
from apiserver.types.pods.annotations import check_annotation_changes, check_annotations
from apiserver.types.pods.difference import describe_difference
from apiserver.types.pods.pod_spec import validate_pod
from apiserver.types.pods.scheduling import check_tolerations
from kube.field import FieldError, forbidden, invalid, required
from kube.json_types import JsonObject

_INT32_MAX: Final = 2**31 - 1
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_UPDATABLE: Final = ",".join(
    (
        "`spec.containers[*].image`",
        "`spec.initContainers[*].image`",
        "`spec.activeDeadlineSeconds`",
        "`spec.tolerations` (only additions to existing tolerations)",
        "`spec.terminationGracePeriodSeconds` "
        "(allow it to be set to 1 if it was previously negative)",
    )
)


def validate_pod_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Return the faults of a changed pod and of the change, beyond its metadata."""
    spec, before = new["spec"], old["spec"]
    if spec == before:
        # The spec was checked when it was written; what is new can only be metadata.
        errors: list[FieldError] = []
        check_changed_annotations(new, old, errors, whole=True)
        return errors
    errors = validate_pod(new)
    check_changed_annotations(new, old, errors, whole=False)
    for name in ("containers", "initContainers"):
        now, then = spec.get(name, ()), before.get(name, ())
        if not _check_images(now, then, f"spec.{name}", errors):
            return errors
    if not _check_deadline(spec, before, errors):
        return errors
    _check_tolerations(spec, before, errors)
    _check_gates(spec, before, errors)
    masked = _mask_updatable(spec, before)
    if before.get("schedulingGates"):
        _mask_node_selection(masked, before, errors)
    if masked != before:
        text = (
            f"pod updates may not change fields other than {_UPDATABLE}\n"
            f"{describe_difference(before, masked)}"
        )
        errors.append(forbidden("spec", text))
    return errors


def check_changed_annotations(
    new: JsonObject, old: JsonObject, errors: list[FieldError], *, whole: bool
) -> None:
    """Check what changed of a pod's annotations; `whole` checks the new ones in themselves too."""
    now = new["metadata"].get("annotations", {})
    then = old["metadata"].get("annotations", {})
    if now != then:
        check_annotation_changes(now, then, "metadata.annotations", errors)
        if whole:
            check_annotations(now, new["spec"], "metadata.annotations", errors)


def _check_images(
    new: Sequence[JsonObject], old: Sequence[JsonObject], path: str, errors: list[FieldError]
) -> bool:
    """Check that only images differ in length and content; False: no use to look further."""
    if len(new) != len(old):
        errors.append(forbidden(path, "pod updates may not add or remove containers"))
        return False
    for index, container in enumerate(new):
        image = container.get("image", "")
        if not image:
            errors.append(required(f"{path}[{index}].image"))
        if image != image.strip():
            text = "must not have leading or trailing whitespace"
            errors.append(invalid(f"{path}[{index}].image", image, text))
    return True


def _check_deadline(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> bool:
    path = "spec.activeDeadlineSeconds"
    now, then = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if now is None:
        if then is not None:
            text = "must not update from a positive integer to nil value"
            errors.append(invalid(path, None, text))
        return True
    if not 0 <= now <= _INT32_MAX:
        errors.append(invalid(path, now, range_error(0, _INT32_MAX)))
        return False
    if then is not None and then < now:
        text = "must be less than or equal to previous value"
        errors.append(invalid(path, now, text))
        return False
    return True


def _without_seconds(toleration: JsonObject) -> JsonObject:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _check_tolerations(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> None:
    path = "spec.tolerations"
    now = [_without_seconds(toleration) for toleration in spec.get("tolerations", ())]
    for toleration in before.get("tolerations", ()):
        if _without_seconds(toleration) not in now:
            text = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden(path, text))
            return
    check_tolerations(spec.get("tolerations", ()), path, errors)


def _check_gates(spec: JsonObject, before: JsonObject, errors: list[FieldError]) -> None:
    known = {gate.get("name") for gate in before.get("schedulingGates", ())}
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        name = gate.get("name", "")
        if name not in known:
            text = f"only deletion is allowed, but found new scheduling gate '{name}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}].name", text))


def _put(spec: JsonObject, name: str, value: Any) -> None:
    if value is None:
        spec.pop(name, None)
    else:
        spec[name] = value


def _mask_updatable(spec: JsonObject, before: JsonObject) -> JsonObject:
    """Return a copy of `spec` with the old values of whatever may be updated."""
    masked = dict(spec)
    for name in ("containers", "initContainers"):
        if name in spec:
            pairs = zip(spec[name], before.get(name, ()), strict=True)
            masked[name] = [_with_image_of(container, old) for container, old in pairs]
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _put(masked, name, before.get(name))
    if before.get("terminationGracePeriodSeconds", 0) < 0 and (
        masked.get("terminationGracePeriodSeconds") == 1
    ):
        masked["terminationGracePeriodSeconds"] = before["terminationGracePeriodSeconds"]
    return masked


def _with_image_of(container: JsonObject, old: JsonObject) -> JsonObject:
    masked = dict(container)
    _put(masked, "image", old.get("image"))
    return masked


def _mask_node_selection(masked: JsonObject, before: JsonObject, errors: list[FieldError]) -> None:
    """Check and mask changes of node selection, which gated pods may have narrowed."""
    now, then = masked.get("nodeSelector", {}), before.get("nodeSelector", {})
    if now != then:
        if any(now.get(key) != value for key, value in then.items()):
            text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            errors.append(invalid("spec.nodeSelector", now, text))
        _put(masked, "nodeSelector", before.get("nodeSelector"))
    affinity = dict(masked.get("affinity", {}))
    old_affinity = before.get("affinity", {})
    if affinity.get("nodeAffinity") != old_affinity.get("nodeAffinity"):
        _check_node_affinity(
            affinity.get("nodeAffinity", {}), old_affinity.get("nodeAffinity", {}), errors
        )
        _put(affinity, "nodeAffinity", old_affinity.get("nodeAffinity"))
        _put(masked, "affinity", affinity if affinity or "affinity" in before else None)


def _check_node_affinity(new: JsonObject, old: JsonObject, errors: list[FieldError]) -> None:
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    then = old.get(_REQUIRED, {}).get("nodeSelectorTerms", ())
    now = new.get(_REQUIRED, {}).get("nodeSelectorTerms", ())
    if not then:
        return
    if len(then) != len(now):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        errors.append(invalid(path, now, text))
        return
    for index, (term, old_term) in enumerate(zip(now, then, strict=True)):
        if not _only_adds(term, old_term):
            text = "only additions are allowed (no mutations or deletions)"
            errors.append(invalid(f"{path}[{index}]", term, text))


def _only_adds(new: JsonObject, old: JsonObject) -> bool:
    names = ("matchExpressions", "matchFields")
    if not any(old.get(name) for name in names):
        # An empty term matches nothing; adding to it would widen the selection.
        return not any(new.get(name) for name in names)
    return all(
        list(new.get(name, ()))[: len(old.get(name, ()))] == list(old.get(name, ()))
        for name in names
    )

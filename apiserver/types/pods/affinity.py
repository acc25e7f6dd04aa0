"""Checks of node affinity and of affinity between pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_label_value,
)
from apiserver.types.meta import validate_label_selector
from kube.field import FieldError, forbidden, invalid, required
from kube.json_types import JsonObject

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_IN_BOTH: Final = "exists in both matchLabelKeys and labelSelector"


def check_affinity(affinity: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check the affinity of a pod spec."""
    if "nodeAffinity" in affinity:
        _check_node_affinity(affinity["nodeAffinity"], f"{path}.nodeAffinity", errors)
    for name in ("podAffinity", "podAntiAffinity"):
        if name in affinity:
            _check_pod_affinity(affinity[name], f"{path}.{name}", errors)


def check_node_selector(selector: JsonObject, path: str, errors: list[FieldError]) -> None:
    """Check a NodeSelector, whose label values have to be possible ones."""
    terms = selector.get("nodeSelectorTerms", ())
    where = f"{path}.nodeSelectorTerms"
    if not terms:
        errors.append(required(where, "must have at least one node selector term"))
    for index, term in enumerate(terms):
        _check_term(term, f"{where}[{index}]", errors, check_values=True)


def check_label_keys(
    match: Sequence[str],
    mismatch: Sequence[str],
    selector: JsonObject | None,
    path: str,
    errors: list[FieldError],
) -> None:
    """Check `matchLabelKeys` and `mismatchLabelKeys` against each other and the label selector.

    Creating a pod turns the match keys into expressions of the selector, so a key that the
    selector had before stands there twice.
    """
    _check_keys(match, selector, f"{path}.matchLabelKeys", errors)
    _check_keys(mismatch, selector, f"{path}.mismatchLabelKeys", errors)
    if selector is not None and match:
        seen = set(selector.get("matchLabels", ()))
        for expression in selector.get("matchExpressions", ()):
            key = expression.get("key", "")
            if key in match and key in seen:
                errors.append(invalid(f"{path}[{match.index(key)}]", key, _IN_BOTH))
            seen.add(key)
    for index, key in enumerate(match):
        if key in mismatch:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(invalid(f"{path}.matchLabelKeys[{index}]", key, text))


def _check_keys(
    keys: Sequence[str], selector: JsonObject | None, path: str, errors: list[FieldError]
) -> None:
    if not keys:
        return
    if selector is None:
        errors.append(forbidden(path, "must not be specified when labelSelector is not set"))
        return
    for index, key in enumerate(keys):
        faults = is_qualified_name(key)
        errors.extend(invalid(f"{path}[{index}]", key, fault) for fault in faults)


def _check_node_affinity(affinity: JsonObject, path: str, errors: list[FieldError]) -> None:
    if _REQUIRED in affinity:
        check_node_selector(affinity[_REQUIRED], f"{path}.{_REQUIRED}", errors)
    for index, term in enumerate(affinity.get(_PREFERRED, ())):
        where = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(term, where, errors)
        # A preference that no node can meet does no harm, so its values are not checked.
        preference = term.get("preference", {})
        _check_term(preference, f"{where}.preference", errors, check_values=False)


def _check_weight(term: JsonObject, path: str, errors: list[FieldError]) -> None:
    weight = term.get("weight", 0)
    if not 1 <= weight <= 100:
        errors.append(invalid(f"{path}.weight", weight, "must be in the range 1-100"))


def _check_term(
    term: JsonObject, path: str, errors: list[FieldError], *, check_values: bool
) -> None:
    for index, requirement in enumerate(term.get("matchExpressions", ())):
        where = f"{path}.matchExpressions[{index}]"
        _check_expression(requirement, where, errors)
        if check_values:
            for at, value in enumerate(requirement.get("values", ())):
                faults = is_valid_label_value(value)
                errors.extend(invalid(f"{where}.values[{at}]", value, fault) for fault in faults)
    for index, requirement in enumerate(term.get("matchFields", ())):
        _check_field(requirement, f"{path}.matchFields[{index}]", errors)


def _check_expression(requirement: JsonObject, path: str, errors: list[FieldError]) -> None:
    operator = requirement.get("operator", "")
    values = requirement.get("values", ())
    if operator in {"In", "NotIn"}:
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(required(f"{path}.values", text))
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", text))
    elif operator in {"Gt", "Lt"}:
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(required(f"{path}.values", text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key", "")
    if faults := is_qualified_name(key):
        errors.extend(invalid(f"{path}.key", key, fault) for fault in faults)


def _check_field(requirement: JsonObject, path: str, errors: list[FieldError]) -> None:
    operator = requirement.get("operator", "")
    values = requirement.get("values", ())
    if operator not in {"In", "NotIn"}:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", text))
    key = requirement.get("key", "")
    if key != "metadata.name":
        errors.append(invalid(f"{path}.key", key, "not a valid field selector key"))
        return
    for index, value in enumerate(values):
        faults = is_dns1123_subdomain(value)
        errors.extend(invalid(f"{path}.values[{index}]", value, fault) for fault in faults)


def _check_pod_affinity(affinity: JsonObject, path: str, errors: list[FieldError]) -> None:
    for index, term in enumerate(affinity.get(_REQUIRED, ())):
        _check_pod_term(term, f"{path}.{_REQUIRED}[{index}]", errors)
    for index, weighted in enumerate(affinity.get(_PREFERRED, ())):
        where = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(weighted, where, errors)
        _check_pod_term(weighted.get("podAffinityTerm", {}), f"{where}.podAffinityTerm", errors)


def _check_pod_term(term: JsonObject, path: str, errors: list[FieldError]) -> None:
    selector = term.get("labelSelector")
    errors += validate_label_selector(selector, f"{path}.labelSelector")
    errors += validate_label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces", ()):
        faults = is_dns1123_label(name)
        errors.extend(invalid(f"{path}.namespace", name, fault) for fault in faults)
    match = term.get("matchLabelKeys", ())
    mismatch = term.get("mismatchLabelKeys", ())
    if match or mismatch:
        check_label_keys(match, mismatch, selector, path, errors)
    topology = term.get("topologyKey", "")
    if not topology:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    faults = is_qualified_name(topology)
    errors.extend(invalid(f"{path}.topologyKey", topology, fault) for fault in faults)

"""Checks of what steers scheduling: tolerations, gates, spreading, resource claims."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from apiserver.types.formats import (
    is_dns1123_label,
    is_dns1123_subdomain,
    is_qualified_name,
    is_valid_label_value,
)
from apiserver.types.meta import validate_label_selector
from apiserver.types.pods.affinity import check_label_keys
from kube.field import FieldError, duplicate, invalid, not_supported, required
from kube.json_types import JsonObject

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OPERATORS: Final = ("Equal", "Exists", "Lt", "Gt")
_UNSATISFIABLE: Final = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSIONS: Final = ("Honor", "Ignore")
_POSITIVE: Final = "must be greater than zero"
_match_integer = re.compile("(0|-?[1-9][0-9]*)").fullmatch


def check_tolerations(
    tolerations: Sequence[JsonObject], path: str, errors: list[FieldError]
) -> None:
    """Check tolerations."""
    for index, toleration in enumerate(tolerations):
        key = toleration.get("key")
        operator = toleration.get("operator", "")
        effect = toleration.get("effect")
        if key:
            if faults := is_qualified_name(key):
                errors.extend(invalid(f"{path}[{index}].key", key, fault) for fault in faults)
        elif operator != "Exists":
            text = (
                "operator must be Exists when `key` is empty, which means "
                '"match all values and all keys"'
            )
            errors.append(invalid(f"{path}[{index}].operator", operator, text))
        if effect != "NoExecute" and "tolerationSeconds" in toleration:
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{path}[{index}].effect", effect or "", text))
        _check_value(operator, toleration.get("value", ""), f"{path}[{index}].operator", errors)
        if effect and effect not in _EFFECTS:
            errors.append(not_supported(f"{path}[{index}].effect", effect, _EFFECTS))


def check_spread(constraints: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check topology spread constraints."""
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        skew = constraint.get("maxSkew", 0)
        if skew <= 0:
            errors.append(invalid(f"{where}.maxSkew", skew, _POSITIVE))
        key = constraint.get("topologyKey", "")
        if not key:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        action = constraint.get("whenUnsatisfiable", "")
        if action not in _UNSATISFIABLE:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _UNSATISFIABLE))
        if any(
            later.get("topologyKey", "") == key and later.get("whenUnsatisfiable", "") == action
            for later in constraints[index + 1 :]
        ):
            target = f"{where}.{{topologyKey, whenUnsatisfiable}}"
            errors.append(duplicate(target, f"{{{key}, {action}}}"))
        _check_spread_options(constraint, action, where, errors)


def check_gates(gates: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check scheduling gates."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        faults = is_qualified_name(name)
        errors.extend(invalid(f"{path}[{index}]", name, fault) for fault in faults)
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)


def check_claims(claims: Sequence[JsonObject], path: str, errors: list[FieldError]) -> None:
    """Check a pod's resource claims."""
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        where = f"{path}[{index}]"
        name = claim.get("name", "")
        if not name:
            errors.append(required(f"{where}.name"))
        elif name in seen:
            errors.append(duplicate(f"{where}.name", name))
        else:
            faults = is_dns1123_label(name)
            errors.extend(invalid(f"{where}.name", name, fault) for fault in faults)
            seen.add(name)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if key in claim]
        if len(given) > 1:
            text = (
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            )
            errors.append(invalid(where, claim, text))
        if not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            errors.append(invalid(where, claim, text))
        for key in given:
            faults = is_dns1123_subdomain(claim[key])
            errors.extend(invalid(f"{where}.{key}", claim[key], fault) for fault in faults)


def _check_value(operator: str, value: str, path: str, errors: list[FieldError]) -> None:
    if operator in {"", "Equal"}:
        if value and (faults := is_valid_label_value(value)):
            errors.append(invalid(path, value, ";".join(faults)))
    elif operator == "Exists":
        if value:
            errors.append(invalid(path, value, "value must be empty when `operator` is 'Exists'"))
    elif operator in {"Lt", "Gt"}:
        if not _match_integer(value):
            text = "value must be a valid integer when `operator` is 'Lt' or 'Gt'"
            errors.append(invalid(path, value, text))
    else:
        errors.append(not_supported(path, operator, _OPERATORS))


def _check_spread_options(
    constraint: JsonObject, action: str, path: str, errors: list[FieldError]
) -> None:
    domains = constraint.get("minDomains")
    if domains is not None:
        if domains <= 0:
            errors.append(invalid(f"{path}.minDomains", domains, _POSITIVE))
        if action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            errors.append(invalid(f"{path}.minDomains", domains, text))
    for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        policy = constraint.get(name)
        if policy is not None and policy not in _INCLUSIONS:
            errors.append(not_supported(f"{path}.{name}", policy, _INCLUSIONS))
    selector = constraint.get("labelSelector")
    if match := constraint.get("matchLabelKeys"):
        check_label_keys(match, (), selector, path, errors)
    errors += validate_label_selector(selector, f"{path}.labelSelector")

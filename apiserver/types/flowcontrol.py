"""Priority and fairness: FlowSchema and PriorityLevelConfiguration, their basic rules."""

from __future__ import annotations

from typing import Final

from apiserver.fairness.dealing import HASH_BITS_MAX, required_bits
from apiserver.fairness.defaults import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from apiserver.fairness.model import EXEMPT, GROUP
from apiserver.types.flow_rules import rule_errors
from apiserver.types.formats import is_dns1123_subdomain
from apiserver.types.hooks import TypeHooks, keep_metadata
from apiserver.types.meta import check_string
from kube.field import FieldError, duplicate, forbidden, invalid, not_supported, required
from kube.json_types import JsonObject

PRECEDENCE_DEFAULT: Final = 1000
PRECEDENCE_MAX: Final = 10_000
SHARES_DEFAULT: Final = 30
QUEUES_MAX: Final = 10_000_000
LEVEL_TYPES: Final = ("Exempt", "Limited")
_QUEUING: Final = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}
_FIXED_SCHEMAS: Final = {one["metadata"]["name"]: one["spec"] for one in MANDATORY_SCHEMAS}
_FIXED_LEVELS: Final = {one["metadata"]["name"]: one["spec"] for one in MANDATORY_LEVELS}


def default_schema(obj: JsonObject) -> None:
    """Default where a FlowSchema stands among others."""
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = PRECEDENCE_DEFAULT


def default_level(obj: JsonObject) -> None:
    """Default a level's shares and queues."""
    spec = obj.setdefault("spec", {})
    if (limited := spec.get("limited")) is not None:
        limited.setdefault("nominalConcurrencyShares", SHARES_DEFAULT)
        limited.setdefault("lendablePercent", 0)
        queuing = limited.get("limitResponse", {}).get("queuing")
        if queuing is not None:
            for key, value in _QUEUING.items():
                if not queuing.get(key):
                    queuing[key] = value
    if (exempt := spec.get("exempt")) is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)


def validate_schema(obj: JsonObject) -> list[FieldError]:
    """Check a FlowSchema."""
    spec = obj.get("spec", {})
    precedence = spec.get("matchingPrecedence", 0)
    path = "spec.matchingPrecedence"
    errors: list[FieldError] = []
    if precedence <= 0:
        errors.append(invalid(path, precedence, "must be a positive value"))
    if precedence > PRECEDENCE_MAX:
        text = f"must not be greater than {PRECEDENCE_MAX}"
        errors.append(invalid(path, precedence, text))
    name = obj["metadata"].get("name", "")
    if precedence == 1 and name != EXEMPT:
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid(path, precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in {"ByNamespace", "ByUser"}:
        supported = ("ByNamespace", "ByUser")
        kind = method.get("type", "")
        errors.append(not_supported("spec.distinguisherMethod", kind, supported))
    if level := spec.get("priorityLevelConfiguration", {}).get("name"):
        where = "spec.priorityLevelConfiguration.name"
        errors += check_string(level, where, is_dns1123_subdomain)
    else:
        text = "must reference a priority level"
        errors.append(required("spec.priorityLevelConfiguration.name", text))
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += rule_errors(rule, f"spec.rules[{index}]")
    if name in _FIXED_SCHEMAS and spec != _FIXED_SCHEMAS[name]:
        errors.append(_not_fixed(spec, name))
    return errors


def _not_fixed(spec: JsonObject, name: str) -> FieldError:
    return invalid("spec", spec, f"spec of '{name}' must equal the fixed value")


def _queue_errors(queuing: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("queueLengthLimit", "queues", "handSize"):
        value = queuing.get(key, 0)
        if value <= 0:
            errors.append(invalid(f"{path}.{key}", value, "must be positive"))
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    if queues > QUEUES_MAX:
        text = f"must not be greater than {QUEUES_MAX}"
        errors.append(invalid(f"{path}.queues", queues, text))
    if hand > queues:
        text = f"should not be greater than queues ({queues})"
        errors.append(invalid(f"{path}.handSize", hand, text))
    elif hand > 0 and queues > 0 and required_bits(queues, hand) > HASH_BITS_MAX:
        text = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be "
            f"greater than {HASH_BITS_MAX}"
        )
        errors.append(invalid(f"{path}.handSize", hand, text))
    return errors


def _share_errors(section: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    shares = section.get("nominalConcurrencyShares", 0)
    if shares < 0:
        text = "must be a non-negative integer"
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, text))
    percent = section.get("lendablePercent", 0)
    if not 0 <= percent <= 100:
        text = "must be between 0 and 100, inclusive"
        errors.append(invalid(f"{path}.lendablePercent", percent, text))
    borrowed = section.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        text = "if specified, must be a non-negative integer"
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowed, text))
    return errors


def _limited_errors(limited: JsonObject) -> list[FieldError]:
    path = "spec.limited"
    errors = _share_errors(limited, path)
    response = limited.get("limitResponse", {})
    kind, queuing = response.get("type", ""), response.get("queuing")
    where = f"{path}.limitResponse"
    if kind == "Reject":
        if queuing is not None:
            text = "must be nil if limited.limitResponse.type is not Limited"
            errors.append(forbidden(f"{where}.queuing", text))
    elif kind == "Queue":
        if queuing is None:
            text = "must not be empty if limited.limitResponse.type is Limited"
            errors.append(required(f"{where}.queuing", text))
        else:
            errors += _queue_errors(queuing, f"{where}.queuing")
    else:
        errors.append(not_supported(f"{where}.type", kind, ("Queue", "Reject")))
    return errors


def validate_level(obj: JsonObject) -> list[FieldError]:
    """Check a PriorityLevelConfiguration."""
    spec = obj.get("spec", {})
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    name = obj["metadata"].get("name", "")
    errors: list[FieldError] = []
    if (name == EXEMPT) != (kind == "Exempt"):
        text = "type must be 'Exempt' if and only if name is 'exempt'"
        errors.append(invalid("spec.type", kind, text))
    if kind not in LEVEL_TYPES:
        return [*errors, not_supported("spec.type", kind, LEVEL_TYPES)]
    errors += _mandatory_errors(spec, name)
    if kind == "Exempt":
        if limited is not None:
            text = "must be nil if the type is not Limited"
            errors.append(forbidden("spec.limited", text))
        return errors + _share_errors(exempt or {}, "spec.exempt")
    if exempt is not None:
        errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
    if limited is None:
        return [*errors, required("spec.limited", "must not be empty when type is Limited")]
    return errors + _limited_errors(limited)


def _mandatory_errors(spec: JsonObject, name: str) -> list[FieldError]:
    """Check that a mandatory level is as it has to be; how many seats "exempt" has is open."""
    fixed = _FIXED_LEVELS.get(name)
    if fixed is None or fixed == spec:
        return []
    if name != EXEMPT:
        return [_not_fixed(spec, name)]
    if {**fixed, "exempt": None} == {**spec, "exempt": None}:
        return []
    text = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
    return [invalid("spec", spec, text)]


def validate_status(new: JsonObject, _old: JsonObject) -> list[FieldError]:
    """Check the conditions of either type."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, condition in enumerate(new.get("status", {}).get("conditions") or ()):
        kind, path = condition.get("type", ""), f"status.conditions[{index}].type"
        if kind in seen:
            errors.append(duplicate(path, kind))
        seen.add(kind)
        if not kind:
            errors.append(required(path, "must not be empty"))
    return errors


def _clear_status(obj: JsonObject) -> None:
    obj["status"] = {}


HOOKS: Final = {
    f"{GROUP}/flowschemas": TypeHooks(
        default=default_schema,
        prepare_create=_clear_status,
        validate_create=validate_schema,
        validate_update=lambda new, _old: validate_schema(new),
        prepare_status=keep_metadata,
        validate_status=validate_status,
        generation=True,
        has_status=True,
    ),
    f"{GROUP}/prioritylevelconfigurations": TypeHooks(
        default=default_level,
        prepare_create=_clear_status,
        validate_create=validate_level,
        validate_update=lambda new, _old: validate_level(new),
        prepare_status=keep_metadata,
        validate_status=validate_status,
        generation=True,
        has_status=True,
    ),
}

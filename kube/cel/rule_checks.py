"""Rules checked when a CustomResourceDefinition is written: their form, their types, their cost.

Costs are estimates of the worst that a rule may cost on any object that its schema allows, times
how often it may be evaluated. One rule, and all rules of a schema together, have limits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from kube import field as fields
from kube.cel.correlation import keeps_old
from kube.cel.estimates import estimate_cost
from kube.cel.field_paths import normalize_field_path
from kube.cel.names import escape
from kube.cel.rule import Rule, compile_rule
from kube.cel.schema_types import REQUEST_BYTES_MAX, embedded, schema_type
from kube.cel.types import SIZE_MAX, CelType
from kube.field import FieldError
from kube.json_types import JsonObject

RULE_COST_MAX: Final = 10_000_000
SCHEMA_COST_MAX: Final = 100_000_000
REASONS: Final = (fields.DUPLICATE, fields.FORBIDDEN, fields.INVALID, fields.REQUIRED)
_MOST_EXPENSIVE_SHOWN: Final = 4
_HINT: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
    "maps, and strings are declared)"
)
_KEY: Final = "x-kubernetes-validations"


def check_rules(schema: JsonObject, path: str = "") -> list[FieldError]:
    """Return what is wrong with the rules of a schema, as creating its CRD is answered.

    Args:
        schema: an openAPIV3Schema, structurally valid.
        path: where it stands: `spec.versions[0].schema.openAPIV3Schema`.
    """
    check = _Check()
    check.node(schema, _Place(path, 1, None, root=True))
    if check.total > SCHEMA_COST_MAX:
        ranked = sorted(check.costs, key=lambda cost: -cost[1])[:_MOST_EXPENSIVE_SHOWN]
        for place, _ in ranked:
            check.errors.append(
                fields.forbidden(
                    place,
                    "contributed to estimated rule cost total exceeding cost limit for entire "
                    "OpenAPIv3 schema",
                )
            )
        name = f"{_KEY} estimated rule cost total for entire OpenAPIv3 schema"
        check.errors.append(fields.forbidden(path, _too_dear(name, check.total, SCHEMA_COST_MAX)))
    return check.errors


def _too_dear(name: str, cost: int, cost_max: int) -> str:
    factor = cost / cost_max
    if factor > 100:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_HINT}"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands.

    Attributes:
        count_max: how many values of it an object has at most; None: nothing limits that.
        type: of the node, if a node above has rules and so a type; None: to be found out.
        uncorrelatable: the path of what above has no old values to compare with, if any.
        evaluated: expressions are compiled here; within `not`, `anyOf` and so on they are not.
    """

    path: str
    count_max: int | None
    type: CelType | None
    root: bool = False
    uncorrelatable: str = ""
    evaluated: bool = True


class _Check:
    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.costs: list[tuple[str, int]] = []
        self.total = 0

    def node(self, schema: Any, place: _Place) -> bool:
        """Check a node and all below; return whether the form of all rules in it is good."""
        if not isinstance(schema, dict):
            return True
        specs = schema.get(_KEY)
        if place.type is None and specs and place.evaluated:
            own = schema_type(schema, root=place.root or embedded(schema))
            place = replace(place, type=own)
        good = self._below(schema, place)
        for at, spec in enumerate(specs if isinstance(specs, list) else ()):
            if isinstance(spec, dict):
                faults = _form_faults(spec, schema, f"{place.path}.{_KEY}[{at}]")
                self.errors += faults
                good = good and not faults
        if specs and good and place.evaluated:
            self._compile(schema, specs, place)
        return good

    def _below(self, schema: JsonObject, place: _Place) -> bool:
        """Check what is below a node."""
        type_ = place.type
        inner = replace(place, root=False, count_max=_multiplied(place.count_max, schema))
        element = type_.params[-1] if type_ is not None and type_.params else None
        good = True
        below = replace(inner, path=f"{place.path}.additionalProperties", type=element)
        good &= self.node(schema.get("additionalProperties"), below)
        forbidden = place.uncorrelatable or ("" if keeps_old(schema) else place.path)
        for name, child in (schema.get("properties") or {}).items():
            known = None
            if type_ is not None:
                found = type_.fields.get(escape(name) or "")
                known = None if found is None else found.type
            path = f"{place.path}.properties[{name}]"
            good &= self.node(
                child, replace(inner, path=path, type=known, uncorrelatable=forbidden)
            )
        forbidden = place.uncorrelatable
        if schema.get("x-kubernetes-list-type") != "map":
            forbidden = forbidden or place.path
        below = replace(inner, path=f"{place.path}.items", type=element, uncorrelatable=forbidden)
        good &= self.node(schema.get("items"), below)
        for key in ("allOf", "anyOf", "oneOf"):
            for at, child in enumerate(schema.get(key) or ()):
                path = f"{place.path}.{key}[{at}]"
                good &= self.node(child, replace(inner, path=path, evaluated=False))
        return good & self.node(
            schema.get("not"), replace(inner, path=f"{place.path}.not", evaluated=False)
        )

    def _compile(self, schema: JsonObject, specs: list[Any], place: _Place) -> None:
        if place.type is None:
            self.errors.append(
                FieldError(
                    fields.INTERNAL,
                    f"{place.path}.{_KEY}",
                    "internal error: failed to construct type information for "
                    f"{_KEY} rules: unable to convert structural schema to CEL declarations",
                )
            )
            return
        for at, spec in enumerate(specs):
            if isinstance(spec, dict):
                rule = compile_rule(spec, place.type, schema)
                self._judge(rule, spec, place, f"{place.path}.{_KEY}[{at}]")

    def _judge(self, rule: Rule, spec: JsonObject, place: _Place, path: str) -> None:
        assert place.type is not None
        count = place.count_max
        if count is None:
            count = REQUEST_BYTES_MAX // (place.type.encoded_min + 1)
        if rule.program is not None:
            cost = min(SIZE_MAX, estimate_cost(rule.program.tree, place.type) * count)
            self._spend(f"{path}.rule", cost, "estimated rule cost")
        if rule.error:
            self.errors.append(fields.invalid(f"{path}.rule", _internal(spec), rule.error))
        if rule.message_error:
            self.errors.append(
                fields.invalid(f"{path}.messageExpression", _internal(spec), rule.message_error)
            )
        elif rule.message_program is not None:
            cost = estimate_cost(rule.message_program.tree, place.type)
            self._spend(f"{path}.messageExpression", cost, "estimated messageExpression cost")
        if rule.uses_old and place.uncorrelatable:
            self.errors.append(
                fields.invalid(
                    f"{path}.rule",
                    rule.text,
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within "
                    f"{place.uncorrelatable}",
                )
            )
        elif not rule.uses_old and spec.get("optionalOldSelf") is not None:
            self.errors.append(
                fields.invalid(
                    f"{path}.optionalOldSelf",
                    spec["optionalOldSelf"],
                    "may not be set if oldSelf is not used in rule",
                )
            )

    def _spend(self, path: str, cost: int, name: str) -> None:
        if cost > RULE_COST_MAX:
            self.errors.append(fields.forbidden(path, _too_dear(name, cost, RULE_COST_MAX)))
        self.total = min(SIZE_MAX, self.total + cost)
        if cost >= SCHEMA_COST_MAX // 100:
            self.costs.append((path, cost))


def _multiplied(count_max: int | None, schema: JsonObject) -> int | None:
    factor: Any = 1
    match schema.get("type"):
        case "object" if schema.get("additionalProperties") is not None:
            factor = schema.get("maxProperties")
        case "array":
            factor = schema.get("maxItems")
        case _:
            pass
    if count_max is None or not isinstance(factor, int | float):
        return None
    return min(SIZE_MAX, count_max * max(0, int(factor)))


def _internal(spec: JsonObject) -> JsonObject:
    """Return a rule as upstream prints it: its internal type, which has names of its own."""
    return {
        "Rule": spec.get("rule", ""),
        "Message": spec.get("message", ""),
        "MessageExpression": spec.get("messageExpression", ""),
        "Reason": spec.get("reason"),
        "FieldPath": spec.get("fieldPath", ""),
        "OptionalOldSelf": spec.get("optionalOldSelf"),
    }


def _broken(text: str) -> bool:
    return "\n" in text or "\r" in text


def _text(spec: JsonObject, key: str) -> str:
    value = spec.get(key)
    return value if isinstance(value, str) else ""


def _form_faults(spec: JsonObject, schema: JsonObject, path: str) -> list[FieldError]:
    """Return what is wrong with a rule before anything is compiled."""
    faults = []
    rule, message = _text(spec, "rule").strip(), _text(spec, "message")
    if not rule:
        faults.append(fields.required(f"{path}.rule", "rule is not specified"))
    elif message and not message.strip():
        faults.append(fields.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif _broken(message.strip()):
        faults.append(fields.invalid(f"{path}.message", message, "must not contain line breaks"))
    elif _broken(rule) and not message:
        detail = "message must be specified if rule contains line breaks"
        faults.append(fields.required(f"{path}.message", detail))
    expression = _text(spec, "messageExpression")
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        faults.append(fields.required(f"{path}.messageExpression", detail))
    reason = spec.get("reason")
    if reason is not None and reason not in REASONS:
        faults.append(fields.not_supported(f"{path}.reason", reason, REASONS))
    return faults + _path_faults(_text(spec, "fieldPath"), schema, f"{path}.fieldPath")


def _path_faults(text: str, schema: JsonObject, path: str) -> list[FieldError]:
    faults = []
    if text and not text.strip():
        faults.append(fields.invalid(path, text, "must be non-empty if specified"))
    if _broken(text):
        faults.append(fields.invalid(path, text, "must not contain line breaks"))
    if text:
        try:
            normalize_field_path(text, schema)
        except ValueError:
            faults.append(fields.invalid(path, text, "must be a valid path"))
    return faults

"""A tree of validators that parallels a schema, as far as there are rules in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from kube import field as fields
from kube.cel.adapting import Adapt, adapter
from kube.cel.correlation import MapList, Ratchet, keeps_old
from kube.cel.cost import Budget
from kube.cel.errors import CelError, CostExceeded
from kube.cel.names import escape
from kube.cel.rule import Rule, compile_rule
from kube.cel.schema_types import embedded, schema_type
from kube.cel.types import CelType
from kube.cel.values import NONE, Optional
from kube.field import FieldError
from kube.json_types import JsonObject

MESSAGE_BYTES_MAX: Final = 5 * 1024
_SPENT: Final = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_NOWHERE: Final = "<nil>"


class Stopped(Exception):
    """The budget is spent: what was found so far stands, nothing else is evaluated."""


class Judgement:
    """What was found of one object, and what may still be spent on it."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.errors: list[FieldError] = []

    def fault(self, path: str, value: object, detail: str) -> None:
        """Add an error that nothing forgives."""
        self.errors.append(fields.invalid(path or _NOWHERE, value, detail))


@dataclass(slots=True, eq=False)
class Validator:
    """The rules of one node of a schema and of those below.

    Attributes:
        schema: that of the node.
        adapt: makes a value of the node one that expressions take.
        root: the node is a whole object, the resource itself or one embedded in it.
    """

    schema: JsonObject
    rules: list[Rule]
    adapt: Adapt | None
    properties: dict[str, Validator] = field(default_factory=dict)
    items: Validator | None = None
    values: Validator | None = None
    all_of: list[Validator] = field(default_factory=list)

    @property
    def type_name(self) -> str:
        """What errors show for a value that they do not show."""
        return str(self.schema.get("type") or "")

    def validate(
        self, path: str, new: Any, old: Any, ratchet: Ratchet | None, judgement: Judgement
    ) -> None:
        """Judge a value and all below it.

        Raises:
            Stopped: all is spent.
        """
        if new is None:
            return
        if self.rules:
            self._evaluate_all(path, new, old, ratchet, judgement)
        for each in self.all_of:
            each.validate(path, new, old, None if ratchet is None else ratchet.within(), judgement)
        if isinstance(new, list):
            self._validate_items(path, new, old, ratchet, judgement)
        elif isinstance(new, dict):
            self._validate_fields(path, new, old, ratchet, judgement)

    def _validate_fields(
        self, path: str, new: JsonObject, old: Any, ratchet: Ratchet | None, judgement: Judgement
    ) -> None:
        olds = old if isinstance(old, dict) and keeps_old(self.schema) else {}
        if self.values is not None:
            for key, value in new.items():
                below = None if ratchet is None else ratchet.at_key(key, root=False)
                self.values.validate(f"{path}[{key}]", value, olds.get(key), below, judgement)
        for key, validator in self.properties.items():
            value = new.get(key)
            if value is None:
                continue
            below = None if ratchet is None else ratchet.at_key(key, root=not path)
            place = f"{path}.{key}" if path else key
            validator.validate(place, value, olds.get(key), below, judgement)

    def _validate_items(
        self, path: str, new: list[Any], old: Any, ratchet: Ratchet | None, judgement: Judgement
    ) -> None:
        if self.items is None:
            return
        olds = MapList(self.schema, old)
        pairs = [(item, olds.get(item)) for item in new]
        places = [None] * len(new) if ratchet is None else list(ratchet.at_items(pairs))
        for at, (item, was) in enumerate(pairs):
            self.items.validate(f"{path}[{at}]", item, was, places[at], judgement)

    def _evaluate_all(
        self, path: str, new: Any, old: Any, ratchet: Ratchet | None, judgement: Judgement
    ) -> None:
        if judgement.budget.remaining <= 0:
            judgement.fault(path, self.type_name, _SPENT)
            raise Stopped
        values: tuple[Any, Any] | None = None
        for rule in self.rules:
            if rule.error:
                judgement.fault(path, self.type_name, f"rule compile error: {rule.error}")
            if rule.program is None or (rule.uses_old and old is None and not rule.optional_old):
                continue
            try:
                values = values or self._adapted(new, old)
                self._evaluate(rule, path, values, ratchet, judgement)
            except CostExceeded as exc:
                judgement.fault(
                    path,
                    self.type_name,
                    f"'{exc}': no further validation rules will be run due to call cost exceeds "
                    f"limit for rule: {rule.shown}",
                )
                raise Stopped from None
            except CelError as exc:
                self._check_budget(path, judgement)
                judgement.fault(path, self.type_name, _explain(exc, rule))

    def _adapted(self, new: Any, old: Any) -> tuple[Any, Any]:
        if self.adapt is None:
            return new, old
        return self.adapt(new), self.adapt(old)

    def _check_budget(self, path: str, judgement: Judgement) -> None:
        if judgement.budget.remaining < 0:
            judgement.fault(path, self.type_name, _SPENT)
            raise Stopped

    def _evaluate(
        self,
        rule: Rule,
        path: str,
        values: tuple[Any, Any],
        ratchet: Ratchet | None,
        judgement: Judgement,
    ) -> None:
        new, old = values
        assert rule.program is not None
        if rule.optional_old:
            old = NONE if old is None else Optional(old)
        holds = rule.program.evaluate((new, old), judgement.budget)
        self._check_budget(path, judgement)
        if holds is True:
            return
        message = rule.default_message
        place = f"{path}.{rule.field_path}".removeprefix(".") if rule.field_path else path
        forgiven = not rule.uses_old and ratchet is not None and ratchet.forgives()
        if rule.message_program is not None:
            message = self._message(rule, place, (new, old), judgement) or message
        if not forgiven:
            shown = fields.OMITTED if isinstance(new, dict | list) else new
            judgement.errors.append(_violation(rule, place or _NOWHERE, shown, message))

    def _message(
        self, rule: Rule, place: str, values: tuple[Any, Any], judgement: Judgement
    ) -> str:
        """Return what a messageExpression says; nothing if it says nothing that may be shown."""
        assert rule.message_program is not None
        try:
            text = rule.message_program.evaluate(values, judgement.budget)
        except CostExceeded:
            judgement.fault(
                place,
                self.type_name,
                "no further validation rules will be run due to call cost exceeds limit for "
                f"messageExpression: {fields.quote(rule.message_text)}",
            )
            raise Stopped from None
        except CelError:
            text = ""
        if judgement.budget.remaining < 0:
            judgement.fault(
                place,
                self.type_name,
                "messageExpression evaluation failed due to running out of cost budget, no further "
                "validation rules will be run",
            )
            raise Stopped
        trimmed = text.strip() if isinstance(text, str) else ""
        if "\n" in trimmed or len(trimmed.encode("utf-8", "replace")) > MESSAGE_BYTES_MAX:
            return ""
        return trimmed


def _explain(error: CelError, rule: Rule) -> str:
    text = str(error)
    if text.startswith("no such overload"):
        return (
            f"'{text}': call arguments did not match a supported operator, function or macro "
            f"signature for rule: {rule.shown}"
        )
    return f"{text} evaluating rule: {rule.shown}"


def _violation(rule: Rule, path: str, value: object, message: str) -> FieldError:
    match rule.reason:
        case fields.FORBIDDEN:
            return fields.forbidden(path, message)
        case fields.REQUIRED:
            return fields.required(path, message)
        case fields.DUPLICATE:
            return fields.duplicate(path, value)
        case _:
            return FieldError(fields.INVALID, path, message, value)


def build_validator(schema: JsonObject) -> Validator | None:
    """Return the validator of a whole schema, None if there are no rules in it."""
    if not has_rules(schema):
        return None
    return _build(schema, schema, schema_type(schema, root=True))


def has_rules(schema: Any) -> bool:
    """Tell whether there are rules anywhere in a schema, those within allOf aside."""
    if not isinstance(schema, dict):
        return False
    return bool(
        schema.get("x-kubernetes-validations")
        or has_rules(schema.get("items"))
        or has_rules(schema.get("additionalProperties"))
        or any(map(has_rules, (schema.get("properties") or {}).values()))
    )


def _build(validation: JsonObject, node: JsonObject, type_: CelType | None) -> Validator | None:
    """Build for a node; `validation` is its schema, or one of its allOf, which has rules too."""
    specs = validation.get("x-kubernetes-validations")
    rules = []
    if isinstance(specs, list) and type_ is not None:
        rules = [compile_rule(spec, type_, node) for spec in specs if isinstance(spec, dict)]
    made = Validator(node, rules, None if type_ is None else adapter(type_))
    element = type_.params[-1] if type_ is not None and type_.params else None
    made.items = _build_below(validation, node, "items", element)
    made.values = _build_below(validation, node, "additionalProperties", element)
    made.properties = _build_properties(validation, node, type_)
    for each in validation.get("allOf") or ():
        below = _build(each, node, type_) if isinstance(each, dict) else None
        if below is not None:
            made.all_of.append(below)
    if made.rules or made.items or made.values or made.properties or made.all_of:
        return made
    return None


def _build_below(
    validation: JsonObject, node: JsonObject, key: str, type_: CelType | None
) -> Validator | None:
    schema, own = validation.get(key), node.get(key)
    if not isinstance(schema, dict) or not isinstance(own, dict):
        return None
    return _build(schema, own, type_)


def _build_properties(
    validation: JsonObject, node: JsonObject, type_: CelType | None
) -> dict[str, Validator]:
    found = {}
    nodes = node.get("properties") or {}
    for name, schema in (validation.get("properties") or {}).items():
        own = nodes.get(name)
        if not isinstance(schema, dict) or not isinstance(own, dict) or type_ is None:
            continue
        cel_name = escape(name)
        if cel_name is None:
            below_type = schema_type(own, root=embedded(own))
        else:
            known = type_.fields.get(cel_name)
            below_type = None if known is None else known.type
        below = None if below_type is None else _build(schema, own, below_type)
        if below is not None:
            found[name] = below
    return found

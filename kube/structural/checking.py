"""Whether a value fits its schema, quickly: functions made of the schema, one for each part.

A check says yes or no, exactly as `explaining` would: ordinary values are decided on the spot, rare
ones (a float where a whole number is wanted, null) are left to `explaining` for that one value.
Checks of fields are made when an object first has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from kube.json_types import JsonObject
from kube.structural import formats
from kube.structural.explaining import is_valid
from kube.structural.nodes import Lazy, items_of
from kube.structural.patterns import BadPattern, compile_pattern
from kube.structural.types import format_of, types_of

Check: TypeAlias = Callable[[Any], bool]

_STRING_RULES: Final = ("maxLength", "minLength", "pattern")
_NUMBER_RULES: Final = ("minimum", "maximum", "multipleOf", "format")
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf", "not")


def check_of(schema: JsonObject) -> Check:
    """Return how to tell whether a value fits a schema."""
    base = _base_check(schema)
    branches = _junctor_checks(schema)
    if not branches:
        return base
    return lambda value: (
        base(value) and (value is None or all(branch(value) for branch in branches))
    )


def _base_check(schema: JsonObject) -> Check:
    match types_of(schema):
        case ["object"] if not schema.get("enum"):
            return _object_check(schema)
        case ["array"] if not schema.get("enum"):
            return _list_check(schema)
        case ["string"]:
            return _string_check(schema)
        case ["boolean"] if not schema.get("enum"):
            return lambda value: value.__class__ is bool or is_valid(schema, value)
        case [("integer" | "number")] if not schema.get("enum"):
            return _number_check(schema)
        case _:
            return _other_check(schema)


def _alone(schema: JsonObject) -> JsonObject:
    """Return a schema without its alternatives, which are checked beside it."""
    return {key: value for key, value in schema.items() if key not in _JUNCTORS}


def _other_check(schema: JsonObject) -> Check:
    """Check what may be several things, or is one of a few."""
    alone = _alone(schema)
    if types_of(schema) == ["integer", "string"] and not schema.keys() & {
        "enum",
        *_STRING_RULES,
        *_NUMBER_RULES,
    }:
        return lambda value: (
            value.__class__ is str or value.__class__ is int or is_valid(alone, value)
        )
    if types_of(schema) or schema.get("enum") or schema.get("format"):
        return lambda value: is_valid(alone, value)
    in_object, in_list = _object_check(schema), _list_check(schema)
    scalars = not schema.keys() & {"format", *_STRING_RULES, *_NUMBER_RULES}

    def check(value: Any) -> bool:
        if value.__class__ is dict:
            return in_object(value)
        if value.__class__ is list:
            return in_list(value)
        return scalars or is_valid(alone, value)

    return check


def _number_check(schema: JsonObject) -> Check:
    alone = _alone(schema)
    if schema.get("multipleOf") is not None or schema.get("type") == "number":
        plain = schema.get("multipleOf") is None and not schema.keys() & {"minimum", "maximum"}
        return lambda value: (plain and value.__class__ is int) or is_valid(alone, value)
    bounds = [
        bound for bound in (schema.get("minimum"), schema.get("maximum")) if bound is not None
    ]
    if any(bound != int(bound) or abs(bound) >= 2**31 for bound in bounds):
        return lambda value: is_valid(alone, value)
    half = 2**31 if schema.get("format") == "int32" else 2**63
    low, high = -half, half - 1
    if (minimum := schema.get("minimum")) is not None:
        low = max(low, int(minimum) + bool(schema.get("exclusiveMinimum")))
    if (maximum := schema.get("maximum")) is not None:
        high = min(high, int(maximum) - bool(schema.get("exclusiveMaximum")))
    return lambda value: (value.__class__ is int and low <= value <= high) or is_valid(alone, value)


def _string_check(schema: JsonObject) -> Check:
    alone = _alone(schema)
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    tests = _string_tests(schema)
    if tests is None:
        return lambda value: is_valid(alone, value)
    if not tests and longest is None and not shortest:
        return lambda value: value.__class__ is str or is_valid(alone, value)
    low, high = shortest or 0, longest if longest is not None else 2**63
    if not tests:
        return lambda value: (
            low <= len(value) <= high if value.__class__ is str else is_valid(alone, value)
        )
    if len(tests) == 1:
        test = tests[0]
        return lambda value: (
            low <= len(value) <= high and test(value)
            if value.__class__ is str
            else is_valid(alone, value)
        )
    return lambda value: (
        low <= len(value) <= high and all(test(value) for test in tests)
        if value.__class__ is str
        else is_valid(alone, value)
    )


def _string_tests(schema: JsonObject) -> list[Check] | None:
    """Return what a string has to pass besides its length; None: it is never right."""
    tests: list[Check] = []
    if pattern := schema.get("pattern"):
        try:
            tests.append(compile_pattern(pattern))
        except BadPattern:
            return None
    name = format_of(schema, ["string"])
    if name and name != "password":
        tests.append(formats.check_of(name))
    if allowed := schema.get("enum"):
        # Only strings equal strings.
        members = frozenset(item for item in allowed if item.__class__ is str)
        tests.insert(0, members.__contains__)
    return tests


def _list_check(schema: JsonObject) -> Check:
    alone = _alone(schema)
    fewest, most = schema.get("minItems") or 0, schema.get("maxItems")
    high = 2**63 if most is None else most
    items = items_of(schema)
    found: list[Check] = []
    if schema.get("uniqueItems"):
        return lambda value: is_valid(alone, value)

    def check(value: Any) -> bool:
        if value.__class__ is not list:
            return is_valid(alone, value)
        if not fewest <= len(value) <= high:
            return False
        if items is None:
            return True
        if not found:
            found.append(check_of(items))
        look = found[0]
        return all([look(item) for item in value])

    return check


def _never(_value: Any) -> bool:
    return False


def _always(_value: Any) -> bool:
    return True


def _rest_check(schema: JsonObject) -> Check:
    rest = schema.get("additionalProperties")
    if rest is False:
        return _never
    return check_of(rest) if isinstance(rest, dict) else _always


def _object_check(schema: JsonObject) -> Check:
    alone = _alone(schema)
    below: Lazy[Check] = Lazy(schema, check_of, _rest_check(schema))
    needed = frozenset(schema.get("required") or ())
    fewest, most = schema.get("minProperties") or 0, schema.get("maxProperties")
    high = 2**63 if most is None else most
    counted = bool(fewest) or most is not None

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return is_valid(alone, value)
        if not value.keys() >= needed:
            return False
        if counted and not fewest <= len(value) <= high:
            return False
        for key, child in value.items():  # noqa: SIM110 (a generator costs twice as much)
            if not below[key](child):
                return False
        return True

    return check


def _junctor_checks(schema: JsonObject) -> list[Check]:
    checks = [check_of(branch) for branch in schema.get("allOf") or ()]
    if any_of := schema.get("anyOf"):
        checks.append(_any_check([check_of(branch) for branch in any_of]))
    if one_of := schema.get("oneOf"):
        checks.append(_one_check([check_of(branch) for branch in one_of]))
    if (excluded := schema.get("not")) is not None:
        unwanted = check_of(excluded)
        checks.append(lambda value: not unwanted(value))
    return checks


def _any_check(branches: list[Check]) -> Check:
    return lambda value: any(branch(value) for branch in branches)


def _one_check(branches: list[Check]) -> Check:
    return lambda value: sum(branch(value) for branch in branches) == 1

"""Why a value does not fit its schema: each fault in upstream's words and order.

This walks the schema as kube-openapi's validators do, and is asked only about values that
`checking` has found wanting, so it may take its time. What it says of a value is what counts: where
it finds no fault there is none.

With an old value, faults in what did not change are forgiven (KEP-4008): a part is compared with
its old self as `Correlated` finds it. Alternatives (`junctors`) are never forgiven anything.
"""

from __future__ import annotations

from typing import Any

from kube.field import INVALID, NOT_SUPPORTED, REQUIRED, TOO_LONG, TOO_MANY, TYPE_INVALID, quote
from kube.json_types import JsonObject
from kube.structural import enums, formats, junctors
from kube.structural.correlation import Correlated
from kube.structural.nodes import items_of, properties_of
from kube.structural.numbers import is_number, number_faults
from kube.structural.patterns import BadPattern, compile_pattern
from kube.structural.types import format_of, type_fault, types_of
from kube.structural.verdict import PLACELESS, Fault, Verdict


def explain(
    schema: JsonObject, value: Any, path: str = "", correlated: Correlated | None = None
) -> Verdict:
    """Return what is wrong with a value.

    Args:
        schema: its schema.
        value: any JSON value.
        path: the name of the value in messages.
        correlated: the value and its old self; None: all is new.
    """
    verdict = Verdict()
    fault = type_fault(schema, value, path)
    if fault is not None:
        verdict.add(Fault(TYPE_INVALID, path, *fault))
    if value is None:
        verdict.matches = int(fault is None)
        _check_enum(schema, value, path, verdict)
        return verdict
    types = types_of(schema)
    if types or format_of(schema, types):
        verdict.matches += 1 + (fault is None)
    junctors.check(schema, value, path, verdict, explain)
    if value.__class__ is str:
        _check_string(schema, value, path, verdict)
    elif value.__class__ is list:
        _check_list(schema, value, path, correlated, verdict)
    elif is_number(value):
        for text, is_of_value in number_faults(schema, types, value, path):
            verdict.add(Fault(INVALID if is_of_value else PLACELESS, path, text, value))
        verdict.matches += 2
    _check_enum(schema, value, path, verdict)
    if value.__class__ is dict:
        _check_object(schema, value, path, correlated, verdict)
    # For the alternatives (two), the enum, and the whole.
    verdict.matches += 4
    return verdict


def is_valid(schema: JsonObject, value: Any) -> bool:
    """Tell whether a value fits a schema."""
    return not explain(schema, value).faults


def explain_update(schema: JsonObject, correlated: Correlated) -> Verdict:
    """Return what is wrong with a changed value that was not so before."""
    return _explain_part(schema, correlated.value, "", correlated)


def _explain_part(
    schema: JsonObject, value: Any, path: str, correlated: Correlated | None
) -> Verdict:
    verdict = explain(schema, value, path, correlated)
    if verdict.faults and correlated is not None and correlated.is_unchanged():
        forgiven = Verdict()
        forgiven.matches = verdict.matches
        return forgiven
    return verdict


def _check_enum(schema: JsonObject, value: Any, path: str, verdict: Verdict) -> None:
    allowed = schema.get("enum")
    if allowed and not enums.is_member(value, allowed):
        text = f"{path} in body should be one of {allowed}"
        verdict.add(Fault(NOT_SUPPORTED, path, text, value, allowed))


def _check_string(schema: JsonObject, value: str, path: str, verdict: Verdict) -> None:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        text = f"{path} in body should be at most {longest} chars long"
        verdict.add(Fault(TOO_LONG, path, text, value, longest))
    elif shortest is not None and len(value) < shortest:
        text = f"{path} in body should be at least {shortest} chars long"
        verdict.add(Fault(INVALID, path, text, value))
    elif (shown := _unmatched(schema.get("pattern") or "", value)) is not None:
        verdict.add(Fault(INVALID, path, f"{path} in body should match '{shown}'", value))
    verdict.matches += 1
    name = format_of(schema, types_of(schema))
    if name.replace("-", "") in formats.NAMES:
        if not formats.check_of(name)(value):
            text = f"{path} in body must be of type {name}: {quote(value)}"
            verdict.add(Fault(TYPE_INVALID, path, text, value))
        verdict.matches += 1


def _unmatched(pattern: str, value: str) -> str | None:
    """Return how to show a pattern that a text does not match; None: it does."""
    if not pattern:
        return None
    try:
        return None if compile_pattern(pattern)(value) else pattern
    except BadPattern as error:
        return f"{pattern}, but pattern is invalid: {error}"


def _check_list(
    schema: JsonObject,
    value: list[Any],
    path: str,
    correlated: Correlated | None,
    verdict: Verdict,
) -> None:
    items = items_of(schema)
    if items is not None:
        for index, item in enumerate(value):
            below = correlated.index(index) if correlated is not None else None
            verdict.merge(_explain_part(items, item, f"{path}[{index}]", below))
    _check_count(schema, len(value), path, "Items", verdict)
    if schema.get("uniqueItems") and any(
        enums.deep_equal(item, other) for at, item in enumerate(value) for other in value[:at]
    ):
        verdict.add(Fault(INVALID, path, f"{path} in body shouldn't contain duplicates"))
    verdict.matches += 2


def _check_count(schema: JsonObject, count: int, path: str, what: str, verdict: Verdict) -> None:
    fewest, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if fewest is not None and count < fewest:
        text = f"{path} in body should have at least {fewest} {what.lower()}"
        verdict.add(Fault(INVALID, path, text, count))
    if most is not None and count > most:
        text = f"{path} in body should have at most {most} {what.lower()}"
        verdict.add(Fault(TOO_MANY, path, text, count, most))


def _check_object(
    schema: JsonObject,
    value: JsonObject,
    path: str,
    correlated: Correlated | None,
    verdict: Verdict,
) -> None:
    _check_count(schema, len(value), path, "Properties", verdict)
    named = properties_of(schema)
    rest = schema.get("additionalProperties")
    for key in [key for key in value if key not in named]:
        if rest is False:
            text = f"{path}.{key} in body is a forbidden property"
            verdict.add(Fault(INVALID, path, text, key))
        elif isinstance(rest, dict):
            below = _correlated_field(correlated, key, path)
            verdict.merge(_explain_part(rest, value[key], f"{path}.{key}", below))
    for key in [key for key in value if key in named]:
        where = f"{path}.{key}" if path else key
        below = _correlated_field(correlated, key, path)
        verdict.merge(_explain_part(named[key], value[key], where, below))
    for key in schema.get("required") or ():
        if key not in value:
            text = f"{path}.{key} in body is required"
            verdict.add(Fault(REQUIRED, f"{path}.{key}", text))
    verdict.matches += 1


def _correlated_field(correlated: Correlated | None, key: str, path: str) -> Correlated | None:
    if correlated is None or (not path and key in {"apiVersion", "kind"}):
        return None
    return correlated.key(key)

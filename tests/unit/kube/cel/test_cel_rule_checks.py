"""What a CustomResourceDefinition is told of its rules: form, types, costs, transitions."""

from __future__ import annotations

from typing import Any

import pytest

from kube.cel.estimates import estimate_cost
from kube.cel.rule import compile_rule
from kube.cel.rules import check_rules, compile_rules
from kube.cel.schema_types import schema_type

TOO_DEAR = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
    "maps, and strings are declared)"
)


def told(schema: dict[str, Any]) -> list[str]:
    return [str(error) for error in check_rules(schema, "s")]


def ruled(schema: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [spec]}


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}


def array(kind: str, limit: int | None) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": kind},
        **({} if limit is None else {"maxItems": limit}),
    }


def mapping(kind: str, limit: int | None) -> dict[str, Any]:
    bound = {} if limit is None else {"maxProperties": limit}
    return {"type": "object", "additionalProperties": {"type": kind}, **bound}


def text(limit: int | None) -> dict[str, Any]:
    return {"type": "string", **({} if limit is None else {"maxLength": limit})}


@pytest.mark.parametrize(
    ("schema", "rule", "cost"),
    [
        (array("number", None), "self.all(x, true)", 4718591),
        (array("number", 10), "self.all(x, true)", 32),
        (array("string", None), "self.all(x, true)", 3145727),
        (array("boolean", None), "self.all(x, true)", 1887437),
        (mapping("number", None), "self.all(x, true)", 1348169),
        (mapping("string", 3), "self.all(x, true)", 11),
        (mapping("boolean", 100), "self.all(x, true)", 302),
        (text(None), "self.contains('test')", 314574),
        (text(10), "self.contains('test')", 5),
        (text(None), "self.startsWith('test')", 2),
        (text(None), "size(self + 'hello') > size('hello')", 314578),
        (array("string", None), "self[1] == self[1]", 314577),
        (array("number", 10), "self.all(x, self.all(y, true))", 352),
        (array("number", 10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
        (text(50), "self.matches('x')", 22),
        (text(None), "''.matches('(((((((((())))))))))[0-9]')", 7),
        (text(0), "self == 'x'", 1),
        (array("number", 3 * 1024 * 2048), "self.all(x, x == 0.0)", 25165826),
    ],
)
def test_estimates_are_upstreams(schema: dict[str, Any], rule: str, cost: int) -> None:
    type_ = schema_type(schema)
    assert type_ is not None
    compiled = compile_rule({"rule": rule}, type_, schema)
    assert compiled.program is not None, compiled.error
    assert estimate_cost(compiled.program.tree, type_) == cost


def test_good_rules_are_told_nothing() -> None:
    assert told(ruled(OBJECT, rule="self.a > 1", message="m", reason="FieldValueInvalid")) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"rule": " "}, "rule: Required value: rule is not specified"),
        (
            {"rule": "true", "message": " "},
            'message: Invalid value: " ": must be non-empty if specified',
        ),
        (
            {"rule": "true", "message": "a\nb"},
            'message: Invalid value: "a\\nb": must not contain line breaks',
        ),
        (
            {"rule": "true\n&& true"},
            "message: Required value: message must be specified if rule contains line breaks",
        ),
        (
            {"rule": "true", "messageExpression": " "},
            "messageExpression: Required value: messageExpression must be non-empty if specified",
        ),
        (
            {"rule": "true", "reason": "Nope"},
            'reason: Unsupported value: "Nope": supported values: "FieldValueDuplicate", '
            '"FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"',
        ),
        (
            {"rule": "true", "fieldPath": ".b"},
            'fieldPath: Invalid value: ".b": must be a valid path',
        ),
        ({"rule": "true", "fieldPath": "a"}, 'fieldPath: Invalid value: "a": must be a valid path'),
        (
            {"rule": "true", "optionalOldSelf": True},
            "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
    ],
)
def test_a_rule_of_bad_form_is_refused(spec: dict[str, Any], message: str) -> None:
    assert told(ruled(OBJECT, **spec)) == [f"s.x-kubernetes-validations[0].{message}"]


def test_a_rule_that_does_not_compile_is_shown_whole() -> None:
    assert told(ruled(OBJECT, rule="self.b > 1")) == [
        's.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.b \\u003e 1",'
        '"Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: '
        "compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 1\n | ....^"
    ]


def test_types_of_results_are_checked() -> None:
    (rule,) = told(ruled(OBJECT, rule="self.a"))
    assert rule.endswith("}: cel expression must evaluate to a bool")
    (message,) = told(ruled(OBJECT, rule="true", messageExpression="self.a"))
    assert message.endswith("}: messageExpression must evaluate to a string")


def test_a_rule_that_costs_too_much_is_refused_with_a_hint() -> None:
    schema = ruled(array("string", None), rule="self.all(x, self.all(y, x == y))")
    first, *rest = told(schema)
    assert first == (
        "s.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by "
        f"factor of more than 100x {TOO_DEAR}"
    )
    assert rest == [
        "s.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule cost total "
        "exceeding cost limit for entire OpenAPIv3 schema",
        "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
        f"schema exceeds budget by factor of more than 100x {TOO_DEAR}",
    ]


def test_limits_make_a_rule_affordable() -> None:
    rule = "self.all(x, self.all(y, x == y))"
    items = {"type": "string", "maxLength": 10}
    assert told(ruled({"type": "array", "maxItems": 100, "items": items}, rule=rule)) == []


def test_a_small_excess_is_told_exactly() -> None:
    (first,) = told(ruled(array("number", 3 * 1024 * 1024), rule="self.all(x, x == 0.0)"))
    assert f"exceeds budget by factor of 1.258291x {TOO_DEAR}" in first


def test_rules_of_items_count_as_often_as_there_may_be_items() -> None:
    inner = ruled({"type": "string", "maxLength": 10_000}, rule="self.contains('x')")
    lists = {"type": "array", "items": inner}
    assert "more than 100x" in told({"type": "object", "properties": {"l": lists}})[0]
    assert told({"type": "object", "properties": {"l": {**lists, "maxItems": 100}}}) == []


def test_transition_rules_need_old_values_to_compare_with() -> None:
    inner = ruled({"type": "string", "maxLength": 5}, rule="self == oldSelf")
    schema = {
        "type": "object",
        "properties": {"l": {"type": "array", "maxItems": 5, "items": inner}},
    }
    assert told(schema) == [
        "s.properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "
        '"self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema '
        "within s.properties[l]"
    ]


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = ruled({"type": "string"}, rule="true")
    for _ in range(2_000):
        schema = {"type": "object", "properties": {"a": schema}}
    assert told(schema) == [
        "s: Forbidden: the schema is nested too deeply for its rules to be evaluated"
    ]
    rules = compile_rules(schema)
    assert rules is not None
    assert "nested too deeply" in str(rules.validate({})[0])

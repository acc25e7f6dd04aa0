"""x-kubernetes-validations: which rules judge what, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from kube.cel.cost import Budget
from kube.cel.rules import Rules, compile_rules

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


def rules_of(schema: dict[str, Any]) -> Rules:
    found = compile_rules(schema)
    assert found is not None
    return found


def ruled(schema: dict[str, Any], *rules: str | dict[str, Any]) -> dict[str, Any]:
    specs = [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]
    return {**schema, "x-kubernetes-validations": specs}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def list_of(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def said(schema: dict[str, Any], new: Any, old: Any = None) -> list[str]:
    return [str(error) for error in rules_of(schema).validate(new, old)]


DOCUMENTED = obj(
    minReplicas=INTEGER,
    replicas=INTEGER,
    maxReplicas=INTEGER,
    stateCounts={"type": "object", "additionalProperties": INTEGER},
    list1=list_of(STRING),
    list2=list_of(STRING),
    map1={"type": "object", "additionalProperties": STRING},
    envars=list_of(obj(name=STRING, value=STRING)),
    created={"type": "string", "format": "date-time"},
    expired={"type": "string", "format": "date-time"},
    ttl={"type": "string", "format": "duration"},
    health=STRING,
    widgets=list_of(obj(key=STRING, foo=INTEGER)),
    port={"x-kubernetes-int-or-string": True},
    prefix=STRING,
    set1=list_of(STRING, **{"x-kubernetes-list-type": "set"}),
    set2=list_of(STRING, **{"x-kubernetes-list-type": "set"}),
    names=list_of(STRING),
    details={"type": "object", "additionalProperties": STRING},
    clusters=list_of(obj(name=STRING)),
    primary=STRING,
)
GOOD = {
    "metadata": {"name": "ok-1"},
    "minReplicas": 1,
    "replicas": 2,
    "maxReplicas": 3,
    "stateCounts": {"Available": 1},
    "list1": [],
    "list2": ["a"],
    "map1": {"MY_KEY": "abc"},
    "envars": [{"name": "MY_ENV", "value": "abc"}, {"name": "OTHER", "value": "1"}],
    "created": "2023-01-01T00:00:00Z",
    "expired": "2023-01-02T00:00:00Z",
    "ttl": "1h",
    "health": "ok, really",
    "widgets": [{"key": "x", "foo": 3}],
    "port": "100%",
    "prefix": "ok",
    "set1": ["a"],
    "set2": ["b"],
    "names": ["n"],
    "details": {"n": "1"},
    "clusters": [{"name": "c"}],
    "primary": "c",
}


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas", {"replicas": 4}),
        ("'Available' in self.stateCounts", {"stateCounts": {}}),
        ("(self.list1.size() == 0) != (self.list2.size() == 0)", {"list1": ["b"]}),
        (
            "!('MY_KEY' in self.map1) || self.map1['MY_KEY'].matches('^[a-zA-Z]*$')",
            {"map1": {"MY_KEY": "1"}},
        ),
        (
            "self.envars.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
            {"envars": [{"name": "MY_ENV", "value": "1"}]},
        ),
        ("has(self.expired) && self.created + self.ttl < self.expired", {"ttl": "25h"}),
        ("self.health.startsWith('ok')", {"health": "ill"}),
        (
            "self.widgets.exists(w, w.key == 'x' && w.foo < 10)",
            {"widgets": [{"key": "x", "foo": 10}]},
        ),
        ("type(self.port) == string ? self.port == '100%' : self.port == 1000", {"port": 5}),
        ("self.metadata.name.startsWith(self.prefix)", {"prefix": "no"}),
        ("self.set1.all(e, !(e in self.set2))", {"set2": ["a"]}),
        (
            "self.names.size() == self.details.size() && self.names.all(n, n in self.details)",
            {"names": ["x"]},
        ),
        ("size(self.clusters.filter(c, c.name == self.primary)) == 1", {"primary": "d"}),
    ],
)
def test_documented_rules_hold_and_fail(rule: str, change: dict[str, Any]) -> None:
    schema = ruled(DOCUMENTED, rule)
    assert said(schema, GOOD) == []
    assert said(schema, {**GOOD, **change}) == [f"<nil>: Invalid value: failed rule: {rule}"]


def test_a_schema_without_rules_has_none() -> None:
    assert compile_rules(obj(a=STRING)) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.a: Invalid value: 5: failed rule: self < 3"),
        ({"message": " too many "}, "spec.a: Invalid value: 5: too many"),
        ({"messageExpression": "'not ' + string(self)"}, "spec.a: Invalid value: 5: not 5"),
        ({"messageExpression": "''", "message": "m"}, "spec.a: Invalid value: 5: m"),
        ({"messageExpression": "'a\\nb'", "message": "m"}, "spec.a: Invalid value: 5: m"),
        (
            {"messageExpression": "string(1 / (self - 5))"},
            "spec.a: Invalid value: 5: failed rule: self < 3",
        ),
        ({"reason": "FieldValueForbidden"}, "spec.a: Forbidden: failed rule: self < 3"),
        ({"reason": "FieldValueRequired"}, "spec.a: Required value: failed rule: self < 3"),
        ({"reason": "FieldValueDuplicate"}, "spec.a: Duplicate value: 5"),
        ({"reason": "FieldValueInvalid"}, "spec.a: Invalid value: 5: failed rule: self < 3"),
    ],
)
def test_a_violation_says_what_its_rule_wants(spec: dict[str, Any], message: str) -> None:
    schema = obj(spec=obj(a=ruled(INTEGER, {"rule": "self < 3", **spec})))
    assert said(schema, {"spec": {"a": 5}}) == [message]


def test_a_field_path_moves_the_error() -> None:
    inner = obj(a=obj(m={"type": "object", "additionalProperties": INTEGER}))
    schema = obj(spec=ruled(inner, {"rule": "false", "fieldPath": ".a.m['k.x']"}))
    assert said(schema, {"spec": {}}) == ["spec.a.m[k.x]: Invalid value: failed rule: false"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("self.m['x'] == 1", "no such key: x evaluating rule: self.m['x'] == 1"),
        ("self.l[3] == 1", "index out of bounds: 3 evaluating rule: self.l[3] == 1"),
        ("1 / self.n == 1", "division by zero evaluating rule: 1 / self.n == 1"),
        (
            "self.p + 1 == 2",
            "'no such overload': call arguments did not match a supported operator, function or "
            "macro signature for rule: self.p + 1 == 2",
        ),
        (
            "self.nope",
            "rule compile error: compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n"
            " | self.nope\n | ....^",
        ),
        ("self.n", "rule compile error: cel expression must evaluate to a bool"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_an_error(rule: str, message: str) -> None:
    schema = ruled(
        obj(
            m={"type": "object", "additionalProperties": INTEGER},
            l=list_of(INTEGER),
            n=INTEGER,
            p={"x-kubernetes-int-or-string": True},
        ),
        rule,
    )
    value = {"m": {}, "l": [], "n": 0, "p": "x"}
    assert said(schema, value) == [f'<nil>: Invalid value: "object": {message}']


def test_rules_judge_all_values_below() -> None:
    schema = obj(
        l=list_of(ruled(INTEGER, "self > 0")),
        m={"type": "object", "additionalProperties": ruled(STRING, "self != 'bad'")},
    )
    assert said(schema, {"l": [1, 0], "m": {"a": "bad", "b": "good"}}) == [
        "l[1]: Invalid value: 0: failed rule: self > 0",
        "m[a]: Invalid value: \"bad\": failed rule: self != 'bad'",
    ]


def test_absent_and_null_values_are_not_judged() -> None:
    schema = obj(a={**ruled(STRING, "false"), "nullable": True})
    assert said(schema, {}) == []
    assert said(schema, {"a": None}) == []


def test_embedded_objects_have_kind_and_name() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True}
    rule = "self.kind == 'Pod' && self.metadata.name == 'p' && self.apiVersion == 'v1'"
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}}
    assert said(obj(pod=ruled(embedded, rule)), {"pod": pod}) == []


def test_rules_within_all_of_are_evaluated() -> None:
    schema = obj(a={**INTEGER, "allOf": [ruled({}, "self > 1")]}, b=ruled(INTEGER, "true"))
    assert said(schema, {"a": 0}) == ["a: Invalid value: 0: failed rule: self > 1"]


# Transition rules.

GROWS = "self >= oldSelf"


def test_a_transition_rule_judges_updates_only() -> None:
    schema = obj(a=ruled(INTEGER, GROWS))
    assert said(schema, {"a": 1}) == []
    assert said(schema, {"a": 1}, {}) == []
    assert said(schema, {"a": 2}, {"a": 1}) == []
    assert said(schema, {"a": 1}, {"a": 2}) == [f"a: Invalid value: 1: failed rule: {GROWS}"]


def test_elements_of_map_lists_are_compared_by_key() -> None:
    item = ruled(obj(k=STRING, v=INTEGER), "self.v >= oldSelf.v")
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    new = {"l": [{"k": "b", "v": 1}, {"k": "a", "v": 1}]}
    old = {"l": [{"k": "a", "v": 2}, {"k": "b", "v": 1}]}
    wanted = ["l[1]: Invalid value: failed rule: self.v >= oldSelf.v"]
    assert said(obj(l=list_of(item, **keyed)), new, old) == wanted
    for kind in ("atomic", "set"):
        assert said(obj(l=list_of(item, **{"x-kubernetes-list-type": kind})), new, old) == []


def test_optional_old_self_judges_what_is_new_too() -> None:
    rule = {
        "rule": "oldSelf.hasValue() ? self > oldSelf.value() : self == 1",
        "optionalOldSelf": True,
    }
    schema = obj(a=ruled(INTEGER, rule))
    assert said(schema, {"a": 1}) == []
    assert len(said(schema, {"a": 2})) == 1
    assert said(schema, {"a": 3}, {"a": 2}) == []
    assert len(said(schema, {"a": 2}, {"a": 2})) == 1


# Ratcheting.


def test_a_fault_of_what_has_not_changed_is_forgiven() -> None:
    schema = obj(spec=obj(a=ruled(INTEGER, "self > 10"), b=INTEGER))
    old = {"spec": {"a": 1, "b": 1}}
    assert said(schema, {"spec": {"a": 1, "b": 2}}, old) == []
    assert said(schema, {"spec": {"a": 2, "b": 1}}, old) == [
        "spec.a: Invalid value: 2: failed rule: self > 10"
    ]


def test_a_fault_of_a_changed_object_is_not_forgiven() -> None:
    schema = obj(spec=ruled(obj(a=INTEGER, b=INTEGER), "self.a > 10"))
    assert len(said(schema, {"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1, "b": 1}})) == 1
    assert said(schema, {"spec": {"a": 1, "b": 1}}, {"spec": {"a": 1, "b": 1}}) == []


def test_items_of_atomic_lists_are_forgiven_with_the_list() -> None:
    schema = obj(l=list_of(ruled(INTEGER, "self > 10")), b=INTEGER)
    assert said(schema, {"l": [1], "b": 2}, {"l": [1], "b": 1}) == []
    assert len(said(schema, {"l": [1, 2]}, {"l": [1]})) == 2


def test_items_of_map_lists_are_forgiven_one_by_one() -> None:
    item = ruled(obj(k=STRING, v=INTEGER), "self.v > 10")
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = obj(l=list_of(item, **keyed))
    old = {"l": [{"k": "a", "v": 1}]}
    assert said(schema, {"l": [{"k": "b", "v": 2}, {"k": "a", "v": 1}]}, old) == [
        "l[0]: Invalid value: failed rule: self.v > 10"
    ]


def test_transition_rules_are_never_forgiven() -> None:
    schema = obj(a=ruled(INTEGER, "self > oldSelf"))
    assert len(said(schema, {"a": 1}, {"a": 1})) == 1


def test_true_is_not_one_when_changes_are_looked_for() -> None:
    schema = obj(a=ruled({"x-kubernetes-int-or-string": True}, "self == 5"))
    assert len(said(schema, {"a": 1}, {"a": True})) == 1


# Budgets.

NESTED = "self.l.all(a, self.l.all(b, self.l.all(c, a + b + c >= 0)))"


def test_a_rule_that_costs_too_much_ends_the_evaluation() -> None:
    schema = ruled(obj(l=list_of(INTEGER), a=ruled(INTEGER, "false")), NESTED)
    assert said(schema, {"l": list(range(200)), "a": 1}) == [
        "<nil>: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no "
        f"further validation rules will be run due to call cost exceeds limit for rule: {NESTED}"
    ]


def test_all_rules_share_one_budget() -> None:
    schema = ruled(obj(l=list_of(INTEGER)), *["self.l.all(x, x >= 0)"] * 5, "false")
    found = rules_of(schema).validate({"l": list(range(100))}, budget=Budget(1_500))
    assert [str(error) for error in found] == [
        '<nil>: Invalid value: "object": validation failed due to running out of cost budget, '
        "no further validation rules will be run"
    ]


def test_no_more_errors_are_gathered_than_anyone_reads() -> None:
    schema = obj(l=list_of(ruled(INTEGER, "self > 0")))
    assert len(rules_of(schema).validate({"l": [0] * 5_000})) == 1_000

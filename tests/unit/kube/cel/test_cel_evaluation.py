"""How expressions are evaluated: errors and logic, dynamic values, conversions, limits."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from kube.cel.cost import EXPRESSION_COST_MAX, Budget
from kube.cel.environment import compile_expression
from kube.cel.errors import CelError, CompileError, CostExceeded
from kube.cel.schema_types import schema_type
from kube.cel.types import DYN, STRING, CelType, list_of


def value_of(text: str, value: Any = None, type_: CelType = DYN) -> Any:
    return compile_expression(text, {"self": type_}).evaluate([value], Budget())


def of_schema(text: str, value: Any, schema: dict[str, Any]) -> Any:
    type_ = schema_type(schema)
    assert type_ is not None
    return value_of(text, value, type_)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / 0 > 1 || true", True),
        ("true || 1 / 0 > 1", True),
        ("1 / 0 > 1 && false", False),
        ("false && 1 / 0 > 1", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 2)", False),
        ("true ? 1 : 1 / 0", 1),
    ],
)
def test_an_error_counts_only_if_nothing_decides_without_it(text: str, value: Any) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0 > 1 || false",
        "1 / 0 > 1 && true",
        "[0, 1].all(x, 1 / x == 1)",
        "[0].exists_one(x, 1 / x == 1)",
    ],
)
def test_an_error_that_counts_is_raised(text: str) -> None:
    with pytest.raises(CelError, match="division by zero"):
        value_of(text)


@pytest.mark.parametrize(
    ("text", "value", "wanted"),
    [
        ("self.a > 1", {"a": 2}, True),
        ("self.a > 1.5", {"a": 2}, True),
        ("self.a == 1", {"a": True}, False),
        ("self.a == self.b", {"a": [1, {"x": True}], "b": [1, {"x": 1}]}, False),
        ("self.a == self.b", {"a": {"x": [1.0]}, "b": {"x": [1]}}, True),
        ("has(self.a.b)", {"a": {}}, False),
        ("self.a.size() + self.b.size()", {"a": "ab", "b": [1]}, 3),
        ("self.all(k, self[k] > 0)", {"a": 1, "b": 2}, True),
        ("self.?a.?b.orValue('none')", {"a": {}}, "none"),
        ("self.a.sum()", {"a": [1.5, 2.5]}, 4.0),
        ("string(self.a)", {"a": 5}, "5"),
        ("self.a == null", {"a": None}, True),
        ("1 in self.a", {"a": [True, 1]}, True),
        ("1 in self.a", {"a": [True]}, False),
    ],
)
def test_dynamic_values_choose_the_overload(text: str, value: Any, wanted: Any) -> None:
    found = value_of(text, value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("self.a.startsWith('x')", {"a": 1}),
        ("self.a + 1", {"a": "x"}),
        ("!self.a", {"a": "x"}),
        ("self.a && true", {"a": "x"}),
        ("self.a ? 1 : 2", {"a": 1}),
        ("self.a.all(x, true)", {"a": 5}),
        ("self.a.b.c", {"a": {"b": 1}}),
        ("has(self.a.b)", {"a": 1}),
        ("self.a < 'x'", {"a": None}),
        ("self.a[0]", {"a": "text"}),
    ],
)
def test_a_dynamic_value_of_a_wrong_kind_is_no_such_overload(text: str, value: Any) -> None:
    with pytest.raises(CelError, match=r"^no such overload$"):
        value_of(text, value)


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        (
            "self.getFullYear() == 2023",
            {"type": "string", "format": "date-time"},
            "2023-01-01T00:00:00Z",
        ),
        ("self.getMonth() == 1", {"type": "string", "format": "date"}, "2023-02-01"),
        ("self.getHours() == 2", {"type": "string", "format": "duration"}, "2h"),
        ("self == b'hi'", {"type": "string", "format": "byte"}, "aGk="),
        ("self / 2.0 == 1.0 && type(self) == double", {"type": "number"}, 2),
        ("type(self) == string && self == '5%'", {"x-kubernetes-int-or-string": True}, "5%"),
        ("type(self) == int && self == 5", {"x-kubernetes-int-or-string": True}, 5),
        (
            "self.all(x, x < duration('1h'))",
            {"type": "array", "items": {"type": "string", "format": "duration"}},
            ["1m", "2m"],
        ),
    ],
)
def test_values_have_the_kind_that_their_schema_says(text: str, schema: Any, value: Any) -> None:
    wrapped = {"type": "object", "properties": {"v": schema}}
    assert of_schema(text.replace("self", "self.v"), {"v": value}, wrapped) is True


SETS = {
    "type": "object",
    "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
            },
        },
        "list": {"type": "array", "items": {"type": "string"}},
    },
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("self.set == ['b', 'a']", True),
        ("self.list == ['b', 'a']", False),
        ("self.set + ['b', 'c']", ["a", "b", "c"]),
        ("self.list + ['b']", ["a", "b", "b"]),
        ("(self.map + [self.map[1]]).size()", 2),
        ("self.map == [self.map[1], self.map[0]]", True),
    ],
)
def test_set_and_map_lists_compare_and_join_without_order(text: str, wanted: Any) -> None:
    value = {"set": ["a", "b"], "list": ["a", "b"], "map": [{"k": "x", "v": 1}, {"k": "y", "v": 2}]}
    assert of_schema(text, value, SETS) == wanted


def test_what_is_not_described_cannot_be_named() -> None:
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"foo-bar": {"type": "string"}, "any": {}},
    }
    assert of_schema("self.foo__dash__bar", {"foo-bar": "x"}, schema) == "x"
    for text in ("self.other", "self.any"):
        with pytest.raises(CompileError, match="undefined field"):
            of_schema(text, {}, schema)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("[1, 2, 3].all(x, x > 0)", 26),
        ("[1, 2].exists(i, v, v > 0)", 20),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v + 1)", 71),
        ("[1, 2].transformList(i, v, v < 5, v + 1)", 53),
        ("url('https:://kubernetes.io/').getHost() == ''", 4),
        ("'abc'.matches('[a-z]')", 2),
        ("sets.equivalent([1], [1, 1])", 25),
        ("format.named('dns1123Label').value().validate('my-name').hasValue()", 11),
        ("true || 1 == 2", 0),
    ],
)
def test_costs_are_counted_as_upstream_counts_them(text: str, cost: int) -> None:
    budget = Budget()
    compile_expression(text, {}).evaluate([], budget)
    assert 10_000_000 - budget.remaining == cost


RUNAWAYS = [
    "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))",
    "self.map(a, self.map(b, self.map(c, [a, b, c]))).size() > 0",
    "self.all(a, self.map(b, string(a + b)).join('').matches('(a*)*x' + string(a)) || true)",
    "self.all(a, self.all(b, self == self && self.indexOf(-1) < 0))",
    "self.all(a, self.all(b, sets.equivalent(self, self)))",
    "self.all(a, self.all(b, 'x'.replace('', self.map(c, string(c)).join(',')).size() > 0))",
    "self.all(a, self.all(b, self.slice(0, 9999).size() > 0 && self.sortBy(x, -x)[0] > 0))",
    "self.all(a, self.all(b, self.distinct().size() == self.size()))",
    "self.all(a, self.all(b, 'x'.matches('((a{100}){10})' + string(a * 10000 + b)) || true))",
    "self.all(a, self.all(b, !has({'x': '%s'.format([self])}.x) || true))",
]


@pytest.mark.parametrize("text", RUNAWAYS)
def test_a_runaway_is_stopped_soon(text: str) -> None:
    program = compile_expression(text, {"self": CelType("list", params=(DYN,))})
    budget = Budget()
    began_s = process_time()
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate([list(range(10_000))], budget)
    # Generous: this is to find what never ends, not what is slow.
    assert process_time() - began_s < 10
    assert 10_000_000 - budget.remaining > EXPRESSION_COST_MAX


def test_spending_too_much_is_never_absorbed() -> None:
    program = compile_expression(
        f"({RUNAWAYS[0]}) || true", {"self": CelType("list", params=(DYN,))}
    )
    with pytest.raises(CostExceeded):
        program.evaluate([list(range(1_000))], Budget())


def test_a_value_that_holds_itself_many_times_over_is_stopped_too() -> None:
    doubled = "[1]" + ".map(x, [x, x])" * 24
    for text in (
        f"{doubled} == {doubled}",
        f"'%s'.format([{doubled}])",
        f"{doubled} in [{doubled}]",
        f"[{doubled}].indexOf({doubled}) >= 0",
    ):
        with pytest.raises(CostExceeded):
            value_of(text)


def test_a_pattern_that_was_met_before_costs_as_upstream_says() -> None:
    program = compile_expression("self.all(x, 'abc'.matches(x))", {"self": list_of(STRING)})
    program.evaluate([["a.c"]], Budget())
    budget = Budget()
    program.evaluate([["a.c"] * 100], budget)
    assert 10_000_000 - budget.remaining < 1_000


def test_lists_take_whole_numbers_of_any_kind_for_places() -> None:
    for text in ("self[1]", "self[1u]", "self[dyn(1.0)]", "self[?1].value()"):
        assert value_of(text, [5, 6]) == 6
    with pytest.raises(CelError, match=r"^index out of bounds: 1.5$"):
        value_of("self[dyn(1.5)]", [5, 6])

"""Whatever is written as an expression, and whatever it is given: a value or a CelError.

Expressions are made of what real ones are made of, in any combination; most of them compile.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kube.cel.cost import Budget
from kube.cel.environment import compile_expression
from kube.cel.errors import CelError
from kube.cel.estimates import estimate_cost
from kube.cel.library import LIBRARY
from kube.cel.rules import check_rules, compile_rules
from kube.cel.schema_types import schema_type

SCHEMA = {
    "type": "object",
    "properties": {
        "i": {"type": "integer"},
        "d": {"type": "number"},
        "s": {"type": "string", "nullable": True},
        "t": {"type": "string", "format": "date-time"},
        "y": {"type": "string", "format": "byte"},
        "p": {"x-kubernetes-int-or-string": True},
        "l": {"type": "array", "items": {"type": "integer"}},
        "z": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "o": {"type": "object", "properties": {"i": {"type": "integer"}}},
    },
}
FIELDS = [f"self.{name}" for name in SCHEMA["properties"]]  # type: ignore[attr-defined]
ATOMS = st.sampled_from(
    [
        *FIELDS,
        *("self", "oldSelf", "x", "self.nope", "dyn(self)", "int", "null", "true", "false"),
        *("0", "1", "-1", "2u", "1.5", "1e308", "9223372036854775807"),
        *("'a'", "''", "'('", "b'a'", "[]", "{}", "optional.none()", "duration('1s')"),
        *("timestamp('2020-01-01T00:00:00Z')", "quantity('1')", "ip('::1')"),
    ]
)
BINARY = ["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"]
NAMES = sorted(name for name in LIBRARY.functions if name.replace(".", "").isalnum())
MACROS = ["all", "exists", "exists_one", "filter", "map", "sortBy"]


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(BINARY), inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}({})".format, st.sampled_from(NAMES), inner),
        st.builds("{}.{}({})".format, inner, st.sampled_from(NAMES), inner),
        st.builds("{}.{}()".format, inner, st.sampled_from(NAMES)),
        st.builds("{}.{}({}, {})".format, inner, st.sampled_from(NAMES), inner, inner),
        st.builds("{}.{}(x, {})".format, inner, st.sampled_from(MACROS), inner),
        st.builds("{}.transformMap(x, y, {})".format, inner, inner),
        st.builds("{}.transformList(x, y, {}, {})".format, inner, inner, inner),
        st.builds("{}.optMap(x, {})".format, inner, inner),
        st.builds("[{}, ?{}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
        st.builds("{}[?{}]".format, inner, inner),
        st.builds("{}.?a.b".format, inner),
        st.builds("has({}.a)".format, inner),
        st.builds("!{}".format, inner),
        st.builds("(-{})".format, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, deeper, max_leaves=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*"idstypzlmoab", "ä"]), inner, max_size=5)
    ),
    max_leaves=12,
)


def outcome(text: str, value: Any) -> None:
    type_ = schema_type(SCHEMA)
    assert type_ is not None
    budget = Budget()
    try:
        program = compile_expression(text, {"self": type_, "oldSelf": type_})
        assert estimate_cost(program.tree, type_) >= 0
        program.evaluate([value, value], budget)
    except CelError as error:
        said = str(error)
    else:
        said = "a value"
    assert said
    assert not said.startswith("internal error"), said
    assert budget.remaining <= 10_000_000


@given(EXPRESSIONS, JSON)
@settings(max_examples=600, deadline=None)
def test_expressions_give_a_value_or_a_cel_error(text: str, value: Any) -> None:
    outcome(text, value)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    outcome(text, {})


@given(EXPRESSIONS, EXPRESSIONS, JSON, JSON)
@settings(max_examples=200, deadline=None)
def test_rules_answer_with_errors_only(rule: str, message: str, new: Any, old: Any) -> None:
    spec = {"rule": rule, "messageExpression": message}
    schema = {"type": "object", "properties": {"a": {**SCHEMA, "x-kubernetes-validations": [spec]}}}
    check_rules(schema, "s")
    rules = compile_rules(schema)
    assert rules is not None
    for error in rules.validate({"a": new}, {"a": old}):
        assert str(error)

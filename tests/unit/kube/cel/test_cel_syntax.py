"""What is no expression, or names what there is not, is refused in upstream's words."""

from __future__ import annotations

import pytest

from kube.cel.environment import compile_expression
from kube.cel.errors import CompileError
from kube.cel.names import escape
from kube.cel.types import DYN, INT, STRING, CelType, TypeField, list_of, map_of

SELF = CelType(
    "object",
    "selfType",
    fields={
        "count": TypeField("count", INT),
        "name": TypeField("name", STRING),
        "tags": TypeField("tags", list_of(STRING)),
        "labels": TypeField("labels", map_of(STRING, STRING)),
        "port": TypeField("port", DYN),
    },
)


def refused(text: str) -> str:
    with pytest.raises(CompileError) as caught:
        compile_expression(text, {"self": SELF})
    return str(caught.value)


def test_an_undefined_field_is_shown_at_its_place() -> None:
    assert refused("self.nope == 1") == (
        "ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 1\n | ....^"
    )


def test_places_count_lines() -> None:
    assert refused("self.count > 1 &&\n  self.nope") == (
        "ERROR: <input>:2:7: undefined field 'nope'\n |   self.nope\n | ......^"
    )


def test_all_faults_are_told_in_order() -> None:
    lines = refused("self.a == 1 && self.b == 2").split("\n")
    assert [line for line in lines if line.startswith("ERROR")] == [
        "ERROR: <input>:1:5: undefined field 'a'",
        "ERROR: <input>:1:20: undefined field 'b'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other", "1:1: undeclared reference to 'other' (in container '')"),
        ("nope(1)", "1:5: undeclared reference to 'nope' (in container '')"),
        (
            "self.name == 1",
            "1:11: found no matching overload for '_==_' applied to '(string, int)'",
        ),
        (
            "self.name.startsWith(1)",
            "1:21: found no matching overload for 'startsWith' applied to 'string.(int)'",
        ),
        ("self.count.x", "1:11: type 'int' does not support field selection"),
        (
            "self.name.all(x, true)",
            "1:5: expression of type 'string' cannot be range of a comprehension "
            "(must be list, map, or dynamic)",
        ),
        ("self.count && true", "1:5: expected type 'bool' but found 'int'"),
        ("[1, 'a'] == []", "1:5: expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}.size() > 0", "1:15: expected type 'int' but found 'string'"),
        ("self.name.matches('(')", "1:19: invalid matches argument"),
        ("duration('x') > duration('1s')", "1:10: invalid duration argument"),
        ("timestamp('x') == timestamp('y')", "1:11: invalid timestamp argument"),
        ("Foo{a: 1}", "1:1: undeclared reference to 'Foo' (in container '')"),
        ("self.tags.exists(1, true)", "1:18: exists() variable name must be a simple identifier"),
        ("has(self)", "1:5: has() argument must be a field selection"),
        ("1 +", "1:4: Syntax error: mismatched input '<EOF>' expecting"),
        ("'abc", "1:1: Syntax error: token recognition error at: ''abc'"),
        ("9223372036854775808", "1:1: invalid int literal"),
        ("cel.bind(x, 1, x)", "1:1: undeclared reference to 'cel' (in container '')"),
    ],
)
def test_a_fault_has_upstreams_words(text: str, message: str) -> None:
    assert refused(text).startswith(f"ERROR: <input>:{message}")


@pytest.mark.parametrize(
    "text", ["(" * 200 + "1" + ")" * 200, "self" + ".a" * 500, "[" * 5000, "-" * 9999]
)
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    assert "ecursion" in refused(text) or "Syntax error" in refused(text)


def test_what_is_too_long_is_refused() -> None:
    assert "code point size exceeds limit" in refused("1" + " " * 100_001)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "\ud800", "'\ud800'", "\U0001f600", "self.\u00e9"]
)
def test_odd_characters_are_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("plain", "plain"),
        ("foo-bar", "foo__dash__bar"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("namespace", "__namespace__"),
        ("int", "int"),
        ("9a", None),
        ("a b", None),
        ("", None),
    ],
)
def test_names_are_escaped_as_upstream_does(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped


def test_macros_that_copy_are_refused_before_they_grow() -> None:
    assert "nested too deeply" in refused("optional.of(1)" + ".optMap(x, x)" * 20)
    compile_expression("optional.of(1)" + ".optMap(x, x)" * 5, {})


def test_many_faults_are_told_up_to_a_hundred() -> None:
    text = " || ".join(f"a{number}" for number in range(5_000))
    assert refused(text).count("ERROR: ") == 100


def test_types_that_are_not_known_are_shown_as_dynamic() -> None:
    assert "type 'list(dyn)' does not support field selection" in refused("[].a == 1")

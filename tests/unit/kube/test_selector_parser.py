"""Selector texts: what they mean and how bad ones are refused."""

from __future__ import annotations

import pytest

from kube.selector_parser import (
    SelectorError,
    label_selector_of,
    label_selector_of_set,
    parse_field_selector,
    parse_label_selector,
)

REQUIREMENT = "unable to parse requirement: "


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a==b,c!=d", "a=b,c!=d"),
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z!="),
        (" ! a ", "!a"),
        ("b=1,a=2", "a=2,b=1"),
        ("in in (in, notin)", "in in (in,notin)"),
        ("a in (,)", "a="),
        ("a>1", "a>1"),
        ("a=", "a="),
    ],
)
def test_label_selectors_are_read_as_upstream(text: str, canonical: str) -> None:
    assert str(parse_label_selector(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a b", f"{REQUIREMENT}found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", f"{REQUIREMENT}found 'b' expected: '('"),
        ("a in (", f"{REQUIREMENT}found '', expected: ',', ')' or identifier"),
        ("a in (b c)", f"{REQUIREMENT}found 'c', expected: ',' or ')'"),
        ("a in (b,=)", f"{REQUIREMENT}found '=', expected: ',', or identifier"),
        ("!", f"{REQUIREMENT}found '', expected: identifier"),
        ("a=(", f"{REQUIREMENT}found '(', expected: identifier"),
    ],
)
def test_malformed_label_selectors_are_refused(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_label_selector(text)
    assert str(caught.value) == message


def test_bad_keys_and_values_are_named() -> None:
    with pytest.raises(SelectorError, match=r"^unable to parse requirement: <nil>: Invalid value"):
        parse_label_selector("-a=b")
    with pytest.raises(
        SelectorError, match=r'values\[0\]\[a\]: Invalid value: "-b": a valid label'
    ):
        parse_label_selector("a=-b")
    with pytest.raises(SelectorError, match=r"values\[0\]: Invalid value: \"x\": for 'Gt', 'Lt'"):
        parse_label_selector("a>x")


def test_selector_objects_combine_both_forms() -> None:
    selector = label_selector_of(
        {
            "matchLabels": {"b": "1"},
            "matchExpressions": [
                {"key": "a", "operator": "NotIn", "values": ["x", "y"]},
                {"key": "c", "operator": "DoesNotExist"},
            ],
        }
    )
    assert str(selector) == "a notin (x,y),b=1,!c"
    assert label_selector_of({}).is_empty
    assert str(label_selector_of_set({"b": "1", "a": "2"})) == "a=2,b=1"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ({"key": "a", "operator": "Maybe"}, '"Maybe" is not a valid label selector operator'),
        (
            {"key": "a", "operator": "In"},
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["x"]},
            'values: Invalid value: ["x"]: values set must be empty for exists and does not exist',
        ),
    ],
)
def test_bad_selector_objects_are_refused(expression: dict[str, object], message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        label_selector_of({"matchExpressions": [expression]})
    assert str(caught.value) == message


def test_field_selectors_unescape_values() -> None:
    selector = parse_field_selector("b!=x,a==p\\,q\\=r\\\\")
    assert [(t.field, t.value, t.negated) for t in selector.terms] == [
        ("a", "p,q=r\\", False),
        ("b", "x", True),
    ]
    assert str(selector) == "a=p\\,q\\=r\\\\,b!=x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_malformed_field_selectors_are_refused(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_field_selector(text)
    assert str(caught.value) == message

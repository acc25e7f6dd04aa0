"""Go's words for what is no JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kube.go_syntax import go_fault

ENDED = "unexpected end of JSON input"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ENDED),
        (" ", ENDED),
        ("{", ENDED),
        ('{"a"', ENDED),
        ('{"a":', ENDED),
        ('{"a":1', ENDED),
        ("[1,", ENDED),
        ('"a', ENDED),
        ('"\\u12', ENDED),
        ("tru", ENDED),
        ("-", ENDED),
        ("1.", ENDED),
        ("1e+", ENDED),
        ("{}{}", "invalid character '{' after top-level value"),
        ("01", "invalid character '1' after top-level value"),
        ("1.5.", "invalid character '.' after top-level value"),
        ("{a: 1}", "invalid character 'a' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("<html>", "invalid character '<' looking for beginning of value"),
        ("\ufeff{}", "invalid character 'ï' looking for beginning of value"),
        ('{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        ("not json", "invalid character 'o' in literal null (expecting 'u')"),
        ("trua", "invalid character 'a' in literal true (expecting 'e')"),
        ('"\x01"', "invalid character '\\x01' in string literal"),
        ('"a\nb"', "invalid character '\\n' in string literal"),
        ('"\\q"', "invalid character 'q' in string escape code"),
        ('"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        ("-a", "invalid character 'a' in numeric literal"),
        ("1.a", "invalid character 'a' after decimal point in numeric literal"),
        ("1ea", "invalid character 'a' in exponent of numeric literal"),
        ("[" * 10_001, "exceeded max depth"),
        ("[" * 10_000 + "]" * 10_000, ""),
        ('{"a":[1,{"b":null}],"c":"\\ud83d\\ude00 \\n"}', ""),
    ],
)
def test_what_go_says(text: str, said: str) -> None:
    assert go_fault(text.encode()) == said


_LEAVES = some.none() | some.floats(allow_nan=False, allow_infinity=False) | some.text()


@given(
    some.recursive(_LEAVES, lambda inner: some.lists(inner) | some.dictionaries(some.text(), inner))
)
def test_no_fault_is_found_in_json(value: object) -> None:
    assert go_fault(json.dumps(value).encode()) == ""
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert go_fault(text.encode("utf-8", "replace")) == ""


@given(some.text(alphabet='{}[],:"\\u1e-.tnrf a', max_size=12))
def test_a_fault_is_found_in_just_what_is_no_json(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda _: 1 / 0)
    except (ValueError, ZeroDivisionError):
        assert go_fault(text.encode())
    else:
        assert go_fault(text.encode()) == ""

"""YAML bodies: what is read as upstream reads it, what is refused, what is written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from kube import codec_yaml
from kube.codec_yaml import YamlError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes\nb: 0644\nc: 2020-01-01\n", {"a": True, "b": 420, "c": "2020-01-01"}),
        ("a: '12'\nb: \"yes\"\nc: |\n  1\n", {"a": "12", "b": "yes", "c": "1\n"}),
        ("replicas: 3.0\nratio: 2.5\nbig: 1e3", {"replicas": 3, "ratio": 2.5, "big": 1000}),
        ("1: a\non: b\n2.5: c", {"1": "a", "true": "b", "2.5": "c"}),
        ("a: !!str 12\nb: !!binary aGk=\nc: !!int '7'\nd: !odd 1",
         {"a": "12", "b": "hi", "c": 7, "d": "1"}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: 1\na: 2", {"a": 2}),
        ("---\na: 1\n---\nb: 2", {"a": 1}),
        ("- 1\n- [2, null]", [1, [2, None]]),
        ('{"a": [1, true], "b": "\\u00e9"}', {"a": [1, True], "b": "é"}),
        ("", None),
        ("# nothing\n", None),
    ],
)  # fmt: skip
def test_documents_read_as_upstream_reads_them(text: str, value: Any) -> None:
    assert codec_yaml.decode(text.encode()) == value


def test_merge_keys_override_what_stands_before_and_yield_to_what_stands_behind() -> None:
    text = b"base: &b {p: 1, q: 1}\nother: &o {q: 2, r: 2}\nuse:\n  q: 0\n  <<: [*b, *o]\n  r: 9\n"
    assert codec_yaml.decode(text)["use"] == {"p": 1, "q": 1, "r": 9}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("x: 1\na: b: c", "yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n  - b\n c\n", "yaml: line 2: did not find expected key"),
        ("\ta: 1", "yaml: found character that cannot start any token"),
        ("a: .nan", "json: unsupported value: NaN"),
        ("a: -.inf", "json: unsupported value: -Inf"),
        ("~: 1", "unsupported map key of type: %!s(<nil>), key: <nil>"),
        ("? [a]\n: b", "yaml: line 1: invalid map key"),
        ("<<: 1", "yaml: map merge requires map or sequence of maps as the value"),
        ("!!int x", "yaml: cannot decode !!str `x` as a !!int"),
        ("x: 1\na: &a\n  b: *a\n", "yaml: anchor at line 2 value contains itself"),
    ],
)
def test_what_is_no_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        codec_yaml.decode(text.encode())
    assert str(caught.value) == message


@pytest.mark.parametrize("body", [b"a: \xff\xfe", b"a: \x00", b"a: *b", b"[" * 300 + b"]" * 300])
def test_malformed_bodies_are_refused_in_the_codecs_own_words(body: bytes) -> None:
    with pytest.raises(YamlError, match=r"^yaml: "):
        codec_yaml.decode(body)


def test_documents_that_grow_by_aliases_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlError, match="excessive aliasing"):
        codec_yaml.decode("\n".join(lines).encode())


def test_duplicate_keys_are_told_to_strict_callers() -> None:
    value, fault = codec_yaml.decode_strict(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert value == {"a": 3, "b": {"c": 2}}
    assert fault == (
        'yaml: unmarshal errors:\n  line 4: key "c" already set in map\n'
        '  line 5: key "a" already set in map'
    )
    assert codec_yaml.decode_strict(b"a: 1") == ({"a": 1}, "")


def test_written_in_block_style_with_sorted_keys() -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "spec": {"a": [{"y": "1", "x": []}], "b": {}}}
    assert codec_yaml.encode(obj) == (
        b'apiVersion: v1\nkind: Pod\nspec:\n  a:\n  - x: []\n    "y": "1"\n  b: {}\n'
    )


def test_lines_are_not_folded_and_shared_values_have_no_anchors() -> None:
    shared = ["word " * 60 + "end"]
    text = codec_yaml.encode({"a": shared, "b": shared})
    assert text.count(b"\n") == 4
    assert b"&" not in text


_SCALARS = (
    some.none()
    | some.booleans()
    | some.integers(-(2**63), 2**63 - 1)
    | some.floats(allow_nan=False, allow_infinity=False).filter(lambda f: not f.is_integer())
    | some.text()
    | some.from_regex(r"\A[-+.0-9eExXoObB_:~yYnNtT]{1,8}\Z")
)
_DATA = some.recursive(
    _SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=12,
)


@given(_DATA)
def test_what_is_written_reads_back_by_us_and_by_others(value: Any) -> None:
    text = codec_yaml.encode(value)
    assert codec_yaml.decode(text) == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("opening", [b"[", b"- ", b"{a: ", b"? "])
def test_nesting_that_would_exhaust_the_stack_is_refused(opening: bytes) -> None:
    with pytest.raises(YamlError, match="max depth"):
        codec_yaml.decode(opening * 50_000)

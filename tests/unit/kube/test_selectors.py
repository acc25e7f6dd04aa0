"""Matching: a compiled selector on a meta blob agrees with the selector on plain labels."""

from __future__ import annotations

import pytest

from kube.selector_parser import label_selector_of, parse_field_selector, parse_label_selector
from kube.selectors import (
    EVERY_FIELD,
    EVERYTHING,
    NOTHING,
    FieldSelector,
    build_meta,
    compile_selectors,
)

LABEL_SETS: list[dict[str, str]] = [
    {},
    {"app": "web"},
    {"app": "web", "tier": "fe"},
    {"app": "webx"},
    {"xapp": "web"},
    {"app": ""},
    {"n": "5"},
    {"n": "x"},
    {"example.com/app": "web", "n": "10"},
]
SELECTORS = [
    "", "app", "!app", "app=web", "app!=web", "app=", "app in (web,db)", "app notin (web)",
    "app in ()", "n>4", "n<6", "n>5,n<11", "example.com/app=web", "app=web,tier=fe,!x",
]  # fmt: skip


@pytest.mark.parametrize("text", SELECTORS)
def test_compiled_label_selectors_agree_with_plain_matching(text: str) -> None:
    selector = parse_label_selector(text)
    match = compile_selectors(selector, EVERY_FIELD)
    for labels in LABEL_SETS:
        meta = build_meta(labels, {"spec.nodeName": "app=web"})
        assert (match is None or match(meta)) == selector.matches(labels), labels


def test_selectors_that_select_everything_compile_to_none() -> None:
    assert compile_selectors(EVERYTHING, EVERY_FIELD) is None
    assert parse_label_selector("").is_empty
    assert parse_field_selector("").is_empty


def test_absent_selector_object_selects_nothing() -> None:
    match = compile_selectors(label_selector_of(None), EVERY_FIELD)
    assert label_selector_of(None) is NOTHING
    assert match is not None
    assert not match(build_meta({"a": "b"}, {}))
    assert not NOTHING.matches({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spec.nodeName=n1", [True, False, False]),
        ("spec.nodeName!=n1", [False, True, True]),
        ("spec.nodeName=", [False, True, False]),
        ("spec.nodeName!=", [True, False, True]),
        ("spec.nodeName=n1,status.phase=Running", [True, False, False]),
    ],
)
def test_field_selectors_take_absent_fields_as_empty(text: str, expected: list[bool]) -> None:
    selector = parse_field_selector(text)
    match = selector.compile()
    assert match is not None
    cases = [
        {"spec.nodeName": "n1", "status.phase": "Running"},
        {"spec.nodeName": "", "status.phase": "Running"},
        {"spec.nodeName": "n11"},
    ]
    for fields, wanted in zip(cases, expected, strict=True):
        assert match(build_meta({"spec.nodeName": "n1"}, fields)) == wanted
        assert selector.matches(fields) == wanted


def test_separators_inside_values_cannot_forge_matches() -> None:
    forged = "x\x01spec.nodeName=n1\x01\x00app=web\x00"
    meta = build_meta({"a": "b"}, {"reason": forged})
    node = parse_field_selector("spec.nodeName=n1").compile()
    app = parse_label_selector("app=web").compile()
    assert node is not None
    assert app is not None
    assert not node(meta)
    assert not app(meta)
    exact = parse_field_selector(f"reason={forged.replace('=', chr(92) + '=')}").compile()
    assert exact is not None
    assert exact(meta)


def test_meta_blob_has_the_layout_storage_relies_on() -> None:
    meta = build_meta({"a": "1", "b": "2"}, {"f": "x", "g": ""})
    assert meta == b"\x00a=1\x00b=2\x00\x01f=x\x01"
    assert build_meta(None, {}) == b"\x00\x01"


def test_exact_values_are_found_for_indexes() -> None:
    fields = parse_field_selector("spec.nodeName=n1,metadata.name!=x")
    assert fields.exact_value("spec.nodeName") == "n1"
    assert fields.exact_value("metadata.name") is None
    assert fields.without({"spec.nodeName", "metadata.name"}) == FieldSelector()
    labels = parse_label_selector("a=1,b in (1,2)")
    assert labels.exact_value("a") == "1"
    assert labels.exact_value("b") is None

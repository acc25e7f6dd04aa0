"""Numbers against their types, formats and bounds."""

from __future__ import annotations

from typing import Any

import pytest
from structural_schemas import INTEGER, faults

from kube.field import go_float
from kube.json_types import JsonObject
from kube.structural.numbers import is_whole

NUMBER: JsonObject = {"type": "number"}
SHOULD = "spec.a in body should be"


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        ({**INTEGER, "minimum": 1}, 0, f"0: {SHOULD} greater than or equal to 1"),
        (
            {**INTEGER, "maximum": 1000000},
            1000001,
            f"1000001: {SHOULD} less than or equal to 1000000",
        ),
        (
            {**INTEGER, "minimum": 1, "exclusiveMinimum": True},
            1,
            f"1: {SHOULD} greater than 1",
        ),
        ({**INTEGER, "maximum": 5, "exclusiveMaximum": True}, 5, f"5: {SHOULD} less than 5"),
        (
            {**NUMBER, "maximum": 1000000},
            1000000.5,
            f"1.0000005e+06: {SHOULD} less than or equal to 1e+06",
        ),
        ({**NUMBER, "minimum": 0.5}, 0.25, f"0.25: {SHOULD} greater than or equal to 0.5"),
        ({**INTEGER, "multipleOf": 3}, 4, f"4: {SHOULD} a multiple of 3"),
        ({**NUMBER, "multipleOf": 0.1}, 0.25, f"0.25: {SHOULD} a multiple of 0.1"),
    ],
)
def test_broken_bounds_are_told_with_the_bound(
    schema: JsonObject, value: Any, message: str
) -> None:
    assert faults(schema, value) == [f"spec.a: Invalid value: {message}"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({**INTEGER, "minimum": 1, "maximum": 1}, 1),
        ({**INTEGER, "minimum": 1}, 1.0),
        ({**NUMBER, "multipleOf": 0.1}, 0.3),
        ({**NUMBER, "minimum": 0.5}, 1),
        ({**INTEGER, "format": "int32"}, 2**31 - 1),
        ({**INTEGER, "format": "int64"}, 2**63 - 1),
        ({**NUMBER, "format": "float"}, 1e38),
    ],
)
def test_numbers_within_bounds_pass(schema: JsonObject, value: Any) -> None:
    assert faults(schema, value) == []


@pytest.mark.parametrize(
    ("schema", "value", "type_"),
    [
        ({**INTEGER, "format": "int32"}, 2**31, "integer with format int32"),
        (INTEGER, 2**63, "integer (default format)"),
        ({**NUMBER, "format": "float"}, 1e39, "number with format float"),
    ],
)
def test_numbers_outside_of_their_format_are_told_without_a_place(
    schema: JsonObject, value: Any, type_: str
) -> None:
    assert faults(schema, value) == [
        f'<nil>: Invalid value: "": Checked value must be of type {type_} in spec.a'
    ]


def test_a_fraction_is_no_integer_for_two_reasons() -> None:
    assert faults(INTEGER, 1.5) == [
        'spec.a: Invalid value: "number": spec.a in body must be of type integer: "number"',
        '<nil>: Invalid value: "": Checked value must be of type integer (default format) '
        "in spec.a",
    ]


def test_a_whole_number_is_compared_with_the_whole_part_of_a_bound() -> None:
    assert faults({**NUMBER, "maximum": 1.5}, 1) == []
    assert faults({**NUMBER, "minimum": 1.5}, 1) == []
    assert faults({**NUMBER, "multipleOf": 0.5}, 3) == [
        "spec.a: Invalid value: 3: factor MultipleOf declared for spec.a must be positive: 0"
    ]


def test_a_bound_that_its_type_cannot_hold_is_a_fault_of_each_value() -> None:
    assert faults({**INTEGER, "maximum": 1.5}, 1) == [
        '<nil>: Invalid value: "": Maximum boundary value must be of type integer (default format) '
        "in spec.a"
    ]


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (1.0, True),
        (-3.0, True),
        (1.5, False),
        (1e15, True),
        (1e16, False),
        (2.0000000000001, True),
        (-1.5, False),
        (0.0, True),
        (0.9999999999999999, False),
        (float("inf"), False),
    ],
)
def test_what_counts_as_a_whole_number(value: float, whole: bool) -> None:  # noqa: FBT001
    assert is_whole(value) is whole


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.5, "1.2345675e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-0.1, "-0.1"),
        (3.141592653589793, "3.141592653589793"),
        (1e100, "1e+100"),
    ],
)
def test_floats_are_printed_as_go_does(value: float, text: str) -> None:
    assert go_float(value) == text

"""Sets of completion indexes: upstream's tables of indexed_job_utils_test.go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.jobs.intervals import parse

SETS = st.sets(st.integers(0, 40))


@pytest.mark.parametrize(
    ("text", "completions", "shown", "total"),
    [
        ("", 1, "", 0),
        ("0", 1, "0", 1),
        ("5", 10, "5", 1),
        ("0-2", 10, "0-2", 3),
        ("0,1", 10, "0,1", 2),
        ("0,2-4,6,8-9", 10, "0,2-4,6,8,9", 7),
        # Beyond the completions, as after an indexed Job has shrunk.
        ("0,2,4", 2, "0", 1),
        ("0-10", 5, "0-4", 5),
        ("5,7", 5, "", 0),
        # Neighbours become one interval.
        ("0-1,2-3,4", 10, "0-4", 5),
        # What is no number is passed over.
        ("0,a,2-b,4", 10, "0,4", 2),
        ("٣,1", 10, "1", 1),
        ("9" * 40 + ",1", 10, "1", 1),
    ],
)
def test_texts_are_read_as_upstream_reads_them(
    text: str, completions: int, shown: str, total: int
) -> None:
    found = parse(text, completions)
    assert (str(found), len(found)) == (shown, total)


@pytest.mark.parametrize(
    ("known", "new", "shown"),
    [
        ("", [0, 1, 2], "0-2"),
        ("0-1", [2, 4], "0-2,4"),
        ("1-3,6", [0, 4, 5], "0-6"),
        ("5", [5], "5"),
        ("0-10", [3], "0-10"),
        ("2,4,6", [7, 3], "2-4,6,7"),
    ],
)
def test_new_indexes_are_added(known: str, new: list[int], shown: str) -> None:
    assert str(parse(known, 100).with_indexes(new)) == shown


@pytest.mark.parametrize(
    ("taken", "count", "completions", "missing"),
    [
        ("", 0, 5, []),
        ("", 3, 5, [0, 1, 2]),
        ("", 9, 5, [0, 1, 2, 3, 4]),
        ("0,2", 2, 5, [1, 3]),
        ("0-3", 3, 5, [4]),
        ("2-4", 10, 5, [0, 1]),
        ("0-9", 2, 5, []),
    ],
)
def test_the_first_missing_indexes_are_found(
    taken: str, count: int, completions: int, missing: list[int]
) -> None:
    assert parse(taken, 100).first_missing(count, completions) == missing


@given(SETS, SETS)
def test_sets_do_what_sets_do(one: set[int], other: set[int]) -> None:
    left, right = parse("", 0).with_indexes(one), parse("", 0).with_indexes(other)
    merged = left.merge(right)
    assert list(merged.missing(50)) == sorted(set(range(50)) - one - other)
    assert len(merged) == len(one | other)
    assert left.overlap(right) == len(one & other)
    assert {index for index in range(45) if index in left} == one
    assert parse(str(left), 50) == left

"""Seats are divided within bounds, in proportion to targets, to the last one."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from apiserver.fairness.apportion import Unsolvable, Wish, apportion


def _wish(parts: tuple[float, float, float]) -> Wish:
    least, more, most = parts
    return Wish(least + more, least, least + most)


_WISHES = some.lists(
    some.tuples(some.floats(0, 100), some.floats(0, 100), some.floats(0, 300)).map(_wish),
    min_size=1,
    max_size=8,
)


@given(wishes=_WISHES, part=some.floats(0, 1))
def test_all_is_given_within_bounds_and_in_proportion(wishes: list[Wish], part: float) -> None:
    low, high = sum(wish.least for wish in wishes), sum(wish.most for wish in wishes)
    total = round(low + (high - low) * part)
    assume(low <= total <= high)
    found, proportion = apportion(total, wishes)
    assert sum(found) == pytest.approx(total, abs=1e-3)
    for wish, got in zip(wishes, found, strict=True):
        assert wish.least <= got <= wish.most
        fair = proportion * max(wish.target, 0.001)
        assert got == pytest.approx(max(wish.least, min(wish.most, fair)))


def test_whoever_is_held_at_its_least_leaves_less_to_the_others() -> None:
    found, proportion = apportion(10, [Wish(4, 4, 10), Wish(8, 0, 10)])
    assert found == pytest.approx([4, 6])
    assert proportion == pytest.approx(0.75)


@pytest.mark.parametrize("total", [3, 21])
def test_what_the_bounds_do_not_allow_is_not_divided(total: int) -> None:
    with pytest.raises(Unsolvable):
        apportion(total, [Wish(4, 4, 10), Wish(8, 0, 10)])

"""Which controllers are run: upstream's --controllers."""

from __future__ import annotations

import pytest

from controllers.main import GARBAGE, PARTS
from controllers.parts import Context, Controller, Part, UnknownController, choose


def _make(_context: Context) -> Controller:
    raise NotImplementedError


_PARTS = tuple(Part(f"{name}-controller", (), _make) for name in "abc")


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("*", "abc"),
        ("*,-b-controller", "ac"),
        ("*,-b", "ac"),
        ("b", "b"),
        ("a,c-controller", "ac"),
        ("-a,*", "bc"),
        ("a,-a", "a"),
        ("-a", ""),
    ],
)
def test_names_pick_and_leave_out_and_a_star_picks_what_is_not_named(
    wanted: str, chosen: str
) -> None:
    found = choose(_PARTS, wanted.split(","))
    assert [part.name[0] for part in found] == list(chosen)


def test_a_name_that_nothing_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownController, match=r'"d" is not in the list.*a-controller, b-cont'):
        choose(_PARTS, ["*", "-d"])


def test_no_two_controllers_have_one_name() -> None:
    names = [part.name for part in (*PARTS, GARBAGE)]
    assert len(names) == len(set(names))

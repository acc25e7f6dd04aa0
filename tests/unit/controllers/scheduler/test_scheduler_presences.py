"""Groups by labels: nothing that a selector selects is missed, and little else is found."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.scheduler.presences import _KEYS_MAX, Presences
from controllers.scheduler.shapes import Group, Shapes
from kube.selectors import LabelSelector, Operator, Requirement

_KEYS, _VALUES, _SPACES = ("a", "b", "c"), ("1", "2", ""), ("x", "y")
_labels = st.dictionaries(st.sampled_from(_KEYS), st.sampled_from(_VALUES))
_moves = st.lists(st.tuples(st.sampled_from(_SPACES), _labels, st.integers(0, 2), st.booleans()))
_conditions = st.builds(
    Requirement,
    st.sampled_from(_KEYS),
    st.sampled_from((Operator.IN, Operator.NOT_IN, Operator.EXISTS, Operator.NOT_EXISTS)),
    st.lists(st.sampled_from(_VALUES), min_size=1, max_size=2, unique=True).map(tuple),
)
_selectors = st.builds(
    LabelSelector, st.lists(_conditions, max_size=3).map(tuple), selects_nothing=st.booleans()
)
_asked = st.lists(st.tuples(st.sampled_from(_SPACES), _selectors), max_size=2)


@settings(max_examples=300, deadline=None)
@given(_moves, st.lists(st.tuples(_asked, _moves), max_size=3))
def test_what_a_selector_selects_is_among_what_is_found(
    first: list[tuple[str, dict[str, str], int, bool]],
    rounds: list[
        tuple[list[tuple[str, LabelSelector]], list[tuple[str, dict[str, str], int, bool]]]
    ],
) -> None:
    shapes, presences = Shapes(), Presences()
    there: dict[tuple[int, int], Group] = {}
    for asked, moves in [([], first), *rounds]:
        for namespace, labels, slot, comes in moves:
            group = shapes.group_of({"namespace": namespace, "labels": labels})
            key = (group.number, slot)
            if comes is (key not in there):
                presences.count(group, slot, 1 if comes else -1)
                if comes:
                    there[key] = group
                else:
                    del there[key]
        found = presences.among(asked)
        presences.check()
        for group in there.values():
            labels = dict(group.labels)
            if any(space == group.namespace and one.matches(labels) for space, one in asked):
                assert group.number in found
    assert len(presences) == len({group.number for group in there.values()})


def _equals(key: str, value: str) -> LabelSelector:
    return LabelSelector((Requirement(key, Operator.IN, (value,)),))


def test_of_many_groups_only_those_with_the_rarest_value_are_looked_at() -> None:
    shapes, presences = Shapes(), Presences()
    for number in range(1_000):
        labels = {"app": "web", "set": str(number // 10), "index": str(number)}
        presences.count(shapes.group_of({"namespace": "x", "labels": labels}), number, 1)
    both = LabelSelector((*_equals("app", "web").requirements, *_equals("set", "7").requirements))
    assert len(presences.among([("x", both)])) == 10
    assert len(presences.among([("x", both), ("x", _equals("set", "8"))])) == 20
    assert not presences.among([("y", both)])
    assert len(presences.among([("x", LabelSelector())])) == 1_000


def test_labels_that_are_asked_for_are_limited() -> None:
    shapes, presences = Shapes(), Presences()
    group = shapes.group_of({"namespace": "x", "labels": {"app": "web"}})
    presences.count(group, 0, 1)
    for number in range(_KEYS_MAX):
        assert not presences.among([("x", _equals(f"k{number}", "v"))])
    # It is not known of this one, so it may be any.
    assert set(presences.among([("x", _equals("app", "db"))])) == {group.number}

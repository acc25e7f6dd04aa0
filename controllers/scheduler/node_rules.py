"""What nodes themselves decide, whatever pods are on them: NodeUnschedulable, TaintToleration,
NodeAffinity with nodeSelector, and the raw scores of taints, preferred affinity and images.

All of it is worked out over arrays, each taint set, image set and label value once, and is good
until the columns' version changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from controllers.scheduler.columns import Bools, Ints, NodeColumns
from controllers.scheduler.settings import (
    NODE_AFFINITY,
    SCORE_MAX,
    TAINTS,
    UNSCHEDULABLE,
    Profile,
)
from controllers.scheduler.shapes import Shape
from controllers.scheduler.terms import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PREFER_NO_SCHEDULE,
    UNSCHEDULABLE_TAINT,
    NodeRules,
    NodeTerm,
    Taint,
    Toleration,
)
from kube.selectors import Operator, Requirement

_MIB: Final = 1 << 20
IMAGE_BYTES_MIN: Final = 23 * _MIB
IMAGE_BYTES_MAX: Final = 1000 * _MIB
_NAME_FIELD: Final = "metadata.name"


class Check(NamedTuple):
    """What one filter says of all nodes.

    Attributes:
        text: what it says of those it refuses.
        is_final: whether no pod's going can change that (UnschedulableAndUnresolvable).
        passed: by slot.
        is_whole: whether it is said of the pod, whatever the node (a PreFilter's refusal).
    """

    plugin: str
    text: str
    is_final: bool
    passed: Bools
    is_whole: bool = False


def untolerated(
    taints: Sequence[Taint], tolerations: Sequence[Toleration], effects: tuple[str, ...]
) -> list[Taint]:
    """Return the taints of some effects that nothing tolerates."""
    return [
        taint
        for taint in taints
        if taint.effect in effects and not any(one.tolerates(taint) for one in tolerations)
    ]


def tolerated(columns: NodeColumns, shape: Shape) -> Bools:
    """Return which nodes have no taint that keeps the pod away."""
    table = np.array(
        [
            not untolerated(taints, shape.tolerations, (NO_SCHEDULE, NO_EXECUTE))
            for taints in columns.taint_sets
        ],
        np.bool_,
    )
    found: Bools = table[columns.taints[: columns.count]]
    return found


def node_checks(columns: NodeColumns, shape: Shape, profile: Profile) -> Iterator[Check]:
    """Yield what the filters that only look at nodes say, in their order."""
    count = columns.count
    if NODE_AFFINITY in profile.filters and (names := named_nodes(shape.nodes)) is not None:
        yield _named_check(columns, names)
    if UNSCHEDULABLE in profile.filters:
        taint = Taint(UNSCHEDULABLE_TAINT, "", NO_SCHEDULE)
        if untolerated((taint,), shape.tolerations, (NO_SCHEDULE,)):
            text = "node(s) were unschedulable"
            yield Check(UNSCHEDULABLE, text, is_final=True, passed=~columns.unschedulable[:count])
    if TAINTS in profile.filters and len(columns.taint_sets) > 1:
        text = "node(s) had untolerated taint(s)"
        yield Check(TAINTS, text, is_final=True, passed=tolerated(columns, shape))
    if NODE_AFFINITY in profile.filters and _has_rules(shape.nodes):
        text = "node(s) didn't match Pod's node affinity/selector"
        yield Check(NODE_AFFINITY, text, is_final=True, passed=node_matches(columns, shape.nodes))


def node_matches(columns: NodeColumns, rules: NodeRules) -> Bools:
    """Return which nodes a pod's selector and required affinity allow."""
    found = np.ones(columns.count, np.bool_)
    for requirement in rules.selector:
        found &= columns.label(requirement.key).matching(requirement, columns.count)
    if rules.required is not None:
        any_term = np.zeros(columns.count, np.bool_)
        for term in rules.required:
            any_term |= term_matches(columns, term)
        found &= any_term
    return found


def term_matches(columns: NodeColumns, term: NodeTerm) -> Bools:
    """Return which nodes a term of node affinity matches."""
    count = columns.count
    if term.is_empty:
        return np.zeros(count, np.bool_)
    found = np.ones(count, np.bool_)
    for requirement in term.expressions:
        found &= columns.label(requirement.key).matching(requirement, count)
    for requirement in term.names:
        found &= _named(columns, requirement)
    return found


def named_nodes(rules: NodeRules) -> frozenset[str] | None:
    """Return the only nodes that a pod may be on by its terms' names; None: they name none.

    Terms are alternatives: where one has no condition on names, all nodes may do.
    """
    if not rules.required:
        return None
    found: set[str] = set()
    for term in rules.required:
        conditions = [
            set(one.values)
            for one in term.names
            if one.key == _NAME_FIELD and one.operator is Operator.IN
        ]
        if not conditions:
            return None
        found |= set.intersection(*conditions)
    return frozenset(found)


def _named_check(columns: NodeColumns, names: frozenset[str]) -> Check:
    """Return what NodeAffinity's PreFilter says of nodes: others are not even looked at."""
    passed = np.zeros(columns.count, np.bool_)
    if not names:
        text = "pod affinity terms conflict"
        return Check(NODE_AFFINITY, text, is_final=True, passed=passed, is_whole=True)
    for name in names:
        slot = columns.slot_of.get(name)
        if slot is not None:
            passed[slot] = True
    text = f"node(s) didn't satisfy plugin(s) [{NODE_AFFINITY}]"
    return Check(NODE_AFFINITY, text, is_final=True, passed=passed)


def pinned_slot(columns: NodeColumns, rules: NodeRules) -> int | None:
    """Return the one node that the pod's terms name, as those of daemons do; None: they do not."""
    if rules.required is None or len(rules.required) != 1:
        return None
    for requirement in rules.required[0].names:
        is_name = requirement.key == _NAME_FIELD and requirement.operator is Operator.IN
        if is_name and len(requirement.values) == 1:
            return columns.slot_of.get(requirement.values[0], -1)
    return None


def taint_scores(columns: NodeColumns, shape: Shape) -> Ints | None:
    """Return how many taints would rather have the pod elsewhere; None: nowhere any."""
    table = np.array(
        [
            len(untolerated(taints, shape.tolerations, (PREFER_NO_SCHEDULE,)))
            for taints in columns.taint_sets
        ],
        np.int64,
    )
    if not table.any():
        return None
    found: Ints = table[columns.taints[: columns.count]]
    return found


def preference_scores(columns: NodeColumns, rules: NodeRules) -> Ints | None:
    """Return the weights of the preferred terms that nodes match; None: there are no terms."""
    if not rules.preferred:
        return None
    total = np.zeros(columns.count, np.int64)
    for weight, term in rules.preferred:
        if weight:
            # A preferred term without anything matches every node.
            total += weight * (1 if term.is_empty else term_matches(columns, term))
    return total


def image_scores(columns: NodeColumns, shape: Shape) -> Ints | None:
    """Return the scores (0 to 100) of the images that are there already; None: all are 0."""
    sets, count = columns.image_sets.sets, columns.count
    if len(sets) == 1 or not shape.images:
        return None
    numbers = columns.images[:count]
    nodes_of = np.bincount(numbers[columns.valid[:count]], minlength=len(sets))
    nodes = int(nodes_of.sum())
    sums = np.zeros(len(sets), np.int64)
    for name in map(_normalized, shape.images):
        having = [at for at, images in enumerate(sets) if name in images]
        spread = float(nodes_of[having].sum()) / max(nodes, 1) if having else 0.0
        for at in having:
            sums[at] += int(sets[at][name] * spread)
    if not sums.any():
        return None
    most = IMAGE_BYTES_MAX * len(shape.images)
    bounded = np.clip(sums, IMAGE_BYTES_MIN, most)
    table = SCORE_MAX * (bounded - IMAGE_BYTES_MIN) // (most - IMAGE_BYTES_MIN)
    found: Ints = table[numbers]
    return found


def names_match(term: NodeTerm, name: str) -> bool:
    """Tell whether a term's conditions on the node's name hold."""
    return all(one.matches({_NAME_FIELD: name}) for one in term.names)


def _has_rules(rules: NodeRules) -> bool:
    return bool(rules.selector) or rules.required is not None


def _named(columns: NodeColumns, requirement: Requirement) -> Bools:
    found = np.zeros(columns.count, np.bool_)
    if requirement.key != _NAME_FIELD:
        return found
    slots = [columns.slot_of[name] for name in requirement.values if name in columns.slot_of]
    found[slots] = True
    return found if requirement.operator is Operator.IN else ~found


def _normalized(image: str) -> str:
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"

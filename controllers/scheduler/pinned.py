"""Pods whose terms name their one node, as those of daemons do: only that node is looked at.

Upstream's NodeAffinity says so before any filter (PreFilterResult). With 100,000 nodes and as many
daemons, arrays of all nodes for each pod would take the scheduler's whole time. What is said here
is what `contest.py` and `diagnosis.py` say of the same pod (a property test compares them); pods in
which others' places or extensions have a say are left to those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from controllers.scheduler.diagnosis import Diagnosis
from controllers.scheduler.fit import Fit
from controllers.scheduler.node_rules import names_match, untolerated
from controllers.scheduler.room import has_room, ports_clash
from controllers.scheduler.settings import (
    FIT,
    NODE_AFFINITY,
    PORTS,
    TAINTS,
    UNSCHEDULABLE,
    Profile,
)
from controllers.scheduler.shapes import Shape
from controllers.scheduler.state import ClusterState
from controllers.scheduler.terms import (
    NO_EXECUTE,
    NO_SCHEDULE,
    UNSCHEDULABLE_TAINT,
    NodeRules,
    Taint,
)
from kube.selectors import Operator

_NAME_FIELD = "metadata.name"


class Fault(NamedTuple):
    """Why the node is refused; is_final: whether no pod's going can change that."""

    plugin: str
    texts: tuple[str, ...]
    is_final: bool


def named_node(shape: Shape, profile: Profile) -> str | None:
    """Return the one node that a pod may be on by its terms; None: others may do, or matter."""
    if NODE_AFFINITY not in profile.filters or shape.has_pod_terms:
        return None
    required = shape.nodes.required
    if required is None or len(required) != 1 or len(required[0].names) != 1:
        return None
    condition = required[0].names[0]
    is_name = condition.key == _NAME_FIELD and condition.operator is Operator.IN
    if not is_name or len(condition.values) != 1 or any(one.is_hard for one in shape.spreads):
        return None
    return condition.values[0]


class Pinned:
    """What is to be said of one pod and its node.

    Args of the constructor:
        state: what there is.
        shape: the pod's, which `named_node` knows the node of.
        profile: its filters.
        slot: of the node; None: there is no such node.
    """

    def __init__(
        self, state: ClusterState, shape: Shape, profile: Profile, slot: int | None
    ) -> None:
        self._state = state
        self._shape = shape
        self._profile = profile
        is_there = slot is not None and bool(state.columns.valid[slot])
        self.slot = slot if is_there else None
        self._fit = Fit(state.columns, shape, profile)

    def is_feasible(self, despite: str) -> bool:
        """Tell whether the pod may be there; room that is kept for `despite`, its uid, is its."""
        slot = self.slot
        if slot is None or next(self._node_faults(slot), None) is not None:
            return False
        if self._clashes(slot):
            return False
        return has_room(self._state, self._fit, self._shape, slot, despite)

    def explain(self) -> Diagnosis:
        """Return why there is no node for the pod."""
        columns, slot = self._state.columns, self.slot
        resolvable = np.zeros(columns.count, np.bool_)
        nodes = columns.nodes
        reasons, plugins = {}, set()
        others = nodes if slot is None else nodes - 1
        if others:
            reasons[f"node(s) didn't satisfy plugin(s) [{NODE_AFFINITY}]"] = others
            plugins.add(NODE_AFFINITY)
        fault = None if slot is None else next(self._faults(slot), None)
        if fault is not None:
            for text in fault.texts:
                reasons[text] = 1
            plugins.add(fault.plugin)
            resolvable[slot] = not fault.is_final
        return Diagnosis(nodes, reasons, frozenset(plugins), resolvable)

    def _faults(self, slot: int) -> Iterator[Fault]:
        yield from self._node_faults(slot)
        if self._clashes(slot):
            text = "node(s) didn't have free ports for the requested pod ports"
            yield Fault(PORTS, (text,), is_final=False)
        failed = [one for one in self._fit.checks(slice(slot, slot + 1)) if not one.passed[0]]
        if failed:
            texts = tuple(dict.fromkeys(one.text for one in failed))
            yield Fault(FIT, texts, is_final=any(one.is_final for one in failed))

    def _node_faults(self, slot: int) -> Iterator[Fault]:
        columns, filters = self._state.columns, self._profile.filters
        tolerations, rules = self._shape.tolerations, self._shape.nodes
        if UNSCHEDULABLE in filters and columns.unschedulable[slot]:
            taint = Taint(UNSCHEDULABLE_TAINT, "", NO_SCHEDULE)
            if untolerated((taint,), tolerations, (NO_SCHEDULE,)):
                yield Fault(UNSCHEDULABLE, ("node(s) were unschedulable",), is_final=True)
        if TAINTS in filters:
            taints = columns.taint_sets[columns.taints[slot]]
            if untolerated(taints, tolerations, (NO_SCHEDULE, NO_EXECUTE)):
                yield Fault(TAINTS, ("node(s) had untolerated taint(s)",), is_final=True)
        if not _matches(rules, columns.labels_of(slot), columns.names[slot]):
            text = "node(s) didn't match Pod's node affinity/selector"
            yield Fault(NODE_AFFINITY, (text,), is_final=True)

    def _clashes(self, slot: int) -> bool:
        has_ports = bool(self._shape.ports) and PORTS in self._profile.filters
        return has_ports and ports_clash(self._state, self._shape, slot)


def _matches(rules: NodeRules, labels: dict[str, str], name: str) -> bool:
    """Tell whether a node meets a pod's selector and its one required term."""
    assert rules.required is not None
    term = rules.required[0]
    return all(one.matches(labels) for one in (*rules.selector, *term.expressions)) and names_match(
        term, name
    )

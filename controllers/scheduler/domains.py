"""Topology: how many pods of interest are in each domain, for one shape of pods.

A domain table is what one constraint or term counts, by the values of its topology key. Roles:

    HARD, SOFT     a spread constraint, DoNotSchedule or ScheduleAnyway
    WITH, APART    a required affinity or anti-affinity term of the pod itself
    SHUNNED        required anti-affinity of pods that are there, against this one; one a key
    WEIGHT         all that is only preferred, for and against; one a key

Counts of a table are moved along by what comes and goes (`amount`), and never counted anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np

from controllers.scheduler.columns import ABSENT, Bools, Ints
from controllers.scheduler.node_rules import node_matches, tolerated
from controllers.scheduler.presences import Presence
from controllers.scheduler.settings import POD_AFFINITY, SPREAD, Profile
from controllers.scheduler.shapes import Group, Shape
from controllers.scheduler.state import ClusterState, Moved
from controllers.scheduler.terms import HOSTNAME, PodTerm, Spread
from kube.selectors import LabelSelector

BY_CODE_MAX: Final = 256
MISSING: Final = -(2**40)
_FAR: Final = 2**40


class Role(Enum):
    """What a table is for; see the module's head."""

    HARD = "hard"
    SOFT = "soft"
    WITH = "with"
    APART = "apart"
    SHUNNED = "shunned"
    WEIGHT = "weight"


@dataclass(slots=True)
class Table:
    """One table.

    Attributes:
        codes: the domain of each node, ABSENT where the node has no such label.
        counts: by domain.
        by_value: whether cells tell nodes apart by their domain's count rather than by the domain:
            where there are many domains with few nodes each.
        counted: the nodes whose pods count; None: all.
        is_there: the domains that exist, for HARD.
        own: what a pod of the shape itself adds, for HARD.
    """

    role: Role
    key: str
    codes: Ints
    counts: Ints
    by_value: bool
    spread: Spread | None = None
    term: PodTerm | None = None
    counted: Bools | None = None
    is_there: Bools | None = None
    own: int = 0
    _nodes: tuple[Ints, Ints] | None = None
    _least: int | None = None
    _at_least: int = 0

    def values(self) -> Ints:
        """Return the count of each node's domain, MISSING where it is in none."""
        found = self.counts[self.codes]
        found[self.codes == ABSENT] = MISSING
        return found

    def value(self, slot: int) -> int:
        """Return what `values` says of one node."""
        code = self.codes[slot]
        return MISSING if code == ABSENT else int(self.counts[code])

    def nodes_of(self, code: int) -> list[int]:
        """Return the nodes in a domain."""
        if self._nodes is None:
            order = np.argsort(self.codes, kind="stable")
            self._nodes = order, self.codes[order]
        order, codes = self._nodes
        start, end = np.searchsorted(codes, (code, code + 1)).tolist()
        found: list[int] = order[start:end].tolist()
        return found

    def add_many(self, slots: Ints, amounts: Ints) -> None:
        """Count pods on many nodes, once, at the start."""
        codes = self.codes[slots]
        counts = codes != ABSENT
        if self.counted is not None:
            counts &= self.counted[slots]
        np.add.at(self.counts, codes[counts], amounts[counts])

    def add(self, slot: int, amount: int) -> int | None:
        """Count more or less on a node; return the domain whose count is another now."""
        code = int(self.codes[slot])
        if code == ABSENT or (self.counted is not None and not self.counted[slot]):
            return None
        before = int(self.counts[code])
        self.counts[code] = before + amount
        if self._least is not None:
            if amount < 0:
                self._least = None
            elif before == self._least:
                self._at_least -= 1
                if not self._at_least:
                    self._least = None
        return code

    def least(self) -> int:
        """Return the least count of the domains there are; 0 where too few of them are."""
        assert self.is_there is not None
        assert self.spread is not None
        if self._least is None:
            counts = np.where(self.is_there, self.counts, _FAR)
            self._least = int(counts.min()) if len(counts) else _FAR
            self._at_least = int((counts == self._least).sum())
        if self.spread.min_domains > 1 and self.is_there.sum() < self.spread.min_domains:
            return 0
        # Without any domain no node has one, and no count is compared.
        return 0 if self._least == _FAR else self._least


@dataclass(slots=True)
class Topology:
    """All tables of a shape, and what moves them."""

    state: ClusterState
    shape: Shape
    group: Group
    profile: Profile
    tables: list[Table] = field(default_factory=list)
    _amounts: dict[tuple[int, int], tuple[tuple[int, int], ...] | None] = field(
        default_factory=dict
    )

    def build(self) -> None:
        """Make and count all tables, anew if there are some."""
        self.tables.clear()
        self._amounts.clear()
        shape, filters = self.shape, self.profile.filters
        hard = [one for one in shape.spreads if one.is_hard]
        soft = [one for one in shape.spreads if not one.is_hard]
        if SPREAD in filters:
            self._add_spreads(hard, Role.HARD)
        if self.profile.weights.get(SPREAD):
            self._add_spreads(soft, Role.SOFT)
        if POD_AFFINITY in filters:
            for term in shape.affinity.required:
                self._add(Role.WITH, term.key, term=term)
            for term in shape.anti.required:
                self._add(Role.APART, term.key, term=term)
            for key in self._keys_of_others(is_required=True):
                self._add(Role.SHUNNED, key)
        if self.profile.weights.get(POD_AFFINITY):
            own = [
                term.key for terms in (shape.affinity, shape.anti) for _, term in terms.preferred
            ]
            for key in dict.fromkeys([*own, *self._keys_of_others(is_required=False)]):
                self._add(Role.WEIGHT, key)
        if self.tables:
            self._count()

    def of(self, role: Role) -> Iterator[tuple[int, Table]]:
        """Yield the tables of a role with their numbers."""
        for number, table in enumerate(self.tables):
            if table.role is role:
                yield number, table

    def matches_itself(self) -> bool:
        """Tell whether the pod meets all its own affinity terms: the first of its kind may come."""
        terms = self.shape.affinity.required
        return all(self.state.selects(term, self.group) for term in terms)

    def amounts(self, moved: Moved) -> tuple[tuple[int, int], ...] | None:
        """Return what a pod that came counts for: tables and amounts.

        None: for a table that there is not, so all has to be built anew.
        """
        shape, group = moved.shape, moved.group
        assert shape is not None
        assert group is not None
        # Of shapes without terms only the group matters.
        key = (group.number, shape.number if shape.has_pod_terms else 0)
        if key not in self._amounts:
            self._amounts[key] = self._amounts_of(shape if key[1] else None, group)
        return self._amounts[key]

    def _amounts_of(self, shape: Shape | None, group: Group) -> tuple[tuple[int, int], ...] | None:
        found: list[tuple[int, int]] = []
        for number, table in enumerate(self.tables):
            amount = self._amount(table, shape, group)
            if amount:
                found.append((number, amount))
        if shape is not None:
            known = {(table.role, table.key) for table in self.tables}
            for role, key in self._roles_of(shape):
                if (role, key) not in known:
                    return None
        return tuple(found)

    def _amount(self, table: Table, shape: Shape | None, group: Group) -> int:
        selects = self.state.selects
        match table.role:
            case Role.HARD | Role.SOFT:
                assert table.spread is not None
                is_counted = not group.is_leaving and group.namespace == self.group.namespace
                return int(is_counted and table.spread.selector.matches(dict(group.labels)))
            case Role.WITH:
                return int(all(selects(term, group) for term in self.shape.affinity.required))
            case Role.APART:
                assert table.term is not None
                return int(selects(table.term, group))
            case Role.SHUNNED:
                if shape is None:
                    return 0
                return sum(
                    term.key == table.key and selects(term, self.group)
                    for term in shape.anti.required
                )
            case Role.WEIGHT:
                return self._weight(table.key, shape, group)

    def _weight(self, key: str, shape: Shape | None, group: Group) -> int:
        total = self._preference(key, self.shape, group)
        if shape is None:
            return total
        for term in shape.affinity.required:
            if term.key == key and self.state.selects(term, self.group):
                total += self.profile.hard_weight
        if not self.profile.ignores_preferred or self._has_preferences():
            total += self._preference(key, shape, self.group)
        return total

    def _preference(self, key: str, shape: Shape, group: Group) -> int:
        """Return how much pods of a shape would like to be with those of a group."""
        total = 0
        for sign, terms in ((1, shape.affinity), (-1, shape.anti)):
            for weight, term in terms.preferred:
                if term.key == key and self.state.selects(term, group):
                    total += sign * weight
        return total

    def _has_preferences(self) -> bool:
        return bool(self.shape.affinity.preferred or self.shape.anti.preferred)

    def _roles_of(self, shape: Shape) -> Iterator[tuple[Role, str]]:
        """Yield the tables in which a pod's terms count for the pod to be placed."""
        selects = self.state.selects
        if POD_AFFINITY in self.profile.filters:
            for term in shape.anti.required:
                if selects(term, self.group):
                    yield Role.SHUNNED, term.key
        if self.profile.weights.get(POD_AFFINITY):
            weighted = [
                term for terms in (shape.affinity, shape.anti) for _, term in terms.preferred
            ]
            if self.profile.hard_weight:
                weighted += shape.affinity.required
            for term in weighted:
                if selects(term, self.group):
                    yield Role.WEIGHT, term.key

    def _keys_of_others(self, *, is_required: bool) -> list[str]:
        wanted = Role.SHUNNED if is_required else Role.WEIGHT
        shapes = {id(one.shape): one.shape for one in self.state.termed.values()}
        # The pod's own shape counts too: once one of it is there, it is one of the others.
        shapes[id(self.shape)] = self.shape
        found = [
            key
            for shape in shapes.values()
            if shape is not None
            for role, key in self._roles_of(shape)
            if role is wanted
        ]
        return list(dict.fromkeys(found))

    def _add(self, role: Role, key: str, *, term: PodTerm | None = None) -> Table:
        columns = self.state.columns
        column = columns.label(key)
        table = Table(
            role,
            key,
            column.codes[: columns.count].astype(np.int64),
            np.zeros(max(len(column.values), 1), np.int64),
            by_value=len(column.values) > BY_CODE_MAX,
            term=term,
        )
        self.tables.append(table)
        return table

    def _add_spreads(self, spreads: list[Spread], role: Role) -> None:
        columns = self.state.columns
        has_all = columns.valid[: columns.count].copy()
        for spread in spreads:
            if not spread.is_default:
                has_all &= columns.label(spread.key).codes[: columns.count] != ABSENT
        for spread in spreads:
            table = self._add(role, spread.key)
            table.spread = spread
            counted = has_all.copy()
            if spread.honors_affinity:
                counted &= node_matches(columns, self.shape.nodes)
            if spread.honors_taints:
                counted &= tolerated(columns, self.shape)
            table.counted = counted
            if role is Role.HARD:
                table.own = int(spread.selector.matches(dict(self.group.labels)))
                table.is_there = np.zeros(len(table.counts), np.bool_)
                table.is_there[table.codes[counted & (table.codes != ABSENT)]] = True
            elif spread.key == HOSTNAME:
                # Scored by the node's own pods, whoever else has its name.
                own = np.arange(columns.count, dtype=np.int64)
                table.codes = np.where(table.codes == ABSENT, ABSENT, own)
                table.counts = np.zeros(max(columns.count, 1), np.int64)
                table.counted = None
                table.by_value = True
            else:
                table.by_value = False  # how many domains there are counts, so cells name them

    def _count(self) -> None:
        state = self.state
        looks_at_groups = (
            any(
                table.role in (Role.HARD, Role.SOFT, Role.WITH, Role.APART) for table in self.tables
            )
            or self._has_preferences()
        )
        if looks_at_groups:
            for presence in state.groups.among(self._selectors()).values():
                self._count_presence(presence, self._amounts_of(None, presence.group))
        for presence in state.termed.values():
            # What its group counts for is counted already.
            plain = dict(self._amounts_of(None, presence.group) or ()) if looks_at_groups else {}
            whole = dict(self._amounts_of(presence.shape, presence.group) or ())
            rest = {number: amount - plain.get(number, 0) for number, amount in whole.items()}
            for number, amount in plain.items():
                rest.setdefault(number, -amount)
            self._count_presence(presence, tuple(rest.items()))

    def _selectors(self) -> Iterator[tuple[str, LabelSelector]]:
        """Yield namespace and selector of all that tables count pods by, whoever has them."""
        everywhere = LabelSelector()
        for table in self.tables:
            if table.spread is not None:
                yield self.group.namespace, table.spread.selector
        own = [one for terms in (self.shape.affinity, self.shape.anti) for one in terms.required]
        for terms in (self.shape.affinity, self.shape.anti):
            own += [term for _, term in terms.preferred]
        for term in own:
            if term.of_namespaces is not None:
                yield "", everywhere  # which they are is another question
                return
            for namespace in term.namespaces:
                yield namespace, term.selector

    def _count_presence(
        self, presence: Presence, amounts: tuple[tuple[int, int], ...] | None
    ) -> None:
        for number, amount in amounts or ():
            if amount:
                slots, counts = presence.arrays()
                self.tables[number].add_many(slots, counts * amount)

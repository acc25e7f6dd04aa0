"""The nodes as candidates of one shape of pods: who may have one, and who is best.

Built once over arrays, then moved along by what changes (`sync`), so that deciding pod after pod
costs what each changes, and gives what deciding each anew would. Built again when nodes change in
what pods do not change, or too much has happened meanwhile.

A node is a candidate when the filters that look at it alone pass it; cells (`cells.py`) hold those
with room. Coordinates of a cell are the raw scores that are normalized over all feasible nodes, and
a node's place in each topology.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from controllers.scheduler import evaluation
from controllers.scheduler.cells import Cells
from controllers.scheduler.columns import ABSENT, Bools, Ints
from controllers.scheduler.domains import Role, Topology
from controllers.scheduler.evaluation import Seen
from controllers.scheduler.extension import Extension, Occupancy, passed_by_all
from controllers.scheduler.fit import NO_FIT, Fit
from controllers.scheduler.node_rules import (
    Check,
    image_scores,
    node_checks,
    preference_scores,
    taint_scores,
)
from controllers.scheduler.room import has_room, ports_clash
from controllers.scheduler.settings import (
    IMAGES,
    NODE_AFFINITY,
    POD_AFFINITY,
    PORTS,
    SPREAD,
    TAINTS,
    Profile,
)
from controllers.scheduler.shapes import Group, Shape
from controllers.scheduler.state import ClusterState, Moved, Placed

_REBUILD_AFTER: Final = 1024
_NONE: Final = -1
FEW_CELLS: Final = 48
"""Up to so many plain numbers are quicker than arrays."""


class Contest:
    """See the module's head.

    Args of the constructor:
        state: what there is.
        shape, group: of the pods.
        profile: weights and arguments.
        extensions: further checks, in their order.
    """

    def __init__(
        self,
        state: ClusterState,
        shape: Shape,
        group: Group,
        profile: Profile,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self._state = state
        self._shape = shape
        self._group = group
        self._profile = profile
        self._extensions = [one for one in extensions if one.concerns(shape)]
        self._version: tuple[int, ...] = (-1,)
        self._position = 0
        self._topology = Topology(state, shape, group, profile)
        self._counts_nodes = any(not one.is_hard for one in shape.spreads)
        self._build()

    @property
    def is_local(self) -> bool:
        """Whether a node's room depends on that node alone: not on topology, volumes or plugins."""
        return not (self._topology.tables or self._extensions)

    def pick(self, cursor: int) -> tuple[int, int] | None:
        """Return the best node's slot, and the cursor for the next; None: none is feasible."""
        self.sync()
        if self._is_plain and self._cells.count <= FEW_CELLS:
            found = self._pick_of_few(cursor)
        else:
            if self._is_stale:
                self._evaluate()
            found = self._cells.best(self._allowed, self._offsets, cursor)
        if found is None:
            return None
        rank = found[0]
        return self._slot_of(rank), (rank + 1) & 0xFFFFFFFF

    def _pick_of_few(self, cursor: int) -> tuple[int, int] | None:
        cells, tables = self._cells, self._topology.tables
        where = [cells.coordinates(number).tolist() for number in range(len(tables))]
        scores = evaluation.few_spread_scores(tables, where, cells.sizes[: cells.count].tolist())
        weight = self._profile.weights[SPREAD]
        return cells.best_of_few([weight * score for score in scores], cursor)

    def is_feasible(self, slot: int, *, despite: str = "") -> bool:
        """Tell whether a pod may be on a node.

        Args:
            slot: of the node.
            despite: uid of the pod for which room may be kept there.
        """
        self.sync()
        if not self._static[slot] or not self._has_room(slot, despite):
            return False
        seen = [self._seen_at(number, slot) for number in range(len(self._topology.tables))]
        return all(
            bool(check.passed[0]) for check in evaluation.topology_checks(self._topology, seen)
        )

    def feasible_without(self, slot: int, victims: Sequence[Placed]) -> bool:
        """Tell whether a pod could be on a node if some others, not removed yet, were not there.

        The caller has taken what they need out of the columns; here are the topologies.
        """
        if not self._static[slot] or not self._has_room(slot, "", victims):
            return False
        if not self._topology.tables:
            return True
        topology = self._topology
        less: Counter[int] = Counter()
        for victim in victims:
            for number, amount in topology.amounts(Moved(slot, victim.shape, victim.group)) or ():
                less[number] += amount
        for number, amount in less.items():
            topology.tables[number].add(slot, -amount)
        seen = [self._seen_at(number, slot) for number in range(len(topology.tables))]
        checks = evaluation.topology_checks(topology, seen)
        passed = all(bool(check.passed[0]) for check in checks)
        for number, amount in less.items():
            topology.tables[number].add(slot, amount)
        return passed

    def checks(self) -> list[Check]:
        """Return what every filter says of every node, in order; for telling why none is left."""
        self.sync()
        state, shape = self._state, self._shape
        columns, count = state.columns, state.columns.count
        everywhere = slice(0, count)
        found = list(node_checks(columns, shape, self._profile))
        if shape.ports and PORTS in self._profile.filters:
            text = "node(s) didn't have free ports for the requested pod ports"
            found.append(Check(PORTS, text, is_final=False, passed=~self._clashing()))
        found += self._fit.checks(everywhere)
        for one in self._occupancies:
            found += one.checks()
        for extension in self._extensions:
            if extension.is_early:
                found += extension.checks(shape, self._profile)
        tables = self._topology.tables
        if tables:
            seen = [Seen(table.codes != ABSENT, table.values(), table.codes) for table in tables]
            found += evaluation.topology_checks(self._topology, seen)
        for extension in self._extensions:
            if not extension.is_early:
                found += extension.checks(shape, self._profile)
        return found

    def _versions(self) -> tuple[int, ...]:
        found = [self._state.columns.version]
        found += [one.version(self._shape) for one in self._extensions]
        return tuple(found)

    def sync(self) -> None:
        """Take in what has changed."""
        state = self._state
        if self._version != self._versions():
            self._build()
            return
        if self._position == state.changed:
            return
        behind = state.changed - self._position
        changes = state.since(self._position) if behind <= _REBUILD_AFTER else None
        if changes is None:
            self._build()
            return
        self._position = state.changed
        touched: set[int] = set()
        tables = self._topology.tables
        for moved in changes:
            touched.add(moved.slot)
            if not tables or moved.shape is None:
                continue
            amounts = self._topology.amounts(moved)
            if amounts is None:
                self._build()
                return
            for number, amount in amounts:
                self._move_table(number, moved.slot, amount * moved.sign, touched)
        for slot in touched:
            self._refresh(slot)

    def _move_table(self, number: int, slot: int, amount: int, touched: set[int]) -> None:
        table = self._topology.tables[number]
        code = table.add(slot, amount)
        if code is None:
            return
        self._is_stale = True
        if table.by_value:
            # Nodes of the domain are in other cells now; often it is the one.
            touched.update(table.nodes_of(code))

    def _build(self) -> None:
        state, shape, profile = self._state, self._shape, self._profile
        columns, count = state.columns, state.columns.count
        self._version = self._versions()
        self._position = state.changed
        self._fit = Fit(columns, shape, profile)
        static: Bools = columns.valid[:count].copy()
        for check in node_checks(columns, shape, profile):
            static &= check.passed
        for one in self._extensions:
            static = passed_by_all(one.checks(shape, profile), static)
        self._static = static
        asked = (one.occupancy(shape, profile) for one in self._extensions)
        self._occupancies: list[Occupancy] = [one for one in asked if one is not None]
        self._topology.build()
        self._own = self._own_scores()
        self._raw: list[tuple[int, bool, Ints]] = []
        for plugin, is_reversed, raw in (
            (TAINTS, True, taint_scores(columns, shape)),
            (NODE_AFFINITY, False, preference_scores(columns, shape.nodes)),
        ):
            weight = profile.weights.get(plugin, 0)
            if weight and raw is not None:
                self._raw.append((weight, is_reversed, raw))
        for one in self._extensions:
            preferred = one.preferences(shape, profile)
            if preferred is not None:
                self._raw.append((preferred[0], False, preferred[1]))
        self._fill()

    def _own_scores(self) -> Ints | None:
        weight = self._profile.weights.get(IMAGES, 0)
        images = image_scores(self._state.columns, self._shape) if weight else None
        own = None if images is None else weight * images
        for one in self._extensions:
            more = one.scores(self._shape, self._profile)
            if more is not None:
                own = more if own is None else own + more
        return own

    def _fill(self) -> None:
        columns, count = self._state.columns, self._state.columns.count
        slots = np.flatnonzero(self._static)
        levels = self._fit.levels(slots)
        if self._own is not None:
            levels = np.where(levels == NO_FIT, NO_FIT, levels + self._own[slots])
        coordinates = [raw[slots] for _, _, raw in self._raw]
        for table in self._topology.tables:
            values = table.values() if table.by_value else table.codes
            coordinates.append(values[slots])
        self._cells = Cells(len(coordinates))
        cells = self._cells.cells_of(coordinates, len(slots))
        self._cell: npt.NDArray[np.int32] = np.full(count, _NONE, np.int32)
        self._level_of: npt.NDArray[np.int32] = np.full(count, NO_FIT, np.int32)
        if self._shape.ports and PORTS in self._profile.filters:
            levels[self._clashing()[slots]] = NO_FIT
        for one in self._occupancies:
            levels[~passed_by_all(one.checks(), self._static)[slots]] = NO_FIT
        self._cell[slots] = cells
        self._level_of[slots] = levels
        roomy = levels != NO_FIT
        self._cells.fill(cells[roomy], levels[roomy], columns.rank[slots[roomy]])
        self._is_stale = True
        roles = {table.role for table in self._topology.tables}
        self._is_plain = roles == {Role.SOFT} and not self._raw
        for slot in self._state.nominated:
            if slot < count and self._static[slot]:
                self._refresh(slot)

    def _clashing(self) -> Bools:
        found = np.zeros(self._state.columns.count, np.bool_)
        for slot in self._state.ports:
            if slot < len(found):
                found[slot] = ports_clash(self._state, self._shape, slot)
        return found

    def _has_room(self, slot: int, despite: str, without: Sequence[Placed] = ()) -> bool:
        """Tell whether a node has room, with what is kept there for those who were promised it."""
        if self._occupancies:
            gone = frozenset(pod.uid for pod in without)
            if not all(one.passes(slot, gone) for one in self._occupancies):
                return False
        if not has_room(self._state, self._fit, self._shape, slot, despite):
            return False
        has_ports = self._shape.ports and PORTS in self._profile.filters
        return not (has_ports and ports_clash(self._state, self._shape, slot))

    def _level(self, slot: int) -> int:
        """Return a node's own score, which reckons with what is there, not with what is kept."""
        if not self._has_room(slot, ""):
            return NO_FIT
        level = self._fit.level(slot)
        if level == NO_FIT:
            return NO_FIT
        return level if self._own is None else level + int(self._own[slot])

    def _refresh(self, slot: int) -> None:
        """Put one node where it belongs now."""
        if not self._static[slot]:
            return
        cells, rank = self._cells, int(self._state.columns.rank[slot])
        old_cell, old_level = int(self._cell[slot]), int(self._level_of[slot])
        level = self._level(slot)
        cell = old_cell
        if any(table.by_value for table in self._topology.tables):
            count = cells.count
            cell = cells.cell(self._coordinates_of(slot))
            if cells.count != count:
                self._is_stale = True
        if (cell, level) == (old_cell, old_level):
            return
        if old_level != NO_FIT:
            cells.discard(old_cell, old_level, rank)
        if level != NO_FIT:
            cells.add(cell, level, rank)
        self._cell[slot], self._level_of[slot] = cell, level
        # Maxima are over cells that have nodes; soft spreading looks at how many they have.
        is_other = NO_FIT in (old_level, level) or cell != old_cell
        has_both = bool(cells.sizes[old_cell] and cells.sizes[cell])
        if is_other and (self._counts_nodes or not has_both):
            self._is_stale = True

    def _coordinates_of(self, slot: int) -> tuple[int, ...]:
        found = [int(raw[slot]) for _, _, raw in self._raw]
        for table in self._topology.tables:
            found.append(table.value(slot) if table.by_value else int(table.codes[slot]))
        return tuple(found)

    def _seen_at(self, number: int, slot: int) -> Seen:
        table = self._topology.tables[number]
        values = np.array([table.value(slot)], np.int64)
        return Seen(table.codes[slot : slot + 1] != ABSENT, values, table.codes[slot : slot + 1])

    def _evaluate(self) -> None:
        """Work out what is the same for all nodes of a cell."""
        cells, topology, weights = self._cells, self._topology, self._profile.weights
        first = len(self._raw)
        seen = []
        for number, table in enumerate(topology.tables):
            where = cells.coordinates(first + number)
            seen.append(
                evaluation.seen_by_value(where)
                if table.by_value
                else evaluation.seen_by_code(table, where)
            )
        allowed = np.ones(cells.count, np.bool_)
        for check in evaluation.topology_checks(topology, seen) if seen else ():
            allowed &= check.passed
        sizes = cells.sizes[: cells.count]
        feasible = allowed & (sizes > 0)
        offsets = np.zeros(cells.count, np.int64)
        for dimension, (weight, is_reversed, _) in enumerate(self._raw):
            raw = cells.coordinates(dimension)
            offsets += weight * evaluation.default_normalized(
                raw, feasible, is_reversed=is_reversed
            )
        spread = evaluation.spread_scores(topology, seen, feasible, sizes)
        if spread is not None:
            offsets += weights[SPREAD] * spread
        affinity = evaluation.affinity_scores(topology, seen, feasible)
        if affinity is not None:
            offsets += weights[POD_AFFINITY] * affinity
        self._allowed, self._offsets = allowed, offsets
        self._is_stale = False

    def _slot_of(self, rank: int) -> int:
        return self._state.columns.slot_of_rank(rank)

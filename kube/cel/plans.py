"""Checked expressions turned into closures that evaluate them.

A closure takes a frame, a list whose first element is what may still be spent and whose others
are variables. Beside each closure stands what running it costs at least: whoever runs it has paid
that already, so that straight code is paid for at once; branches and turns of loops are paid when
they are taken. Only loops and functions that may take long look whether all is spent: nothing else
can run longer than the expression is long.

Types are known where the checker knows them, and objects follow their schema; what does not is an
error of the expression, never of this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from kube.cel.adapting import adapter
from kube.cel.errors import CelError, CostExceeded
from kube.cel.tree import Ident, ListLiteral, Literal, MapLiteral, Node, Select
from kube.cel.values import NONE, TYPE_NAMES, Optional, TypeValue, no_such_overload

Frame = list[Any]
Run = Callable[[Frame], Any]
LIST_COST: Final = 10
MAP_COST: Final = 30
MESSAGE_COST: Final = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """A closure and what whoever runs it has to pay before."""

    run: Run
    cost: int
    constant: bool = False


def no_such_key(key: object) -> CelError:
    """Return the error of a map or object that lacks what is asked for."""
    return CelError(f"no such key: {key}")


def overspent() -> CostExceeded:
    """Return the error of an expression that cost too much."""
    return CostExceeded("operation cancelled: actual cost limit exceeded")


class Planner:
    """Plans one expression.

    Args:
        variables: the names of the frame's first variables, in order.
        lazy: those that are asked for their fields (`value.get(name)`) when they are needed.
        others: who plans the nodes that are not planned here.
    """

    def __init__(
        self,
        variables: tuple[str, ...],
        lazy: frozenset[str],
        others: Mapping[type[Node], Callable[[Planner, Any], Plan]],
    ) -> None:
        self._others = others
        self._scopes: list[dict[str, int]] = [
            {name: at for at, name in enumerate(variables, start=1)}
        ]
        self._lazy = lazy
        self.slots = len(variables) + 1

    def plan(self, node: Node) -> Plan:
        """Return the plan of a node."""
        match node:
            case Literal():
                value = node.value
                return Plan(lambda _: value, 0, constant=True)
            case Ident():
                return self._ident(node)
            case Select():
                return self._test(node) if node.test else self._select(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case _:
                return self._others[type(node)](self, node)

    def declare(self, *names: str) -> list[int]:
        """Open a scope with these variables; return where the frame holds them."""
        places = list(range(self.slots, self.slots + len(names)))
        self.slots += len(names)
        self._scopes.append(dict(zip(names, places, strict=True)))
        return places

    def forget(self) -> None:
        """Close the scope opened last; its places are not used again, nor do they hold much."""
        self._scopes.pop()

    def place(self, name: str) -> int | None:
        """Return where the frame holds a variable; None: it is no variable."""
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return None

    def _ident(self, node: Ident) -> Plan:
        at = self.place(node.name)
        if at is not None:
            return Plan(itemgetter(at), 1)
        return _type_plan(node.name)

    def _select(self, node: Select) -> Plan:
        if node.name:
            return self._ident(Ident(node.name, offset=node.offset))
        operand, source = node.operand, node.operand.type
        key = node.field
        if isinstance(operand, Ident) and operand.name in self._lazy:
            return self._lazy_select(operand, key)
        below = self.plan(operand)
        if source.kind == "optional_type":
            return Plan(_optional_select(below.run, key), below.cost + 1)
        convert = None
        if source.kind == "object" and key in source.fields:
            field = source.fields[key]
            key, convert = field.json_name, adapter(field.type)
        return Plan(_selector(below.run, key, convert), below.cost + 1)

    def _lazy_select(self, operand: Ident, name: str) -> Plan:
        at = self.place(operand.name)
        assert at is not None

        def select(frame: Frame) -> Any:
            return frame[at].get(name)

        return Plan(select, 2)

    def _test(self, node: Select) -> Plan:
        operand, source, key = node.operand, node.operand.type, node.field
        if isinstance(operand, Ident) and operand.name in self._lazy:
            return Plan(lambda _: True, 1)
        below = self.plan(operand)
        run = below.run
        if source.kind == "object" and key in source.fields:
            key = source.fields[key].json_name

        def test(frame: Frame) -> bool:
            value = run(frame)
            if type(value) is dict:
                return key in value
            if type(value) is Optional:
                return value is not NONE and type(value.value) is dict and key in value.value
            raise no_such_overload()

        return Plan(test, below.cost)

    def _list(self, node: ListLiteral) -> Plan:
        plans = [self.plan(element) for element in node.elements]
        cost = LIST_COST + sum(plan.cost for plan in plans)
        runs = [plan.run for plan in plans]
        if not node.optional:
            if all(plan.constant for plan in plans):
                fixed = [run([]) for run in runs]
                # Nothing changes a list once it is made, so all may have the same one.
                return Plan(lambda _: fixed, cost, constant=bool(fixed))
            return Plan(lambda frame: [run(frame) for run in runs], cost)
        marked = [(run, at in node.optional) for at, run in enumerate(runs)]

        def build(frame: Frame) -> list[Any]:
            made = []
            for run, optional in marked:
                value = run(frame)
                if not optional:
                    made.append(value)
                elif type(value) is not Optional:
                    raise no_such_overload()
                elif value is not NONE:
                    made.append(value.value)
            return made

        return Plan(build, cost)

    def _map(self, node: MapLiteral) -> Plan:
        cost = MESSAGE_COST if node.name else MAP_COST
        entries: list[tuple[Run, Run, bool]] = []
        for entry in node.entries:
            key = self.plan(
                entry.key if isinstance(entry.key, Node) else Literal(entry.key, offset=-1)
            )
            value = self.plan(entry.value)
            cost += key.cost + value.cost
            entries.append((key.run, value.run, entry.optional))

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key_run, value_run, optional in entries:
                key, value = key_run(frame), value_run(frame)
                if optional:
                    if type(value) is not Optional:
                        raise no_such_overload()
                    if value is NONE:
                        continue
                    value = value.value
                if not isinstance(key, str | int):
                    raise CelError("unsupported key type")
                if key in made:
                    raise CelError(f"Failed with repeated key: {key}")
                made[key] = value
            return made

        return Plan(build, cost)


def _type_plan(name: str) -> Plan:
    value = TypeValue(TYPE_NAMES.get(name, name))
    return Plan(lambda _: value, 1, constant=True)


def _selector(run: Run, key: str, convert: Callable[[Any], Any] | None) -> Run:
    """Return what takes a field of an object or map."""

    def select(frame: Frame) -> Any:
        value = run(frame)
        try:
            return value[key]
        except KeyError:
            raise no_such_key(key) from None
        except TypeError:
            if type(value) is Optional:
                return _through(value, key)
            raise no_such_overload() from None

    if convert is None:
        return select

    def select_converted(frame: Frame) -> Any:
        return convert(select(frame))

    return select_converted


def _through(holder: Optional, key: str) -> Optional:
    if holder is NONE:
        return NONE
    if type(holder.value) is not dict:
        raise no_such_overload()
    return Optional(holder.value[key]) if key in holder.value else NONE


def _optional_select(run: Run, key: str) -> Run:
    def select(frame: Frame) -> Optional:
        value = run(frame)
        return _through(value if type(value) is Optional else Optional(value), key)

    return select


def optional_field(run: Run, key: str, convert: Callable[[Any], Any] | None) -> Run:
    """Return what takes a field that may be absent: `value.?key`."""

    def select(frame: Frame) -> Optional:
        value = run(frame)
        found = _through(value if type(value) is Optional else Optional(value), key)
        if convert is None or found is NONE:
            return found
        return Optional(convert(found.value))

    return select

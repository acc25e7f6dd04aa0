"""What an expression may cost at worst, before it is ever evaluated.

Sizes come from the schema of `self`: its limits, or else what a request of three MiB can hold. A
node that is reached from a variable has a path, which is looked up in that schema as upstream does
it, its oddities included: variables of loops over something without a path count as the root.
"""

from __future__ import annotations

from typing import Final

from kube.cel.call_costs import CALL_COSTS, Argument, Estimate
from kube.cel.plans import LIST_COST, MAP_COST, MESSAGE_COST
from kube.cel.sizes import ONE, UNKNOWN, ZERO, Entries, Range, fixed
from kube.cel.tree import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
)
from kube.cel.types import SCALARS, SIZE_MAX, CelType

Path = tuple[str, ...]
_ACCUMULATORS: Final = frozenset({"@result", "__result__"})


class _Local:
    """A variable of a loop or binding."""

    __slots__ = ("entries", "path", "size")

    def __init__(self, path: Path, size: Range | None, entries: Entries | None) -> None:
        self.path = path
        self.size = size
        self.entries = entries


def estimate_cost(tree: Node, root: CelType) -> int:
    """Return what an expression costs at most; `root` is the type of `self`."""
    return _Estimator(root).cost(tree).most


class _Estimator:
    def __init__(self, root: CelType) -> None:
        self._root = root
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: Node) -> Range:
        match node:
            case Ident():
                local = self._local(node.name)
                self._paths[id(node)] = (node.name,) if local is None else local.path
                return ONE
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListLiteral():
                return self._list(node)
            case MapLiteral():
                return self._map(node)
            case Comprehension():
                return self._binding(node) if node.binds else self._loop(node)
            case _:
                return ZERO

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    def _select(self, node: Select) -> Range:
        below = self.cost(node.operand)
        if node.test:
            return below
        self._paths[id(node)] = (*self._path(node.operand), node.field)
        if node.operand.type.kind in ("map", "object", "param"):
            return below.plus(ONE)
        return below

    def _list(self, node: ListLiteral) -> Range:
        total = fixed(LIST_COST)
        item = Range(SIZE_MAX if node.elements else 0, 0)
        for element in node.elements:
            total = total.plus(self.cost(element))
            item = item.union(self._size(element))
        self._entries[id(node)] = Entries("list", ONE, item)
        return total

    def _map(self, node: MapLiteral) -> Range:
        total = fixed(MESSAGE_COST if node.name else MAP_COST)
        key = value = Range(SIZE_MAX if node.entries else 0, 0)
        for entry in node.entries:
            if isinstance(entry.key, Node):
                total = total.plus(self.cost(entry.key))
                key = key.union(self._size(entry.key))
            total = total.plus(self.cost(entry.value))
            value = value.union(self._size(entry.value))
        self._entries[id(node)] = Entries("map", key, value)
        return total

    def _call(self, node: Call) -> Range:
        if node.function == "dyn":
            argument = node.args[0]
            cost = self.cost(argument).plus(ONE)
            self._copy(node, argument)
            return cost
        nodes = [*([node.target] if node.target is not None else []), *node.args]
        costs = [self.cost(each) for each in nodes]
        if node.function in ("_&&_", "_||_"):
            return Range(costs[0].least, costs[0].plus(costs[1]).most)
        if node.function == "_?_:_":
            yes, no = nodes[1:]
            self._sizes[id(node)] = self._size(yes).union(self._size(no))
            self._keep(node, self._joined(yes, no))
            return costs[0].plus(costs[1].union(costs[2]))
        estimate = self._estimate(node, nodes)
        total = estimate.cost
        for cost in costs:
            total = total.plus(cost)
        if estimate.size is not None:
            self._sizes[id(node)] = estimate.size
        return total

    def _estimate(self, node: Call, nodes: list[Node]) -> Estimate:
        if node.function == "_[_]":
            subpath = "@items" if nodes[0].type.kind == "list" else "@values"
            self._paths[id(node)] = (*self._path(nodes[0]), subpath)
            entries = self._entry_sizes(nodes[0])
            return Estimate(ONE, entries.value if entries else None)
        rule = CALL_COSTS.get(node.function)
        if node.function == "_+_":
            self._keep(node, self._joined(nodes[0], nodes[1]))
        if rule is None:
            return Estimate(ONE)
        return rule([self._argument(each) for each in nodes])

    def _argument(self, node: Node) -> Argument:
        element = UNKNOWN
        if node.type.kind == "list":
            path = self._path(node)
            found = self._looked_up((*path, "@items")) if path else None
            entries = self._entry_sizes(node)
            element = found or (entries.value if entries else UNKNOWN)
        return Argument(node, node.type, self._size(node), element)

    def _joined(self, left: Node, right: Node) -> Entries | None:
        entries = self._entry_sizes(left)
        return entries.union(self._entry_sizes(right)) if entries else None

    def _keep(self, node: Node, entries: Entries | None) -> None:
        if entries is not None:
            self._entries[id(node)] = entries

    def _copy(self, node: Node, source: Node) -> None:
        size = self._known_size(source)
        if size is not None:
            self._sizes[id(node)] = size
        self._keep(node, self._entry_sizes(source))

    def _loop(self, node: Comprehension) -> Range:
        total = self.cost(node.source).plus(self.cost(node.start))
        self._push_value(node.accumulator, node.start)
        names = [node.variable, *([node.second] if node.second else [])]
        for name, local in zip(names, self._loop_locals(node), strict=False):
            self._locals.setdefault(name, []).append(local)
        turn = self.cost(node.condition).plus(self.cost(node.step))
        for name in names:
            self._locals[name].pop()
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        count = self._size(node.source)
        if isinstance(node.start, Literal):
            self._sizes[id(node)] = self._size(node.start)
        else:
            self._sizes[id(node)] = count
            self._keep(node, self._entry_sizes(node.step))
        return total.plus(count.times(turn))

    def _loop_locals(self, node: Comprehension) -> list[_Local]:
        entries = self._entry_sizes(node.source)
        path = self._path(node.source)
        is_list = (entries.kind if entries else node.source.type.kind) == "list"
        key = _Local(
            (*path, "@indices" if is_list else "@keys"), entries.key if entries else None, None
        )
        value = _Local(
            (*path, "@items" if is_list else "@values"), entries.value if entries else None, None
        )
        if node.second:
            return [key, value]
        return [value if is_list else key]

    def _binding(self, node: Comprehension) -> Range:
        total = self.cost(node.source).plus(self.cost(node.start))
        self._push_value(node.accumulator, node.start)
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        self._copy(node, node.result)
        return total

    def _push_value(self, name: str, value: Node) -> None:
        local = _Local(self._path(value), self._known_size(value), self._entry_sizes(value))
        self._locals.setdefault(name, []).append(local)

    def _path(self, node: Node) -> Path:
        if isinstance(node, Ident):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(id(node), ())

    def _looked_up(self, path: Path) -> Range | None:
        if not path or path[0] in _ACCUMULATORS:
            return None
        current = self._root
        for name in path[1:]:
            below: CelType | None
            match name:
                case "@items" | "@values":
                    below = current.params[-1] if current.params else None
                case "@keys":
                    below = current.params[0] if len(current.params) == 2 else None
                case _:
                    field = current.fields.get(name)
                    below = None if field is None else field.type
            if below is None:
                return None
            current = below
        return Range(0, current.size_max)

    def _size(self, node: Node) -> Range:
        return self._known_size(node) or UNKNOWN

    def _known_size(self, node: Node) -> Range | None:
        known = self._sizes.get(id(node)) or _written_size(node)
        if known is not None:
            return known
        found = self._looked_up(self._path(node))
        if found is not None:
            return found
        if node.type.kind in SCALARS:
            return ONE
        if isinstance(node, Ident):
            local = self._local(node.name)
            return local.size if local else None
        return None

    def _entry_sizes(self, node: Node) -> Entries | None:
        found = self._entries.get(id(node))
        if found is None and isinstance(node, Ident):
            local = self._local(node.name)
            return local.entries if local else None
        return found


def _written_size(node: Node) -> Range | None:
    match node:
        case Literal():
            return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
        case ListLiteral():
            return fixed(len(node.elements))
        case MapLiteral():
            return fixed(len(node.entries))
        case _:
            return None

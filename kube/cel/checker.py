"""Expressions checked: every name is known, every call has an overload that takes its arguments.

Writes each node's type and overloads into the tree. All faults are gathered, in the words and the
layout of cel-go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kube.cel.errors import CelError, CompileError
from kube.cel.library import LIBRARY
from kube.cel.library.moments import parse_duration, parse_timestamp
from kube.cel.library.regex import compile_pattern
from kube.cel.parsing import Source
from kube.cel.tree import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
    walk,
)
from kube.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    STRING,
    UINT,
    CelType,
    list_of,
    map_of,
    optional_of,
    same,
    type_of,
)
from kube.cel.unification import Unifier
from kube.cel.values import Uint

_LITERALS: Final[dict[type, CelType]] = {
    type(None): NULL,
    bool: BOOL,
    int: INT,
    Uint: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
}
_ERRORS_MAX: Final = 100


class Checker:
    """Checks one expression against the variables it may name.

    Args:
        variables: their types.
        messages: the types of objects that an expression may make, by name; a name is also
            looked for without what follows its last dots.
    """

    def __init__(
        self, source: Source, variables: Mapping[str, CelType], messages: Mapping[str, CelType]
    ) -> None:
        self._source = source
        self._scopes: list[dict[str, CelType]] = [dict(variables)]
        self._messages = messages
        self._unifier = Unifier()
        self._errors: list[tuple[int, str]] = []

    def check(self, tree: Node) -> None:
        """Check a tree and complete it.

        Raises:
            CompileError: with all that is wrong.
        """
        self._check(tree)
        if not self._errors:
            for node in walk(tree):
                node.type = self._unifier.resolve(node.type, final=True)
            self._check_literals(tree)
        if self._errors:
            shown = sorted(self._errors, key=lambda error: error[0])[:_ERRORS_MAX]
            raise CompileError("\n".join(self._source.error(at, text) for at, text in shown))

    def _error(self, node: Node, message: str) -> CelType:
        if (node.offset, message) not in self._errors:
            self._errors.append((node.offset, message))
        return ERROR

    def _check(self, node: Node) -> CelType:
        match node:
            case Literal():
                found = _LITERALS[type(node.value)]
            case Ident():
                found = self._ident(node)
            case Select():
                found = self._select(node)
            case Call():
                found = self._call(node)
            case ListLiteral():
                found = self._list(node)
            case MapLiteral():
                found = self._message(node) if node.name else self._map(node)
            case Comprehension():
                found = self._comprehension(node)
            case _:
                found = self._error(node, "unsupported syntax")
        node.type = found
        return found

    def _lookup(self, name: str) -> CelType | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return LIBRARY.types.get(name) or (
            type_of(self._messages[name]) if name in self._messages else None
        )

    def _ident(self, node: Ident) -> CelType:
        found = self._lookup(node.name)
        if found is None:
            return self._error(node, f"undeclared reference to '{node.name}' (in container '')")
        return found

    def _select(self, node: Select) -> CelType:
        name = qualified(node)
        if name and not node.test:
            known = self._dotted(name)
            if known is not None:
                node.name = name
                return known
        found = self._field(node, node.operand, node.field)
        return BOOL if node.test else found

    def _dotted(self, name: str) -> CelType | None:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
            if name.partition(".")[0] in scope:
                # A loop's variable hides what begins with its name further out; but a variable
                # and a dotted one that begins with it may be declared together.
                return None
        return LIBRARY.types.get(name)

    def _is_free(self, name: str) -> bool:
        root = name.partition(".")[0]
        return not any(root in scope for scope in self._scopes)

    def _field(self, node: Node, operand: Node, name: str) -> CelType:
        target = self._unifier.resolve(self._check(operand))
        optional = target.kind == "optional_type"
        if optional:
            target = target.params[0]
        match target.kind:
            case "map":
                found = target.params[1]
            case "object":
                field = target.fields.get(name)
                if field is None and not target.open_ended:
                    return self._error(node, f"undefined field '{name}'")
                found = DYN if field is None else field.type
            case "dyn" | "error" | "param":
                found = DYN
            case _:
                self._error(node, f"type '{target}' does not support field selection")
                found = DYN
        return optional_of(found) if optional else found

    def _call(self, node: Call) -> CelType:
        if node.function == "_?._":
            return self._optional_select(node)
        for arg in node.args:
            self._check(arg)
        if node.target is not None:
            prefix = qualified(node.target)
            full = f"{prefix}.{node.function}"
            if prefix and full in LIBRARY.functions and self._is_free(full):
                node.function, node.target = full, None
            else:
                self._check(node.target)
        if node.function not in LIBRARY.functions:
            return self._error(node, f"undeclared reference to '{node.function}' (in container '')")
        if node.function in ("_&&_", "_||_"):
            return self._logic(node)
        return self._resolve(node)

    def _optional_select(self, node: Call) -> CelType:
        field = node.args[1]
        if not isinstance(field, Literal) or not isinstance(field.value, str):
            return self._error(field, "unsupported optional field selection")
        field.type = STRING
        found = self._field(node, node.args[0], field.value)
        return found if found.kind == "optional_type" else optional_of(found)

    def _logic(self, node: Call) -> CelType:
        for arg in node.args:
            if not self._unifier.assignable([arg.type], [BOOL]):
                given = self._unifier.resolve(arg.type)
                self._error(arg, f"expected type 'bool' but found '{given}'")
        node.overloads = LIBRARY.functions[node.function]
        return BOOL

    def _resolve(self, node: Call) -> CelType:
        nodes = [*([node.target] if node.target is not None else []), *node.args]
        given = [self._unifier.resolve(each.type) for each in nodes]
        result: CelType | None = None
        node.overloads = []
        for overload in LIBRARY.functions[node.function]:
            if overload.member != (node.target is not None) or len(overload.params) != len(given):
                continue
            wanted = self._unifier.instantiate((overload.result, *overload.params))
            if not self._unifier.assignable(given, list(wanted[1:])):
                continue
            node.overloads.append(overload)
            found = self._unifier.resolve(wanted[0])
            if result is None:
                result = found
            elif result.kind != "dyn" and not same(result, found):
                result = DYN
        if result is not None:
            return result
        shown = ", ".join(
            str(self._unifier.resolve(each, final=True)) for each in given[bool(node.target) :]
        )
        target = f"{self._unifier.resolve(given[0], final=True)}." if node.target else ""
        return self._error(
            node, f"found no matching overload for '{node.function}' applied to '{target}({shown})'"
        )

    def _list(self, node: ListLiteral) -> CelType:
        found: CelType | None = None
        for at, element in enumerate(node.elements):
            given = self._check(element)
            if at in node.optional:
                given = self._unwrapped(element, given)
            found = self._joined(element, found, given)
        return list_of(found or self._unifier.fresh())

    def _unwrapped(self, node: Node, given: CelType) -> CelType:
        given = self._unifier.resolve(given)
        if given.kind == "optional_type":
            return given.params[0]
        if given.kind not in ("dyn", "error"):
            self._error(node, f"expected type 'optional_type({given})' but found '{given}'")
        return DYN

    def _joined(self, node: Node, found: CelType | None, given: CelType) -> CelType:
        """Return the common type of what stands in one literal, which must be of one kind."""
        if found is None or found.kind == "error":
            return given
        if self._unifier.assignable([given], [found]):
            return found
        if self._unifier.assignable([found], [given]):
            return given
        wanted, had = (self._unifier.resolve(each, final=True) for each in (found, given))
        self._error(node, f"expected type '{wanted}' but found '{had}'")
        return DYN

    def _map(self, node: MapLiteral) -> CelType:
        key_type: CelType | None = None
        value_type: CelType | None = None
        for entry in node.entries:
            assert isinstance(entry.key, Node)
            key_type = self._joined(entry.key, key_type, self._check(entry.key))
            given = self._check(entry.value)
            if entry.optional:
                given = self._unwrapped(entry.value, given)
            value_type = self._joined(entry.value, value_type, given)
        return map_of(key_type or self._unifier.fresh(), value_type or self._unifier.fresh())

    def _message(self, node: MapLiteral) -> CelType:
        made = self._messages.get(node.name) or self._messages.get(
            f"{node.name.partition('.')[0]}.*"
        )
        if made is None:
            for entry in node.entries:
                self._check(entry.value)
            return self._error(node, f"undeclared reference to '{node.name}' (in container '')")
        for entry in node.entries:
            assert isinstance(entry.key, str)
            given = self._check(entry.value)
            if entry.optional:
                given = self._unwrapped(entry.value, given)
            field = made.fields.get(entry.key)
            if field is None and not made.open_ended:
                self._error(node, f"undefined field '{entry.key}'")
            elif field is not None and not self._unifier.assignable([given], [field.type]):
                self._error(
                    node,
                    f"expected type of field '{entry.key}' is '{field.type}' "
                    f"but provided type is '{given}'",
                )
        return made

    def _comprehension(self, node: Comprehension) -> CelType:
        source = self._unifier.resolve(self._check(node.source))
        accumulator = self._check(node.start)
        scope: dict[str, CelType] = {}
        if not node.binds:
            scope = self._loop_variables(node, source)
        self._scopes.append({node.accumulator: accumulator})
        self._scopes.append(scope)
        condition = self._check(node.condition)
        if not self._unifier.assignable([condition], [BOOL]):
            self._error(node.condition, f"expected type 'bool' but found '{condition}'")
        step = self._check(node.step)
        if not self._unifier.assignable([step], [accumulator]):
            given = self._unifier.resolve(step)
            self._error(node.step, f"expected type '{accumulator}' but found '{given}'")
        self._scopes.pop()
        result = self._check(node.result)
        self._scopes.pop()
        return self._unifier.resolve(result)

    def _loop_variables(self, node: Comprehension, source: CelType) -> dict[str, CelType]:
        match source.kind:
            case "list":
                first, second = (INT, source.params[0]) if node.second else (source.params[0], DYN)
            case "map":
                first, second = source.params
            case "dyn" | "error" | "param":
                first, second = DYN, DYN
            case _:
                self._error(
                    node.source,
                    f"expression of type '{source}' cannot be range of a comprehension "
                    "(must be list, map, or dynamic)",
                )
                first, second = DYN, DYN
        return {node.variable: first} | ({node.second: second} if node.second else {})

    def _check_literals(self, tree: Node) -> None:
        """Refuse patterns, times and durations that are written out and can never be read."""
        for node in walk(tree):
            if not isinstance(node, Call) or not node.args:
                continue
            parse = _PARSED.get(node.function)
            arg = node.args[-1] if node.function == "matches" else node.args[0]
            if parse is None or not isinstance(arg, Literal) or not isinstance(arg.value, str):
                continue
            try:
                parse(arg.value)
            except CelError:
                self._error(arg, f"invalid {node.function} argument")


_PARSED: Final[dict[str, Callable[[str], object]]] = {
    "matches": compile_pattern,
    "timestamp": parse_timestamp,
    "duration": parse_duration,
}


def qualified(node: Node) -> str:
    """Return the dotted name that a node may be, or nothing."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.test:
        prefix = qualified(node.operand)
        return f"{prefix}.{node.field}" if prefix else ""
    return ""

"""Expressions parsed: Google's parser (cel-expr-python) reads the text and expands macros.

Its messages are those of upstream's, as both come from one grammar. What comes back is its
encoding (`cel.expr.ParsedExpr`), which is read here; nothing else of that library is used.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Final

from cel_expr_python import cel

from kube.cel.errors import CompileError
from kube.cel.tree import (
    Call,
    Comprehension,
    Entry,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    Select,
)
from kube.cel.values import Uint
from kube.protobuf.wire import read_varint

CODE_POINTS_MAX: Final = 100_000
_EXTENSIONS: Final = """
name: kubernetes
extensions:
- name: optional
- name: two-var-comprehensions
- name: lists
"""
_CANONICAL: Final = re.compile(r"^[A-Z_]+: (?=ERROR: |Expression )|(?: \[[A-Z_]+\])+$")
_UNPLACED: Final = "<input>:4294967295:0:"
_WIDE_DOT: Final = "\uff0e"
_WIDE_MARK: Final = "\uff3e"
_Fields = dict[int, list[Any]]


class Source:
    """The text of an expression, to say where an error is."""

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, offset: int, message: str) -> str:
        """Return a message as upstream prints it, with the line and a mark below the place."""
        if offset < 0:
            return f"ERROR: <input>:-1:0: {message}"
        before = self.text[:offset]
        line = before.count("\n")
        column = offset - (before.rfind("\n") + 1)
        shown = self.text.split("\n")[line].replace("\t", " ")
        mark = "".join(_WIDE_DOT if _wide(char) else "." for char in shown[:column])
        under = _WIDE_MARK if column < len(shown) and _wide(shown[column]) else "^"
        return f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {shown}\n | {mark}{under}"


def _wide(char: str) -> bool:
    return len(char.encode("utf-8", "replace")) > 2


def parse(text: str) -> Node:
    """Return the tree of an expression, its macros expanded.

    Raises:
        CompileError: it is no expression, or too large or too deep a one.
    """
    if len(text) > CODE_POINTS_MAX:
        size = f"{len(text)}, limit: {CODE_POINTS_MAX}"
        raise CompileError(
            f"ERROR: <input>:-1:0: expression code point size exceeds limit: size: {size}"
        )
    try:
        encoded = _PARSER.compile(text, disable_check=True).serialize()
    except (RuntimeError, ValueError, UnicodeError) as exc:
        raise CompileError(_message(str(exc))) from None
    (parsed,) = _read(encoded)[2]
    whole = _read(parsed)
    return _Reader(_positions(whole[3][0])).node(whole[2][0])


def _message(text: str) -> str:
    cleaned = _CANONICAL.sub("", _CANONICAL.sub("", text.strip()))
    if not cleaned.startswith("ERROR: "):
        cleaned = f"ERROR: <input>:-1:0: {cleaned}"
    return cleaned.replace(_UNPLACED, "<input>:-1:0:")


def _read(buf: bytes) -> _Fields:
    fields: _Fields = {}
    pos = 0
    while pos < len(buf):
        tag, pos = read_varint(buf, pos)
        value: Any
        if tag & 7 == 2:
            size, pos = read_varint(buf, pos)
            value, pos = buf[pos : pos + size], pos + size
        elif tag & 7 == 1:
            value, pos = struct.unpack_from("<d", buf, pos)[0], pos + 8
        else:
            value, pos = read_varint(buf, pos)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _positions(encoded: bytes) -> dict[int, int]:
    found = {}
    for entry in _read(encoded).get(4, ()):
        fields = _read(entry)
        found[_one(fields, 1, 0)] = _one(fields, 2, 0)
    return found


def _one(fields: _Fields, number: int, default: Any) -> Any:
    values = fields.get(number)
    return values[0] if values else default


def _text(fields: _Fields, number: int) -> str:
    return str(_one(fields, number, b"").decode("utf-8", "surrogatepass"))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


class _Reader:
    """Reads `cel.expr.Expr`. How deep it goes, the parser has limited."""

    def __init__(self, positions: dict[int, int]) -> None:
        self._positions = positions

    def node(self, encoded: bytes) -> Node:
        fields = _read(encoded)
        offset = self._positions.get(_one(fields, 2, 0), -1)
        for number, read in (
            (3, self._literal),
            (4, self._ident),
            (5, self._select),
            (6, self._call),
            (7, self._list),
            (8, self._map),
            (9, self._comprehension),
        ):
            if number in fields:
                return read(_read(fields[number][0]), offset)
        raise CompileError("ERROR: <input>:-1:0: unsupported syntax")

    def _literal(self, fields: _Fields, offset: int) -> Node:
        value: Any
        match next(iter(fields), 1):
            case 2:
                value = bool(fields[2][0])
            case 3:
                value = _signed(fields[3][0])
            case 4:
                value = Uint(fields[4][0])
            case 5:
                value = fields[5][0]
            case 6:
                value = _text(fields, 6)
            case 7:
                value = fields[7][0]
            case _:
                value = None
        return Literal(value, offset=offset)

    def _ident(self, fields: _Fields, offset: int) -> Node:
        return Ident(_text(fields, 1).removeprefix("."), offset=offset)

    def _select(self, fields: _Fields, offset: int) -> Node:
        operand = self.node(fields[1][0])
        return Select(operand, _text(fields, 2), bool(_one(fields, 3, 0)), offset=offset)

    def _call(self, fields: _Fields, offset: int) -> Node:
        target = self.node(fields[1][0]) if 1 in fields else None
        args = [self.node(arg) for arg in fields.get(3, ())]
        return Call(_text(fields, 2), target, args, offset=offset)

    def _list(self, fields: _Fields, offset: int) -> Node:
        elements = [self.node(element) for element in fields.get(1, ())]
        packed = _one(fields, 2, b"")
        indices, pos = set(), 0
        while pos < len(packed):
            index, pos = read_varint(packed, pos)
            indices.add(index)
        return ListLiteral(elements, frozenset(indices), offset=offset)

    def _map(self, fields: _Fields, offset: int) -> Node:
        entries = []
        for encoded in fields.get(2, ()):
            entry = _read(encoded)
            key = self.node(entry[3][0]) if 3 in entry else _text(entry, 2)
            entries.append(Entry(key, self.node(entry[4][0]), bool(_one(entry, 5, 0))))
        return MapLiteral(_text(fields, 1).removeprefix("."), entries, offset=offset)

    def _comprehension(self, fields: _Fields, offset: int) -> Node:
        source, start, condition, step, result = (
            self.node(fields[number][0]) for number in (2, 4, 5, 6, 7)
        )
        names = (_text(fields, 1), _text(fields, 8), _text(fields, 3))
        return Comprehension(
            names[0], names[1], source, names[2], start, condition, step, result, offset=offset
        )


_PARSER: Final = cel.NewEnv(config=cel.NewEnvConfigFromYaml(_EXTENSIONS))

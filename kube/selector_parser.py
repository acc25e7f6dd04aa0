"""Reading selectors: the texts of labelSelector and fieldSelector, and LabelSelector objects.

Grammar and messages follow k8s.io/apimachinery `labels`, `fields` and `apis/meta/v1`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from kube.field import FieldError, invalid, quote
from kube.label_syntax import key_faults, value_faults
from kube.selectors import (
    EVERYTHING,
    NOTHING,
    FieldSelector,
    FieldTerm,
    LabelSelector,
    Operator,
    Requirement,
    parse_int64,
)
from kube.text_cache import text_cache

_CACHED: Final = 1024
_TOKEN: Final = re.compile(r"==|!=|[=!(),<>]|[^=!(),<> \t\r\n]+")
_BINARY: Final = "in, notin, =, ==, !=, gt, lt"
_TERM: Final = re.compile(r"!=|==|=")
_OBJECT_OPERATORS: Final = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.NOT_EXISTS,
}


class SelectorError(ValueError):
    """A selector cannot be read; the message is upstream's."""


class _Kind(Enum):
    WORD = 0
    END = 1
    COMMA = 2
    OPEN = 3
    CLOSE = 4
    NOT = 5
    EQUAL = 6
    NOT_EQUAL = 7
    GREATER = 8
    LESS = 9
    IN = 10
    NOT_IN = 11


_KINDS: Final = {
    ",": _Kind.COMMA, "(": _Kind.OPEN, ")": _Kind.CLOSE, "!": _Kind.NOT, "=": _Kind.EQUAL,
    "==": _Kind.EQUAL, "!=": _Kind.NOT_EQUAL, ">": _Kind.GREATER, "<": _Kind.LESS,
    "in": _Kind.IN, "notin": _Kind.NOT_IN,
}  # fmt: skip
_OPERATORS: Final = {
    _Kind.IN: Operator.IN,
    _Kind.EQUAL: Operator.IN,
    _Kind.NOT_IN: Operator.NOT_IN,
    _Kind.NOT_EQUAL: Operator.NOT_IN,
    _Kind.GREATER: Operator.GREATER,
    _Kind.LESS: Operator.LESS,
}
_END: Final = (_Kind.END, "")


@text_cache(maxsize=_CACHED)
def parse_label_selector(text: str) -> LabelSelector:
    """Return the selector a labelSelector parameter writes; empty selects everything.

    Raises:
        SelectorError: it cannot be read.
    """
    requirements = _LabelParser(text).parse()
    if not requirements:
        return EVERYTHING
    return LabelSelector(tuple(sorted(requirements, key=lambda r: r.key)))


class _LabelParser:
    """A recursive-descent parser over the tokens of one text."""

    def __init__(self, text: str) -> None:
        # A NUL ends upstream's scan.
        scanned = _TOKEN.findall(text.partition("\0")[0])
        self._tokens = [(_KINDS.get(word, _Kind.WORD), word) for word in scanned]
        self._at = 0

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, text = self._peek_value()
            if kind is _Kind.END:
                return requirements
            if kind not in {_Kind.WORD, _Kind.NOT}:
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._parse_requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from error
            kind, text = self._next_value()
            if kind is _Kind.END:
                return requirements
            if kind is not _Kind.COMMA:
                raise SelectorError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek_value()
            if kind not in {_Kind.WORD, _Kind.NOT}:
                raise SelectorError(f"found '{text}', expected: identifier after ','")

    def _parse_requirement(self) -> Requirement:
        kind, key = self._next_value()
        negated = kind is _Kind.NOT
        if negated:
            kind, key = self._next_value()
        if kind is not _Kind.WORD:
            raise SelectorError(f"found '{key}', expected: identifier")
        faults = key_faults(key)
        if faults:
            raise SelectorError(str(invalid("<nil>", key, "; ".join(faults))))
        if negated:
            return make_requirement(key, Operator.NOT_EXISTS, ())
        if self._peek_value()[0] in {_Kind.END, _Kind.COMMA}:
            return make_requirement(key, Operator.EXISTS, ())
        kind, text = self._next()
        operator = _OPERATORS.get(kind)
        if operator is None:
            raise SelectorError(f"found '{text}', expected: {_BINARY}")
        values = self._parse_set() if kind in {_Kind.IN, _Kind.NOT_IN} else self._parse_value()
        return make_requirement(key, operator, sorted(values))

    def _parse_value(self) -> set[str]:
        if self._peek_value()[0] in {_Kind.END, _Kind.COMMA}:
            return {""}
        kind, text = self._next_value()
        if kind is not _Kind.WORD:
            raise SelectorError(f"found '{text}', expected: identifier")
        return {text}

    def _parse_set(self) -> set[str]:
        kind, text = self._next_value()
        if kind is not _Kind.OPEN:
            raise SelectorError(f"found '{text}' expected: '('")
        kind, text = self._peek_value()
        if kind is _Kind.CLOSE:
            self._next_value()
            return {""}
        if kind not in {_Kind.WORD, _Kind.COMMA}:
            raise SelectorError(f"found '{text}', expected: ',', ')' or identifier")
        values = self._parse_members()
        if self._next_value()[0] is not _Kind.CLOSE:
            raise SelectorError(f"found '{text}', expected: ')'")
        return values

    def _parse_members(self) -> set[str]:
        values: set[str] = set()
        while True:
            kind, text = self._next_value()
            following, next_text = self._peek_value()
            if kind is _Kind.WORD:
                values.add(text)
                if following is _Kind.CLOSE:
                    return values
                if following is not _Kind.COMMA:
                    raise SelectorError(f"found '{next_text}', expected: ',' or ')'")
            elif kind is _Kind.COMMA:
                if not values or following in {_Kind.CLOSE, _Kind.COMMA}:
                    values.add("")
                if following is _Kind.CLOSE:
                    return values
            else:
                raise SelectorError(f"found '{text}', expected: ',', or identifier")

    def _peek_value(self) -> tuple[_Kind, str]:
        """Return the next token where `in` and `notin` are words like others."""
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else _END
        return (_Kind.WORD if kind in {_Kind.IN, _Kind.NOT_IN} else kind), text

    def _next_value(self) -> tuple[_Kind, str]:
        found = self._peek_value()
        self._at += 1
        return found

    def _next(self) -> tuple[_Kind, str]:
        found = self._tokens[self._at] if self._at < len(self._tokens) else _END
        self._at += 1
        return found


def make_requirement(key: str, operator: Operator, values: Sequence[str]) -> Requirement:
    """Return a checked requirement.

    Raises:
        SelectorError: key, number of values or a value is bad.
    """
    errors = [invalid("key", key, "; ".join(faults)) for faults in [key_faults(key)] if faults]
    errors.extend(_count_errors(operator, values))
    for index, value in enumerate(values):
        faults = value_faults(value)
        if faults:
            errors.append(invalid(f"values[{index}][{key}]", value, "; ".join(faults)))
    if errors:
        texts = list(dict.fromkeys(str(error) for error in errors))
        raise SelectorError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return Requirement(key, operator, tuple(values))


def _count_errors(operator: Operator, values: Sequence[str]) -> list[FieldError]:
    path = "values"
    if operator in {Operator.IN, Operator.NOT_IN}:
        if not values:
            text = "for 'in', 'notin' operators, values set can't be empty"
            return [invalid(path, [], text)]
    elif operator in {Operator.EXISTS, Operator.NOT_EXISTS}:
        if values:
            text = "values set must be empty for exists and does not exist"
            return [invalid(path, list(values), text)]
    else:
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        return [
            invalid(f"{path}[{index}]", value, text)
            for index, value in enumerate(values)
            if parse_int64(value) is None
        ]
    return []


def label_selector_of(selector: Mapping[str, Any] | None) -> LabelSelector:
    """Return what a LabelSelector object selects: nothing if absent, everything if empty.

    Raises:
        SelectorError: an operator, key or value is bad.
    """
    if selector is None:
        return NOTHING
    requirements = [
        make_requirement(key, Operator.IN, (value,))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    for expression in selector.get("matchExpressions") or ():
        name = expression.get("operator", "")
        operator = _OBJECT_OPERATORS.get(name)
        if operator is None:
            raise SelectorError(f"{quote(name)} is not a valid label selector operator")
        values = expression.get("values") or ()
        requirements.append(make_requirement(expression.get("key", ""), operator, values))
    if not requirements:
        return EVERYTHING
    return LabelSelector(tuple(sorted(requirements, key=lambda r: r.key)))


def label_selector_of_set(labels: Mapping[str, str] | None) -> LabelSelector:
    """Return the selector of plain key-value pairs, as services have; none select everything."""
    pairs = sorted((labels or {}).items())
    return LabelSelector(tuple(Requirement(key, Operator.IN, (value,)) for key, value in pairs))


@text_cache(maxsize=_CACHED)
def parse_field_selector(text: str) -> FieldSelector:
    """Return the selector a fieldSelector parameter writes; empty selects everything.

    Which fields a type has is the caller's to check.

    Raises:
        SelectorError: it cannot be read.
    """
    terms = []
    for part in sorted(_split_terms(text)):
        if not part:
            continue
        match = _TERM.search(part)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        value = _unescape(part[match.end() :])
        terms.append(FieldTerm(part[: match.start()], value, match[0] == "!="))
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    """Split at commas that no backslash precedes."""
    terms = []
    start = 0
    escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:index])
            start = index + 1
    terms.append(text[start:])
    return terms


def _unescape(value: str) -> str:
    if not any(char in value for char in "\\,="):
        return value
    plain = []
    escaped = False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            plain.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(
                f"invalid field selector: unescaped character in value: {ord(char)}"
            )
        else:
            plain.append(char)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(plain)

"""What Go's scanner of JSON says of a text that is no JSON: upstream tells clients just that.

Only a text that a parser has refused comes here. It is read token by token, up to the first byte
that can't stand where it does.
"""

from __future__ import annotations

import re
from typing import Final

from kube.field import quote

_DEPTH_MAX: Final = 10_000
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_STRING: Final = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_NUMBER: Final = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_DIGITS: Final = re.compile(rb"[0-9]*")
_WORDS: Final = {b"t": b"true", b"f": b"false", b"n": b"null"}
_VALUE: Final = "looking for beginning of value"
_KEY: Final = "looking for beginning of object key string"
_ENDED: Final = "unexpected end of JSON input"


class _Fault(Exception):
    """A byte that can't stand where it does; the text says what Go says of it."""


def go_fault(body: bytes) -> str:
    """Return what Go says of a text that is no JSON, "" if it finds no fault."""
    try:
        at = _SPACE.match(body, _document(body, _skip(body, 0))).end()  # type: ignore[union-attr]
        if at < len(body):
            _refuse(body, at, "after top-level value")
    except _Fault as fault:
        return str(fault)
    return ""


def _skip(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    assert found is not None, "it matches nothing, too"
    if found.end() == len(body):
        raise _Fault(_ENDED)
    return found.end()


def _refuse(body: bytes, at: int, why: str) -> None:
    if at >= len(body):
        raise _Fault(_ENDED)
    char = chr(body[at])
    shown = {"'": r"\'", '"': '"'}.get(char) or quote(char)[1:-1]
    raise _Fault(f"invalid character '{shown}' {why}")


def _document(body: bytes, at: int) -> int:
    """Read one value; return where it ends."""
    open_ones: list[bytes] = []
    while True:
        # Here a value begins.
        first = body[at : at + 1]
        if first in (b"{", b"["):
            open_ones.append(first)
            if len(open_ones) > _DEPTH_MAX:
                raise _Fault("exceeded max depth")
            at = _skip(body, at + 1)
            if body[at : at + 1] != (b"}" if first == b"{" else b"]"):
                at = _key(body, at) if first == b"{" else at
                continue
            open_ones.pop()
            at += 1
        else:
            at = _scalar(body, at, first)
        # Here one has ended, and what it is in goes on or ends as well.
        while open_ones:
            at = _skip(body, at)
            is_object = open_ones[-1] == b"{"
            char = body[at : at + 1]
            if char == b",":
                at = _skip(body, at + 1)
                at = _key(body, at) if is_object else at
                break
            if char != (b"}" if is_object else b"]"):
                _refuse(body, at, f"after {'object key:value pair' if is_object else _ELEMENT}")
            open_ones.pop()
            at += 1
        else:
            return at


_ELEMENT: Final = "array element"


def _key(body: bytes, at: int) -> int:
    """Read a key and its colon; return where its value begins."""
    if body[at : at + 1] != b'"':
        _refuse(body, at, _KEY)
    at = _skip(body, _string(body, at))
    if body[at : at + 1] != b":":
        _refuse(body, at, "after object key")
    return _skip(body, at + 1)


def _scalar(body: bytes, at: int, first: bytes) -> int:
    if first == b'"':
        return _string(body, at)
    word = _WORDS.get(first)
    if word is not None:
        for offset in range(1, len(word)):
            if body[at + offset : at + offset + 1] != word[offset : offset + 1]:
                expected = chr(word[offset])
                why = f"in literal {word.decode()} (expecting '{expected}')"
                _refuse(body, at + offset, why)
        return at + len(word)
    if first == b"-" or first.isdigit():
        return _number(body, at)
    _refuse(body, at, _VALUE)
    raise AssertionError("that does not return")


def _string(body: bytes, at: int) -> int:
    found = _STRING.match(body, at + 1)
    assert found is not None, "it matches nothing, too"
    end = found.end()
    char = body[end : end + 1]
    if char == b'"':
        return end + 1
    if char != b"\\":
        _refuse(body, end, "in string literal")
    if body[end + 1 : end + 2] != b"u":
        _refuse(body, end + 1, "in string escape code")
    at = end + 2
    while body[at : at + 1] in _HEX:
        at += 1
    _refuse(body, at, r"in \u hexadecimal character escape")
    raise AssertionError("that does not return")


_HEX: Final = frozenset(bytes([one]) for one in b"0123456789abcdefABCDEF")


def _number(body: bytes, at: int) -> int:
    """Read a number; return where it ends."""
    found = _NUMBER.match(body, at)
    if found is None:
        _refuse(body, at + 1, "in numeric literal")
        raise AssertionError("that does not return")
    end = found.end()
    char, read = body[end : end + 1], found[0]
    if char == b"." and b"." not in read and b"e" not in read.lower():
        _refuse(body, end + 1, "after decimal point in numeric literal")
    if char in (b"e", b"E") and b"e" not in read.lower():
        sign = body[end + 1 : end + 2] in (b"+", b"-")
        _refuse(body, end + 1 + sign, "in exponent of numeric literal")
    return end

"""Path elements: how one step into an object is written in `fieldsV1`.

    f:replicas                                a field, or a key of a map
    k:{"containerPort":80,"protocol":"TCP"}   the element of a list that has these keys
    v:"example.com/finalizer"                 the element of a set with this value
    i:3                                       the element at this index

An element is its text throughout: equal texts are equal elements, so texts are made canonical
(keys in order, numbers shortest) before they are compared. Characters that Go escapes inside of
values are escaped here too, so that the bytes are upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import orjson

from kube.field import quote

SELF: Final = "."
"""Stands in a set for the element itself, where it has children too."""
_is_plain = re.compile(r"[A-Za-z0-9 _./:@=+,-]*").fullmatch
_ESCAPED: Final = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
    ("\u2028", "\\u2028"),
    ("\u2029", "\\u2029"),
)
_CACHED_LENGTH_MAX: Final = 512


class ElementError(ValueError):
    """A text is no path element."""


class UnknownKind(ElementError):
    """The element is of a kind that only later versions know: it is passed over."""


def value_text(value: Any) -> str:
    """Return a scalar as JSON, with the escapes that Go writes."""
    if value.__class__ is str:
        if _is_plain(value):
            return f'"{value}"'
    elif value.__class__ is int:
        return str(value)
    elif value.__class__ is float and value.is_integer():
        return str(int(value))
    return go_escaped(orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode())


def go_escaped(text: str) -> str:
    """Return JSON with the escapes that Go writes for the sake of HTML."""
    for char, escape in _ESCAPED:
        text = text.replace(char, escape)
    return text


def field_element(name: str) -> str:
    """Return the element of a field or map key."""
    return f"f:{name}"


def key_element(keys: Iterable[tuple[str, Any]]) -> str:
    """Return the element of a list's item.

    Args:
        keys: the names and values that identify it, sorted by name.
    """
    inner = ",".join([f'"{name}":{value_text(value)}' for name, value in keys])
    return f"k:{{{inner}}}"


def value_element(value: Any) -> str:
    """Return the element of a set's value."""
    return f"v:{value_text(value)}"


def canonical(text: str) -> str:
    """Return an element as it is written here, whoever wrote it.

    Raises:
        UnknownKind: it is of another kind.
        ElementError: it is malformed.
    """
    if text[:2] == "f:":
        return text
    if len(text) > _CACHED_LENGTH_MAX:
        return _canonical(text)
    return _canonical_cached(text)


def _canonical(text: str) -> str:
    if len(text) < 2:
        raise ElementError("key must be 2 characters long:")
    if text[1] != ":":
        raise ElementError(f"missing colon: {text}")
    kind, rest = text[0], text[2:]
    if kind == "i":
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", rest):
            raise ElementError(f"strconv.Atoi: parsing {quote(rest)}: invalid syntax")
        return f"i:{int(rest)}"
    if kind not in "kv":
        raise UnknownKind(text)
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        raise ElementError(f"{text}: {error}") from error
    if kind == "v":
        return value_element(value)
    if value.__class__ is not dict:
        raise ElementError(f"{text}: expected an object")
    return key_element(sorted(value.items()))


_canonical_cached: Final = lru_cache(maxsize=4096)(_canonical)


def order(text: str) -> tuple[Any, ...]:
    """Return what canonical elements are sorted by: fields, keys, values, indices."""
    if text[:2] == "f:":
        return (0, text)
    if len(text) > _CACHED_LENGTH_MAX:
        return _order(text)
    return _order_cached(text)


def _order(text: str) -> tuple[Any, ...]:
    kind, rest = text[0], text[2:]
    if kind == "k":
        pairs = orjson.loads(rest).items()
        return (1, tuple((name, _value_order(value)) for name, value in pairs))
    if kind == "v":
        return (2, _value_order(orjson.loads(rest)))
    return (3, int(rest))


_order_cached: Final = lru_cache(maxsize=4096)(_order)


def _value_order(value: Any) -> tuple[Any, ...]:
    match value:
        case bool():
            return (2, value)
        case int() | float():
            return (0, value)
        case str():
            return (1, value)
        case None:
            return (5,)
        case _:
            return (3, value_text(value))


def in_order(elements: Iterable[str]) -> list[str]:
    """Return canonical elements sorted."""
    found = list(elements)
    if len(found) < 2:
        return found
    if {text[0] for text in found} == {"f"}:
        return sorted(found)
    return sorted(found, key=order)


def shown(text: str) -> str:
    """Return an element as conflicts and errors show it: `.spec`, `[name="a"]`, `[="x"]`, `[0]`."""
    kind, rest = text[0], text[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        pairs = orjson.loads(rest).items()
        return f"[{','.join(f'{name}={_shown_value(value)}' for name, value in pairs)}]"
    if kind == "v":
        return f"[={_shown_value(orjson.loads(rest))}]"
    return f"[{rest}]"


def _shown_value(value: Any) -> str:
    return quote(value) if value.__class__ is str else value_text(value)

"""Texts: what CEL has by itself and its strings extension, in version 2, as Kubernetes has it."""

from __future__ import annotations

from typing import Any, Final

from kube.cel.errors import CelError
from kube.cel.library.formatting import format_text
from kube.cel.overloads import Declarations
from kube.cel.values import traversal, traversal_cost

_UPPER: Final = {at: at + 32 for at in range(ord("A"), ord("Z") + 1)}
_LOWER: Final = {at: at - 32 for at in range(ord("a"), ord("z") + 1)}
_ESCAPES: Final = str.maketrans(
    {
        "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
        "\v": "\\v", "\\": "\\\\", '"': '\\"',
    }
)  # fmt: skip
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_RESULT_MAX: Final = 16 * 1024 * 1024


def _once(text: str, *_: Any) -> int:
    return traversal(len(text))


def _twice(text: str, *_: Any) -> int:
    return traversal(len(text), 0.2)


def _replaced(text: str, old: str, new: str, count: int = -1) -> int:
    # What is made may be far longer than what there was, which upstream does not count.
    found = text.count(old) if count < 0 else min(count, text.count(old))
    return traversal(len(text), 0.2) + found * len(new) // 32


def _formatted(pattern: str, args: list[Any]) -> int:
    return traversal(len(pattern)) + sum(map(traversal_cost, args))


def _of_argument(_: str, other: str) -> int:
    return traversal(len(other))


def _product(text: str, other: str) -> int:
    return traversal(len(text)) * traversal(len(other))


def _joined(items: list[Any], separator: str = "") -> int:
    size = sum(len(item) for item in items if type(item) is str)
    return traversal(size + len(separator) * max(0, len(items) - 1), 0.2)


def declare(to: Declarations) -> None:
    """Declare the functions of texts."""
    to.method(
        "contains", "contains_string", "string, string -> bool", lambda a, b: b in a, _product
    )
    to.method(
        "startsWith", "starts_with_string", "string, string -> bool", str.startswith, _of_argument
    )
    to.method("endsWith", "ends_with_string", "string, string -> bool", str.endswith, _of_argument)
    to.method("charAt", "string_char_at_int", "string, int -> string", _char_at)
    for name, word, find in (
        ("indexOf", "index_of", _index_of),
        ("lastIndexOf", "last_index_of", _last_index_of),
    ):
        to.method(name, f"string_{word}_string", "string, string -> int", find, _once)
        to.method(name, f"string_{word}_string_int", "string, string, int -> int", find, _once)
    to.method(
        "lowerAscii", "string_lower_ascii", "string -> string", lambda a: a.translate(_UPPER), _once
    )
    to.method(
        "upperAscii", "string_upper_ascii", "string -> string", lambda a: a.translate(_LOWER), _once
    )
    to.method("trim", "string_trim", "string -> string", lambda a: a.strip(_SPACE), _once)
    to.method(
        "replace",
        "string_replace_string_string",
        "string, string, string -> string",
        _replace,
        _replaced,
    )
    to.method(
        "replace",
        "string_replace_string_string_int",
        "string, string, string, int -> string",
        _replace,
        _replaced,
    )
    to.method("split", "string_split_string", "string, string -> list(string)", _split, _twice)
    to.method(
        "split", "string_split_string_int", "string, string, int -> list(string)", _split, _twice
    )
    to.method("substring", "string_substring_int", "string, int -> string", _substring, _once)
    to.method(
        "substring", "string_substring_int_int", "string, int, int -> string", _substring, _once
    )
    to.method("join", "list_join", "list(string) -> string", _join, _joined)
    to.method("join", "list_join_string", "list(string), string -> string", _join, _joined)
    to.method("format", "string_format", "string, list(dyn) -> string", format_text, _formatted)
    to.function(
        "strings.quote",
        "strings_quote",
        "string -> string",
        lambda a: f'"{a.translate(_ESCAPES)}"',
        _once,
    )
    to.function(
        "jsonpatch.escapeKey",
        "string_jsonpatch_escapeKey_string",
        "string -> string",
        lambda a: a.replace("~", "~0").replace("/", "~1"),
        _once,
    )


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise CelError(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if offset < 0:
        raise CelError(f"index out of range: {offset}")
    return text.find(part, min(offset, len(text))) if part else min(offset, len(text))


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if offset is None:
        return text.rfind(part)
    if offset < 0:
        raise CelError(f"index out of range: {offset}")
    if not part:
        return min(offset, len(text))
    return text.rfind(part, 0, offset + len(part)) if offset < len(text) else -1


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old) if count < 0 else min(count, text.count(old))
    if len(text) + found * len(new) > _RESULT_MAX:
        raise CelError("the text becomes too long")
    return text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    for at in (start, end):
        if at is not None and not 0 <= at <= len(text):
            raise CelError(f"index out of range: {at}")
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    for item in items:
        if type(item) is not str:
            raise CelError(f"join: invalid input: {item}")
    return separator.join(items)

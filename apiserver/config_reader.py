"""Reads configuration files of upstream's kinds: members by type, and all faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from kube import field as fld
from kube.json_types import JsonObject

_T = TypeVar("_T")
_TYPES: Final[Mapping[type, str]] = {
    bool: "bool",
    dict: "object",
    int: "integer",
    list: "array",
    str: "string",
}


class ConfigurationUseless(ValueError):
    """A configuration is wrong, or asks for what cannot be done here; the text says where."""


class ConfigReader:
    """Gathers what is wrong with a document while it is read.

    Attributes:
        faults: found so far.
    """

    def __init__(self) -> None:
        self.faults: list[fld.FieldError | str] = []

    def told(self) -> str:
        """Return all faults in one text, each once, as upstream aggregates them; "" for none."""
        texts = list(dict.fromkeys(map(str, self.faults)))
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""

    def check(self) -> None:
        """Refuse a document that has faults.

        Raises:
            ConfigurationUseless: with all of them.
        """
        if fault := self.told():
            raise ConfigurationUseless(fault)

    def known(self, document: JsonObject, where: str, names: set[str]) -> None:
        """Find fault with members that are none."""
        for key in document:
            if key not in names:
                self.faults.append(f"{_place(where, key)}: unknown field")

    def get(self, document: JsonObject, where: str, key: str, type_: type[_T], default: _T) -> _T:
        """Return a member; the default where it is not there, or of another type."""
        value = document.get(key)
        if value is None:
            return default
        if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            self.faults.append(f"{_place(where, key)}: must be of type {_TYPES[type_]}")
            return default
        return value

    def part(self, document: JsonObject, where: str, key: str, names: set[str]) -> JsonObject:
        """Return a member that is an object with members of these names."""
        empty: JsonObject = {}
        found = self.get(document, where, key, dict, empty)
        self.known(found, _place(where, key), names)
        return found

    def items(
        self, document: JsonObject, where: str, names: set[str]
    ) -> list[tuple[str, JsonObject]]:
        """Return the objects of a list, each with its place; `where` ends with the list's name."""
        found = []
        nothing: list[Any] = []
        head, _, key = where.rpartition(".")
        for number, item in enumerate(self.get(document, head, key, list, nothing)):
            place = f"{where}[{number}]"
            if not isinstance(item, dict):
                self.faults.append(f"{place}: must be of type object")
                continue
            self.known(item, place, names)
            found.append((place, item))
        return found


def _place(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key

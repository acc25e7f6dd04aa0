"""Stencils: request bodies that are alike to the byte, but for the object's name.

A controller makes the pods of one template so: it sends the same bytes again and again, with
another name in one place or with a generateName. Such a body need not be parsed: what stands around
the name was parsed, checked and completed before (apiserver.twins), and only the name is new.

Invariants:
    - A body is split at a place where another name changes metadata.name and nothing else: that is
      proved, by parsing, before a stencil is kept.
    - A stencil is kept only of a body without unknown or duplicate fields, when the second one in a
      row differs from the first by its name alone.
    - What is kept is bounded: 16 beginnings, 128 ends of each, 8 profiles (twin_profiles) of those,
      32 KiB a body. The oldest goes.
"""

from __future__ import annotations

import copy
import re
from typing import Any, Final, NamedTuple

import orjson

from apiserver.resources import Resource
from kube.json_types import JsonObject

_PREFIXES_MAX: Final = 16
_SUFFIXES_MAX: Final = 128
BODY_BYTES_MAX: Final = 32 << 10
_PROFILES_MAX: Final = 8
_MORE: Final = "0"
# What needs no escape in JSON, and nothing that could end a string.
_plain_name = re.compile(rb"[a-z0-9.-]{1,253}").fullmatch


class Cut(NamedTuple):
    """A body around its name; of a body without a name, all of it is the suffix."""

    prefix: bytes
    suffix: bytes


def cut(body: bytes, name: str) -> Cut | None:
    """Split a body at the first place that shows its name.

    Returns:
        None if there is no such place, or the body is too large to be kept.
    """
    if len(body) > BODY_BYTES_MAX:
        return None
    if not name:
        return Cut(b"", body)
    encoded = name.encode()
    at = body.find(b'"%b"' % encoded)
    if at < 0 or _plain_name(encoded) is None:
        return None
    return Cut(body[: at + 1], body[at + 1 + len(encoded) :])


class Stencil:
    """What a body became, with a hole for the name.

    Attributes:
        resource: stands in for the type: nothing but the name is left to check.
    """

    __slots__ = ("_metadata", "_rest", "resource")

    def __init__(self, resource: Resource, obj: JsonObject) -> None:
        self.resource = copy.copy(resource)
        self.resource.known_fields = resource.fields_of_new(obj)
        self.resource.known_meta = resource.meta_of(obj)
        self._rest = {key: _fixed(value) for key, value in obj.items() if key != "metadata"}
        self._metadata = {key: _fixed(value) for key, value in obj["metadata"].items()}

    def fill(self, name: str) -> JsonObject:
        """Return a new object of that name, decoded and completed; "": the name is generated."""
        metadata = {"name": name, **self._metadata} if name else self._metadata.copy()
        return {**self._rest, "metadata": metadata}


def _fixed(value: Any) -> Any:
    return orjson.Fragment(orjson.dumps(value)) if isinstance(value, dict | list) else value


class Alike(NamedTuple):
    """The stencils of one body: what it became for one profile and another.

    Attributes:
        account: the service account that it names, "" for none.
        by_profile: the stencils.
    """

    account: str
    by_profile: dict[int, Stencil]


class Stencils:
    """The stencils of one type."""

    def __init__(self) -> None:
        self._known: dict[bytes, dict[bytes, Alike]] = {}

    def find(self, body: bytes) -> tuple[Alike, str] | None:
        """Return the stencils that a body was made from, and the name in it."""
        for prefix, by_suffix in self._known.items():
            if not prefix:
                stencil = by_suffix.get(body)
                if stencil is not None:
                    return stencil, ""
            elif body.startswith(prefix):
                at = len(prefix)
                end = body.find(b'"', at)
                stencil = by_suffix.get(body[end:])
                if stencil is not None and _plain_name(body, at, end) is not None:
                    return stencil, body[at:end].decode()
        return None

    def keep(
        self, split: Cut, resource: Resource, obj: JsonObject, made_for: tuple[str, int]
    ) -> None:
        """Keep a stencil of a body that `is_sound`.

        Args:
            split: the body.
            resource: stands in for the type, as the body's twin has it.
            obj: what the body became, decoded and completed, before the server fills in its own.
            made_for: the service account that it names, and the profile.
        """
        by_suffix = self._known.get(split.prefix)
        if by_suffix is None:
            if len(self._known) >= _PREFIXES_MAX:
                del self._known[next(iter(self._known))]
            by_suffix = self._known[split.prefix] = {}
        account, profile = made_for
        alike = by_suffix.get(split.suffix)
        if alike is None:
            if len(by_suffix) >= _SUFFIXES_MAX:
                del by_suffix[next(iter(by_suffix))]
            alike = by_suffix[split.suffix] = Alike(account, {})
        elif len(alike.by_profile) >= _PROFILES_MAX:
            del alike.by_profile[next(iter(alike.by_profile))]
        alike.by_profile[profile] = Stencil(resource, obj)


def is_sound(split: Cut, body: bytes) -> bool:
    """Tell whether another name in the hole changes the name of the object and nothing else."""
    expected = orjson.loads(body)
    hole = b""
    if split.prefix:
        # Longer than the name itself, as the same name in the wrong place would change nothing.
        other = expected["metadata"]["name"] + _MORE
        expected["metadata"]["name"] = other
        hole = other.encode()
    return bool(orjson.loads(split.prefix + hole + split.suffix) == expected)

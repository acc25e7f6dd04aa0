"""Whole objects within custom resources: `x-kubernetes-embedded-resource`.

Their metadata is decoded like any object's: unknown fields go, what has the wrong type is refused.
How a decoded one is checked is said by whoever makes the schema, as the rules of metadata are not
known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from kube.field import FieldError, invalid
from kube.json_types import JsonObject
from kube.schema.decode import DecodeError, builtin_decoder
from kube.structural import search
from kube.structural.defaulting import copier
from kube.structural.nodes import EMBEDDED
from kube.structural.search import Visit, Walk, child_path
from kube.structural.verdict import ordered

METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNKNOWN: Final = 'unknown field "'

Check: TypeAlias = Callable[[JsonObject, str], list[FieldError]]
"""`(object, path)` -> what is wrong with an embedded object's apiVersion, kind and metadata."""


def walk_of(schema: JsonObject) -> Walk | None:
    """Return how to find the embedded objects of a value; None: there are none."""
    return search.walk_of(schema, lambda part: bool(part.get(EMBEDDED)))


def checked_by(check: Check) -> Visit:
    """Return how to visit embedded objects with a check of them."""
    return lambda _schema, value, path: check(value, path) if value.__class__ is dict else []


def decode_metadata(value: JsonObject, path: str, unknown: list[str]) -> FieldError | None:
    """Decode an object's metadata in place; return why it cannot be, if so.

    Args:
        value: the object.
        path: where it stands, "" at the root.
        unknown: gets the paths of what the metadata has no field for.
    """
    metadata = value.get("metadata")
    where = child_path(path, "metadata")
    if metadata is None:
        return None
    if metadata.__class__ is not dict:
        kind = _go_kind(metadata)
        text = f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta"
        return invalid(where, ordered(metadata), text)
    try:
        found = builtin_decoder(METADATA).decode(metadata)
    except DecodeError as error:
        return invalid(where, ordered(metadata), str(error))
    unknown += [f"{where}.{text[len(_UNKNOWN) : -1]}" for text in found.unknown]
    return None


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "array"


class Coercion:
    """Decodes the metadata of embedded objects, in place.

    Args of the constructor:
        drop_invalid: drop what has the wrong type, instead of refusing it.

    Attributes:
        unknown: the paths of fields that metadata does not have.
    """

    def __init__(self, *, drop_invalid: bool = False) -> None:
        self.unknown: list[str] = []
        self._drop_invalid = drop_invalid

    def check(self, value: JsonObject, path: str) -> list[FieldError]:
        """Be a `Check`: decode the metadata of one object."""
        for key in ("apiVersion", "kind"):
            if key not in value or value[key].__class__ is str:
                continue
            if not self._drop_invalid:
                return [invalid(child_path(path, key), value[key], "must be a string")]
            del value[key]
        if "metadata" not in value:
            return []
        if self._drop_invalid:
            _drop_undecodable(value)
        error = decode_metadata(value, path, self.unknown)
        return [] if error is None or self._drop_invalid else [error]


def _drop_undecodable(value: JsonObject) -> None:
    """Drop the fields of an object's metadata that cannot be decoded, each tried alone."""
    metadata = value["metadata"]
    if metadata.__class__ is not dict:
        return
    for key in list(metadata):
        alone = {"metadata": {key: copier(metadata[key])()}}
        if decode_metadata(alone, "", []) is not None:
            del metadata[key]

"""PartialObjectMetadata: objects reduced to what all kinds have in common.

Answers of `as=PartialObjectMetadata` (one object, or a watch event's) and of
`as=PartialObjectMetadataList`, in both versions of meta.k8s.io, and the object in a Table's row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kube.json_types import JsonObject
from kube.schema.compile import builtin_schemas

META_V1: Final = "meta.k8s.io/v1"
META_V1BETA1: Final = "meta.k8s.io/v1beta1"
_TYPE_NAMES: Final = ("kind", "apiVersion", "metadata")
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PARTS_OF_METADATA: Final = ("ObjectMeta", "ManagedFieldsEntry", "OwnerReference")


def partial_object_metadata(obj: JsonObject, api_version: str = META_V1) -> JsonObject:
    """Return an object's PartialObjectMetadata; its metadata is shared, not copied."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": obj.get("metadata", {}),
    }


@cache
def metadata_cutter(schema_name: str) -> Callable[[bytes, int], bytes | None]:
    """Return what cuts the metadata out of compact JSON of a built-in type, without parsing it.

    It takes the JSON, in which nothing but kind and apiVersion stands before the metadata, and
    where the metadata begins, and returns it with its key, or None where it cannot be cut out.

    A top-level key that comes after a closing brace ends the metadata: a quote that is part of a
    text has a backslash before it, and no key in metadata that may follow upon an object is called
    like that, as names in labels and annotations follow upon texts, and those of managed fields
    are not plain.
    """
    schemas = builtin_schemas()
    names = schemas.struct(schema_name).fields.keys() - set(_TYPE_NAMES)
    for part in _PARTS_OF_METADATA:
        if names & schemas.struct(_META + part).fields.keys():
            return _no_cut
    if not names:
        return _no_cut
    keys = "|".join(map(re.escape, sorted(names)))
    find_end = re.compile(rf'\}},"(?:{keys})":'.encode()).search

    def cut(body: bytes, at: int) -> bytes | None:
        found = find_end(body, at)
        return None if found is None else body[at : found.start() + 1]

    return cut


def _no_cut(_body: bytes, _at: int) -> None:
    return None


def partial_list(
    objects: list[JsonObject], list_meta: JsonObject, api_version: str = META_V1
) -> JsonObject:
    """Return a whole PartialObjectMetadataList as a document."""
    items: list[Any] = [partial_object_metadata(obj, api_version) for obj in objects]
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": api_version,
        "metadata": list_meta,
        "items": items,
    }

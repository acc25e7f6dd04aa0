"""PartialObjectMetadata: objects reduced to what all kinds have in common.

Answers of `as=PartialObjectMetadata` (one object, or a watch event's) and of
`as=PartialObjectMetadataList`, in both versions of meta.k8s.io, and the object in a Table's row.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube.json_types import JsonObject

META_V1: Final = "meta.k8s.io/v1"
META_V1BETA1: Final = "meta.k8s.io/v1beta1"
PARTIAL_LIST_TAIL: Final = b"]}\n"


def partial_object_metadata(obj: JsonObject, api_version: str = META_V1) -> JsonObject:
    """Return an object's PartialObjectMetadata; its metadata is shared, not copied."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": obj.get("metadata", {}),
    }


def partial_bytes(obj: JsonObject, api_version: str = META_V1) -> bytes:
    """Return an object's PartialObjectMetadata, encoded."""
    return orjson.dumps(partial_object_metadata(obj, api_version))


def partial_list_head(list_meta: JsonObject, api_version: str = META_V1) -> bytes:
    """Return the start of a PartialObjectMetadataList.

    Items made by `partial_bytes` follow, separated by commas, then `PARTIAL_LIST_TAIL`.
    """
    return _before_items("PartialObjectMetadataList", api_version, list_meta) + b',"items":['


def partial_list(
    objects: list[JsonObject], list_meta: JsonObject, api_version: str = META_V1
) -> JsonObject:
    """Return a whole PartialObjectMetadataList as a document, for encodings other than JSON."""
    items: list[Any] = [partial_object_metadata(obj, api_version) for obj in objects]
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": api_version,
        "metadata": list_meta,
        "items": items,
    }


def _before_items(kind: str, api_version: str, list_meta: JsonObject) -> bytes:
    head = {"kind": kind, "apiVersion": api_version, "metadata": list_meta}
    return orjson.dumps(head)[:-1]

"""PartialObjectMetadata: objects reduced to what all kinds have in common.

Answers of `as=PartialObjectMetadata` (one object, or a watch event's) and of
`as=PartialObjectMetadataList`, in both versions of meta.k8s.io, and the object in a Table's row.
"""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject

META_V1: Final = "meta.k8s.io/v1"
META_V1BETA1: Final = "meta.k8s.io/v1beta1"


def partial_object_metadata(obj: JsonObject, api_version: str = META_V1) -> JsonObject:
    """Return an object's PartialObjectMetadata; its metadata is shared, not copied."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": api_version,
        "metadata": obj.get("metadata", {}),
    }


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

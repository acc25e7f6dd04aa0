"""Between the version a client speaks and the one that is stored.

Most versions of a type have one shape, so only apiVersion changes; the others have a pair of
functions here, by (storage resource, group, version). Type hooks see the stored version only.
Metadata is shared between what goes in and what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from apiserver.types import autoscaling_v1, event_shapes, resource_shapes
from apiserver.types.core import events
from apiserver.types.hooks import Check, Compare
from kube.json_types import JsonObject
from kube.kinds import ResourceInfo

Convert = Callable[[JsonObject], JsonObject]
_Key = tuple[str, str, str]


class Shapes(NamedTuple):
    """How a version's shape becomes the stored one, and back."""

    to_storage: Convert
    from_storage: Convert


_RESOURCE: Final = "resource.k8s.io"
_SHAPES: Final[dict[_Key, Shapes]] = {
    ("autoscaling/horizontalpodautoscalers", "autoscaling", "v1"): Shapes(
        autoscaling_v1.to_v2, autoscaling_v1.from_v2
    ),
    ("events", "events.k8s.io", "v1"): Shapes(event_shapes.to_core, event_shapes.from_core),
    (f"{_RESOURCE}/resourceclaims", _RESOURCE, "v1beta1"): Shapes(
        resource_shapes.claim_to_v1, resource_shapes.claim_from_v1
    ),
    (f"{_RESOURCE}/resourceclaimtemplates", _RESOURCE, "v1beta1"): Shapes(
        resource_shapes.template_to_v1, resource_shapes.template_from_v1
    ),
    (f"{_RESOURCE}/resourceslices", _RESOURCE, "v1beta1"): Shapes(
        resource_shapes.slice_to_v1, resource_shapes.slice_from_v1
    ),
}
_STRICT: Final[dict[_Key, tuple[Check, Compare]]] = {
    ("events", "events.k8s.io", "v1"): (
        events.validate_create_strict,
        events.validate_update_strict,
    ),
}


def shapes_for(info: ResourceInfo) -> Shapes | None:
    """Return the conversions of a version; None: its shape is the stored one."""
    return _SHAPES.get((info.storage_resource, info.group, info.version))


def to_storage(info: ResourceInfo, obj: JsonObject) -> JsonObject:
    """Return `obj`, given in `info`'s version, in the stored version; may be `obj` itself."""
    shapes = _SHAPES.get((info.storage_resource, info.group, info.version))
    if shapes is not None:
        obj = shapes.to_storage(obj)
    obj["apiVersion"] = info.storage_version
    return obj


def from_storage(info: ResourceInfo, obj: JsonObject) -> JsonObject:
    """Return the stored `obj` in `info`'s version; may be `obj` itself, changed."""
    shapes = _SHAPES.get((info.storage_resource, info.group, info.version))
    if shapes is not None:
        obj = shapes.from_storage(obj)
    obj["apiVersion"] = info.api_version
    return obj


def version_checks(info: ResourceInfo) -> tuple[Check, Compare] | None:
    """Return what a version checks beyond the type's own hooks, on the stored shape; or None."""
    return _STRICT.get((info.storage_resource, info.group, info.version))

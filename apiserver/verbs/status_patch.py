"""Patches of a status: the rest of the object is neither parsed, checked nor defaulted again.

A write of the status keeps the spec that is stored, whatever is sent for it. So where a merge
patch, or a strategic one, names nothing but status and metadata, only these are copied, merged and
decoded; all else of the new object *is* that of the old one, which makes comparing it free.

It is not done where it might make a difference: where a type's defaults of the status are not told
apart, where versions differ in shape, where admission may change the object in place. And where
anything is wrong with the outcome, the whole object is looked at, which finds the words for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from apiserver.resources import Resource
from apiserver.types.hooks import Change, TypeHooks, keep_metadata, leave, leave_both
from kube import status as st
from kube.json_types import JsonObject
from kube.schema.decode import DecodeError, builtin_decoder

_PARTS: Final = frozenset({"metadata", "status"})
_HARMLESS: Final = (leave_both, keep_metadata)
"""What prepares a new object without changing anything that it may share with the old one."""


def is_of_status(resource: Resource, document: Any) -> bool:
    """Tell whether a patch of the status can be applied to that and to the metadata alone.

    Args:
        resource: the type, in the request's version.
        document: of a merge patch or a strategic merge patch.
    """
    return (
        document.__class__ is dict
        and document.keys() <= _PARTS
        and not (resource.info.custom or resource.converted)
        and _default_of(resource.hooks) is not None
    )


def _default_of(hooks: TypeHooks) -> Change | None:
    """Return what defaults a status; None: nothing does that alone."""
    if hooks.default is not leave:
        return hooks.default_status
    return leave if hooks.prepare_status in _HARMLESS else None


def with_status(
    resource: Resource, old: JsonObject, merge: Callable[[JsonObject], Any]
) -> JsonObject | None:
    """Return an object with its status patched; None: the whole has to be looked at.

    Args:
        resource: the type, in the request's version; a patch of which `is_of_status`.
        old: the object as it is stored; it is left as it is, and shared.
        merge: applies the patch.
    """
    metadata = old["metadata"].copy()
    metadata.pop("managedFields", None)
    before: JsonObject = {
        "kind": old["kind"],
        "apiVersion": resource.api_version,
        "metadata": metadata,
    }
    if "status" in old:
        before["status"] = old["status"]
    try:
        merged = merge(orjson.loads(orjson.dumps(before)))
        decoded = builtin_decoder(resource.info.schema_name).decode(merged)
    except (DecodeError, st.StatusError):
        return None
    if decoded.unknown or merged.get("metadata").__class__ is not dict:
        return None
    new = {**old, "apiVersion": resource.api_version, "metadata": merged["metadata"]}
    if "status" in merged:
        new["status"] = merged["status"]
    else:
        new.pop("status", None)
    default = _default_of(resource.hooks)
    assert default is not None, "is_of_status has looked"
    default(new)
    return new

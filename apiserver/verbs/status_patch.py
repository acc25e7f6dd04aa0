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
from kube.schema.compile import builtin_schemas
from kube.schema.decode import DecodeError, builtin_decoder

_PARTS: Final = frozenset({"metadata", "status"})
_HARMLESS: Final = (leave_both, keep_metadata)
"""What prepares a new object without changing anything that it may share with the old one."""
_NOTHING: Final[JsonObject] = {}


class _Unfit(Exception):
    """A part is not easily told."""


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
    resource: Resource, old: JsonObject, document: JsonObject, merge: Callable[[JsonObject], Any]
) -> JsonObject | None:
    """Return an object with its status patched; None: the whole has to be looked at.

    Args:
        resource: the type, in the request's version; a patch of which `is_of_status`.
        old: the object as it is stored; it is left as it is, and shared.
        document: of the patch.
        merge: applies it.
    """
    metadata: JsonObject = old["metadata"].copy()
    metadata.pop("managedFields", None)
    before: JsonObject = {"status": old["status"]} if "status" in old else {}
    given = document.get("metadata", _NOTHING)
    is_plain = given.__class__ is dict and (not given or _names_uid_alone(given))
    if is_plain:
        metadata |= given
    else:
        before["metadata"] = metadata
    try:
        merged = merge(orjson.loads(orjson.dumps(before)))
        if not is_plain:
            metadata = _decoded(resource, merged, "metadata")
        status = _decoded(resource, merged, "status")
    except (DecodeError, st.StatusError, _Unfit):
        return None
    new = {**old, "apiVersion": resource.api_version, "metadata": metadata, "status": status}
    default = _default_of(resource.hooks)
    assert default is not None, "is_of_status has looked"
    default(new)
    return new


def _names_uid_alone(metadata: JsonObject) -> bool:
    """Tell whether a patch says nothing of metadata but which object it is about."""
    return len(metadata) == 1 and metadata.get("uid").__class__ is str


def _decoded(resource: Resource, obj: JsonObject, name: str) -> JsonObject:
    """Return a part of an object, decoded.

    Raises:
        DecodeError: it does not fit.
        _Unfit: it is empty, or has unknown fields.
    """
    part: JsonObject | None = obj.get(name)
    struct = builtin_schemas().struct(resource.info.schema_name).fields[name].type.struct
    if part and struct is not None and not builtin_decoder(struct.name).decode(part).unknown:
        return part
    raise _Unfit

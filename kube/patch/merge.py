"""JSON merge patch (RFC 7386), with the corners of the library that upstream uses."""

from __future__ import annotations

from typing import Any

from kube import status as st
from kube.json_types import JsonObject
from kube.patch.plain import copied, without_nulls


def merge_patch(doc: JsonObject, patch: Any) -> Any:
    """Return `doc` with `patch` merged into it.

    Args:
        doc: left as it is; the result shares its unchanged parts.
        patch: an object, else it replaces the document whole.

    Raises:
        StatusError: 400, the patch is neither object nor array.
    """
    if patch.__class__ is dict:
        return _merge(doc, patch)
    if patch.__class__ is list:
        return without_nulls(patch)
    raise st.bad_request("Invalid JSON Patch")


def _merge(doc: JsonObject, patch: JsonObject) -> JsonObject:
    merged = dict(doc)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif value.__class__ is dict:
            current = merged.get(key)
            if current.__class__ is dict:
                merged[key] = _merge(current, value)
            else:
                merged[key] = without_nulls(value)
        elif value.__class__ is list:
            # Nulls inside stay where a list takes an object's place: so does the library.
            clean = copied if merged.get(key).__class__ is dict else without_nulls
            merged[key] = clean(value)
        else:
            merged[key] = value
    return merged

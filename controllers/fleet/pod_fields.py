"""Fields of a pod as the downward API shows them (pkg/fieldpath, pkg/api/v1/resource)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from kube import quantity
from kube.json_types import JsonObject

_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
_PLAIN: Final = {"metadata.name": "name", "metadata.namespace": "namespace", "metadata.uid": "uid"}
_WHOLE: Final = {"metadata.labels": "labels", "metadata.annotations": "annotations"}
_NANOS: Final = 10**9
_SHORT_OF: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


class Missing(Exception):
    """What a container needs is not there; its text is what a kubelet says."""


def field_text(metadata: JsonObject, path: str) -> str:
    """Return a field of a pod's metadata.

    Raises:
        Missing: there is no such field.
    """
    if path in _PLAIN:
        return str(metadata.get(_PLAIN[path], ""))
    if path in _WHOLE:
        pairs: Mapping[str, str] = metadata.get(_WHOLE[path]) or {}
        return "\n".join(f"{key}={orjson.dumps(pairs[key]).decode()}" for key in sorted(pairs))
    if (found := _SUBSCRIPT.fullmatch(path)) is not None:
        return str((metadata.get(found.group(1)) or {}).get(found.group(2), ""))
    raise Missing(f"unsupported fieldPath: {path}")


def resource_text(
    resources: Mapping[str, Any], allocatable: Mapping[str, str], field: JsonObject
) -> str:
    """Return a request or limit, in units of a divisor, rounded up.

    Args:
        resources: those of the container.
        allocatable: what its node has, for limits that are not set.
        field: a resourceFieldRef.
    """
    kind, _, name = str(field.get("resource", "")).partition(".")
    text = (resources.get(kind) or {}).get(name)
    if text is None:
        text = allocatable.get(name, "0") if kind == "limits" and name in _SHORT_OF else "0"
    divisor = _nanos(field.get("divisor")) or _NANOS
    return str(-(-_nanos(text) // divisor))


def _nanos(value: Any) -> int:
    """Return a quantity in billionths, 0 if it is none."""
    try:
        return quantity.parse(str(value or 0)).nanos
    except quantity.QuantityError:
        return 0

"""Which fields a write drops, so that nobody comes to manage them by it.

Upstream's `GetResetFields` and `GetResetFieldsFilter` of each strategy. Most types are alike: a
write of the object drops its status, a write of the status drops the spec. The table has the
others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from kube.kinds import ResourceInfo
from kube.managed import sets
from kube.managed.elements import SELF
from kube.managed.sets import FieldSet

_ALL: Final = None
"""In a pattern: everything below."""
_ANY: Final = "*"
"""In a pattern: whatever element."""
_Key = tuple[str, str]

_SPEC: Final = sets.of_paths([("f:spec",)])
_STATUS: Final = sets.of_paths([("f:status",)])
_SPEC_AND_METADATA: Final = sets.of_paths([("f:metadata",), ("f:spec",)])
_CSRS: Final = "certificates.k8s.io/certificatesigningrequests"
_RESET: Final[dict[_Key, FieldSet]] = {
    (_CSRS, ""): sets.of_paths([("f:spec",), ("f:status",)]),
    (_CSRS, "status"): sets.of_paths([("f:spec",), ("f:status", "f:conditions")]),
    (_CSRS, "approval"): sets.of_paths([("f:spec",), ("f:status", "f:certificate")]),
    ("apps/deployments", "status"): sets.of_paths([("f:spec",), ("f:metadata", "f:labels")]),
    ("pods", "status"): sets.of_paths(
        [("f:spec",), ("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")]
    ),
    ("namespaces", "finalize"): _STATUS,
    ("admissionregistration.k8s.io/validatingadmissionpolicies", "status"): _SPEC_AND_METADATA,
    ("apiextensions.k8s.io/customresourcedefinitions", "status"): _SPEC,
    ("apiregistration.k8s.io/apiservices", "status"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io/flowschemas", "status"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", "status"): _SPEC_AND_METADATA,
    ("storage.k8s.io/volumeattachments", "status"): _SPEC_AND_METADATA,
}
_SIZES: Final = {_ANY: {"f:resources": _ALL, "f:resizePolicy": _ALL}}
_ONLY: Final[dict[_Key, Mapping[str, Any]]] = {
    ("pods", "ephemeralcontainers"): {"f:spec": {"f:ephemeralContainers": _ALL}},
    ("pods", "resize"): {"f:spec": {"f:containers": _SIZES, "f:initContainers": _SIZES}},
}


@cache
def _reset_of(storage: str, subresource: str, *, has_status: bool) -> FieldSet:
    found = _RESET.get((storage, subresource))
    if found is not None:
        return found
    if subresource == "status":
        return _SPEC
    return _STATUS if has_status and not subresource else sets.EMPTY


def reset_fields(info: ResourceInfo, subresource: str) -> FieldSet:
    """Return the fields that a write of the object, or of a subresource, drops."""
    has_status = "status" in info.subresources
    return _reset_of(info.storage_resource, subresource, has_status=has_status)


def filter_of(info: ResourceInfo, subresource: str) -> Callable[[FieldSet], FieldSet]:
    """Return what leaves of a set what such a write can bring about."""
    pattern = _ONLY.get((info.storage_resource, subresource))
    if pattern is not None:
        return lambda fields: matching(fields, pattern)
    reset = reset_fields(info, subresource)
    return lambda fields: sets.recursive_difference(fields, reset)


def matching(fields: FieldSet, pattern: Mapping[str, Any] | None) -> FieldSet:
    """Return the members that lie on the paths of a pattern, or below their ends."""
    if pattern is None:
        return fields
    kept: dict[str, Any] = {}
    for name, node in fields.items():
        if name == SELF or not (name in pattern or _ANY in pattern):
            continue
        below = matching(node, pattern[name] if name in pattern else pattern[_ANY])
        inner = {key: child for key, child in below.items() if key != SELF}
        if not sets.is_member(node):
            if inner:
                kept[name] = inner
        else:
            kept[name] = {SELF: sets.MEMBER, **inner} if inner else sets.MEMBER
    return kept

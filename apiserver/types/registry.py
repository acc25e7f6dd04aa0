"""Every built-in type's hooks, by what storage calls the type.

A type without rules of its own gets plain hooks that only know whether it has a status. A module
that claims a type which another module has already claimed is a mistake, and says so at import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from apiserver.types import (
    admissionregistration,
    apiextensions,
    apiregistration,
    autoscaling,
    certificates,
    coordination,
    core,
    discovery,
    flowcontrol,
    networking,
    node,
    pods,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
    workloads,
)
from apiserver.types.hooks import TypeHooks
from kube.builtin_kinds import builtin_registry


def _merge(parts: Iterable[Mapping[str, TypeHooks]]) -> dict[str, TypeHooks]:
    merged: dict[str, TypeHooks] = {}
    for part in parts:
        twice = merged.keys() & part.keys()
        if twice:
            raise ValueError(f"types with two sets of hooks: {sorted(twice)}")
        merged.update(part)
    return merged


HOOKS: Final = _merge(
    module.HOOKS
    for module in (
        admissionregistration,
        apiextensions,
        apiregistration,
        autoscaling,
        certificates,
        coordination,
        core,
        discovery,
        flowcontrol,
        networking,
        node,
        pods,
        policy,
        rbac,
        resource,
        scheduling,
        storage,
        workloads,
    )
)


@cache
def hooks_for(storage_resource: str) -> TypeHooks:
    """Return the hooks of a built-in type.

    Args:
        storage_resource: as `ResourceInfo.storage_resource`, such as "apps/deployments".
    """
    known = HOOKS.get(storage_resource)
    if known is not None:
        return known
    versions = builtin_registry().versions_of(storage_resource)
    return TypeHooks(has_status=any("status" in info.subresources for info in versions))

"""The table of all types' hooks."""

from __future__ import annotations

import pytest

from apiserver.types.hooks import TypeHooks
from apiserver.types.registry import HOOKS, _merge, hooks_for
from kube.builtin_kinds import builtin_registry


def test_every_claimed_type_exists() -> None:
    known = {info.storage_resource for info in builtin_registry().all()}
    assert set(HOOKS) <= known


def test_every_daily_type_has_rules() -> None:
    daily = {"pods", "services", "configmaps", "secrets", "nodes", "events", "namespaces"}
    assert daily | {"apps/deployments", "batch/jobs", "coordination.k8s.io/leases"} <= set(HOOKS)


@pytest.mark.parametrize("resource", sorted(HOOKS))
def test_status_is_kept_apart_where_there_is_a_status_subresource(resource: str) -> None:
    versions = builtin_registry().versions_of(resource)
    served = any("status" in info.subresources for info in versions)
    assert hooks_for(resource).has_status == served


def test_type_without_rules_gets_plain_hooks() -> None:
    resource = "storagemigration.k8s.io/storageversionmigrations"
    assert resource not in HOOKS
    assert hooks_for(resource) == TypeHooks(has_status=True)
    assert hooks_for(resource) is hooks_for(resource)


def test_type_claimed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"two sets of hooks: \['pods'\]"):
        _merge([{"pods": TypeHooks()}, {"pods": TypeHooks()}])

"""The core group's types, but for pods and what runs them: each module has a type's rules."""

from __future__ import annotations

from typing import Final

from apiserver.types.core import (
    config_maps,
    endpoints,
    events,
    limit_ranges,
    namespaces,
    nodes,
    persistent_volume_claims,
    persistent_volumes,
    resource_quotas,
    secrets,
    service_accounts,
    services,
)
from apiserver.types.hooks import TypeHooks

HOOKS: Final[dict[str, TypeHooks]] = {
    **config_maps.HOOKS,
    **endpoints.HOOKS,
    **events.HOOKS,
    **limit_ranges.HOOKS,
    **namespaces.HOOKS,
    **nodes.HOOKS,
    **persistent_volume_claims.HOOKS,
    **persistent_volumes.HOOKS,
    **resource_quotas.HOOKS,
    **secrets.HOOKS,
    **service_accounts.HOOKS,
    **services.HOOKS,
}

"""The networking.k8s.io group: ingresses, network policies, service addresses and ranges."""

from __future__ import annotations

from typing import Final

from apiserver.types.hooks import TypeHooks
from apiserver.types.networking import ingresses, network_policies, service_ranges

HOOKS: Final[dict[str, TypeHooks]] = {
    **ingresses.HOOKS,
    **network_policies.HOOKS,
    **service_ranges.HOOKS,
}

"""API types on their way out: the Warning that every request for one of them is answered with.

The life of a type is upstream's, written per type and version at 1.37: when it was deprecated, when
it goes away, and what replaces it. A version absent here is not deprecated yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class _Life(NamedTuple):
    """Minor releases of 1.x, and `group/version Kind` of the replacement; 0 and "": none."""

    deprecated: int
    removed: int = 0
    replacement: str = ""


def _dynamic_resources(deprecated: int) -> dict[str, _Life]:
    kinds = ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice")
    return dict.fromkeys(kinds, _Life(deprecated, deprecated + 3))


def _mutating_policies(deprecated: int, successor: str = "") -> dict[str, _Life]:
    return {
        kind: _Life(deprecated, deprecated + 3, successor and f"{successor} {kind}")
        for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
    }


_LIVES: Final[Mapping[str, Mapping[str, _Life]]] = MappingProxyType(
    {
        "v1": {
            "ComponentStatus": _Life(19),
            "Endpoints": _Life(33, 0, "discovery.k8s.io/v1 EndpointSlice"),
        },
        "admissionregistration.k8s.io/v1alpha1": _mutating_policies(35),
        "admissionregistration.k8s.io/v1beta1": _mutating_policies(
            37, "admissionregistration.k8s.io/v1"
        ),
        "certificates.k8s.io/v1beta1": {
            kind: _Life(37, 40, f"certificates.k8s.io/v1 {kind}")
            for kind in ("ClusterTrustBundle", "PodCertificateRequest")
        },
        "coordination.k8s.io/v1alpha2": {"LeaseCandidate": _Life(35, 38)},
        "coordination.k8s.io/v1beta1": {"LeaseCandidate": _Life(36, 39)},
        "resource.k8s.io/v1alpha3": {"DeviceTaintRule": _Life(36, 39)},
        "resource.k8s.io/v1beta1": _dynamic_resources(35),
        "resource.k8s.io/v1beta2": _dynamic_resources(36),
        "storagemigration.k8s.io/v1beta1": {
            "StorageVersionMigration": _Life(
                37, 40, "storagemigration.k8s.io/v1 StorageVersionMigration"
            )
        },
    }
)


def deprecation_warning(api_version: str, kind: str) -> str:
    """Return the warning of a type in a version, "" if it is not deprecated."""
    life = _LIVES.get(api_version, {}).get(kind)
    if life is None:
        return ""
    text = f"{api_version} {kind} is deprecated in v1.{life.deprecated}+"
    if life.removed:
        text += f", unavailable in v1.{life.removed}+"
    if life.replacement:
        text += f"; use {life.replacement}"
    return text

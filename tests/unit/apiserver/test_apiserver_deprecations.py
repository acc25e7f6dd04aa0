"""Deprecated types are warned of in upstream's words."""

from __future__ import annotations

import pytest

from apiserver.deprecations import deprecation_warning


@pytest.mark.parametrize(
    ("api_version", "kind", "text"),
    [
        ("v1", "ComponentStatus", "v1 ComponentStatus is deprecated in v1.19+"),
        (
            "v1",
            "Endpoints",
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
        (
            "coordination.k8s.io/v1beta1",
            "LeaseCandidate",
            "coordination.k8s.io/v1beta1 LeaseCandidate is deprecated in v1.36+, "
            "unavailable in v1.39+",
        ),
        (
            "certificates.k8s.io/v1beta1",
            "ClusterTrustBundle",
            "certificates.k8s.io/v1beta1 ClusterTrustBundle is deprecated in v1.37+, "
            "unavailable in v1.40+; use certificates.k8s.io/v1 ClusterTrustBundle",
        ),
        ("v1", "Pod", ""),
        ("certificates.k8s.io/v1", "ClusterTrustBundle", ""),
    ],
)
def test_a_type_is_warned_of_only_while_deprecated(api_version: str, kind: str, text: str) -> None:
    assert deprecation_warning(api_version, kind) == text

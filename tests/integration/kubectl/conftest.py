"""kubectl in a namespace of the test's own."""

from __future__ import annotations

import pytest

from tests.integration.cluster import Cluster
from tests.integration.kubectl.kubectl_runner import Kubectl


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """Real kubectl, bound to a new namespace."""
    return Kubectl(cluster, namespace)

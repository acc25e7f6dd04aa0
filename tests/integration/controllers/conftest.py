"""A cluster in which all controllers run; nodes and pods are played by the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster, run_cluster
from tests.integration.kubectl.kubectl_runner import Kubectl


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, shared by the session's tests of controllers."""
    with run_cluster(tmp_path_factory.mktemp("controllers")) as running:
        running.wait_started()
        yield running


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster as a user starts it: with a scheduler, and three simulated nodes."""
    settings = {"fleet": {"nodes": 3}, "supervisor": {"without": []}}
    with run_cluster(tmp_path_factory.mktemp("simulated"), settings) as running:
        running.wait_started()
        yield running


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """Real kubectl, bound to a new namespace."""
    return Kubectl(cluster, namespace)

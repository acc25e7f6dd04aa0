"""One cluster for all integration tests that do not kill it; each uses its own namespace."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster, run_cluster

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, shared by the session."""
    with run_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def still_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster without controllers, for tests that write what those would change back."""
    settings = {"supervisor": {"controllers": False}}
    with run_cluster(tmp_path_factory.mktemp("still"), settings) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """The name of a new namespace."""
    name = f"test-{next(_numbers)}"
    answer = cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.code == 201, answer.body
    return name

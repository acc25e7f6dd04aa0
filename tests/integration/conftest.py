"""One cluster for all integration tests that do not kill it; each uses its own namespace.

Nobody acts on what tests make there but who must: namespaces end, garbage is collected, quotas are
counted. So tests of the API see their own writes alone. Tests of controllers have another cluster
(tests/integration/controllers).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from controllers import cluster as needed
from controllers.main import GARBAGE
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.webhook_server import WebhookServer, run_webhooks

_numbers = itertools.count(1)
_CONTROLLERS = ",".join(part.name for part in (*needed.PARTS, GARBAGE))
SETTINGS = {"controllers": {"run": _CONTROLLERS}}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, shared by the session."""
    with run_cluster(tmp_path_factory.mktemp("cluster"), SETTINGS) as running:
        running.wait_started()  # else accounts that pods need may be late
        yield running


@pytest.fixture(scope="session")
def bare_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster without controllers: nobody but the test writes, lists or watches.

    It has no console, either.
    """
    settings = {"supervisor": {"controllers": False}, "server": {"console": False}}
    with run_cluster(tmp_path_factory.mktemp("bare-cluster"), settings) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    """The name of a new namespace."""
    name = f"test-{next(_numbers)}"
    cluster.make_namespace(name)
    return name


@pytest.fixture(scope="session")
def webhooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebhookServer]:
    """A server of webhooks, also for the service `judge` in the namespace `system`."""
    with run_webhooks(tmp_path_factory.mktemp("webhooks"), ["judge.system.svc"]) as server:
        yield server

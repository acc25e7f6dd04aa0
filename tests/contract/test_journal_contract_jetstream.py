"""The journal contract, kept by the JetStream engine over a real server, and over three of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.contract.journal_suite.engines import ALL_CASES, jetstream_harness
from tests.contract.journal_suite.harness import Case, run_case
from tests.integration.nats_servers import NatsCluster, running_nats

pytestmark = pytest.mark.nats

_prefixes = (f"case-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with running_nats(tmp_path_factory.mktemp("nats")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def three_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with running_nats(tmp_path_factory.mktemp("nats"), 3) as cluster:
        yield cluster


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.__name__)
def test_jetstream_engine_keeps_the_contract(case: Case, server: NatsCluster) -> None:
    run_case(case, lambda: jetstream_harness(server.url, next(_prefixes), 1))


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.__name__)
def test_jetstream_engine_keeps_the_contract_on_three(
    case: Case, three_servers: NatsCluster
) -> None:
    run_case(case, lambda: jetstream_harness(three_servers.url, next(_prefixes), 3))

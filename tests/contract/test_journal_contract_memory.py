"""The journal contract, kept by the memory engine."""

from __future__ import annotations

import pytest

from tests.contract.journal_suite.engines import ALL_CASES, memory_harness
from tests.contract.journal_suite.harness import Case, run_case


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.__name__)
def test_memory_engine_keeps_the_contract(case: Case) -> None:
    run_case(case, memory_harness)

"""The journal contract, kept by the client engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.journal_suite.engines import ALL_CASES, client_harness
from tests.contract.journal_suite.harness import Case, run_case


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.__name__)
def test_client_engine_keeps_the_contract(case: Case, tmp_path: Path) -> None:
    run_case(case, lambda: client_harness(tmp_path))

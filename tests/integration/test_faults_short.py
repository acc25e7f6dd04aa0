"""A short campaign: each fault once, in the shape of cluster where it has most to break.

The long one is `make faults`; docs/faults.md says how to read it. A failure names the seed and the
steps; the clusters' logs are in the test's temporary directory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.faults.full_disks import may_mount
from tests.faults.plan import FULL, plan_round
from tests.faults.rig import TOPOLOGIES
from tests.faults.rounds import Result, run_round

pytestmark = pytest.mark.slow

_SEED: Final = "4"
_FAULTS: Final = {
    "one": ("supervisor", "torn", "reboot", "kill", "damage", "sync-error", "checkpoint-damage"),
    "workers": ("kill", "forget", "stop", "clock", "memory-full", "kill"),
    "partitions": ("kill", "link", "torn", "forget", "disk-full", "kill"),
    "two": ("kill", "link", "reboot", "link", "slow-disk", "checkpoints-full", "kill"),
}


@pytest.mark.parametrize("shape", _FAULTS)
def test_faults_lose_repeat_and_reorder_nothing(shape: str, tmp_path: Path) -> None:
    faults = list(_FAULTS[shape])
    why = may_mount(tmp_path)
    if why:
        print(f"NOT TRIED: {', '.join(FULL)}: {why}")
        faults = [fault for fault in faults if fault not in FULL]
    plan = plan_round(_SEED, TOPOLOGIES[shape], faults)
    # Sockets have short paths, which pytest's are not.
    with tempfile.TemporaryDirectory(prefix="uf", dir="/tmp") as name:
        result = run_round(plan, Path(name), lambda _result, _step: None)
    assert not result.violations, _told(result, plan)
    # It was one: answers were lost, watches went on elsewhere, all was read and written meanwhile.
    assert result.steps == len(faults)
    assert result.kills >= 2
    assert result.writes > 100
    assert result.reads > 100
    assert result.streams > 10
    if shape == "one":
        assert result.fates["refused"] > 10
        assert not result.fates["served"]


def _told(result: Result, plan: object) -> str:
    return "\n".join([*result.violations[:40], f"after {result.steps} steps of {plan}"])

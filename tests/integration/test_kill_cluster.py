"""kill -9 of the journal, the API server and both, under load, and reboots: nothing is lost.

20 kills and two reboots at random moments of a load of creates, updates and deletes in three
partitions. The seed is printed; ULTRAPLANE_KILL_SEED repeats its choices (not the timing).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.integration.cluster import Cluster, run_cluster
from tests.integration.kill_load import (
    GOES_ON_S,
    NAMESPACES,
    Load,
    judge,
    listed,
    memory_of,
    wait_checkpoints,
)
from tests.integration.kill_model import final_state
from tests.integration.kill_traffic import GROUPS

pytestmark = pytest.mark.slow

_WRITES_BEFORE_KILL: Final = (20, 150)
_POLL_S: Final = 0.05
_CONFIG: Final[dict[str, Any]] = {
    # Small and often, so that recovery meets checkpoints, trimmed logs and segment ends.
    "journal": {"segment_mib": 1},
    "storage": {"checkpoint_interval_s": 1},
    "supervisor": {"restart_delay_s_max": 0},
}


def _kill_journal(cluster: Cluster) -> None:
    cluster.kill("journal")


def _kill_apiserver(cluster: Cluster) -> None:
    cluster.kill("apiserver")


def _kill_both(cluster: Cluster) -> None:
    pids = [cluster.pid_of(part) for part in ("apiserver", "journal")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _reboot(cluster: Cluster) -> None:
    """Kill both and empty the tmpfs before the supervisor can start them again."""
    wait_checkpoints(cluster)
    os.kill(cluster.process.pid, signal.SIGSTOP)
    try:
        _kill_both(cluster)
        for entry in memory_of(cluster).iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    finally:
        os.kill(cluster.process.pid, signal.SIGCONT)


_KILLS: Final = [_kill_journal, _kill_apiserver, _kill_both]
_ROUNDS: Final[list[Callable[[Cluster], None]]] = [
    *(_KILLS * 3),
    _reboot,
    *(_KILLS * 3),
    _reboot,
    _kill_journal,
    _kill_apiserver,
]


def test_kills_and_reboots_under_load_lose_and_repeat_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seed = int(os.environ.get("ULTRAPLANE_KILL_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"ULTRAPLANE_KILL_SEED={seed}")
    chance = random.Random(seed)
    directory = tmp_path_factory.mktemp("cluster")
    with run_cluster(directory, _CONFIG) as cluster:
        for name in NAMESPACES:
            answer = cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            assert answer.code == 201, answer.body
        load = Load(cluster, chance)
        with load:
            for kill in _ROUNDS:
                load.record.wait_more(chance.randint(*_WRITES_BEFORE_KILL), GOES_ON_S)
                kill(cluster)
            load.record.wait_more(1, GOES_ON_S)
            load.stop()
            cluster.wait_ready()
            load.finish()
            apiserver_kills = sum(kill is not _kill_journal for kill in _ROUNDS)
        judge(load, resumed_min=apiserver_kills)
        # And once more from the disk alone.
        histories = {resource: load.replay(resource) for resource in GROUPS}
        _reboot(cluster)
        cluster.wait_ready()
        for resource, history in histories.items():
            assert load.replay(resource) == history
            assert listed(cluster, resource) == final_state(history)

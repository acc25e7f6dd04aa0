"""kill -9 of workers, storage process and journal under load, with several workers on one port.

The same load and the same verdict as for one process (test_kill_cluster.py): every watcher sees
each event once and in order, whichever worker serves it and on whichever it resumes.
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
from tests.integration.shared_load import SharedLoad

pytestmark = pytest.mark.slow

_WRITES_BEFORE_KILL: Final = (20, 100)
_REQUESTS_BEFORE_KILL: Final = 400
_PARTS: Final = ["storage", "apiserver-1", "apiserver-2", "apiserver-3", "journal"]
_CONFIG: Final[dict[str, Any]] = {
    "server": {"workers": 3},
    "journal": {"segment_mib": 1},
    "storage": {"checkpoint_interval_s": 1},
    "supervisor": {"restart_delay_s_max": 0},
}


def _killer(part: str) -> Callable[[Cluster], None]:
    def kill(cluster: Cluster) -> None:
        cluster.kill(part)

    return kill


def _forget_memory(cluster: Cluster, partitions: int = len(GROUPS)) -> None:
    """Kill the storage process and take its files away: a checkpoint takes their place.

    The workers still map the old ones.
    """
    wait_checkpoints(cluster, partitions)
    os.kill(cluster.process.pid, signal.SIGSTOP)
    try:
        os.kill(cluster.pid_of("storage"), signal.SIGKILL)
        for partition in memory_of(cluster).iterdir():
            if partition.is_dir():
                shutil.rmtree(partition)
    finally:
        os.kill(cluster.process.pid, signal.SIGCONT)


def test_kills_of_workers_and_storage_lose_and_repeat_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seed = int(os.environ.get("ULTRAPLANE_KILL_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"ULTRAPLANE_KILL_SEED={seed}")
    chance = random.Random(seed)
    kills = [_killer(part) for part in _PARTS]
    rounds = [*kills, _forget_memory]
    with run_cluster(tmp_path_factory.mktemp("cluster"), _CONFIG) as cluster:
        for name in NAMESPACES:
            answer = cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
            assert answer.code == 201, answer.body
        load = Load(cluster, chance)
        with load:
            for kill in rounds:
                load.record.wait_more(chance.randint(*_WRITES_BEFORE_KILL), GOES_ON_S)
                kill(cluster)
            load.record.wait_more(1, GOES_ON_S)
            load.stop()
            cluster.wait_ready()
            load.finish()
        judge(load, resumed_min=0)
        for resource in GROUPS:
            assert listed(cluster, resource) == final_state(load.replay(resource))


def test_requests_to_all_workers_have_one_order_whatever_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with run_cluster(tmp_path_factory.mktemp("cluster"), _CONFIG) as cluster:
        with SharedLoad([cluster] * 3) as load:
            for kill in (*map(_killer, _PARTS), lambda one: _forget_memory(one, 2)):
                load.wait_more(_REQUESTS_BEFORE_KILL)
                kill(cluster)
            load.wait_more(_REQUESTS_BEFORE_KILL)
            cluster.wait_ready()
            load.wait_more(_REQUESTS_BEFORE_KILL)
        load.judge()

"""Controllers that are killed come to the same end, and may do no more than their roles say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_calls import Collection, Json, collection, named
from tests.integration.cluster import Cluster, run_cluster

PATIENCE_S = 60.0
DEPENDENTS = 400
NAMESPACED = 2_000
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose controllers are killed."""
    with run_cluster(tmp_path_factory.mktemp("garbage")) as running:
        running.wait_started()
        yield running


def _until(look: Callable[[], Any], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def _fill(config_maps: Collection, owner: Json, count: int) -> None:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
    ]
    objects = [
        {"metadata": {"name": f"child-{number}", "ownerReferences": references}}
        for number in range(count)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(config_maps.made, objects))


def _children(config_maps: Collection) -> list[Json]:
    return [
        item
        for item in config_maps.list().json["items"]
        if item["metadata"]["name"].startswith("child-")
    ]


@pytest.mark.parametrize("policy", ["Foreground", "Background", "Orphan"])
def test_a_collector_killed_in_the_middle_is_followed_by_one_that_ends_it(
    own: Cluster, policy: str
) -> None:
    namespace = f"killed-{policy.lower()}"
    collection(own, "", "namespaces").made(named(namespace))
    config_maps = collection(own, namespace, "configmaps")
    owner = config_maps.made(named("owner"))
    _fill(config_maps, owner, DEPENDENTS)

    def left() -> int:
        children = _children(config_maps)
        return sum(bool(item["metadata"].get("ownerReferences")) for item in children)

    config_maps.delete("owner", {"propagationPolicy": policy})
    kills = 0
    for part in (0.9, 0.5):
        # One that has seen some of them go is killed; a fast one may have ended it before.
        _until(lambda part=part: left() < DEPENDENTS * part, "nothing happens")
        if left():
            own.kill("controllers")
            kills += 1
    _until(lambda: config_maps.get("owner").code == 404 and not left(), "it does not end")
    assert len(_children(config_maps)) == (DEPENDENTS if policy == "Orphan" else 0)
    assert kills


def test_a_namespace_whose_controller_is_killed_goes_all_the_same(own: Cluster) -> None:
    namespaces = collection(own, "", "namespaces")
    namespaces.made(named("full"))
    config_maps = collection(own, "full", "configmaps")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(config_maps.made, (named(f"c{n}") for n in range(NAMESPACED))))
    namespaces.delete("full")
    own.kill("controllers")
    _until(lambda: namespaces.get("full").code == 404, "it is still there")


def test_controllers_are_service_accounts_and_no_masters(own: Cluster) -> None:
    accounts = collection(own, "kube-system", "serviceaccounts")
    assert {"generic-garbage-collector", "namespace-controller"} <= set(accounts.names())
    path = own.directory / "run" / "controllers.kubeconfig"
    answer = own.kubectl("--kubeconfig", str(path), "auth", "whoami", "-o", "json")
    assert '"username": "system:kube-controller-manager"' in answer.stdout
    assert "system:masters" not in answer.stdout


def test_controllers_are_refused_nothing_that_they_do(own: Cluster) -> None:
    """After all of the above: namespaces ended, garbage collected, accounts and roles made."""
    _until(lambda: "garbage is collected" in _log_of(own), "the collector does not run")
    late = _log_of(own).rpartition("controllers are ready")[2]
    assert not re.findall(r".*forbidden.*", late)


def _log_of(own: Cluster) -> str:
    log: Path = own.directory / "logs" / "controllers.log"
    return log.read_text(errors="replace")

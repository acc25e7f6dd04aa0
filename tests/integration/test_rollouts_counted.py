"""What rollouts cost in requests, and that they end the same when their controllers are killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.integration.api_calls import STRATEGIC, Collection, Json, collection, named
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.played_kubelet import PlayedKubelet, until

LABELS = {"app": "web"}
REPLICAS = 10
POLICY: Json = {
    "kind": "Policy",
    "apiVersion": "audit.k8s.io/v1",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete"],
            "userGroups": ["system:serviceaccounts:kube-system"],
            "resources": [
                {"group": "", "resources": ["pods"]},
                {"group": "apps"},
            ],
        },
    ],
}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that writes down what its controllers write, and whose controllers are killed."""
    directory = tmp_path_factory.mktemp("counted")
    (directory / "policy.json").write_bytes(orjson.dumps(POLICY))
    audit = {
        "policy_file": str(directory / "policy.json"),
        "log_path": str(directory / "audit.log"),
    }
    with run_cluster(directory, {"audit": audit}) as running:
        running.wait_started()
        yield running


def workload(kind: str, image: str = "example.com/web:1", **spec: Any) -> Json:
    """Return a workload named web of ten pods."""
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }
    return {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": LABELS},
            "template": template,
            **({"serviceName": "web"} if kind == "statefulsets" else {}),
            **spec,
        },
    }


def update(owners: Collection, image: str = "example.com/web:2") -> None:
    """Ask for another template."""
    spec = {"containers": [{"name": "main", "image": image}]}
    assert owners.patch("web", {"spec": {"template": {"spec": spec}}}, "", STRATEGIC).code == 200


def is_done(owners: Collection) -> bool:
    """Tell whether all pods are there, new and available."""
    found = owners.get("web").json
    status = found["status"]
    names = ("replicas", "updatedReplicas", "availableReplicas")
    return status.get("observedGeneration") == found["metadata"]["generation"] and all(
        status.get(name, 0) == REPLICAS for name in names
    )


def images(kubelet: PlayedKubelet) -> Counter[str]:
    """Return how many pods there are of each image."""
    return Counter(pod["spec"]["containers"][0]["image"] for pod in kubelet.all())


def written(cluster: Cluster, namespace: str) -> list[Json]:
    """Return what the log has of a namespace so far."""
    path = Path(cluster.directory.parent) / "audit.log"
    events: list[Json] = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [one for one in events if one["objectRef"].get("namespace") == namespace]


def settled(cluster: Cluster, namespace: str) -> list[Json]:
    """Return what the log has once nothing more is written: the last word is a marker's."""
    seen: list[int] = []

    def is_quiet() -> bool:
        seen.append(len(written(cluster, namespace)))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    until(is_quiet, "it never ends")
    return written(cluster, namespace)


def counted(events: list[Json]) -> Counter[tuple[str, str]]:
    """Return how often what was done to what."""
    return Counter(
        (
            one["verb"],
            "/".join(
                filter(None, (one["objectRef"]["resource"], one["objectRef"].get("subresource")))
            ),
        )
        for one in events
    )


def test_a_rolling_update_writes_little_more_than_it_has_to(own: Cluster) -> None:
    namespace = "counted"
    collection(own, "", "namespaces").made(named(namespace))
    deployments = collection(own, namespace, "deployments", "apps/v1")
    kubelet = PlayedKubelet(own, namespace)
    rolling = {"maxSurge": REPLICAS, "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    deployments.made(workload("deployments", strategy=strategy))
    kubelet.until(lambda: is_done(deployments), "not done")
    before = len(settled(own, namespace))
    update(deployments)
    kubelet.until(lambda: is_done(deployments), "not updated")
    kubelet.until(lambda: len(kubelet.names()) == REPLICAS, "old pods stay")
    events = settled(own, namespace)[before:]
    print(counted(events), Counter(one["responseStatus"]["code"] for one in events))
    for one in events:
        if one["objectRef"]["resource"] != "pods":
            print(
                one["verb"],
                one["objectRef"]["resource"],
                one["objectRef"].get("subresource"),
                one["objectRef"]["name"],
                one["responseStatus"]["code"],
                one["stageTimestamp"],
            )
    assert 0

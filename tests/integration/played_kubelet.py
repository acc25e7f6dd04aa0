"""Pods that run without a kubelet: tests bind them, and say that they are ready or gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from tests.integration.api_calls import Collection, Json, collection
from tests.integration.cluster import Cluster

PATIENCE_S = 60.0
BROKEN = "example.com/broken:1"
"""A pod of this image never becomes ready."""


def until(look: Callable[[], Any], what: str) -> Any:
    """Return what `look` finds, as soon as it finds something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)
    return found


class PlayedKubelet:
    """The pods of one namespace.

    Args of the constructor:
        cluster: theirs.
        namespace: theirs.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.pods = collection(cluster, namespace, "pods")

    def all(self) -> list[Json]:
        """Return the pods as they are."""
        items: list[Json] = self.pods.list().json["items"]
        return items

    def names(self) -> list[str]:
        """Return the names of the pods, in order."""
        return sorted(pod["metadata"]["name"] for pod in self.all())

    def bind(self, pod: Json) -> None:
        """Place a pod on the node that its affinity names, else on any."""
        if pod["spec"].get("nodeName"):
            return
        name = pod["metadata"]["name"]
        node = target_of(pod) or "played"
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        Collection(self.pods.cluster, f"{self.pods.path}/{name}/binding").create(binding)

    def ready(self, name: str, *, phase: str = "Running", is_ready: bool = True) -> None:
        """Say how a pod does."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        state = "True" if is_ready else "False"
        condition = {"type": "Ready", "status": state, "lastTransitionTime": now}
        self.pods.patch(f"{name}/status", {"status": {"phase": phase, "conditions": [condition]}})

    def finish(self, name: str) -> None:
        """Let a pod that is being deleted be gone."""
        self.pods.delete(name, {"gracePeriodSeconds": 0})

    def tick(self) -> list[Json]:
        """Let every pod go one step further: bound and ready, or gone."""
        found = self.all()
        for pod in found:
            name, status = pod["metadata"]["name"], pod.get("status") or {}
            if "deletionTimestamp" in pod["metadata"]:
                self.finish(name)
            elif not pod["spec"].get("nodeName"):
                self.bind(pod)
            elif status.get("phase") == "Pending":
                works = pod["spec"]["containers"][0]["image"] != BROKEN
                self.ready(name, is_ready=works)
        return found

    def tick_all(self) -> None:
        """Let every pod be bound and ready, all as one as far as that goes."""

        def run(pod: Json) -> None:
            self.bind(pod)
            if (pod.get("status") or {}).get("phase") == "Pending":
                self.ready(pod["metadata"]["name"])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(run, self.all()))

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Let pods run until `look` finds something; return that."""

        def run() -> Any:
            self.tick()
            return look()

        return until(run, what)


def target_of(pod: Json) -> str:
    """Return the node that a pod's affinity names."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for rule in term.get("matchFields") or ():
            return str(rule["values"][0])
    return ""

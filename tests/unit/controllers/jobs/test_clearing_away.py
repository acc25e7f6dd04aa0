"""What is cleared away: ended Jobs after their time, and pods that nobody else ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.jobs import pod_garbage
from controllers.jobs.ended_jobs import left_s
from controllers.jobs.pod_garbage import PodCollector
from controllers.workloads.pods import PodBook
from kube.client import Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.informers.store import Store
from kube.status import StatusError
from runtime.clock import SimulatedClock
from tests.unit.controllers.jobs.job_objects import NOW_S, Json, job, pod, stamp


def _ended(kind: str, ago_s: int) -> Json:
    return {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp(ago_s)}]}


@pytest.mark.parametrize(
    ("status", "limit_s", "left"),
    [
        (_ended("Complete", 10), 60, 50),
        (_ended("Failed", 10), 0, -10),
        (_ended("Complete", 10), None, None),
        (_ended("FailureTarget", 10), 0, None),
        ({}, 0, None),
    ],
)
def test_a_job_stays_its_time_after_it_has_ended(
    status: Json, limit_s: int | None, left: float | None
) -> None:
    spec = {} if limit_s is None else {"ttlSecondsAfterFinished": limit_s}
    assert left_s(job(status, **spec), NOW_S) == left


def test_a_job_that_is_being_deleted_is_not_deleted_again() -> None:
    owner = job(_ended("Complete", 10), ttlSecondsAfterFinished=0)
    owner["metadata"]["deletionTimestamp"] = stamp()
    assert left_s(owner, NOW_S) is None


class _Client:
    """Notes what is asked of it; of nodes it knows `nodes`."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(NOW_S)
        self.nodes: set[str] = set()
        self.done: list[str] = []
        self.patches: list[Json] = []

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> Json:
        if method == "GET":
            if path.rpartition("/")[2] not in self.nodes:
                raise StatusError(404, "NotFound", "no such node")
            return {}
        if isinstance(body, Patch):
            self.patches.append(body.document)
        else:
            assert body["gracePeriodSeconds"] == 0
            assert body["preconditions"]["uid"]
        self.done.append(f"{method} {path.removeprefix('/api/v1/namespaces/n/pods/')}")
        return {}


class _Feed:
    """Stands for an informer: a store, and who is told."""

    def __init__(self) -> None:
        self.store = Store()
        self.observe: Any = None

    def on_each(self, observe: Any) -> None:
        self.observe = observe


class _Scene:
    """A collector and what it is told."""

    def __init__(self, terminated_max: int = 100) -> None:
        self.client = _Client()
        self.book, self.pods, self.nodes = PodBook(), _Feed(), _Feed()
        feeds: Any = (self.client, self.book, self.pods, self.nodes)
        self.collector = PodCollector(*feeds, terminated_max)

    def tell(self, *pods: Json, change: Change = Change.ADDED) -> None:
        for one in pods:
            key = f"n/{one['metadata']['name']}"
            if change is Change.DELETED:
                self.pods.store.drop(key)
            else:
                self.pods.store.put(key, one, b"")
            self.book.take([Delta(change, key, one)])

    def node(self, name: str, *, ready: bool = True, taint: str = "") -> None:
        state = "True" if ready else "False"
        made = {
            "metadata": {"name": name},
            "spec": {"taints": [{"key": taint}] if taint else []},
            "status": {"conditions": [{"type": "Ready", "status": state}]},
        }
        self.client.nodes.add(name)
        self.nodes.observe(Change.ADDED, made)

    def collect(self, after_s: float = 0) -> list[str]:
        async def run() -> None:
            await self.client.clock.advance(after_s)
            await self.collector.collect()

        self.client.done.clear()
        asyncio.run(run())
        return list(self.client.done)


def _on(node: str, made: Json) -> Json:
    made["spec"]["nodeName"] = node
    return made


def test_the_oldest_terminated_pods_go_beyond_the_most_and_evicted_ones_first() -> None:
    scene = _Scene(terminated_max=2)
    old = pod("old", "Succeeded")
    old["metadata"]["creationTimestamp"] = stamp(900)
    evicted = pod("evicted", "Failed", reason="Evicted")
    scene.tell(pod("new", "Failed"), old, evicted, pod("runs"))
    assert scene.collect() == ["DELETE evicted"]
    scene.tell(evicted, change=Change.DELETED)
    assert scene.collect() == []
    scene.tell(pod("next", "Succeeded"))
    assert scene.collect() == ["DELETE old"]
    assert _Scene(terminated_max=0).collect() == []


def test_pods_of_a_node_that_is_gone_fail_and_go_after_a_while() -> None:
    scene = _Scene()
    scene.node("here")
    scene.tell(_on("gone", pod("lost")), _on("gone", pod("done", "Succeeded")))
    scene.tell(_on("here", pod("fine")))
    assert scene.collect() == []
    assert scene.collect(pod_garbage.QUARANTINE_S - 1) == []
    done = scene.collect(2)
    assert sorted(done) == ["DELETE done", "DELETE lost", "PATCH lost/status"]
    (patch,) = scene.client.patches
    (condition,) = patch["status"]["conditions"]
    assert patch["status"]["phase"] == "Failed"
    assert condition["reason"] == "DeletionByPodGC"
    assert condition["message"] == "PodGC: node no longer exists"
    assert condition["type"] == "DisruptionTarget"


def test_a_pod_that_came_later_is_given_as_much_time() -> None:
    scene = _Scene()
    scene.tell(_on("gone", pod("old", "Succeeded")))
    scene.collect()
    late = _on("gone", pod("late", "Succeeded"))
    late["metadata"]["creationTimestamp"] = stamp(-20)
    scene.tell(late)
    assert scene.collect(pod_garbage.QUARANTINE_S) == ["DELETE old"]
    scene.tell(pod("old"), change=Change.DELETED)
    assert scene.collect() == []
    assert scene.collect(pod_garbage.QUARANTINE_S) == ["DELETE late"]


def test_a_node_that_comes_back_in_time_keeps_its_pods() -> None:
    scene = _Scene()
    scene.tell(_on("late", pod("a")))
    assert scene.collect() == []
    scene.node("late")
    assert scene.collect(pod_garbage.QUARANTINE_S + 1) == []


def test_a_node_that_only_the_watch_has_missed_keeps_its_pods() -> None:
    scene = _Scene()
    scene.tell(_on("slow", pod("a")))
    scene.client.nodes.add("slow")
    scene.collect()
    assert scene.collect(pod_garbage.QUARANTINE_S + 1) == []


def test_pods_that_were_never_placed_go_at_once_when_deleted() -> None:
    scene = _Scene()
    scene.node("here")
    scene.tell(pod("a", "Pending", deleting=True), _on("here", pod("b", deleting=True)))
    scene.tell(pod("c", "Pending"))
    assert scene.collect() == ["PATCH a/status", "DELETE a"]


@pytest.mark.parametrize(
    ("ready", "taint", "goes"),
    [
        (False, pod_garbage.OUT_OF_SERVICE, True),
        (True, pod_garbage.OUT_OF_SERVICE, False),
        (False, "other", False),
    ],
)
def test_deleted_pods_of_a_node_out_of_service_go(*, ready: bool, taint: str, goes: bool) -> None:
    scene = _Scene()
    scene.node("n1", ready=ready, taint=taint)
    scene.tell(_on("n1", pod("a", deleting=True)), _on("n1", pod("b")))
    assert scene.collect() == (["PATCH a/status", "DELETE a"] if goes else [])

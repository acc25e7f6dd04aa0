"""Who has to go for a more important pod, and what is said when nobody can."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler.diagnosis import NO_NODES, Diagnosis
from controllers.scheduler.engine import Engine
from controllers.scheduler.preemption import Preemption
from controllers.scheduler.queue import Place, PodQueue, Waiting
from controllers.scheduler.scheduler import Scheduler
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.state import Placed
from controllers.scheduler.terms import parse_selector
from controllers.scheduler.victims import Budget, Candidates, select_victims
from kube.access import Access
from kube.client import ApiClient
from kube.json_types import JsonObject


class Cluster:
    """Nodes, pods on them and budgets, and whom preemption would choose."""

    def __init__(self, **nodes: str) -> None:
        self.engine = Engine({DEFAULT_SCHEDULER: Profile()})
        self.budgets: list[Budget] = []
        for name, cpu in nodes.items():
            status = {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "9"}}
            metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
            self.engine.state.put_node({"metadata": metadata, "spec": {}, "status": status})

    def pod(self, name: str, priority: int, cpu: str, **more: Any) -> dict[str, Any]:
        """Return a pod."""
        requests = {"requests": {"cpu": cpu}}
        spec = {"priority": priority, "containers": [{"name": "c", "resources": requests}], **more}
        metadata = {"name": name, "namespace": "n", "uid": name, "labels": {"app": name[0]}}
        return {"metadata": metadata, "spec": spec}

    def put(self, node: str, name: str, priority: int, cpu: str, started: str = "1") -> None:
        """Put a pod on a node."""
        pod = self.pod(name, priority, cpu)
        shape = self.engine.shapes.of(pod)
        group = self.engine.shapes.group_of(pod["metadata"])
        slot = self.engine.state.columns.slot_of[node]
        self.engine.state.place(Placed(name, f"n/{name}", slot, shape, group, started))

    def waiting(self, priority: int, cpu: str, **more: Any) -> Waiting:
        """Return a pod that wants a node."""
        pod = self.pod("wanting", priority, cpu, **more)
        shape = self.engine.shapes.of(pod)
        group = self.engine.shapes.group_of(pod["metadata"])
        return Waiting("wanting", "n/wanting", shape, group, {})

    def victims(self, pod: Waiting) -> tuple[str, list[str]]:
        """Return the node that is chosen and who has to go, or why nobody would."""
        assert self.engine.choose(pod) is None
        client = ApiClient(Access("http://nowhere"))
        events: Any = None
        preemption = Preemption(client, self.engine, events, lambda _namespace: self.budgets)
        found, message = preemption.find(pod, self.engine.explain(pod))
        self.engine.state.check()
        if found is None:
            return message, []
        names = self.engine.state.columns.names
        return names[found.slot], sorted(victim.uid for victim in found.victims)


def test_only_as_many_go_as_have_to_the_least_important_first() -> None:
    cluster = Cluster(n1="4")
    for name, priority in (("a", 3), ("b", 1), ("c", 2), ("d", 1)):
        cluster.put("n1", name, priority, "1", started=name)
    # Of b and d, who are as important, the one that started later goes.
    assert cluster.victims(cluster.waiting(10, "1")) == ("n1", ["d"])
    assert cluster.victims(cluster.waiting(10, "3")) == ("n1", ["b", "c", "d"])


def test_the_node_is_taken_whose_most_important_victim_is_least_important() -> None:
    cluster = Cluster(n1="2", n2="2")
    cluster.put("n1", "a", 5, "2")
    cluster.put("n2", "b", 3, "1")
    cluster.put("n2", "c", 3, "1")
    assert cluster.victims(cluster.waiting(10, "2")) == ("n2", ["b", "c"])


def test_a_budget_that_would_be_violated_weighs_most() -> None:
    cluster = Cluster(n1="1", n2="1")
    cluster.put("n1", "a", 1, "1")
    cluster.put("n2", "b", 9, "1")
    selector = parse_selector({"matchLabels": {"app": "a"}})
    cluster.budgets = [Budget("n", selector, 0, frozenset())]
    assert cluster.victims(cluster.waiting(10, "1")) == ("n2", ["b"])
    cluster.budgets = [Budget("n", selector, 1, frozenset())]
    assert cluster.victims(cluster.waiting(10, "1")) == ("n1", ["a"])


def test_who_a_budget_protects_is_given_back_first() -> None:
    cluster = Cluster(n1="2")
    cluster.put("n1", "a", 1, "1")
    cluster.put("n1", "b", 2, "1")
    selector = parse_selector({"matchLabels": {"app": "a"}})
    cluster.budgets = [Budget("n", selector, 0, frozenset())]
    assert cluster.victims(cluster.waiting(10, "1")) == ("n1", ["b"])


def test_anti_affinity_of_a_victim_goes_with_it() -> None:
    cluster = Cluster(n1="4", n2="1")
    cluster.put("n1", "a", 1, "1")
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "a"}},
    }
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert cluster.victims(cluster.waiting(10, "2", affinity=apart)) == ("n1", ["a"])


def test_nobody_goes_for_a_pod_that_is_no_more_important_or_would_not_fit_at_all() -> None:
    cluster = Cluster(n1="2", n2="1")
    cluster.put("n1", "a", 5, "2")
    message, victims = cluster.victims(cluster.waiting(5, "2"))
    assert victims == []
    assert message == (
        "0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_room_that_is_kept_for_a_pod_is_there_for_it_and_more_important_ones_alone() -> None:
    cluster = Cluster(n1="2")
    pod = cluster.waiting(5, "2")
    kept = Placed("other", "n/other", 0, pod.shape, pod.group)
    cluster.engine.state.nominate(kept)
    assert cluster.engine.choose(cluster.waiting(5, "1")) is None
    assert cluster.engine.choose(cluster.waiting(6, "1")) == 0
    cluster.engine.state.forget_nomination("other")
    assert cluster.engine.choose(cluster.waiting(5, "1")) == 0


def test_a_cluster_without_nodes_is_told_so() -> None:
    cluster = Cluster()
    diagnosis: Diagnosis = cluster.engine.explain(cluster.waiting(0, "1"))
    assert diagnosis.message() == NO_NODES


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_candidates_that_are_kept_are_those_that_would_be_found(data: st.DataObject) -> None:
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    for number in range(3):
        engine.state.put_node(
            {
                "metadata": {"name": f"n{number}", "labels": {}},
                "spec": {},
                "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "5"}},
            }
        )
    kept = Candidates()
    wanted = _pod_of_priority(engine, "wanted", 10, "3")
    for number in range(data.draw(st.integers(1, 12))):
        if engine.state.placed and data.draw(st.booleans()):
            engine.state.remove(data.draw(st.sampled_from(sorted(engine.state.placed))))
        else:
            priority, cpu = data.draw(st.integers(0, 12)), data.draw(st.sampled_from(["1", "2"]))
            pod = _pod_of_priority(engine, f"p{number}", priority, cpu)
            slot = data.draw(st.integers(0, 2))
            placed = Placed(pod.uid, pod.key, slot, pod.shape, pod.group, f"{number}")
            if data.draw(st.integers(0, 3)):
                engine.state.place(placed)
            else:
                engine.state.nominate(placed)
        contest = engine.contest(wanted.shape, wanted.group)
        contest.sync()
        for slot in range(3):
            arguments = (engine.state, contest, wanted, slot, lambda _namespace: [])
            assert kept.find(*arguments) == select_victims(*arguments)
            assert kept.find(*arguments) == select_victims(*arguments)


def _pod_of_priority(engine: Engine, name: str, priority: int, cpu: str) -> Waiting:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    pod = {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"containers": [container], "priority": priority},
    }
    shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
    return Waiting(name, f"d/{name}", shape, group, {})


class _Silent:
    """Nobody is told of events."""

    def warn(self, involved: JsonObject, reason: str, message: str) -> None:
        """Take an event."""

    def note(self, involved: JsonObject, reason: str, message: str) -> None:
        """Take an event."""


def _ten_full_nodes() -> Cluster:
    cluster = Cluster(**{f"n{number}": "4" for number in range(10)})
    for number in range(10):
        cluster.put(f"n{number}", f"low-{number}", 0, "3")
    return cluster


def test_pods_that_preempt_one_after_another_have_a_node_each_until_none_is_left() -> None:
    cluster = _ten_full_nodes()
    client = ApiClient(Access("http://nowhere"))
    preemption = Preemption(client, cluster.engine, _Silent(), lambda _namespace: [])
    promised = []
    for number in range(11):
        pod = cluster.waiting(10, "3")
        pod.uid = f"wanting-{number}"
        outcome = preemption.make_room(pod, cluster.engine.explain(pod))
        assert outcome is not None
        promised.append(outcome.nominated)
    assert sorted(filter(None, promised)) == [f"n{number}" for number in range(10)]
    assert promised[-1] == ""
    # One of them gives its promise back: there is a candidate again.
    cluster.engine.state.forget_nomination("wanting-3")
    again = cluster.waiting(10, "3")
    found, _ = preemption.find(again, cluster.engine.explain(again))
    assert found is not None
    assert cluster.engine.state.columns.names[found.slot] == promised[3]


def test_a_promised_pod_is_asked_about_once_its_room_is_there_whoever_was_refused_since() -> None:
    cluster = _ten_full_nodes()
    engine, client = cluster.engine, ApiClient(Access("http://nowhere"))
    queue = PodQueue(client.clock)
    events = _Silent()
    scheduler = Scheduler(client, engine, queue, events)
    scheduler.make_room = Preemption(client, engine, events, lambda _namespace: []).make_room
    for number in range(2):
        pod = cluster.waiting(10, "3")
        pod.uid = f"wanting-{number}"
        queue.add(pod)
    scheduler.decide()
    first = queue.pods["wanting-0"]
    slot = engine.state.nominated_slot(first.uid)
    assert slot is not None
    scheduler.ask_promised()
    assert first.place is Place.UNSCHEDULABLE
    for victim in list(engine.state.pods_of[slot]):
        engine.state.remove(victim)
    third = cluster.waiting(10, "3")
    third.uid = "wanting-2"
    queue.add(third)
    scheduler.decide()
    assert first.place is Place.UNSCHEDULABLE
    scheduler.ask_promised()
    assert [pod.place is Place.UNSCHEDULABLE for pod in queue.pods.values()] == [False, True, True]

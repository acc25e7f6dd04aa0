"""Of a pod that names its node the same is said as where all nodes are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler.diagnosis import diagnose
from controllers.scheduler.engine import Engine
from controllers.scheduler.pinned import Pinned
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.state import Placed
from kube.json_types import JsonObject
from tests.unit.controllers.scheduler.test_scheduler_oracle import EXPRESSIONS, clusters, pod_of

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _pin(pod: JsonObject, node: str, expressions: list[Any]) -> None:
    term: JsonObject = {
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
        "matchExpressions": expressions,
    }
    affinity = {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [term]}}}
    pod["spec"] |= {"affinity": affinity, "topologySpreadConstraints": []}


def _placed(engine: Engine, pod: JsonObject, slot: int, priority: int = 0) -> Placed:
    pod["spec"]["priority"] = priority
    shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
    return Placed(pod["metadata"]["uid"], pod["metadata"]["name"], slot, shape, group)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    clusters(),
    st.lists(EXPRESSIONS, max_size=1),
    st.dictionaries(st.sampled_from(["zone", "rack"]), st.sampled_from("x1"), max_size=1),
    st.randoms(use_true_random=False),
)
def test_a_pinned_pod_is_told_what_the_contest_tells(
    cluster: tuple[list[JsonObject], list[JsonObject], list[int]],
    expressions: list[Any],
    selector: dict[str, str],
    random: Any,
) -> None:
    found, kinds, order = cluster
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    for node in found:
        engine.state.put_node(node)
    for number, kind in enumerate(order):
        pod, node = pod_of(kinds[kind], number), f"n{random.randrange(len(found) + 1)}"
        _pin(pod, node, expressions)
        if random.random() < 0.3:
            pod["spec"]["nodeSelector"] = selector
        slot = random.randrange(len(found))
        if random.random() < 0.2:
            promised = _placed(engine, pod_of(kinds[kind], 1000 + number), slot, priority=5)
            if not promised.shape.has_pod_terms:
                engine.state.nominate(promised)
        shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
        waiting = Waiting(str(number), f"p/{number}", shape, group, {})
        contest, pinned = engine.contest(shape, group), engine.pinned(shape)
        assert isinstance(pinned, Pinned)
        picked = contest.pick(0)
        assert engine.choose(waiting) == (None if picked is None else picked[0])
        assert engine.has_node(waiting) == (picked is not None)
        columns = engine.state.columns
        expected = diagnose(columns.valid[: columns.count], contest.checks())
        told = pinned.explain()
        assert (told.message(), told.plugins) == (expected.message(), expected.plugins)
        assert np.array_equal(told.resolvable, expected.resolvable)
        if picked is not None:
            engine.state.place(_placed(engine, pod, picked[0]))


def test_who_has_others_to_look_at_is_not_pinned() -> None:
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    engine.state.put_node({"metadata": {"name": "n0"}, "spec": {}, "status": {}})
    pod: JsonObject = {
        "metadata": {"namespace": "p", "name": "a", "uid": "a", "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c"}]},
    }
    assert engine.pinned(engine.shapes.of(pod)) is None
    _pin(pod, "n0", [])
    assert engine.pinned(engine.shapes.of(pod)) is not None
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}}
    pod["spec"]["affinity"]["podAntiAffinity"] = {_REQUIRED: [term]}
    shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
    assert engine.pinned(shape) is None
    # Whoever is there already may keep others away.
    del pod["spec"]["affinity"]["podAntiAffinity"]
    engine.state.place(Placed("b", "p/b", 0, shape, group))
    assert engine.pinned(engine.shapes.of(pod)) is None

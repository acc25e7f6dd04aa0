"""No hint hides a node: what lets a refused pod in is something that a hint says matters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler.engine import Engine
from controllers.scheduler.hints import Facet, Moment, facets, is_worth_while
from controllers.scheduler.queue import Waiting
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.state import Placed
from kube.json_types import JsonObject
from tests.unit.controllers.scheduler.test_scheduler_oracle import nodes, pod_of, templates

NOW = Moment(1, 1, 1, (1,), (1,))


def _waiting(engine: Engine, template: JsonObject, number: int) -> Waiting:
    pod = pod_of(template, number)
    shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
    return Waiting(pod["metadata"]["uid"], pod["metadata"]["name"], shape, group, {})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_pod_that_gets_a_node_after_all_was_worth_asking_about(data: st.DataObject) -> None:
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    for number in range(data.draw(st.integers(1, 3))):
        engine.state.put_node(data.draw(nodes(number)))
    kinds = [data.draw(templates()) for _ in range(2)]
    refused: dict[str, tuple[Waiting, frozenset[str], Moment]] = {}
    for number in range(data.draw(st.integers(2, 10))):
        match data.draw(st.sampled_from(["pod", "pod", "node", "gone", "lost"])):
            case "pod":
                waiting = _waiting(engine, data.draw(st.sampled_from(kinds)), number)
                slot = engine.choose(waiting)
                if slot is not None:
                    engine.state.place(
                        Placed(waiting.uid, waiting.key, slot, waiting.shape, waiting.group)
                    )
                else:
                    plugins = engine.explain(waiting).plugins
                    refused[waiting.uid] = (waiting, plugins, engine.moment(waiting.shape))
            case "node":
                engine.state.put_node(data.draw(nodes(data.draw(st.integers(0, 3)))))
            case "gone" if engine.state.placed:
                engine.state.remove(data.draw(st.sampled_from(sorted(engine.state.placed))))
            case "lost":
                engine.state.drop_node(f"n{data.draw(st.integers(0, 3))}")
            case _:
                continue
        for waiting, plugins, before in refused.values():
            if engine.has_node(waiting):
                assert is_worth_while(plugins, before, engine.moment(waiting.shape)), plugins


@pytest.mark.parametrize(
    ("plugin", "change", "matters"),
    [
        ("TaintToleration", {"left": 2}, False),
        ("TaintToleration", {"nodes": 2}, True),
        ("NodeResourcesFit", {"came": 2}, False),
        ("NodeResourcesFit", {"left": 2}, True),
        ("InterPodAffinity", {"came": 2}, True),
        ("VolumeBinding", {"left": 2}, False),
        ("VolumeBinding", {"news": (2,)}, True),
        ("DynamicResources", {"chances": (2,)}, True),
        ("NodeAffinity", {"news": (2,)}, False),
        ("Cheapest", {"came": 2}, True),
    ],
)
def test_a_plugin_says_what_matters_to_those_that_it_refused(
    plugin: str, change: dict[str, Any], *, matters: bool
) -> None:
    assert is_worth_while({plugin}, NOW, NOW._replace(**change)) is matters


def test_what_was_refused_by_nobody_is_asked_about_whatever_happens() -> None:
    assert facets(()) == Facet.NODES | Facet.CAME | Facet.LEFT | Facet.THINGS

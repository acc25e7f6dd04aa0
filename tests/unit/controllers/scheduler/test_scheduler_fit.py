"""Room and scores of resources: over arrays and for one node alike, by upstream's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler.configuration import API_VERSION, ConfigurationError, parse_configuration
from controllers.scheduler.fit import Fit
from controllers.scheduler.resources import pod_requests
from controllers.scheduler.settings import LEAST, MOST, RATIO, Profile, Strategy
from controllers.scheduler.shapes import Shapes
from controllers.scheduler.state import ClusterState, Placed

KINDS = {
    LEAST: Strategy(LEAST, (("cpu", 3), ("memory", 1), ("gpu", 2))),
    MOST: Strategy(MOST, (("cpu", 1), ("gpu", 5))),
    RATIO: Strategy(RATIO, (("cpu", 1), ("gpu", 3)), ((0, 0), (35, 7), (90, 2))),
}
AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.integers(0, 9).map(lambda value: f"{value * 333}m"),
        "memory": st.integers(0, 9).map(lambda value: f"{value * 777}Mi"),
        "gpu": st.integers(0, 4).map(str),
    },
)


def make_pod(requests: dict[str, str]) -> dict[str, Any]:
    """Return a pod of one container."""
    container = {"name": "c", "resources": {"requests": requests}}
    return {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [container]}}


@pytest.mark.parametrize("kind", list(KINDS))
@given(st.lists(st.tuples(AMOUNTS, st.lists(AMOUNTS, max_size=3)), min_size=1, max_size=5), AMOUNTS)
def test_one_node_scores_as_it_does_among_many(
    kind: str, nodes: list[tuple[dict[str, str], list[dict[str, str]]]], wanted: dict[str, str]
) -> None:
    state, shapes = ClusterState(), Shapes()
    for number, (amounts, pods) in enumerate(nodes):
        status = {"allocatable": {**amounts, "pods": "3"}}
        state.put_node({"metadata": {"name": f"n{number}"}, "spec": {}, "status": status})
        for at, requests in enumerate(pods):
            pod = make_pod(requests)
            group = shapes.group_of(pod["metadata"])
            state.place(Placed(f"{number}-{at}", "p", number, shapes.of(pod), group))
    balanced = (("cpu", 1), ("memory", 1), ("gpu", 1))
    profile = Profile(strategy=KINDS[kind], balanced=balanced)
    fit = Fit(state.columns, shapes.of(make_pod(wanted)), profile)
    many = fit.levels(np.arange(len(nodes)))
    assert many.tolist() == [fit.level(slot) for slot in range(len(nodes))]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LEAST, (60 * 3 + 25) // 4),
        (MOST, (40 * 3 + 75) // 4),
    ],
)
def test_scores_are_the_weighted_shares_of_what_is_free_or_taken(kind: str, expected: int) -> None:
    state, shapes = ClusterState(), Shapes()
    status = {"allocatable": {"cpu": "10", "memory": "8Gi", "pods": "5"}}
    state.put_node({"metadata": {"name": "n"}, "spec": {}, "status": status})
    strategy = Strategy(kind, (("cpu", 3), ("memory", 1)))
    profile = Profile(strategy=strategy, weights={"NodeResourcesFit": 1})
    shape = shapes.of(make_pod({"cpu": "4", "memory": "6Gi"}))
    assert Fit(state.columns, shape, profile).level(0) == expected


def test_init_containers_count_by_the_most_and_sidecars_with_what_follows() -> None:
    def container(cpu: str, **more: str) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("2")],
        "initContainers": [container("1", restartPolicy="Always"), container("5")],
        "overhead": {"cpu": "500m"},
    }
    assert pod_requests(spec) == {"cpu": 6500}  # 5 beside the sidecar, and the overhead
    spec["initContainers"] = spec["initContainers"][::-1]
    assert pod_requests(spec) == {"cpu": 5500}
    spec["resources"] = {"requests": {"cpu": "9"}}
    assert pod_requests(spec) == {"cpu": 9500}


def test_a_configuration_sets_weights_plugins_and_arguments() -> None:
    document = {
        "apiVersion": API_VERSION,
        "profiles": [
            {
                "schedulerName": "packing",
                "plugins": {
                    "score": {
                        "disabled": [{"name": "ImageLocality"}],
                        "enabled": [{"name": "NodeResourcesFit", "weight": 7}],
                    },
                    "multiPoint": {"disabled": [{"name": "DefaultPreemption"}]},
                    "filter": {"disabled": [{"name": "NodePorts"}]},
                },
                "pluginConfig": [
                    {
                        "name": "NodeResourcesFit",
                        "args": {"scoringStrategy": {"type": "MostAllocated"}},
                    },
                    {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 0}},
                ],
            },
            {},
        ],
    }
    found = parse_configuration(document)
    packing = found.profiles["packing"]
    assert packing.weights["NodeResourcesFit"] == 7
    assert "ImageLocality" not in packing.weights
    assert "NodePorts" not in packing.filters
    assert (packing.preempts, packing.strategy.kind, packing.hard_weight) == (False, MOST, 0)
    assert found.profiles["default-scheduler"] == Profile()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
        {"apiVersion": API_VERSION, "extenders": [{"urlPrefix": "http://x"}]},
        {"apiVersion": API_VERSION, "profiles": [{}, {}]},
        {"apiVersion": API_VERSION, "profiles": ["x"]},
        {"apiVersion": API_VERSION, "profiles": [{"pluginConfig": [{}]}]},
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(document: Any) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(document)

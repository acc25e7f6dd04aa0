"""Decisions over arrays are those of a plain oracle, pod after pod, whatever there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controllers.scheduler import contest as contests
from controllers.scheduler import domains, terms
from controllers.scheduler.contest import Contest
from controllers.scheduler.engine import Engine
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER, Shapes
from controllers.scheduler.state import Placed
from kube.informers.specs import SharedSpec
from kube.json_types import JsonObject
from tests.unit.controllers.scheduler import oracle

ZONE, RACK, HOST = "zone", "rack", "kubernetes.io/hostname"
KEYS = st.sampled_from([ZONE, RACK, HOST])
APPS = st.sampled_from(["a", "b"])
MIB = 1 << 20


def _maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


@st.composite
def nodes(draw: st.DrawFn, number: int) -> JsonObject:
    labels = {HOST: f"n{number}"} if draw(st.integers(0, 9)) else {}
    for key, values in ((ZONE, "xy"), (RACK, "123")):
        value = draw(_maybe(st.sampled_from(values)))
        if value:
            labels[key] = value
    taints = draw(
        st.lists(
            st.builds(
                lambda key, effect: {"key": key, "value": "v", "effect": effect},
                st.sampled_from("kl"),
                st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
            ),
            max_size=2,
        )
    )
    images = [{"names": ["i:1"], "sizeBytes": draw(st.integers(0, 3000)) * MIB}]
    return {
        "metadata": {"name": f"n{number}", "labels": labels},
        "spec": {"taints": taints, "unschedulable": draw(st.integers(0, 9)) == 0},
        "status": {
            "allocatable": {
                "cpu": f"{draw(st.integers(0, 8))}",
                "memory": f"{draw(st.integers(0, 8))}Gi",
                "pods": str(draw(st.integers(1, 4))),
                "gpu": str(draw(st.integers(0, 2))),
            },
            "images": images if draw(st.booleans()) else [],
        },
    }


SELECTORS = st.one_of(
    APPS.map(lambda app: {"matchLabels": {"app": app}}),
    st.just({}),
    st.just({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
)
POD_TERMS = st.builds(
    lambda key, selector, spaces: {
        "topologyKey": key,
        "labelSelector": selector,
        **({"namespaceSelector": spaces} if spaces is not None else {}),
    },
    KEYS,
    SELECTORS,
    _maybe(st.sampled_from([{}, {"matchLabels": {"team": "t"}}])),
)
PREFERRED = st.builds(
    lambda weight, term: {"weight": weight, "podAffinityTerm": term}, st.integers(1, 100), POD_TERMS
)
EXPRESSIONS = st.builds(
    lambda key, operator: {
        "key": key,
        "operator": operator,
        "values": ["x", "1"] if operator in ("In", "NotIn") else [],
    },
    st.sampled_from([ZONE, RACK]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
)
NODE_TERMS = st.lists(EXPRESSIONS, max_size=2).map(lambda found: {"matchExpressions": found})
SPREADS = st.builds(
    lambda key, skew, is_hard, selector, least, taints: {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule" if is_hard else "ScheduleAnyway",
        "labelSelector": selector,
        "nodeTaintsPolicy": taints,
        **({"minDomains": least} if is_hard and least else {}),
    },
    KEYS,
    st.integers(1, 3),
    st.booleans(),
    SELECTORS,
    _maybe(st.integers(1, 4)),
    st.sampled_from(["Honor", "Ignore"]),
)


def _some(draw: st.DrawFn, strategy: st.SearchStrategy[Any], most: int = 1) -> list[Any]:
    """Often nothing, so that not every pod has everything."""
    return draw(st.lists(strategy, max_size=most)) if draw(st.booleans()) else []


@st.composite
def templates(draw: st.DrawFn) -> JsonObject:
    requests = {}
    for name, amounts in (("cpu", ["500m", "1", "2"]), ("memory", ["1Gi", "3Gi"]), ("gpu", ["1"])):
        amount = draw(_maybe(st.sampled_from(amounts)))
        if amount:
            requests[name] = amount
    required, preferred = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    affinity: dict[str, Any] = {
        kind: {required: _some(draw, POD_TERMS, 2), preferred: _some(draw, PREFERRED, 2)}
        for kind in ("podAffinity", "podAntiAffinity")
    }
    affinity["nodeAffinity"] = {
        preferred: [{"weight": 5, "preference": one} for one in _some(draw, NODE_TERMS, 2)]
    }
    if wanted := _some(draw, NODE_TERMS, 2):
        affinity["nodeAffinity"][required] = {"nodeSelectorTerms": wanted}
    container: dict[str, Any] = {"name": "c", "image": "i:1", "resources": {"requests": requests}}
    if draw(st.integers(0, 4)) == 0:
        container["ports"] = [{"hostPort": 80, "protocol": "TCP"}]
    tolerations = [{"operator": "Exists", "effect": draw(st.sampled_from(["", "NoSchedule"]))}]
    return {
        "metadata": {"namespace": draw(st.sampled_from(["p", "q"])), "labels": {"app": draw(APPS)}},
        "spec": {
            "containers": [container],
            "affinity": affinity,
            "tolerations": tolerations if draw(st.booleans()) else [],
            "topologySpreadConstraints": _some(draw, SPREADS, 2),
        },
    }


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[JsonObject], list[JsonObject], list[int]]:
    """Some nodes, some templates of pods, and in which order pods of them come."""
    found = [draw(nodes(number)) for number in range(draw(st.integers(1, 6)))]
    kinds = [draw(templates()) for _ in range(draw(st.integers(1, 3)))]
    order = draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=12))
    return found, kinds, order


def pod_of(template: JsonObject, number: int) -> JsonObject:
    """Return the pod of a number."""
    name = f"pod-{number}"
    return {
        "metadata": {**template["metadata"], "name": name, "uid": name},
        "spec": dict(template["spec"]),
    }


@pytest.fixture(params=["by code", "by value", "arrays"], autouse=True)
def _cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell domains apart in cells by what they are, and by what is counted in them."""
    most = 0 if request.param == "by value" else domains.BY_CODE_MAX
    monkeypatch.setattr(domains, "BY_CODE_MAX", most)
    if request.param == "arrays":
        monkeypatch.setattr(contests, "FEW_CELLS", 0)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(clusters(), st.randoms(use_true_random=False))
def test_each_pod_gets_a_node_that_the_oracle_finds_best(
    cluster: tuple[list[JsonObject], list[JsonObject], list[int]], random: Any
) -> None:
    found, kinds, order = cluster
    world = oracle.World({node["metadata"]["name"]: node for node in found})
    world.namespaces = {"p": {"team": "t"}, "q": {}}
    engine = Engine({DEFAULT_SCHEDULER: Profile()}, seed=random.randrange(1 << 32))
    state = engine.state
    for node in found:
        state.put_node(node)
    for name, labels in world.namespaces.items():
        state.put_namespace(name, labels)
    for number, kind in enumerate(order):
        if world.pods and random.random() < 0.2:
            gone = world.pods.pop(random.randrange(len(world.pods)))
            state.remove(gone["metadata"]["uid"])
        pod = pod_of(kinds[kind], number)
        shape = engine.shapes.of(pod)
        group = engine.shapes.group_of(pod["metadata"])
        scores = oracle.decide(world, pod)
        contest = engine.contest(shape, group)
        picked = contest.pick(random.randrange(1 << 32))
        names = state.columns.names
        feasible = {name for slot, name in enumerate(names) if contest.is_feasible(slot)}
        assert feasible == set(scores)
        _check_refusals(world, pod, contest, names)
        if picked is None:
            assert not scores
            continue
        name = names[picked[0]]
        assert scores[name] == max(scores.values()), scores
        pod["spec"]["nodeName"] = name
        world.pods.append(pod)
        state.place(
            Placed(pod["metadata"]["uid"], pod["metadata"]["name"], picked[0], shape, group)
        )
        state.check()


def _check_refusals(
    world: oracle.World, pod: JsonObject, contest: Contest, names: list[str]
) -> None:
    """The first plugin that refuses a node is the oracle's."""
    checks = contest.checks()
    for slot, name in enumerate(names):
        first = next((check.plugin for check in checks if not check.passed[slot]), None)
        assert first == oracle.refusal(world, pod, name)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(clusters())
def test_deciding_together_is_deciding_one_by_one(
    cluster: tuple[list[JsonObject], list[JsonObject], list[int]],
) -> None:
    found, kinds, order = cluster
    chosen = []
    for is_anew in (False, True):
        engine = Engine({DEFAULT_SCHEDULER: Profile()}, seed=5)
        for node in found:
            engine.state.put_node(node)
        cursor, names = 0, []
        for number, kind in enumerate(order):
            pod = pod_of(kinds[kind], number)
            shape = engine.shapes.of(pod)
            group = engine.shapes.group_of(pod["metadata"])
            if is_anew:
                engine.state.columns.version += 1  # nothing kept is good any more
            picked = engine.contest(shape, group).pick(cursor)
            names.append(None)
            if picked is not None:
                slot, cursor = picked
                names[-1] = engine.state.columns.names[slot]
                engine.state.place(Placed(f"{number}", f"{number}", slot, shape, group))
        chosen.append(names)
    assert chosen[0] == chosen[1]


@st.composite
def soft_clusters(draw: st.DrawFn) -> tuple[list[JsonObject], list[JsonObject], list[int]]:
    """A cluster whose pods are told apart by soft spreading alone."""
    found, kinds, order = draw(clusters())
    for kind in kinds:
        spreads = kind["spec"]["topologySpreadConstraints"] or [draw(SPREADS)]
        kind["spec"]["topologySpreadConstraints"] = [
            {**one, "whenUnsatisfiable": "ScheduleAnyway"} for one in spreads
        ]
        del kind["spec"]["affinity"]
    return found, kinds, order


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(soft_clusters(), st.integers(0, (1 << 32) - 1))
def test_few_cells_are_judged_as_many(
    cluster: tuple[list[JsonObject], list[JsonObject], list[int]], seed: int
) -> None:
    found, kinds, order = cluster
    engine = Engine({DEFAULT_SCHEDULER: Profile()}, seed=seed)
    for node in found:
        engine.state.put_node(node)
    cursor = seed
    for number, kind in enumerate(order):
        pod = pod_of(kinds[kind], number)
        shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
        contest = engine.contest(shape, group)
        picked = []
        for few_cells in (contests.FEW_CELLS, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(contests, "FEW_CELLS", few_cells)
                picked.append(contest.pick(cursor))
        assert picked[0] == picked[1]
        if picked[0] is not None:
            slot, cursor = picked[0]
            engine.state.place(Placed(f"{number}", f"{number}", slot, shape, group))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(templates(), min_size=1, max_size=3))
def test_a_shared_spec_has_the_shape_that_it_has_alone(kinds: list[JsonObject]) -> None:
    shapes = Shapes()
    default = (terms.Spread(ZONE, terms.LabelSelector(()), 3, is_hard=False, is_default=True),)
    volumes = [{"name": "v", "ephemeral": {}}]
    for kind in kinds:
        for origin in (kind["spec"], {**kind["spec"], "volumes": volumes}):
            for number, app, space in ((1, "a", "p"), (2, "b", "p"), (3, "a", "q")):
                pod = pod_of({**kind, "spec": origin}, number)
                pod["metadata"] |= {"labels": {"app": app}, "namespace": space}
                shared = {**pod, "spec": SharedSpec(origin)}
                for spreads in ((), default):
                    assert shapes.of(shared, spreads) is shapes.of(pod, spreads)

"""Pods that differ in labels of their own are decided by one contest, as if each had its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.scheduler.contest import Contest
from controllers.scheduler.engine import Engine
from controllers.scheduler.settings import Profile
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from controllers.scheduler.state import Placed
from controllers.scheduler.terms import Spread
from kube.json_types import JsonObject
from kube.selectors import LabelSelector, Operator, Requirement

HOST = "kubernetes.io/hostname"


def _engine(zones: str) -> Engine:
    engine = Engine({DEFAULT_SCHEDULER: Profile()})
    for number, zone in enumerate(zones):
        labels = {HOST: f"n{number}", "zone": zone}
        allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10"}
        engine.state.put_node(
            {
                "metadata": {"name": f"n{number}", "labels": labels},
                "status": {"allocatable": allocatable},
            }
        )
    return engine


def _pod(number: int, app: str) -> JsonObject:
    labels = {"app": app, "statefulset.kubernetes.io/pod-name": f"{app}-{number}"}
    return {
        "metadata": {"namespace": "p", "name": f"{app}-{number}", "labels": labels},
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
        },
    }


def _default(app: str, *, is_hard: bool = False) -> tuple[Spread, ...]:
    selector = LabelSelector((Requirement("app", Operator.IN, (app,)),))
    return tuple(Spread(key, selector, 1, is_hard, is_default=True) for key in ("zone", HOST))


@settings(max_examples=100, deadline=None)
@given(st.text("xyz", min_size=1, max_size=6), st.text("ab", min_size=1, max_size=16))
def test_a_shared_contest_decides_as_one_for_each_pod(zones: str, apps: str) -> None:
    engine, cursor, contests = _engine(zones), 0, {}
    for number, app in enumerate(apps):
        pod, default = _pod(number, app), _default(app)
        shape, group = engine.shapes.of(pod, default), engine.shapes.group_of(pod["metadata"])
        shared = engine.contest(shape, group)
        assert contests.setdefault(app, shared) is shared
        alone = Contest(engine.state, shape, group, engine.profiles[DEFAULT_SCHEDULER])
        found = shared.pick(cursor)
        assert found == alone.pick(cursor)
        if found is None:
            break
        slot, cursor = found
        engine.state.place(Placed(str(number), pod["metadata"]["name"], slot, shape, group))


@pytest.mark.parametrize("is_hard", [False, True])
def test_pods_that_hard_constraints_tell_apart_have_contests_of_their_own(is_hard: bool) -> None:  # noqa: FBT001
    engine = _engine("xy")
    found = []
    for number in (1, 2):
        pod = _pod(number, "a")
        shape = engine.shapes.of(pod, _default("a", is_hard=is_hard))
        found.append(engine.contest(shape, engine.shapes.group_of(pod["metadata"])))
    assert (found[0] is found[1]) != is_hard

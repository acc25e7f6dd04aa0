"""The plugin of docs/scheduler.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controllers.scheduler.configuration import parse_configuration
from controllers.scheduler.engine import Engine
from controllers.scheduler.plugins import Plugin, PluginFault, Plugins
from controllers.scheduler.queue import Waiting

PAGE = Path(__file__).resolve().parents[4] / "docs" / "scheduler.md"
PRICES = {"n0": "3", "n1": "1", "n2": None, "n3": "2"}


def _plugin_of_the_page() -> Plugin:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    made = names["Cheapest"]()
    assert isinstance(made, Plugin)
    return made


def _engine(plugin: Plugin, **profile: Any) -> Engine:
    document = {"apiVersion": "kubescheduler.config.k8s.io/v1", "profiles": [profile]}
    configuration = parse_configuration(document, (plugin,))
    engine = Engine(configuration.profiles)
    engine.extensions = [Plugins(configuration.plugins, engine.state.columns)]
    for name, price in PRICES.items():
        labels = {} if price is None else {"example.com/price": price}
        status = {"allocatable": {"cpu": "2", "memory": "8Gi", "pods": "1"}}
        engine.state.put_node(
            {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}
        )
    return engine


def _waiting(engine: Engine, name: str) -> Waiting:
    pod = {
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    shape, group = engine.shapes.of(pod), engine.shapes.group_of(pod["metadata"])
    return Waiting(name, f"d/{name}", shape, group, {})


def test_pods_get_the_cheapest_nodes_and_none_without_a_price() -> None:
    engine = _engine(_plugin_of_the_page())
    found = []
    for number in range(3):
        waiting = _waiting(engine, f"p{number}")
        slot = engine.choose(waiting)
        assert slot is not None
        engine.place(waiting, slot)
        found.append(engine.state.columns.names[slot])
    assert found == ["n1", "n3", "n0"]
    message = engine.explain(_waiting(engine, "p3")).message()
    refused = "1 node(s) were refused by Cheapest"
    assert message == f"0/4 nodes are available: {refused}, 3 Too many pods."


def test_a_profile_can_do_without_it() -> None:
    plugins = {"multiPoint": {"disabled": [{"name": "Cheapest"}]}}
    engine = _engine(_plugin_of_the_page(), plugins=plugins)
    waiting = _waiting(engine, "p0")
    contest = engine.contest(waiting.shape, waiting.group)
    assert all(contest.is_feasible(slot) for slot in range(4))


def test_an_array_of_another_length_is_a_fault() -> None:
    class Wrong:
        name = "Wrong"

        def filter(self, _columns: object, _shape: object) -> Any:
            return np.ones(2, np.bool_)

        def score(self, _columns: object, _shape: object) -> Any:
            return None

    engine = _engine(Wrong())
    with pytest.raises(PluginFault, match="Wrong gave 2 values for 4 nodes"):
        engine.choose(_waiting(engine, "p0"))

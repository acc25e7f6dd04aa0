"""`python -m tests.bench --only cel`: what rules and conditions cost, in this process, no HTTP.

Bars: a rule with an `all` over twenty items of a 3 KB object costs at most 20 µs of CPU; what runs
away is stopped within a second. The latter is the hard limit that no expression can pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from kube.cel.conditions import Activation, Declarations, compile_condition
from kube.cel.cost import Budget
from kube.cel.environment import compile_expression
from kube.cel.errors import CostExceeded
from kube.cel.rules import Rules, check_rules, compile_rules
from kube.cel.types import DYN, list_of
from tests.bench.figures import Figure
from tests.bench.scenarios import Scene

RULE_US_MAX: Final = 20.0
RUNAWAY_MS_MAX: Final = 1_000.0
ITEMS: Final = 20
_ROUNDS: Final = 5_000
_RUNAWAYS: Final = (
    "self.all(a, self.all(b, self.all(c, self.all(d, a + b + c + d >= 0))))",
    "self.all(a, self.all(b, self == self && self.indexOf(-1) < 0))",
    "self.all(a, self.map(b, string(a + b)).join('').matches('(a*)*x' + string(a)) || true)",
    "self.all(a, self.all(b, 'x'.matches('((a{100}){10})' + string(a * 10000 + b)) || true))",
    "self.all(a, self.all(b, '%s'.format([self]).size() > 0))",
    "self.map(a, self.map(b, self.map(c, [a, b, c]))).size() > 0",
)


def cel(_scene: Scene) -> list[Figure]:
    """Measure rules, conditions, compilation and the limit."""
    spec = _spec()
    figures = [
        _figure("rule: a comparison", _rule("self.replicas <= self.maxReplicas", spec)),
        _figure("rule: all over 20 items", _rule("self.items.all(i, i.port > 0)", spec), bar=True),
        _figure(
            "rule: names are unique, 20 items",
            _rule("self.items.all(i, self.items.exists_one(j, j.name == i.name))", spec),
        ),
        _figure("rule: unchanged object", _rule("self == oldSelf", spec)),
    ]
    condition = compile_condition("object.spec.items.all(i, i.port > 0)", Declarations())
    given = Activation(object={"spec": spec})
    figures.append(
        _figure("condition: all over 20 items, dynamic", lambda: _judge(condition, given))
    )
    text = "self.items.all(i, i.port > 0 && i.name.startsWith('item'))"
    schema = _schema(text)
    figures.append(_figure("compile a rule", lambda: compile_rules(schema), rounds=300))
    figures.append(_figure("check a rule for its CRD", lambda: check_rules(schema), rounds=300))
    figures.append(_runaways())
    return figures


def _judge(condition: Any, given: Activation) -> None:
    given.budget.remaining = 10_000_000
    assert condition.evaluate(given) is True


def _spec() -> dict[str, Any]:
    items = [
        {"name": f"item-{number}", "port": 8000 + number, "text": "x" * 80}
        for number in range(ITEMS)
    ]
    return {"replicas": 2, "maxReplicas": 5, "items": items}


def _schema(rule: str) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 63},
            "port": {"type": "integer"},
            "text": {"type": "string", "maxLength": 200},
        },
    }
    spec = {
        "type": "object",
        "x-kubernetes-validations": [{"rule": rule}],
        "properties": {
            "replicas": {"type": "integer"},
            "maxReplicas": {"type": "integer"},
            "items": {"type": "array", "maxItems": 100, "items": item},
        },
    }
    return {"type": "object", "properties": {"spec": spec}}


def _rule(rule: str, spec: dict[str, Any]) -> Callable[[], object]:
    rules = compile_rules(_schema(rule))
    assert isinstance(rules, Rules)
    new, old = {"spec": spec}, {"spec": _spec()}
    assert rules.validate(new, old) == []
    return lambda: rules.validate(new, old)


def _figure(
    what: str, work: Callable[[], object], *, rounds: int = _ROUNDS, bar: bool = False
) -> Figure:
    began_s = time.process_time()
    for _ in range(rounds):
        work()
    each_us = (time.process_time() - began_s) / rounds * 1e6
    figure = Figure(what, each_us, "µs CPU")
    if bar:
        figure.target, figure.is_met = f"≤ {RULE_US_MAX:g} µs", each_us <= RULE_US_MAX
    return figure


def _runaways() -> Figure:
    """Measure the longest that an expression runs before it is stopped."""
    worst_ms = 0.0
    for text in _RUNAWAYS:
        program = compile_expression(text, {"self": list_of(DYN)})
        began_s = time.process_time()
        try:
            program.evaluate([list(range(10_000))], Budget())
        except CostExceeded:
            worst_ms = max(worst_ms, (time.process_time() - began_s) * 1e3)
    figure = Figure("the worst runaway is stopped after", worst_ms, "ms CPU")
    figure.target, figure.is_met = f"≤ {RUNAWAY_MS_MAX:g} ms", 0 < worst_ms <= RUNAWAY_MS_MAX
    return figure

"""Loops planned: the macros `all`, `exists`, `map` ... each as a loop of its own.

All macros are comprehensions; which one it was is read off its parts. What a turn costs is what the
parts of the comprehension cost, as upstream counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from kube.cel.errors import CelError, CostExceeded
from kube.cel.plans import LIST_COST, Frame, Plan, Planner, Run, overspent
from kube.cel.tree import Call, Comprehension, ListLiteral, Literal, MapLiteral, Node
from kube.cel.values import no_such_overload

# What the parts of a comprehension cost in every turn, beside the body: its condition, and the
# accumulator in its step.
_ALL_TURN: Final = 3
_EXISTS_TURN: Final = 4
_COLLECT: Final = LIST_COST + 2
_COUNT: Final = 2


def plan_loop(planner: Planner, node: Comprehension) -> Plan:
    """Return the plan of a comprehension."""
    if node.binds:
        return _plan_binding(planner, node)
    source = planner.plan(node.source)
    names = [node.variable, *([node.second] if node.second else [])]
    places = planner.declare(*names)
    feed = _feeder(source.run, places)
    match node.start:
        case Literal(value=bool()):
            plan = _plan_quantifier(planner, node, feed)
        case Literal():
            plan = _plan_count(planner, node, feed)
        case ListLiteral():
            plan = _plan_collect(planner, node, feed)
        case _:
            plan = _plan_insert(planner, node, feed)
    planner.forget()
    return Plan(plan.run, plan.cost + source.cost)


Feed = Callable[[Frame], Iterable[Any]]


def _feeder(source: Run, places: list[int]) -> Feed:
    """Return what puts each element in its place in the frame and then lets the loop turn."""
    if len(places) == 1:
        at = places[0]

        def feed_single(frame: Frame) -> Iterable[Any]:
            items = source(frame)
            if type(items) is not list and type(items) is not dict:
                raise no_such_overload()
            for item in items:
                frame[at] = item
                yield item

        return feed_single
    first, second = places

    def feed_pairs(frame: Frame) -> Iterable[Any]:
        items = source(frame)
        if type(items) is list:
            pairs: Iterable[tuple[Any, Any]] = enumerate(items)
        elif type(items) is dict:
            pairs = items.items()
        else:
            raise no_such_overload()
        for frame[first], frame[second] in pairs:
            yield frame

    return feed_pairs


def _plan_binding(planner: Planner, node: Comprehension) -> Plan:
    value = planner.plan(node.start)
    (at,) = planner.declare(node.accumulator)
    result = planner.plan(node.result)
    planner.forget()
    start, finish = value.run, result.run

    def bind(frame: Frame) -> Any:
        frame[at] = start(frame)
        return finish(frame)

    return Plan(bind, value.cost + result.cost + LIST_COST)


def _body(node: Node, function: str) -> Node:
    assert isinstance(node, Call), node
    assert node.function == function, node
    return node.args[1]


def _plan_quantifier(planner: Planner, node: Comprehension, feed: Feed) -> Plan:
    assert isinstance(node.start, Literal)
    decisive = not node.start.value
    body = planner.plan(_body(node.step, "_||_" if decisive else "_&&_"))
    predicate = body.run
    price = body.cost + (_EXISTS_TURN if decisive else _ALL_TURN)
    stop_price = (_EXISTS_TURN if decisive else _ALL_TURN) - 1

    def quantify(frame: Frame) -> bool:
        error: CelError | None = None
        for _ in feed(frame):
            frame[0] -= price
            if frame[0] < 0:
                raise overspent()
            try:
                value = predicate(frame)
            except CostExceeded:
                raise
            except CelError as exc:
                error = error or exc
                continue
            if value is decisive:
                # What would go on asks once more whether to.
                frame[0] -= stop_price
                return bool(value)
            if value is not (not decisive):
                error = error or no_such_overload()
        if error is not None:
            raise error
        return not decisive

    return Plan(quantify, 1)


def _branches(node: Node) -> tuple[Node | None, Node]:
    """Return the filter of a step, if it has one, and what is done with what passes."""
    if isinstance(node, Call) and node.function == "_?_:_":
        return node.args[0], node.args[1]
    return None, node


def _passer(planner: Planner, condition: Node | None) -> tuple[Run | None, int]:
    if condition is None:
        return None, 0
    plan = planner.plan(condition)
    return plan.run, plan.cost


def _passes(run: Run, frame: Frame) -> bool:
    value = run(frame)
    if value is True or value is False:
        return bool(value)
    raise no_such_overload()


def _plan_count(planner: Planner, node: Comprehension, feed: Feed) -> Plan:
    condition, _ = _branches(node.step)
    assert condition is not None
    plan = planner.plan(condition)
    predicate, price = plan.run, plan.cost + 1

    def count(frame: Frame) -> bool:
        found = 0
        for _ in feed(frame):
            frame[0] -= price
            if frame[0] < 0:
                raise overspent()
            if _passes(predicate, frame):
                frame[0] -= _COUNT - 1
                found += 1
        return found == 1

    return Plan(count, 2)


def _plan_collect(planner: Planner, node: Comprehension, feed: Feed) -> Plan:
    condition, step = _branches(node.step)
    added = _body(step, "_+_")
    assert isinstance(added, ListLiteral)
    element = planner.plan(added.elements[0])
    test, test_cost = _passer(planner, condition)
    make, optional = element.run, bool(added.optional)
    assert not optional
    price = test_cost
    kept_price = element.cost + _COLLECT

    def collect(frame: Frame) -> list[Any]:
        made: list[Any] = []
        for _ in feed(frame):
            frame[0] -= price
            if test is None or _passes(test, frame):
                frame[0] -= kept_price
                made.append(make(frame))
            else:
                frame[0] -= 1
            if frame[0] < 0:
                raise overspent()
        return made

    return Plan(collect, LIST_COST + 1)


def _plan_insert(planner: Planner, node: Comprehension, feed: Feed) -> Plan:
    assert isinstance(node.start, MapLiteral)
    condition, step = _branches(node.step)
    test, test_cost = _passer(planner, condition)
    (accumulator,) = planner.declare(node.accumulator)
    insert = planner.plan(step)
    planner.forget()
    put, price, put_price = insert.run, test_cost, insert.cost

    def transform(frame: Frame) -> Any:
        made: dict[Any, Any] = {}
        for _ in feed(frame):
            frame[0] -= price
            # Loops within the step leave the place alone, but one run may begin within another.
            frame[accumulator] = made
            if test is None or _passes(test, frame):
                frame[0] -= put_price
                put(frame)
            else:
                frame[0] -= 1
            if frame[0] < 0:
                raise overspent()
        return made

    return Plan(transform, 31)

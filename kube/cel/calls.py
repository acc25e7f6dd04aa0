"""Calls planned: operators and functions, bound at once where types are known.

Where an argument's type is dynamic, the overload is chosen by the classes of the values, once for
each combination.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from kube.cel.adapting import adapter
from kube.cel.errors import CelError, CostExceeded
from kube.cel.overloads import Overload, Work
from kube.cel.plans import Frame, Plan, Planner, Run, optional_field, overspent
from kube.cel.sets import set_work
from kube.cel.tree import Call, Literal, Node
from kube.cel.types import CelType
from kube.cel.values import KINDS, no_such_overload, traversal

_CHOICES_MAX: Final = 256
_PLAIN: Final = frozenset({"int", "uint", "double", "bool", "timestamp", "duration"})
_COMPARE: Final[dict[str, Work]] = {
    "_==_": operator.eq,
    "_!=_": operator.ne,
    "_<_": operator.lt,
    "_<=_": operator.le,
    "_>_": operator.gt,
    "_>=_": operator.ge,
}


def plan_call(planner: Planner, node: Call) -> Plan:
    """Return the plan of a call."""
    match node.function:
        case "_&&_":
            return _plan_logic(planner, node, decisive=False)
        case "_||_":
            return _plan_logic(planner, node, decisive=True)
        case "_?_:_":
            return _plan_condition(planner, node)
        case "_?._":
            return _plan_optional_select(planner, node)
        case _:
            pass
    nodes = [*([node.target] if node.target is not None else []), *node.args]
    plans = [planner.plan(each) for each in nodes]
    cost = sum(plan.cost for plan in plans)
    compared = _plan_comparison(node, nodes, plans, cost)
    if compared is not None:
        return compared
    runs = [plan.run for plan in plans]
    special = set_work(node.function, nodes[0].type) if len(nodes) == 2 else None
    if special is not None:
        return Plan(_bound(special.work, special.cost, runs), cost)
    dynamic = any(_is_dynamic(each.type) for each in nodes)
    if len(node.overloads) == 1 and not (dynamic and _needs_kinds(node.overloads[0])):
        overload = node.overloads[0]
        if overload.cost is None:
            cost += 1
        return Plan(_bound(overload.work, overload.cost, runs), cost)
    return Plan(_dispatched(node.overloads, runs), cost)


def _is_dynamic(type_: CelType) -> bool:
    return type_.kind == "dyn" or any(map(_is_dynamic, type_.params))


def _needs_kinds(overload: Overload) -> bool:
    return any(param.kind not in ("param", "dyn") for param in overload.params)


def _plan_comparison(node: Call, nodes: list[Node], plans: list[Plan], cost: int) -> Plan | None:
    """Return the plan of a comparison of scalars of one known kind, the most frequent of calls."""
    compare = _COMPARE.get(node.function)
    if compare is None or nodes[0].type.kind != nodes[1].type.kind:
        return None
    kind = nodes[0].type.kind
    other = nodes[1]
    if kind == "string" and isinstance(other, Literal):
        cost += max(1, traversal(len(other.value)))
    elif kind in _PLAIN:
        cost += 1
    else:
        return None
    run = plans[0].run
    if isinstance(other, Literal):
        constant = other.value
        return Plan(_compare_constant(node.function, run, constant, compare), cost)
    return Plan(_bound(compare, None, [run, plans[1].run]), cost)


def _compare_constant(function: str, run: Run, constant: Any, compare: Work) -> Run:
    if function == "_==_":
        return lambda frame: run(frame) == constant
    if function == "_!=_":
        return lambda frame: run(frame) != constant

    def ordered(frame: Frame) -> Any:
        try:
            return compare(run(frame), constant)
        except TypeError:
            raise no_such_overload() from None

    return ordered


def _bound(work: Work, cost: Callable[..., int] | None, runs: list[Run]) -> Run:
    """Return what calls `work`; `cost`, if any, is paid before, when the arguments are known."""
    if cost is not None:
        return _paid(work, cost, runs)
    if len(runs) == 1:
        return _bound_one(work, runs[0])
    if len(runs) == 2:
        return _bound_two(work, runs[0], runs[1])

    def call(frame: Frame) -> Any:
        try:
            return work(*[run(frame) for run in runs])
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _bound_one(work: Work, run: Run) -> Run:
    def call(frame: Frame) -> Any:
        try:
            return work(run(frame))
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _bound_two(work: Work, first: Run, second: Run) -> Run:
    def call(frame: Frame) -> Any:
        try:
            return work(first(frame), second(frame))
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _paid(work: Work, cost: Callable[..., int], runs: list[Run]) -> Run:
    def call(frame: Frame) -> Any:
        args = [run(frame) for run in runs]
        try:
            frame[0] -= cost(*args)
            if frame[0] < 0:
                raise overspent()
            return work(*args)
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _dispatched(overloads: list[Overload], runs: list[Run]) -> Run:
    choices: dict[tuple[Any, ...], Overload | None] = {}

    def call(frame: Frame) -> Any:
        args = [run(frame) for run in runs]
        key = tuple([_class_of(arg) for arg in args])
        if key not in choices:
            if len(choices) >= _CHOICES_MAX:
                choices.clear()
            choices[key] = _choose(overloads, key)
        overload = choices[key]
        if overload is None:
            raise no_such_overload()
        try:
            frame[0] -= 1 if overload.cost is None else overload.cost(*args)
            if frame[0] < 0:
                raise overspent()
            return overload.work(*args)
        except (TypeError, AttributeError):
            raise no_such_overload() from None

    return call


def _class_of(value: Any) -> Any:
    if type(value) is list:
        # Of what a list is, its first element tells: that decides between sums, say.
        return (list, type(value[0]) if value else None)
    return type(value)


def _choose(overloads: list[Overload], key: tuple[Any, ...]) -> Overload | None:
    for overload in overloads:
        if all(map(_takes, overload.params, key)):
            return overload
    return None


def _takes(param: CelType, given: Any) -> bool:
    if param.kind in ("param", "dyn"):
        return True
    if isinstance(given, tuple):
        return param.kind == "list" and (given[1] is None or _takes(param.params[0], given[1]))
    name = param.name if param.kind == "opaque" else param.kind
    return bool((KINDS.get(given) or getattr(given, "type_name", "")) == name)


def _plan_logic(planner: Planner, node: Call, *, decisive: bool) -> Plan:
    """Plan `&&` or `||`: `decisive` on either side decides, even if the other is an error."""
    left, right = (planner.plan(arg) for arg in node.args)
    first, second, price = left.run, right.run, right.cost

    def decide_after(error: CelError, frame: Frame) -> bool:
        frame[0] -= price
        value: object = second(frame)
        if value is decisive:
            return decisive
        raise error

    def logic(frame: Frame) -> bool:
        value: object
        try:
            value = first(frame)
        except CostExceeded:
            raise
        except CelError as exc:
            return decide_after(exc, frame)
        if value is decisive:
            return decisive
        if value is not (not decisive):
            return decide_after(no_such_overload(), frame)
        frame[0] -= price
        value = second(frame)
        if value is True or value is False:
            return bool(value)
        raise no_such_overload()

    return Plan(logic, left.cost)


def _plan_condition(planner: Planner, node: Call) -> Plan:
    condition, yes, no = (planner.plan(arg) for arg in node.args)
    decide, if_true, if_false = condition.run, yes.run, no.run
    price_true, price_false = yes.cost, no.cost

    def choose(frame: Frame) -> Any:
        value = decide(frame)
        if value is True:
            frame[0] -= price_true
            return if_true(frame)
        if value is False:
            frame[0] -= price_false
            return if_false(frame)
        raise no_such_overload()

    return Plan(choose, condition.cost)


def _plan_optional_select(planner: Planner, node: Call) -> Plan:
    operand, name = node.args
    assert isinstance(name, Literal)
    below = planner.plan(operand)
    source = operand.type
    if source.kind == "optional_type":
        source = source.params[0]
    key, convert = name.value, None
    if source.kind == "object" and key in source.fields:
        field = source.fields[key]
        key, convert = field.json_name, adapter(field.type)
    return Plan(optional_field(below.run, key, convert), below.cost + 1)

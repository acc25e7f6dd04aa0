"""What calls are estimated to cost at most, from the sizes of their arguments.

Upstream's figures: cel-go's for CEL's own functions, Kubernetes' for those it added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kube.cel.sizes import ONE, Range, fixed
from kube.cel.tree import Literal, Node
from kube.cel.types import SIZE_MAX, CelType

TEXT: Final = 0.1
PATTERN: Final = 0.25
_FORMAT_PATTERN: Final = 128
_FORMAT_NAME_MAX: Final = 64
_CHECK: Final = 350_000


class Argument(NamedTuple):
    """An argument as far as estimates look at it.

    Attributes:
        size: how large it may be.
        element: of a list, how large its elements may be.
    """

    node: Node
    type: CelType
    size: Range
    element: Range


class Estimate(NamedTuple):
    """What a call costs, and how large its result is, if that is known."""

    cost: Range
    size: Range | None = None


Args = list[Argument]
Rule = Callable[[Args], Estimate]


def _constant(cost: int) -> Rule:
    made = Estimate(fixed(cost))
    return lambda _: made


def _text(at: int, factor: float = TEXT, *, sized: bool = False) -> Rule:
    """Return a rule for what goes over one argument once."""
    return lambda args: Estimate(args[at].size.scaled(factor), args[at].size if sized else None)


def _each(args: Args) -> Estimate:
    target = args[0]
    if target.type.kind == "list":
        each = ONE
        if target.type.params[0].kind in ("string", "bytes"):
            each = ONE.plus(target.element.scaled(TEXT))
        return Estimate(target.size.times(each))
    if target.type.kind == "dyn":
        return Estimate(target.size.times(ONE))
    return Estimate(target.size.scaled(TEXT))


def _replace(args: Args) -> Estimate:
    text, old, new = (arg.size for arg in args[:3])
    count_most = kept_most = count_least = kept_least = 0
    if old.least == 0:
        count_most, kept_most = min(SIZE_MAX, text.most + 1), text.most
    elif new.most <= old.least:
        kept_most = text.most
    else:
        count_most = -(-text.most // old.least)
    if old.most == 0:
        count_least, kept_least = min(SIZE_MAX, text.least + 1), text.least
    elif old.most <= new.least:
        kept_least = text.least
    else:
        count_least = -(-text.least // old.most)
    size = Range(count_least, count_most).times(new).plus(Range(kept_least, kept_most))
    return Estimate(text.scaled(2 * TEXT), size)


def _split(args: Args) -> Estimate:
    most = args[0].size.most
    if len(args) > 2 and isinstance(args[2].node, Literal) and type(args[2].node.value) is int:
        most = args[2].node.value if args[2].node.value >= 0 else SIZE_MAX
    return Estimate(args[0].size.scaled(2 * TEXT), Range(0, most))


def _join(args: Args) -> Estimate:
    items = args[0]
    size = items.size.times(items.element)
    if len(args) > 1:
        gaps = Range(max(0, items.size.least - 1), max(0, items.size.most - 1))
        size = size.plus(args[1].size.times(gaps))
    return Estimate(size.scaled(TEXT), size)


def _find(args: Args) -> Estimate:
    text = args[0].size.plus(ONE).scaled(TEXT)
    cost = text.times(args[1].size.scaled(PATTERN))
    return Estimate(cost, Range(0, args[0].size.most))


def _matches(args: Args) -> Estimate:
    return Estimate(_find(args).cost)


def _contains(args: Args) -> Estimate:
    return Estimate(args[0].size.scaled(TEXT).times(args[1].size.scaled(TEXT)))


def _contained(base: Range) -> Rule:
    def rule(args: Args) -> Estimate:
        if args[1].type.kind == "string":
            return Estimate(base.plus(args[1].size.scaled(TEXT)))
        return Estimate(base)

    return rule


def _selector(args: Args) -> Estimate:
    size = args[1].size
    return Estimate(fixed(10).plus(size.scaled(TEXT)).plus(size.scaled(0.5).scaled(50)))


def _compared(args: Args) -> Estimate:
    most = min(args[0].size.most, args[1].size.most)
    return Estimate(Range(1 if most > 0 else 0, most).scaled(TEXT))


def _equals(args: Args) -> Estimate:
    kinds = {args[0].type.name, args[1].type.name}
    if args[0].type.kind == args[1].type.kind == "opaque" and len(kinds) == 1:
        if kinds == {"kubernetes.NamedFormat"}:
            return Estimate(Range(1, _FORMAT_NAME_MAX).scaled(TEXT))
        return Estimate(ONE)
    return _compared(args)


def _ordered(args: Args) -> Estimate:
    if args[0].type.kind == args[1].type.kind and args[0].type.kind in ("string", "bytes"):
        return _compared(args)
    return Estimate(ONE)


def _sum(args: Args) -> Estimate:
    size = args[0].size.plus(args[1].size)
    if args[0].type.kind in ("string", "bytes"):
        return Estimate(size.scaled(TEXT), size)
    return Estimate(ONE, size if args[0].type.kind == "list" else None)


def _is_in(args: Args) -> Estimate:
    return Estimate(args[1].size.scaled(1) if args[1].type.kind != "map" else ONE)


def _string(args: Args) -> Estimate:
    size = args[0].size
    if args[0].type.kind != "bytes":
        return Estimate(ONE)
    return Estimate(size.scaled(TEXT), Range(size.least // 4, size.most))


def _bytes(args: Args) -> Estimate:
    size = args[0].size
    if args[0].type.kind != "string":
        return Estimate(ONE)
    return Estimate(size.scaled(TEXT), Range(size.least, min(SIZE_MAX, size.most * 4)))


def _ip(args: Args) -> Estimate:
    return Estimate(ONE) if args[0].type.kind == "opaque" else Estimate(args[0].size.scaled(TEXT))


def _pairs(args: Args) -> Estimate:
    return Estimate(ONE.plus(args[0].size.times(args[1].size)))


CALL_COSTS: Final[dict[str, Rule]] = {
    "check": _constant(_CHECK),
    "fieldSelector": _selector,
    "labelSelector": _selector,
    "url": _text(0, sized=True),
    "jsonpatch.escapeKey": _text(0, sized=True),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "find": _find,
    "findAll": _find,
    "matches": _matches,
    "contains": _contains,
    "startsWith": _text(1),
    "endsWith": _text(1),
    "format": _text(0),
    "ip": _ip,
    "ip.isCanonical": _text(0, 2 * TEXT),
    "containsIP": _contained(Range(8, 32).scaled(TEXT)),
    "containsCIDR": _contained(Range(8, 32).scaled(TEXT).plus(Range(4, 16).scaled(TEXT)).plus(ONE)),
    "validate": lambda args: Estimate(args[1].size.scaled(TEXT).scaled(_FORMAT_PATTERN * PATTERN)),
    "_==_": _equals,
    "_!=_": _compared,
    "_+_": _sum,
    "@in": _is_in,
    "string": _string,
    "bytes": _bytes,
    "sets.contains": _pairs,
    "sets.intersects": _pairs,
    "sets.equivalent": lambda args: Estimate(ONE.plus(args[0].size.times(args[1].size).scaled(2))),
    "distinct": lambda args: Estimate(args[0].size.times(args[0].size), args[0].size),
    "flatten": lambda args: Estimate(ONE.plus(args[0].size)),
    "reverse": lambda args: Estimate(ONE.plus(args[0].size), args[0].size),
    "sort": lambda args: Estimate(args[0].size.times(args[0].size), args[0].size),
}
CALL_COSTS.update(
    dict.fromkeys(
        ("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _text(0)
    )
)
CALL_COSTS.update(
    dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _text(0, sized=True))
)
CALL_COSTS.update(
    dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "includes"), _each)
)
CALL_COSTS.update(dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _ordered))

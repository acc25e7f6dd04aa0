"""What pods say about nodes and other pods, parsed once: selectors, tolerations, affinity, spread.

Everything here is immutable and hashable, so that equal terms of many pods are one key. A term that
cannot be parsed matches nothing, as upstream has it for nodes; validation keeps such terms out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, label_selector_of
from kube.selectors import LabelSelector, Operator, Requirement, parse_int64

HOSTNAME: Final = "kubernetes.io/hostname"
UNSCHEDULABLE_TAINT: Final = "node.kubernetes.io/unschedulable"
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
PREFER_NO_SCHEDULE: Final = "PreferNoSchedule"
_NODE_OPERATORS: Final = {
    "In": Operator.IN,
    "NotIn": Operator.NOT_IN,
    "Exists": Operator.EXISTS,
    "DoesNotExist": Operator.NOT_EXISTS,
    "Gt": Operator.GREATER,
    "Lt": Operator.LESS,
}
Labels = Mapping[str, str]


class Taint(NamedTuple):
    """A taint of a node."""

    key: str
    value: str
    effect: str


class Toleration(NamedTuple):
    """A toleration of a pod; empty key, value and effect mean any, as upstream has it."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Tell whether a taint is tolerated (corev1 Toleration.ToleratesTaint)."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "" | "Equal":
                return self.value == taint.value
            case "Exists":
                return True
            case "Gt" | "Lt":
                mine, theirs = parse_int64(self.value), parse_int64(taint.value)
                if mine is None or theirs is None:
                    return False
                return theirs > mine if self.operator == "Gt" else theirs < mine
            case _:
                return False


class NodeTerm(NamedTuple):
    """A term of node affinity: all of it must hold; without anything it matches no node.

    Attributes:
        expressions: about labels.
        names: conditions on the node's name (matchFields).
    """

    expressions: tuple[Requirement, ...]
    names: tuple[Requirement, ...]

    @property
    def is_empty(self) -> bool:
        """Whether it matches nothing."""
        return not self.expressions and not self.names


class NodeRules(NamedTuple):
    """Which nodes a pod may and would like to be on.

    Attributes:
        selector: spec.nodeSelector, all must hold.
        required: terms of which one must hold; None: there are none.
        preferred: weights and terms.
    """

    selector: tuple[Requirement, ...] = ()
    required: tuple[NodeTerm, ...] | None = None
    preferred: tuple[tuple[int, NodeTerm], ...] = ()


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A term of pod affinity or anti-affinity.

    Attributes:
        key: the topology.
        selector: which pods.
        namespaces: where they are.
        of_namespaces: labels of further namespaces where they are; None: no further ones.
    """

    key: str
    selector: LabelSelector
    namespaces: frozenset[str]
    of_namespaces: LabelSelector | None = None


class PodTerms(NamedTuple):
    """Which pods a pod must and would like to be with, or apart from."""

    required: tuple[PodTerm, ...] = ()
    preferred: tuple[tuple[int, PodTerm], ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """A topology spread constraint.

    Attributes:
        is_hard: DoNotSchedule, else ScheduleAnyway.
        honors_affinity, honors_taints: which nodes count.
        is_default: one that the cluster gives to pods without any; a node without a key of one
            counts for the others.
    """

    key: str
    selector: LabelSelector
    max_skew: int
    is_hard: bool
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False
    is_default: bool = False


def parse_tolerations(spec: JsonObject) -> tuple[Toleration, ...]:
    """Return a pod's tolerations."""
    return tuple(
        Toleration(
            one.get("key", ""), one.get("operator", ""), one.get("value", ""), one.get("effect", "")
        )
        for one in spec.get("tolerations") or ()
    )


def parse_taints(spec: JsonObject) -> tuple[Taint, ...]:
    """Return a node's taints."""
    return tuple(
        Taint(one.get("key", ""), one.get("value", ""), one.get("effect", ""))
        for one in spec.get("taints") or ()
    )


def parse_node_rules(spec: JsonObject) -> NodeRules:
    """Return which nodes a pod may be on."""
    selector = tuple(
        Requirement(key, Operator.IN, (value,))
        for key, value in sorted((spec.get("nodeSelector") or {}).items())
    )
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    wanted = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    required = None
    if wanted is not None:
        required = parse_node_terms(wanted)
    preferred = tuple(
        (int(one.get("weight", 0)), _node_term(one.get("preference") or {}))
        for one in affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    )
    return NodeRules(selector, required, preferred)


def parse_node_terms(selector: JsonObject) -> tuple[NodeTerm, ...]:
    """Return the terms of a NodeSelector."""
    return tuple(map(_node_term, selector.get("nodeSelectorTerms") or ()))


def _node_term(term: JsonObject) -> NodeTerm:
    return NodeTerm(
        _requirements(term.get("matchExpressions")), _requirements(term.get("matchFields"))
    )


def _requirements(expressions: Sequence[JsonObject] | None) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(
            one.get("key", ""),
            _NODE_OPERATORS.get(one.get("operator", ""), Operator.IN),
            tuple(one.get("values") or ()),
        )
        for one in expressions or ()
    )


def parse_pod_terms(spec: JsonObject, kind: str, namespace: str) -> PodTerms:
    """Return a pod's terms of `podAffinity` or `podAntiAffinity`."""
    affinity = (spec.get("affinity") or {}).get(kind) or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return PodTerms(
        tuple(_pod_term(one, namespace) for one in required),
        tuple(
            (int(one.get("weight", 0)), _pod_term(one.get("podAffinityTerm") or {}, namespace))
            for one in preferred
        ),
    )


def _pod_term(term: JsonObject, namespace: str) -> PodTerm:
    namespaces = frozenset(term.get("namespaces") or ())
    others = term.get("namespaceSelector")
    if not namespaces and others is None:
        namespaces = frozenset((namespace,))
    return PodTerm(
        term.get("topologyKey", ""),
        parse_selector(term.get("labelSelector")),
        namespaces,
        None if others is None else parse_selector(others),
    )


def parse_spreads(spec: JsonObject, labels: Labels) -> tuple[Spread, ...]:
    """Return a pod's spread constraints; `matchLabelKeys` narrow their selectors by its labels."""
    found = []
    for one in spec.get("topologySpreadConstraints") or ():
        selector = parse_selector(one.get("labelSelector"))
        extra = tuple(
            Requirement(key, Operator.IN, (labels[key],))
            for key in one.get("matchLabelKeys") or ()
            if key in labels
        )
        if extra and not selector.selects_nothing:
            requirements = {*selector.requirements, *extra}
            ordered = tuple(sorted(requirements, key=lambda r: (r.key, r.operator.value, r.values)))
            selector = LabelSelector(ordered)
        found.append(
            Spread(
                key=one.get("topologyKey", ""),
                selector=selector,
                max_skew=int(one.get("maxSkew", 1)),
                is_hard=one.get("whenUnsatisfiable") != "ScheduleAnyway",
                min_domains=int(one.get("minDomains") or 1),
                honors_affinity=one.get("nodeAffinityPolicy", "Honor") != "Ignore",
                honors_taints=one.get("nodeTaintsPolicy", "Ignore") == "Honor",
            )
        )
    return tuple(found)


def parse_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """Return a label selector; one that cannot be parsed selects nothing."""
    try:
        return label_selector_of(selector)
    except SelectorError:
        return LabelSelector(selects_nothing=True)

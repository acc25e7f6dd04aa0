"""Why no node would do, in upstream's words (framework.FitError).

A node is told by the first plugin that refuses it; of NodeResourcesFit and VolumeBinding by all
that is wrong, of others by the first reason. What is wrong with the pod itself is told alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from controllers.scheduler.columns import Bools
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import BINDING, FIT

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        nodes: how many there are.
        reasons: how many nodes each reason was told of.
        plugins: who refused any.
        resolvable: by slot, the nodes where other pods' going could help.
        whole: what is wrong with the pod, whatever the node; empty: nothing.
    """

    nodes: int
    reasons: dict[str, int]
    plugins: frozenset[str]
    resolvable: Bools
    whole: str = ""

    def message(self, preemption: str = "") -> str:
        """Return the message; `preemption` is what was tried after that."""
        if not self.nodes:
            return NO_NODES
        text = unavailable(self.nodes, self.reasons)
        if self.whole:
            text = f"0/{self.nodes} nodes are available: {self.whole}."
        return f"{text} {preemption}" if preemption else text


def unavailable(nodes: int, reasons: dict[str, int]) -> str:
    """Return how many nodes were refused for which reasons."""
    told = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"0/{nodes} nodes are available: {', '.join(told)}."


def diagnose(valid: Bools, checks: Sequence[Check]) -> Diagnosis:
    """Return who refused which of the nodes.

    Args:
        valid: by slot, whether there is a node.
        checks: what the filters say, in their order, those of one plugin beside each other.
    """
    left, resolvable = valid.copy(), np.zeros(len(valid), np.bool_)
    for check in checks:
        if check.is_whole:
            plugins = frozenset({check.plugin})
            return Diagnosis(int(valid.sum()), {}, plugins, resolvable, check.text)
    reasons: Counter[str] = Counter()
    refusing: set[str] = set()
    for plugin, said in _by_plugin(checks):
        refused = np.zeros(len(valid), np.bool_)
        final = np.zeros(len(valid), np.bool_)
        texts: dict[str, Bools] = {}
        for check in said:
            failed = left & ~check.passed
            if plugin not in (FIT, BINDING):
                failed &= ~refused
            refused |= failed
            if check.is_final:
                final |= failed
            before = texts.get(check.text)
            texts[check.text] = failed if before is None else before | failed
        for text, failed in texts.items():
            reasons[text] += int(failed.sum())
        if refused.any():
            refusing.add(plugin)
            resolvable |= refused & ~final
            left &= ~refused
    found = {text: count for text, count in reasons.items() if count}
    return Diagnosis(int(valid.sum()), found, frozenset(refusing), resolvable)


def _by_plugin(checks: Iterable[Check]) -> list[tuple[str, list[Check]]]:
    found: list[tuple[str, list[Check]]] = []
    for check in checks:
        if not found or found[-1][0] != check.plugin:
            found.append((check.plugin, []))
        found[-1][1].append(check)
    return found

"""Plugins of others: filters and scores over the same columns, in Python.

A plugin is a class that `--plugin MODULE:CLASS` names and is made without arguments:

    class Cheapest:
        name = "Cheapest"

        def filter(self, columns, shape):
            return None                                  # or a bool array: which nodes will do

        def score(self, columns, shape):
            return prices(columns.label("price"))        # 0 to 100 for each node, or None

It is asked once for a kind of pods, and again when nodes change. Its weight is the profile's, 1 if
that says nothing. Arrays are cut at `columns.count`; what has another length, or fails, ends the
scheduler: it must not guess what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from controllers.scheduler.columns import Bools, Ints, NodeColumns
from controllers.scheduler.extension import Extension
from controllers.scheduler.node_rules import Check
from controllers.scheduler.settings import SCORE_MAX, Profile
from controllers.scheduler.shapes import Shape


@runtime_checkable
class Plugin(Protocol):
    """See the module's head."""

    name: str

    def filter(self, columns: NodeColumns, shape: Shape) -> Bools | None:
        """Return which nodes will do, None: all."""
        ...

    def score(self, columns: NodeColumns, shape: Shape) -> Ints | None:
        """Return scores of 0 to 100, None: none."""
        ...


class PluginFault(RuntimeError):
    """A plugin gave what cannot be used."""


class Plugins(Extension):
    """All of them, asked by the weights and filters of a pod's profile."""

    def __init__(self, plugins: Sequence[Plugin], columns: NodeColumns) -> None:
        self._plugins = plugins
        self._columns = columns

    def concerns(self, shape: Shape) -> bool:
        """Tell whether there is any."""
        return bool(self._plugins)

    def checks(self, shape: Shape, profile: Profile) -> Iterator[Check]:
        """Yield what they say of nodes."""
        for plugin in self._plugins:
            if plugin.name not in profile.filters:
                continue
            passed = plugin.filter(self._columns, shape)
            if passed is not None:
                self._check_length(plugin, len(passed))
                text = f"node(s) were refused by {plugin.name}"
                yield Check(plugin.name, text, is_final=True, passed=passed.astype(np.bool_))

    def scores(self, shape: Shape, profile: Profile) -> Ints | None:
        """Return their weighted scores; None: there are none."""
        total: Ints | None = None
        for plugin in self._plugins:
            weight = profile.weights.get(plugin.name, 0)
            scores = plugin.score(self._columns, shape) if weight else None
            if scores is not None:
                self._check_length(plugin, len(scores))
                weighted = weight * np.clip(scores, 0, SCORE_MAX).astype(np.int64)
                total = weighted if total is None else total + weighted
        return total

    def _check_length(self, plugin: Plugin, length: int) -> None:
        if length != self._columns.count:
            raise PluginFault(f"{plugin.name} gave {length} values for {self._columns.count} nodes")

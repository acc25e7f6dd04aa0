"""Queueing hints: what has to happen before it is worth while to decide a pod again.

Upstream registers, for each plugin, the events that may make a pod schedulable that the plugin has
refused. Here the same is said of counters: a pod is asked about again when one has moved that
matters to a plugin that refused it. Its contest says then whether there is a node.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Flag, auto
from typing import Final, NamedTuple

from controllers.scheduler import settings


class Facet(Flag):
    """Something that can change.

    NODES are nodes, their labels, taints and room; CAME and LEFT are pods; THINGS are what a pod's
    volumes and device claims depend on.
    """

    NODES = auto()
    CAME = auto()
    LEFT = auto()
    THINGS = auto()


ALL: Final = Facet.NODES | Facet.CAME | Facet.LEFT | Facet.THINGS
_MATTERS: Final = {
    settings.UNSCHEDULABLE: Facet.NODES,
    settings.NODE_NAME: Facet.NODES,
    settings.TAINTS: Facet.NODES,
    settings.NODE_AFFINITY: Facet.NODES,
    settings.PORTS: Facet.NODES | Facet.LEFT,
    settings.FIT: Facet.NODES | Facet.LEFT,
    settings.RESTRICTIONS: Facet.NODES | Facet.LEFT | Facet.THINGS,
    settings.LIMITS: Facet.NODES | Facet.LEFT | Facet.THINGS,
    settings.BINDING: Facet.NODES | Facet.THINGS,
    settings.ZONE: Facet.NODES | Facet.THINGS,
    settings.SPREAD: Facet.NODES | Facet.CAME | Facet.LEFT,
    settings.POD_AFFINITY: Facet.NODES | Facet.CAME | Facet.LEFT,
    settings.CLAIMS: Facet.NODES | Facet.THINGS,
}


class Moment(NamedTuple):
    """What the counters say.

    Attributes:
        nodes: version of the columns.
        came, left: how many pods came and went.
        chances: what may have made room for volumes and device claims.
        news: what became of the pod's own.
    """

    nodes: int
    came: int
    left: int
    chances: tuple[int, ...]
    news: tuple[int, ...]


def facets(plugins: Iterable[str]) -> Facet:
    """Return what matters to pods that some plugins refused; of plugins of others, all does."""
    found = Facet(0)
    for plugin in plugins:
        found |= _MATTERS.get(plugin, ALL)
    return found or ALL


def is_worth_while(plugins: Iterable[str], before: Moment, now: Moment) -> bool:
    """Tell whether something has changed that matters to pods that some plugins refused."""
    matter = facets(plugins)
    return bool(
        (matter & Facet.NODES and before.nodes != now.nodes)
        or (matter & Facet.CAME and before.came != now.came)
        or (matter & Facet.LEFT and before.left != now.left)
        or (matter & Facet.THINGS and (before.chances, before.news) != (now.chances, now.news))
    )

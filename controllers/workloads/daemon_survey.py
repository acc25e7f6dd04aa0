"""What a DaemonSet lacks and has too much of, found in one pass over the nodes.

Upstream's podsShouldBeOnNode, rollingUpdate and updateDaemonSetStatus look at the same nodes one
after the other; here each node is looked at once, and what the three want to know of it is noted.
Nothing is written: what is to be done is read off the survey when it is complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from controllers.nodes.book import NodeBrief
from controllers.pace import paced
from controllers.workloads.daemon_pods import Freshness, node_of
from controllers.workloads.node_fit import NodeFit
from controllers.workloads.pods import PodBrief
from controllers.workloads.rollout_math import scaled
from kube.json_types import JsonObject

_SHARDS: Final = 32
_ENDED: Final = ("Failed", "Succeeded")


class PodsOnNodes:
    """A set's pods by node; most nodes have one, for which nothing is allocated."""

    def __init__(self) -> None:
        # Many small dictionaries: one large one that grows is copied, which takes milliseconds.
        self._shards: tuple[dict[str, PodBrief | list[PodBrief]], ...] = tuple(
            {} for _ in range(_SHARDS)
        )

    def put(self, node: str, pod: PodBrief) -> None:
        """Note that a pod is on a node, or made for it."""
        shard = self._shards[hash(node) % _SHARDS]
        found = shard.setdefault(node, pod)
        if isinstance(found, list):
            found.append(pod)
        elif found is not pod:
            shard[node] = [found, pod]

    def take(self, node: str) -> Sequence[PodBrief] | None:
        """Return the pods of a node, and forget them; None: it has none."""
        found = self._shards[hash(node) % _SHARDS].pop(node, None)
        return (found,) if isinstance(found, PodBrief) else found

    def rest(self) -> Iterator[Sequence[PodBrief]]:
        """Yield the pods of each node that was not asked for."""
        for shard in self._shards:
            for found in shard.values():
                yield (found,) if isinstance(found, PodBrief) else found


class Rules(NamedTuple):
    """What decides over all nodes alike.

    Attributes:
        is_surging: whether a new pod comes before the old one goes.
        min_ready_s: how long a pod is ready until it is available.
        fresh: tells new pods from old ones.
        now_s: seconds since the epoch.
    """

    is_surging: bool
    min_ready_s: int
    fresh: Freshness
    now_s: float


class Survey:
    """See the module's head.

    Attributes:
        desired, current, misscheduled, ready, updated, available: counts of the status.
        lacking: nodes for which a pod is to be made.
        surplus: pods that are to be deleted.
        failed: pods to be deleted, not too often.
        succeeded: pods to be deleted.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.desired = self.current = self.misscheduled = 0
        self.ready = self.updated = self.available = 0
        self.lacking: list[str] = []
        self.surplus: list[PodBrief] = []
        self.failed: list[PodBrief] = []
        self.succeeded: list[PodBrief] = []
        self.update = Update(rules)

    def look(
        self, node: str, pods: Sequence[PodBrief] | None, *, should_run: bool, may_stay: bool
    ) -> None:
        """Take note of one node.

        Args:
            node: its name.
            pods: of the set that are there or made for it; None: none.
            should_run: whether the set is to have one there.
            may_stay: whether one that is there may stay.
        """
        if pods is None:
            if should_run:
                self.desired += 1
                self.lacking.append(node)
                self.update.missing += 1
            return
        pods = pods if len(pods) == 1 else sorted(pods, key=_rank)
        self._count(pods[0], should_run=should_run)
        if may_stay:
            self._keep(node, pods, should_run=should_run)
        else:
            self.surplus += [pod for pod in pods if not pod.is_deleting]
        self.update.look(pods, should_run=should_run)

    def look_nowhere(self, pods: Sequence[PodBrief]) -> None:
        """Take note of the pods of a node that is gone; those not placed never will be."""
        self.surplus += [pod for pod in pods if not pod.node and not pod.is_deleting]
        self.update.look(pods, should_run=False)

    def _count(self, pod: PodBrief, *, should_run: bool) -> None:
        """Count a node by the first of its pods."""
        if not should_run:
            self.misscheduled += 1
            return
        rules = self._rules
        self.desired += 1
        self.current += 1
        if pod.ready_s is not None:
            self.ready += 1
            self.available += pod.is_available(rules.min_ready_s, rules.now_s)
        self.updated += rules.fresh.is_new(pod)

    def _keep(self, node: str, pods: Sequence[PodBrief], *, should_run: bool) -> None:
        """Find which pods of a node are too many."""
        running: list[PodBrief] = []
        for pod in pods:
            if pod.is_deleting:
                continue
            if pod.phase == "Failed":
                self.failed.append(pod)
            elif pod.phase == "Succeeded":
                self.succeeded.append(pod)
            else:
                running.append(pod)
        if not self._rules.is_surging:
            self.surplus += running[1:]
        elif not running and should_run:
            self.lacking.append(node)
        elif len(running) > 1:
            self._keep_two(running)

    def _keep_two(self, running: Sequence[PodBrief]) -> None:
        """Let the oldest of the new pods and of the old ones stay, until one replaces the other."""
        rules = self._rules
        new: PodBrief | None = None
        old: PodBrief | None = None
        for pod in running:
            if rules.fresh.has_digest(pod):
                if new is None:
                    new = pod
                    continue
            elif old is None:
                old = pod
                continue
            self.surplus.append(pod)
        if new is None or old is None:
            return
        if old.ready_s is None or new.is_available(rules.min_ready_s, rules.now_s):
            self.surplus.append(old)

    def counts(self) -> JsonObject:
        """Return the counts of the status; those that may be absent are, if nothing is counted."""
        optional = {
            "updatedNumberScheduled": self.updated,
            "numberAvailable": self.available,
            "numberUnavailable": self.desired - self.available,
        }
        return {
            "desiredNumberScheduled": self.desired,
            "currentNumberScheduled": self.current,
            "numberMisscheduled": self.misscheduled,
            "numberReady": self.ready,
            **{name: count for name, count in optional.items() if count},
        }


class Update:
    """What an update may replace: deleted pods make room, or new ones come before.

    Attributes:
        missing: nodes that count as unavailable, or as surging already.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.missing = 0
        self._surging = 0
        self._working = 0
        self._broken: list[PodBrief] = []
        self._candidates: list[PodBrief] = []
        self._replaced: list[PodBrief] = []
        self._sunset: list[PodBrief] = []

    def look(self, pods: Sequence[PodBrief], *, should_run: bool) -> None:
        """Take note of the pods of one node."""
        new: PodBrief | None = None
        old: PodBrief | None = None
        for pod in pods:
            if pod.is_deleting:
                continue
            if self._rules.fresh.is_new(pod):
                is_excess, new = new is not None, pod
            else:
                is_excess, old = old is not None, pod
            if is_excess:
                # What is too much is deleted first; until then nobody knows what the node has.
                self.missing += 1
                self._surging += 1
                return
        if self._rules.is_surging:
            self._look_surging(new, old, should_run=should_run)
        else:
            self._look_making_room(new, old)

    def _works(self, pod: PodBrief) -> bool:
        return pod.is_available(self._rules.min_ready_s, self._rules.now_s)

    def _look_making_room(self, new: PodBrief | None, old: PodBrief | None) -> None:
        if (new is None) == (old is None):
            self.missing += 1
        elif new is not None:
            self.missing += not self._works(new)
        elif old is not None and not self._works(old):
            self._broken.append(old)
            self.missing += 1
        elif old is not None:
            self._candidates.append(old)

    def _look_surging(
        self, new: PodBrief | None, old: PodBrief | None, *, should_run: bool
    ) -> None:
        pod = old or new
        works = pod is not None and self._works(pod)
        self._working += works
        if old is None:
            return
        if new is not None:
            if self._works(new):
                self._replaced.append(old)
            else:
                self._surging += 1
        elif not should_run:
            (self._sunset if works else self._replaced).append(old)
        elif works:
            self._candidates.append(old)
        else:
            self._broken.append(old)

    def deletable(self, unavailable_max: int, desired: int) -> list[PodBrief]:
        """Return the old pods that may be deleted now."""
        if self._rules.is_surging:
            # What runs where it should not goes when as many run where they should.
            spare = max(0, self._working - desired)
            return self._replaced + self._sunset[:spare]
        room = max(0, unavailable_max - self.missing)
        return self._broken + self._candidates[:room]

    def surged(self, surge_max: int) -> list[str]:
        """Return the nodes that may get a new pod beside the old one now."""
        if not self._rules.is_surging:
            return []
        room = max(0, surge_max - self._surging)
        return [node_of(pod) for pod in self._broken + self._candidates[:room]]


async def survey_nodes(
    rules: Rules, fit: NodeFit, pods: Iterable[PodBrief], nodes: Iterable[NodeBrief]
) -> Survey:
    """Look at all nodes, in slices between which others have the event loop.

    Args:
        rules: what decides over all of them alike.
        fit: says where pods are to be.
        pods: all of the set.
        nodes: all there are.
    """
    survey, here = Survey(rules), PodsOnNodes()
    async for some in paced(pods):
        for pod in some:
            # One that has ended and is being deleted needs nothing any more.
            if not (pod.is_deleting and pod.phase in _ENDED) and (name := node_of(pod)):
                here.put(name, pod)
    async for few in paced(nodes):
        for node in few:
            should_run, may_stay = fit.of(node)
            found = here.take(node.name)
            survey.look(node.name, found, should_run=should_run, may_stay=may_stay)
    async for left in paced(here.rest()):
        for gone in left:
            survey.look_nowhere(gone)
    return survey


def _rank(pod: PodBrief) -> tuple[bool, int, str]:
    return not pod.node, pod.created_s, pod.name


def limits_of(daemon_set: JsonObject, desired: int) -> tuple[int, int]:
    """Return how many pods there may be too many and too few in an update; never neither."""
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type", "RollingUpdate") != "RollingUpdate" or rolling is None:
        return 0, 0
    surge = scaled(rolling.get("maxSurge"), desired, up=True)
    unavailable = scaled(rolling.get("maxUnavailable"), desired, up=True)
    return surge, 1 if desired and not surge and not unavailable else unavailable


def is_surging(daemon_set: JsonObject) -> bool:
    """Tell whether new pods come before old ones go (AllowsSurge)."""
    return limits_of(daemon_set, 1)[0] > 0

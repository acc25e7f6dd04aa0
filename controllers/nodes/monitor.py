"""The pass over all nodes: who has not been heard of, and what follows.

Every few seconds each brief is looked at, in slices between which others of the event loop have
their turn; a node that is well costs two look-ups. Only nodes that need a write cost more, and of
those a few are worked on at once. Order of things, as upstream's monitorNodeHealth has it:
    - what was observed, before this pass writes anything, decides about NoExecute taints;
    - what is so afterwards is counted for the node's zone;
    - who was ready and is not any more is told of, and its pods are marked.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from controllers.nodes.book import NodeBook, NodeBrief
from controllers.nodes.conditions import unknown_status
from controllers.nodes.heartbeats import Heartbeats
from controllers.nodes.lost_pods import LostPods
from controllers.nodes.marks import NODES, Marks
from controllers.nodes.options import NodeOptions
from controllers.nodes.taints import NOT_READY, UNREACHABLE, Taint, is_among
from controllers.nodes.zones import ZoneCount, Zones
from controllers.recorder import Recorder
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

_AT_ONCE: Final = 8
"""So many nodes are written at once (nodeUpdateWorkerSize)."""
_SLICE_S: Final = 0.001
_TOLD_MAX: Final = 400
"""So many nodes are told of as new or gone in a pass: a start at scale is no flood of events."""
_STATUS_ATTEMPTS: Final = 2
_RETRY_S: Final = 0.05
_log = logging.getLogger(__name__)


def node_reference(name: str, uid: str) -> JsonObject:
    """Return a node as events refer to it."""
    return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "namespace": ""}


def _has_ours(brief: NodeBrief) -> bool:
    return is_among(UNREACHABLE, brief.taints) or is_among(NOT_READY, brief.taints)


def _taints_for(ready: str) -> tuple[Taint, Taint]:
    """Return the taint of a node that is not ready, and the one that it must not have then."""
    return (NOT_READY, UNREACHABLE) if ready == "False" else (UNREACHABLE, NOT_READY)


@dataclass(frozen=True, slots=True)
class Tools:
    """What the monitor writes with, and where it looks."""

    client: ApiClient
    recorder: Recorder
    nodes: Store
    book: NodeBook
    marks: Marks
    lost_pods: LostPods


class Monitor:
    """See the module's head.

    Args of the constructor:
        tools: what it writes with.
        options: grace periods and rates.
        heartbeats: when nodes were heard of.
    """

    def __init__(self, tools: Tools, options: NodeOptions, heartbeats: Heartbeats) -> None:
        self._tools = tools
        self._options = options
        self._heartbeats = heartbeats
        self._clock = tools.client.clock
        self._known: dict[str, str] = {}
        self._gone: list[tuple[str, str]] = []
        self._may_tell = 0
        self._to_retry: set[str] = set()
        self.zones = Zones(options)

    async def look(self) -> None:
        """Make one pass."""
        counts: dict[str, ZoneCount] = {}
        due: list[NodeBrief] = []
        self._tell_of_gone()
        self._may_tell = _TOLD_MAX
        until_s = perf_counter() + _SLICE_S
        for briefs in self._tools.book.slices():
            for brief in briefs:
                if brief.name not in self._known:
                    self._register(brief)
                if self._is_fine(brief):
                    self._count(counts, brief, brief.ready)
                else:
                    due.append(brief)
            if len(due) >= _AT_ONCE:
                await self._work(due, counts)
                due = []
            if perf_counter() >= until_s:
                await asyncio.sleep(0)
                until_s = perf_counter() + _SLICE_S
        await self._work(due, counts)
        await self._judge_zones(counts)

    def _is_fine(self, brief: NodeBrief) -> bool:
        """Tell whether a node needs no write, as most do; queue it if it is to be tainted."""
        name, ready = brief.name, brief.ready
        if ready != "Unknown" and self._is_overdue(brief):
            return False
        if name in self._to_retry:
            return False
        if not ready:
            return True
        if ready == "True":
            if brief.taints and _has_ours(brief):
                return False
            queue = self.zones.queues.get(brief.zone)
            if queue is not None:
                queue.remove(name)
            return True
        wanted, other = _taints_for(ready)
        if is_among(other, brief.taints):
            return False
        if not is_among(wanted, brief.taints):
            self.zones.queue(brief.zone).readd(name, self._clock.monotonic_s())
        return True

    def _is_overdue(self, brief: NodeBrief) -> bool:
        options = self._options
        grace_s = options.monitor_grace_s if brief.ready else options.startup_grace_s
        heard = self._heartbeats.get(brief.name)
        if heard is None:
            return False
        return self._clock.monotonic_s() > heard.seen_s + max(grace_s, heard.grace_s)

    def _count(self, counts: dict[str, ZoneCount], brief: NodeBrief, ready: str) -> None:
        if not brief.counts:
            return
        count = counts.get(brief.zone)
        if count is None:
            count = counts[brief.zone] = ZoneCount()
        if ready == "True":
            count.ready += 1
        else:
            count.lost += 1

    async def _work(self, due: list[NodeBrief], counts: dict[str, ZoneCount]) -> None:
        for at in range(0, len(due), _AT_ONCE):
            some = due[at : at + _AT_ONCE]
            for brief, ready in zip(
                some, await asyncio.gather(*map(self._examine, some)), strict=True
            ):
                # One that could not be written counts for nothing in this pass.
                if ready is not None:
                    self._count(counts, brief, ready)

    async def _examine(self, brief: NodeBrief) -> str | None:
        """Do what a node needs; return its Ready afterwards, None if that is not known."""
        observed = brief.ready or "Unknown"
        ready: str | None = brief.ready
        try:
            if self._is_overdue(brief):
                ready = await self._write_unknown(brief)
            if not ready:
                return ready
            await self._taint(brief, observed)
            await self._mark_pods(brief, observed, ready)
        except (StatusError, Unreachable) as error:
            _log.warning("node %s is looked at again: %s", brief.name, error)
            return None
        return ready

    async def _write_unknown(self, brief: NodeBrief) -> str | None:
        """Write that nothing is known of a node; return its Ready, None if it is gone."""
        name, client = brief.name, self._tools.client
        node = self._tools.nodes.get(name)
        now = times.format_seconds(int(self._clock.now_s()))
        for attempt in range(_STATUS_ATTEMPTS):
            if node is None or node["metadata"]["uid"] != brief.uid:
                return None
            status = unknown_status(node, now)
            if status is None:
                return "Unknown"
            try:
                await client.request("PUT", f"{NODES}/{name}/status", {**node, "status": status})
            except StatusError as error:
                if error.code == 404:
                    return None
                if error.code != 409 or attempt + 1 == _STATUS_ATTEMPTS:
                    raise
                await self._clock.sleep(_RETRY_S)
                if not self._is_overdue(brief):  # it was the kubelet that wrote
                    return None
                node = await client.request("GET", f"{NODES}/{name}")
                continue
            if not brief.ready:
                self._heartbeats.wrote(name, node["metadata"].get("creationTimestamp", ""))
            return "Unknown"
        return None

    async def _taint(self, brief: NodeBrief, observed: str) -> None:
        """Have a node get, change or lose its NoExecute taint (processTaintBaseEviction)."""
        queue = self.zones.queue(brief.zone)
        if observed == "True":
            if _has_ours(brief):
                await self._tools.marks.swap_taints(brief.name, (), (UNREACHABLE, NOT_READY))
            queue.remove(brief.name)
            return
        wanted, other = _taints_for(observed)
        if is_among(other, brief.taints):
            # Its pods' time is running already, so no rate holds this back.
            await self._tools.marks.swap_taints(brief.name, (wanted,), (other,))
        elif not is_among(wanted, brief.taints):
            queue.readd(brief.name, self._clock.monotonic_s())

    async def _mark_pods(self, brief: NodeBrief, observed: str, ready: str) -> None:
        name = brief.name
        if observed == "True" and ready != "True":
            text = f"Node {name} status is now: NodeNotReady"
            self._tools.recorder.note(node_reference(name, brief.uid), "NodeNotReady", text)
        elif observed == "True" or name not in self._to_retry:
            self._to_retry.discard(name)
            return
        if await self._tools.lost_pods.mark_all(name):
            self._to_retry.discard(name)
        else:
            self._to_retry.add(name)

    def forget(self, name: str) -> None:
        """Take note that a node is gone."""
        self._to_retry.discard(name)
        for queue in self.zones.queues.values():
            queue.remove(name)
        uid = self._known.pop(name, None)
        if uid is not None and len(self._gone) < _TOLD_MAX:
            self._gone.append((name, uid))

    def mark_later(self, name: str) -> None:
        """Have a node's pods marked in the next pass, if it is still lost then."""
        self._to_retry.add(name)

    def _tell_of_gone(self) -> None:
        gone, self._gone = self._gone, []
        for name, uid in gone:
            self._tell(name, uid, "RemovingNode", f"Removing Node {name} from Controller")

    def _register(self, brief: NodeBrief) -> None:
        """Take note of a node that is new, and tell of it."""
        name = brief.name
        self._known[name] = brief.uid
        self.zones.queue(brief.zone)
        if self._may_tell > 0:
            self._may_tell -= 1
            text = f"Registered Node {name} in Controller"
            self._tell(name, brief.uid, "RegisteredNode", text)

    def _tell(self, name: str, uid: str, reason: str, text: str) -> None:
        self._tools.recorder.note(node_reference(name, uid), reason, f"Node {name} event: {text}")

    async def _judge_zones(self, counts: dict[str, ZoneCount]) -> None:
        verdict = self.zones.judge(counts, self._clock.monotonic_s())
        for zone, state in verdict.changed.items():
            _log.info("zone %r is now in state %s", zone.replace("\0", ""), state.value)
        if verdict.resumes:
            for _ in self._heartbeats.forgive():
                await asyncio.sleep(0)
        if verdict.halts:
            await self._untaint_all()

    async def _untaint_all(self) -> None:
        """Take all NoExecute taints of ours off: it is rather we who hear nothing."""
        for briefs in self._tools.book.slices():
            tainted = [one for one in briefs if one.no_execute]
            for brief in briefs:
                self.zones.queue(brief.zone).remove(brief.name)
            for at in range(0, len(tainted), _AT_ONCE):
                some = tainted[at : at + _AT_ONCE]
                outcomes = await asyncio.gather(
                    *(
                        self._tools.marks.swap_taints(one.name, (), (UNREACHABLE, NOT_READY))
                        for one in some
                    ),
                    return_exceptions=True,
                )
                for brief, outcome in zip(some, outcomes, strict=True):
                    if isinstance(outcome, BaseException):
                        _log.warning("taints stay on node %s: %s", brief.name, outcome)
            await asyncio.sleep(0)

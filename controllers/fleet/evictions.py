"""What a node does that runs out of disk: it ends pods, one at a time, the least important first.

As upstream's eviction manager: every ten seconds, by priority, never a critical pod.
"""

from __future__ import annotations

from typing import Final

from controllers.fleet.fleet_node import DISK_PRESSURE, Node
from controllers.fleet.pod_life import Pod, Verdict
from controllers.fleet.pods import Pods
from controllers.fleet.shapes import CRITICAL
from runtime.clock import Clock

INTERVAL_S: Final = 10.0
_WHY: Final = Verdict(
    "Evicted", "The node was low on resource: ephemeral-storage. ", is_disruption=True
)


class Evictions:
    """See the module's head."""

    def __init__(self, pods: Pods, clock: Clock) -> None:
        self._pods = pods
        self._clock = clock
        self._pressed: dict[Node, float] = {}

    def on_node(self, node: Node) -> None:
        """Take note of a node that has changed."""
        if node.is_alive and DISK_PRESSURE in node.faults:
            self._pressed.setdefault(node, self._clock.monotonic_s() + INTERVAL_S)
        else:
            self._pressed.pop(node, None)

    async def run(self) -> None:
        """Evict until cancelled."""
        while True:
            await self._clock.sleep(1.0)
            now_s = self._clock.monotonic_s()
            for node, due_s in tuple(self._pressed.items()):
                if due_s <= now_s and not node.is_lost:
                    self._pressed[node] = now_s + INTERVAL_S
                    if (pod := victim(node)) is not None:
                        self._pods.evict(pod, _WHY)


def victim(node: Node) -> Pod | None:
    """Return the pod that a node gives up first, None if it has none to give up."""
    able = [
        pod
        for pod in node.pods
        if not pod.is_over and not pod.is_leaving and pod.shape.priority < CRITICAL
    ]
    return min(able, key=lambda pod: (pod.shape.priority, -pod.started_s), default=None)

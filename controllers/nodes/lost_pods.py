"""Pods of nodes that are lost: they are not ready, whatever their kubelet said last.

Whoever routes to pods must not wait for a kubelet that says nothing any more. Where a pod's status
has changed meanwhile, the write fails and the node's pods are looked at again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from controllers.nodes.conditions import pod_not_ready
from controllers.recorder import Recorder
from controllers.workloads.claims import Kind, pod_path
from controllers.workloads.pod_control import reference_of
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

POD: Final = Kind("v1", "Pod", "pods")
NODE_INDEX: Final = "node"
_AT_ONCE: Final = 16


def node_of(pod: JsonObject) -> str | tuple[str, ...]:
    """Return where a pod runs: the informer of pods finds them by it (NODE_INDEX)."""
    return pod["spec"].get("nodeName") or ()


class LostPods:
    """Marks pods.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        pods: indexed by NODE_INDEX.
    """

    def __init__(self, client: ApiClient, recorder: Recorder, pods: Store) -> None:
        self._client = client
        self._recorder = recorder
        self._pods = pods

    async def mark_all(self, node: str) -> bool:
        """Mark the pods of a node; return whether all were that had to be."""
        keys = self._pods.keys(NODE_INDEX, node)
        done = True
        for at in range(0, len(keys), _AT_ONCE):
            outcomes = await asyncio.gather(
                *(self.mark(key, node) for key in keys[at : at + _AT_ONCE]), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, StatusError | Unreachable):
                    done = False
                elif isinstance(outcome, BaseException):
                    raise outcome
        return done

    async def mark(self, key: str, node: str) -> None:
        """Mark a pod if it is a node's.

        Raises:
            StatusError, Unreachable: it was not marked, as far as is known.
        """
        pod = self._pods.get(key)
        if pod is None or node_of(pod) != node:
            return
        changed = pod_not_ready(pod, times.format_seconds(int(self._client.clock.now_s())))
        if changed is None:
            return
        try:
            await self._client.request("PUT", f"{pod_path(key)}/status", changed)
        except StatusError as error:
            if error.code != 404:
                raise
            return
        self._recorder.warn(reference_of(POD, pod), "NodeNotReady", "Node is not ready")

"""Binding: telling the API which node a pod is to run on, many at a time.

A pod is taken for placed as soon as it is decided. If its binding is refused it is forgotten
and tried again; if nobody knows whether it was carried out, the API is asked. An answer that it
is bound already, or gone, needs nothing: the watch tells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from controllers.scheduler.queue import Waiting
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.queues import BoundedQueue
from runtime.tasks import TaskScope

WORKERS: Final = 48
_WAITING_MAX: Final = 4096
_log = logging.getLogger(__name__)


class Binding(NamedTuple):
    """A pod and the name of its node."""

    pod: Waiting
    node: str


Failed = Callable[[Binding, str], None]
Bound = Callable[[Binding], None]


class Binder:
    """See the module's head.

    Args of the constructor:
        client: who binds.
        bound: called for each that is.
        failed: called, with the reason, for each that is to be tried again.
    """

    def __init__(self, client: ApiClient, bound: Bound, failed: Failed) -> None:
        self._client = client
        self._bound = bound
        self._failed = failed
        self._queue: BoundedQueue[Binding] = BoundedQueue(_WAITING_MAX)

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        for number in range(WORKERS):
            scope.spawn(self._run(), name=f"binder {number}")

    async def put(self, binding: Binding) -> None:
        """Have a pod bound; waits while too many are."""
        await self._queue.put(binding)

    async def _run(self) -> None:
        while True:
            for binding in await self._queue.get_batch(1):
                await self._bind(binding)

    async def _bind(self, binding: Binding) -> None:
        pod = binding.pod
        namespace, _, name = pod.key.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": binding.node},
        }
        try:
            await self._client.send("POST", f"{path}/binding", body)
        except StatusError as error:
            self._failed(binding, f"binding rejected: {error}")
        except Unreachable as error:
            await self._ask(path, binding, str(error))
        else:
            self._bound(binding)

    async def _ask(self, path: str, binding: Binding, reason: str) -> None:
        """Find out what became of a binding that nobody answered for."""
        while True:
            try:
                pod: JsonObject = await self._client.request("GET", path)
            except StatusError as error:
                if error.code == 404:
                    return  # gone: the watch tells
                _log.info("pod %s cannot be read: %s", binding.pod.key, error)
            except Unreachable as error:
                _log.info("pod %s cannot be read: %s", binding.pod.key, error)
            else:
                is_same = pod["metadata"]["uid"] == binding.pod.uid
                if is_same and not pod["spec"].get("nodeName"):
                    self._failed(binding, f"binding not answered: {reason}")
                return
            await self._client.clock.sleep(self._client.pause_s(5))

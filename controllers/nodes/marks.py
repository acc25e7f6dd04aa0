"""What is written on nodes: taints and labels, each on the condition that the node is as it was.

A node is changed as the watch told of it, so nothing is read; where it has changed since (409), it
is read once and the change worked out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from controllers.nodes.taints import Taint, changed_taints, no_schedule_changes
from kube import times
from kube.client import ApiClient, Patch
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

NODES: Final = "/api/v1/nodes"
_ATTEMPTS: Final = 3
_LABELS: Final = (
    ("kubernetes.io/os", "beta.kubernetes.io/os"),
    ("kubernetes.io/arch", "beta.kubernetes.io/arch"),
)
"""Of each pair the first is believed, and the second made the same."""


def label_changes(node: JsonObject) -> dict[str, str]:
    """Return the labels that a node lacks or has wrong, as they must be."""
    labels = node["metadata"].get("labels") or {}
    return {
        second: labels[first]
        for first, second in _LABELS
        if first in labels and labels.get(second) != labels[first]
    }


def needs_marks(node: JsonObject) -> bool:
    """Tell whether a node's NoSchedule taints or labels are to be changed."""
    add, remove = no_schedule_changes(node)
    return bool(add or remove or label_changes(node))


Change = Callable[[JsonObject], JsonObject | None]
"""Returns what is to be merged into a node as it is, None for nothing."""


class Marks:
    """Writes on nodes.

    Args of the constructor:
        client: who writes.
        nodes: as the watch told of them.
    """

    def __init__(self, client: ApiClient, nodes: Store) -> None:
        self._client = client
        self._nodes = nodes

    async def change(self, name: str, change: Change) -> bool:
        """Change a node; return whether that was needed. One that is gone needs nothing.

        Raises:
            StatusError, Unreachable: it was not changed, as far as is known.
        """
        node = self._nodes.get(name)
        for attempt in range(_ATTEMPTS):
            body = change(node) if node is not None else None
            if node is None or body is None:
                return False
            metadata = {**(body.get("metadata") or {}), "uid": node["metadata"]["uid"]}
            metadata["resourceVersion"] = node["metadata"]["resourceVersion"]
            try:
                await self._client.request(
                    "PATCH", f"{NODES}/{name}", Patch({**body, "metadata": metadata})
                )
            except StatusError as error:
                if error.code == 404:
                    return False
                if error.code != 409 or attempt + 1 == _ATTEMPTS:
                    raise
                node = await self._read(name)
            else:
                return True
        return False

    async def _read(self, name: str) -> JsonObject | None:
        try:
            return await self._client.request("GET", f"{NODES}/{name}")
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    async def swap_taints(self, name: str, add: Sequence[Taint], remove: Sequence[Taint]) -> bool:
        """Add taints to a node and take others off, in one write; return whether it was needed."""
        now = times.format_seconds(int(self._client.clock.now_s()))

        def change(node: JsonObject) -> JsonObject | None:
            taints = changed_taints(node, add, remove, now)
            return None if taints is None else {"spec": {"taints": taints or None}}

        return await self.change(name, change)

    async def reconcile(self, name: str) -> None:
        """Give a node the NoSchedule taints and the labels that it must have."""
        now = times.format_seconds(int(self._client.clock.now_s()))

        def change(node: JsonObject) -> JsonObject | None:
            body: JsonObject = {}
            add, remove = no_schedule_changes(node)
            taints = changed_taints(node, add, remove, now)
            if taints is not None:
                body["spec"] = {"taints": taints or None}
            if labels := label_changes(node):
                body["metadata"] = {"labels": labels}
            return body or None

        await self.change(name, change)

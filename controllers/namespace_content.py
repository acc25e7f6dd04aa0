"""One pass over a namespace's content: delete what there is, report what is left.

Pods go first, and the rest waits until they are gone, as upstream: what pods use (secrets, network
policies) must outlive them. Only names, finalizers and counts are fetched, no whole objects.
Finalizers are counted among a collection's first `COUNTED_MAX` objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from controllers.discovery import Collection
from controllers.namespace_conditions import Report
from controllers.pod_gc import end_orphans
from kube import times
from kube.client import METADATA_LIST, ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

COUNTED_MAX: Final = 5_000
_PAGE_SIZE: Final = 500
_DELETE_TIMEOUT_S: Final = 300.0
_AT_ONCE: Final = 8
_BACKGROUND: Final = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "propagationPolicy": "Background",
}


class ContentPass:
    """See the module's head; made for one pass.

    Attributes:
        report: what the pass found.
        found: the collections that had objects, whether or not they have now.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.report = Report()
        self.found: list[Collection] = []

    async def run(self, collections: Sequence[Collection]) -> None:
        """Look at the collections, pods first; failures are in the report."""
        pods = [item for item in collections if (item.group, item.resource) == ("", "pods")]
        for collection in pods:
            await self._empty(collection)
        if self.report.failures or self.report.remaining:
            # What was not looked at counts as not empty.
            self.found = list(collections)
            return
        async with TaskScope(f"content of {self._namespace}") as scope:
            for collection in collections:
                if collection not in pods:
                    scope.spawn(self._empty(collection), name=str(collection))

    async def _empty(self, collection: Collection) -> None:
        """Delete what is in a collection; take down what is left."""
        async with self._slots:
            try:
                items, count = await self._look(collection)
                if not count:
                    return
                self.found.append(collection)
                await self._delete(collection, items)
                items, count = await self._look(collection)
            except (StatusError, Unreachable) as error:
                if collection not in self.found:
                    self.found.append(collection)
                self.report.failures.append(f"{collection}: {error}")
                return
        if not count:
            return
        self.report.remaining[str(collection)] += count
        held = [name for item in items for name in item["metadata"].get("finalizers") or ()]
        self.report.finalizers.update(held)
        if not held and not self._may_take_time(items):
            gvr = f"{collection.group}/{collection.version}, Resource={collection.resource}"
            self.report.failures.append(
                f"unexpected items still remain in namespace: {self._namespace} for gvr: {gvr}"
            )

    def _may_take_time(self, items: Sequence[JsonObject]) -> bool:
        """Tell whether any object is within its grace."""
        now = times.format_seconds(int(self._client.clock.now_s()))
        return any(item["metadata"].get("deletionTimestamp", "") >= now for item in items)

    async def _look(self, collection: Collection) -> tuple[list[JsonObject], int]:
        """Return a collection's objects, as far as counted one by one, and how many there are."""
        query = {"limit": str(_PAGE_SIZE)}
        path = collection.path(self._namespace)
        items: list[JsonObject] = []
        while True:
            try:
                page = await self._client.request("GET", path, query=query, accept=METADATA_LIST)
            except StatusError as error:
                # The type itself went away, and its objects with it.
                if error.code == 404:
                    return [], 0
                raise
            items += page.get("items") or ()
            metadata = page["metadata"]
            if not metadata.get("continue") or len(items) >= COUNTED_MAX:
                return items, len(items) + int(metadata.get("remainingItemCount") or 0)
            query["continue"] = metadata["continue"]

    async def _delete(self, collection: Collection, items: Sequence[JsonObject]) -> None:
        path = collection.path(self._namespace)
        fresh = [item for item in items if not item["metadata"].get("deletionTimestamp")]
        # Deleting again what is being deleted changes nothing, so it isn't asked for.
        if "deletecollection" in collection.verbs and (fresh or len(items) >= COUNTED_MAX):
            timeout_s = _DELETE_TIMEOUT_S
            # The answer is all that was deleted.
            await self._client.send("DELETE", path, _BACKGROUND, timeout_s=timeout_s)
        else:
            for item in fresh:
                await self._delete_one(f"{path}/{item['metadata']['name']}")
        if (collection.group, collection.resource) == ("", "pods"):
            await end_orphans(self._client, self._namespace)

    async def _delete_one(self, path: str) -> None:
        try:
            await self._client.request("DELETE", path, _BACKGROUND)
        except StatusError as error:
            if error.code != 404:
                raise

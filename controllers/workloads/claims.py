"""Whose pods are whose: owners adopt orphans they select, and release what they no longer select.

The rule (pkg/controller, PodControllerRefManager): a pod with another controller is left alone; one
of ours that the selector matches is kept, else it is released; an orphan that it matches is adopted
unless it, or its owner, is being deleted. Before the first adoption the owner is read anew from the
server: a cache may not know yet that it is going.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from controllers.pace import paced
from controllers.workloads.pods import Labels, PodBook, PodBrief
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.json_types import JsonObject
from kube.status import StatusError

Matches = Callable[[Mapping[str, str]], bool]


class Kind(NamedTuple):
    """A type of owners.

    Attributes:
        api_version, kind: as references have them.
        plural: as paths have it.
    """

    api_version: str
    kind: str
    plural: str

    @property
    def collection(self) -> str:
        """The path of all its objects."""
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}/{self.plural}"

    def path(self, key: str) -> str:
        """Return the path of an object by its key, "namespace/name"."""
        namespace, _, name = key.partition("/")
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}/namespaces/{namespace}/{self.plural}/{name}"

    def controls(self, obj: JsonObject) -> JsonObject:
        """Return the reference to an object that makes it a controller."""
        metadata = obj["metadata"]
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }


def pod_path(key: str) -> str:
    """Return the path of a pod by its key."""
    namespace, _, name = key.partition("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


class CannotAdopt(Exception):
    """The owner is going, or is another by now; nothing is adopted for it."""


class Claims:
    """Claims pods for the owners of one kind."""

    def __init__(self, client: ApiClient, kind: Kind, pods: PodBook) -> None:
        self._client = client
        self._kind = kind
        self._pods = pods

    async def claim(
        self,
        owner: JsonObject,
        matches: Matches,
        wanted: Callable[[PodBrief], bool] = lambda _pod: True,
    ) -> list[PodBrief]:
        """Return the owner's pods, after adopting and releasing.

        Args:
            owner: as the cache has it.
            matches: its selector.
            wanted: what else decides which pods are looked at at all.

        Raises:
            CannotAdopt: see there.
            StatusError, Unreachable: the server refused, or is away.
        """
        metadata = owner["metadata"]
        is_going = "deletionTimestamp" in metadata
        mine: list[PodBrief] = []
        known: dict[Labels, bool] = {}

        def is_selected(pod: PodBrief) -> bool:
            found = known.get(pod.labels)
            if found is None:
                found = known[pod.labels] = matches(dict(pod.labels))
            return found

        async for pods in paced(list(self._pods.owned(metadata["uid"]))):
            for pod in pods:
                if not wanted(pod):
                    continue
                if is_selected(pod):
                    mine.append(pod)
                elif not is_going:
                    await self._release(owner, pod)
        if not is_going:
            free = [
                pod
                for pod in self._pods.orphans(metadata["namespace"])
                if not pod.is_deleting and wanted(pod) and is_selected(pod)
            ]
            mine += await self._adopt_all(owner, free)
        return mine

    async def _adopt_all(self, owner: JsonObject, pods: list[PodBrief]) -> list[PodBrief]:
        mine: list[PodBrief] = []
        checked = False
        for pod in pods:
            if not checked:
                await self.check_alive(owner)
                checked = True
            if await self._adopt(owner, pod):
                mine.append(pod)
        return mine

    async def check_alive(self, owner: JsonObject) -> None:
        """Check that an owner, read anew, is the one of the cache and is not going.

        Raises:
            CannotAdopt: it is not.
            StatusError, Unreachable: it could not be read.
        """
        metadata = owner["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        fresh = await self._client.request("GET", self._kind.path(key))
        uid = fresh["metadata"]["uid"]
        if uid != metadata["uid"]:
            raise CannotAdopt(
                f"original {self._kind.kind} {key} is gone: got uid {uid}, wanted {metadata['uid']}"
            )
        if since := fresh["metadata"].get("deletionTimestamp"):
            raise CannotAdopt(f"{key} has just been deleted at {since}")

    async def _adopt(self, owner: JsonObject, pod: PodBrief) -> bool:
        reference = self._kind.controls(owner)
        change = {"metadata": {"ownerReferences": [reference], "uid": pod.uid}}
        return await self._patch(pod, change)

    async def _release(self, owner: JsonObject, pod: PodBrief) -> None:
        gone = {"$patch": "delete", "uid": owner["metadata"]["uid"]}
        await self._patch(pod, {"metadata": {"ownerReferences": [gone], "uid": pod.uid}})

    async def _patch(self, pod: PodBrief, change: JsonObject) -> bool:
        """Return whether the pod was there to be changed."""
        try:
            patch = Patch(change, STRATEGIC_PATCH)
            await self._client.request("PATCH", pod_path(pod.key), patch)
        except StatusError as error:
            # Gone; or another of its name, or without the reference already.
            if error.code in (404, 422):
                return False
            raise
        return True

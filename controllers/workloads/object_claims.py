"""Adopting and releasing objects that are no pods: ReplicaSets, ControllerRevisions.

The rule is that of claims.py; the objects are found in an informer's store by namespace and owner.
"""

from __future__ import annotations

from controllers.workloads.claims import CannotAdopt, Kind, Matches
from controllers.workloads.pods import controller_of
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError


class ObjectClaims:
    """Claims objects of one kind for owners of another.

    Args of the constructor:
        client: who writes.
        kind: of the owners.
        owned: kind of what is claimed.
        store: its objects, indexed by "namespace" and by "owner", the uid of the controller.
    """

    def __init__(self, client: ApiClient, kind: Kind, owned: Kind, store: Store) -> None:
        self._client = client
        self._kind = kind
        self._owned = owned
        self._store = store

    async def claim(
        self, owner: JsonObject, matches: Matches, *, releases: bool = True
    ) -> list[JsonObject]:
        """Return the owner's objects, after adopting and releasing.

        Args:
            owner: as the cache has it.
            matches: its selector.
            releases: whether those that it does not select are released, not only left out.

        Raises:
            CannotAdopt: the owner is going, or is another by now.
            StatusError, Unreachable: the server refused, or is away.
        """
        metadata = owner["metadata"]
        is_going = "deletionTimestamp" in metadata
        mine = []
        for one in list(self._store.find("owner", metadata["uid"])):
            if matches(one["metadata"].get("labels") or {}):
                mine.append(one)
            elif releases and not is_going:
                gone = {"$patch": "delete", "uid": metadata["uid"]}
                await self._patch(one, [gone])
        if is_going:
            return mine
        checked = False
        for key in self._store.keys("orphans", metadata["namespace"]):
            orphan = self._store.get(key)
            if orphan is None or not _is_free(orphan, matches):
                continue
            if not checked:
                await self._check_alive(owner)
                checked = True
            adopted = await self._patch(orphan, [self._kind.controls(owner)])
            if adopted is not None:
                mine.append(adopted)
        return mine

    async def _check_alive(self, owner: JsonObject) -> None:
        metadata = owner["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        fresh = (await self._client.request("GET", self._kind.path(key)))["metadata"]
        if fresh["uid"] != metadata["uid"] or "deletionTimestamp" in fresh:
            raise CannotAdopt(f"{self._kind.kind} {key} is gone, or is going")

    async def _patch(self, one: JsonObject, references: list[JsonObject]) -> JsonObject | None:
        metadata = one["metadata"]
        path = self._owned.path(f"{metadata['namespace']}/{metadata['name']}")
        change = {"metadata": {"ownerReferences": references, "uid": metadata["uid"]}}
        try:
            return await self._client.request("PATCH", path, Patch(change, STRATEGIC_PATCH))
        except StatusError as error:
            if error.code in (404, 422):
                return None
            raise


def _is_free(orphan: JsonObject, matches: Matches) -> bool:
    metadata = orphan["metadata"]
    if "deletionTimestamp" in metadata or controller_of(orphan) is not None:
        return False
    return matches(metadata.get("labels") or {})

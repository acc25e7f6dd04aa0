"""What the garbage collector asks of the server, and what it writes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from controllers.discovery import Collection, Collections
from controllers.garbage.nodes import Identity
from kube.client import JSON, METADATA, STRATEGIC_PATCH, ApiClient, Patch
from kube.json_types import JsonObject
from kube.status import StatusError

_ATTEMPTS_MAX: Final = 5
_IMPOSSIBLE: Final = frozenset("/%")
_ACCEPT: Final = f"{METADATA},{JSON}"


Change = Callable[[JsonObject], JsonObject | None]
"""Makes a reference what it is to be, or nothing."""


class UnknownKind(Exception):
    """Discovery knows no such kind: a type that is not there yet, not any more, or never was."""


class Absent(Exception):
    """The server has no such object, or another one of that name."""


class Requests:
    """Reads and writes of single objects, which are told by their identities.

    Attributes:
        types: what discovery last found.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.types = Collections((), (), 0.0)

    def collection(self, api_version: str, kind: str) -> Collection:
        """Return where objects of a kind are.

        Raises:
            UnknownKind: nowhere, as far as is known.
        """
        found = self.types.by_kind.get((api_version, kind))
        if found is None:
            raise UnknownKind(f"no matches for kind {kind!r} in version {api_version!r}")
        return found

    async def metadata(self, identity: Identity) -> JsonObject:
        """Return the live metadata of just this object.

        Raises:
            Absent, UnknownKind: see there.
            StatusError, Unreachable: the server can't be asked.
        """
        obj = await self._request("GET", identity)
        metadata: JsonObject = obj["metadata"]
        if metadata["uid"] != identity.uid:
            raise Absent(str(identity))
        return metadata

    async def delete(self, identity: Identity, latest: JsonObject, policy: str) -> None:
        """Delete an object if it is still as it was seen, as far as owners are concerned.

        Args:
            identity: of the object.
            latest: its metadata, by which this was decided.
            policy: how its dependents are to be treated.

        Raises:
            Absent, UnknownKind, StatusError, Unreachable: as of `metadata`.
        """
        preconditions = {"uid": identity.uid, "resourceVersion": latest["resourceVersion"]}
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": preconditions,
            "propagationPolicy": policy,
        }
        try:
            await self._request("DELETE", identity, options)
        except StatusError as error:
            if error.code != 409:
                raise
            now = await self.metadata(identity)
            if now.get("ownerReferences") != latest.get("ownerReferences"):
                raise
            # An object that is written all the time must go, too.
            del preconditions["resourceVersion"]
            await self._request("DELETE", identity, options)

    async def drop_owners(self, identity: Identity, owners: set[str]) -> None:
        """Remove references to owners, given by uid.

        Raises:
            Absent, UnknownKind, StatusError, Unreachable: as of `metadata`.
        """
        gone: list[JsonObject] = [{"$patch": "delete", "uid": uid} for uid in sorted(owners)]
        await self._change_owners(
            identity, gone, lambda one: None if one.get("uid") in owners else one
        )

    async def unblock_owners(self, identity: Identity, blocking: list[str]) -> None:
        """Let no owner wait for this object any more.

        Args:
            identity: of the object.
            blocking: uids of the owners that do.

        Raises:
            Absent, UnknownKind, StatusError, Unreachable: as of `metadata`.
        """
        changed: list[JsonObject] = [
            {"uid": uid, "blockOwnerDeletion": False} for uid in sorted(blocking)
        ]
        await self._change_owners(
            identity, changed, lambda one: {**one, "blockOwnerDeletion": False}
        )

    async def drop_finalizer(self, identity: Identity, finalizer: str) -> None:
        """Remove a finalizer; nothing is done if it, or the object, is gone.

        Raises:
            UnknownKind, StatusError, Unreachable: as of `metadata`.
        """
        for attempt in range(_ATTEMPTS_MAX):
            try:
                latest = await self.metadata(identity)
                present = latest.get("finalizers") or ()
                if finalizer not in present:
                    return
                metadata = {
                    "resourceVersion": latest["resourceVersion"],
                    "finalizers": [name for name in present if name != finalizer],
                }
                await self._request("PATCH", identity, Patch({"metadata": metadata}))
            except Absent:
                return
            except StatusError as error:
                if error.code != 409 or attempt + 1 == _ATTEMPTS_MAX:
                    raise
            else:
                return

    async def _change_owners(
        self, identity: Identity, directives: list[JsonObject], change: Change
    ) -> None:
        """Patch references, as a list merged by uid where the type knows that, else whole."""
        metadata: JsonObject = {"uid": identity.uid, "ownerReferences": directives}
        patch = Patch({"metadata": metadata}, STRATEGIC_PATCH)
        try:
            await self._request("PATCH", identity, patch)
        except StatusError as error:
            if error.code != 415:
                raise
            latest = await self.metadata(identity)
            changed = [change(one) for one in latest.get("ownerReferences") or ()]
            metadata = {
                "resourceVersion": latest["resourceVersion"],
                "ownerReferences": [one for one in changed if one is not None],
            }
            await self._request("PATCH", identity, Patch({"metadata": metadata}))

    async def _request(
        self, method: str, identity: Identity, body: JsonObject | Patch | None = None
    ) -> JsonObject:
        collection = self.collection(identity.api_version, identity.kind)
        if collection.namespaced and not identity.namespace:
            raise Absent(f"{identity} is in no namespace")
        # References may name anything: a name must not lead elsewhere.
        if identity.name in ("", ".", "..") or not _IMPOSSIBLE.isdisjoint(identity.name):
            raise Absent(f"{identity} has a name that no object can have")
        path = f"{collection.path(identity.namespace)}/{quote(identity.name, safe=':')}"
        try:
            return await self._client.request(method, path, body, accept=_ACCEPT)
        except StatusError as error:
            if error.code == 404:
                raise Absent(str(identity)) from error
            raise

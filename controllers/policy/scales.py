"""The scale of whatever has one: how many pods it wants, and which are its pods."""

from __future__ import annotations

from typing import Final

from controllers.discovery import Collection, Discovery
from kube.client import ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError

DISCOVERY_S_MAX: Final = 30.0
"""Types that came less than this ago may be unknown once; they are asked for then."""


class NoSuchKind(Exception):
    """No type of that group and kind; contrast StatusError, where there is no such object."""


class Scales:
    """Reads and writes scales.

    Args of the constructor:
        client: who asks.
        discovery: which types there are.
    """

    def __init__(self, client: ApiClient, discovery: Discovery) -> None:
        self._client = client
        self._discovery = discovery

    async def find(self, group: str, kind: str, version: str = "") -> list[Collection]:
        """Return the types of a group and kind, in that version or the preferred one.

        Raises:
            NoSuchKind: there are none.
            StatusError, Unreachable: the server can't be asked.
        """
        now_s = self._client.clock.monotonic_s()
        for not_before_s in (now_s - DISCOVERY_S_MAX, now_s):
            found = await self._discovery.collections(not_before_s)
            if version:
                name = f"{group}/{version}" if group else version
                one = found.by_kind.get((name, kind))
                matching = [one] if one is not None else []
            else:
                matching = [one for one in found.known if (one.group, one.kind) == (group, kind)]
            if matching:
                return matching
        if version:
            name = f"{group}/{version}" if group else version
            raise NoSuchKind(f'no matches for kind "{kind}" in version "{name}"')
        raise NoSuchKind(f'no matches for kind "{kind}" in group "{group}"')

    async def get(self, collection: Collection, namespace: str, name: str) -> JsonObject:
        """Return an object's scale.

        Raises:
            StatusError, Unreachable: there is none, or it can't be had.
        """
        return await self._client.request("GET", f"{collection.path(namespace)}/{name}/scale")

    async def put(
        self, collection: Collection, namespace: str, name: str, scale: JsonObject
    ) -> None:
        """Write an object's scale.

        Raises:
            StatusError, Unreachable: it was not, as far as is known.
        """
        path = f"{collection.path(namespace)}/{name}/scale"
        await self._client.request("PUT", path, scale)

    async def replicas_of(
        self, api_version: str, kind: str, key: tuple[str, str], uid: str
    ) -> int | None:
        """Return how many pods an owner wants, None if it is gone, or another by now.

        Args:
            api_version, kind: of the owner.
            key: its namespace and name.
            uid: its uid.

        Raises:
            NoSuchKind: the kind is unknown, or has no scale.
            StatusError, Unreachable: it can't be had.
        """
        group, _, version = api_version.rpartition("/")
        collection = (await self.find(group, kind, version))[0]
        try:
            scale = await self.get(collection, *key)
        except StatusError as error:
            if error.code != 404:
                raise
            if await self._is_there(collection, *key):
                text = f"{collection.resource}.{group}" if group else collection.resource
                raise NoSuchKind(f"{text} does not implement the scale subresource") from error
            return None
        if scale["metadata"].get("uid") != uid:
            return None
        return int((scale.get("spec") or {}).get("replicas", 0))

    async def _is_there(self, collection: Collection, namespace: str, name: str) -> bool:
        try:
            await self._client.request("GET", f"{collection.path(namespace)}/{name}")
        except StatusError as error:
            # The account may see scales alone.
            return error.code == 403
        return True

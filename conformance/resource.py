"""One type of objects on the server under test, in one namespace or of the whole cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from conformance.api import Api, Call
from conformance.checks import refused
from conformance.watching import Watch
from kube.json_types import JsonObject
from kube.status import StatusError

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_CONFLICTS_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Resource:
    """Requests for objects of one type.

    Attributes:
        api: whom to ask.
        group_version: such as apps/v1.
        plural: such as deployments.
        kind: such as Deployment.
        namespace: None for those of the cluster, and for all namespaces.
    """

    api: Api
    group_version: str
    plural: str
    kind: str
    namespace: str | None = None

    @property
    def path(self) -> str:
        """Of the collection."""
        root = "/apis/" if "/" in self.group_version else "/api/"
        within = "" if self.namespace is None else f"/namespaces/{self.namespace}"
        return f"{root}{self.group_version}{within}/{self.plural}"

    def anywhere(self) -> Resource:
        """Return the same type in all namespaces."""
        return replace(self, namespace=None)

    def within(self, namespace: str) -> Resource:
        """Return the same type in another namespace."""
        return replace(self, namespace=namespace)

    async def create(self, obj: JsonObject, **query: str) -> JsonObject:
        """Create an object."""
        return await self.api.call(Call("POST", self.path, self._typed(obj), query))

    async def get(self, name: str, part: str = "") -> JsonObject:
        """Get an object, or a subresource of it."""
        return await self.api.get(self._item(name, part))

    async def fetch_list(self, **query: str) -> JsonObject:
        """List objects."""
        return await self.api.get(self.path, **query)

    async def items(self, **query: str) -> list[JsonObject]:
        """Return the objects of a list."""
        found = await self.fetch_list(**query)
        return found.get("items") or []

    async def names(self, **query: str) -> list[str]:
        """Return the names of a list's objects."""
        return [item["metadata"]["name"] for item in await self.items(**query)]

    async def replace(self, obj: JsonObject, part: str = "") -> JsonObject:
        """Update an object, or a subresource of it."""
        path = self._item(obj["metadata"]["name"], part)
        return await self.api.call(Call("PUT", path, self._typed(obj)))

    async def update(
        self, name: str, change: Callable[[JsonObject], Any], part: str = ""
    ) -> JsonObject:
        """Get an object, change it, write it back; once more if somebody else was faster."""
        for attempt in range(_CONFLICTS_MAX):
            obj = await self.get(name, part)
            change(obj)
            try:
                return await self.replace(obj, part)
            except StatusError as error:
                if error.reason != "Conflict" or attempt == _CONFLICTS_MAX - 1:
                    raise
            await asyncio.sleep(0)
        raise AssertionError("unreachable")

    async def patch(
        self, name: str, patch: Any, how: str = MERGE, part: str = "", **query: str
    ) -> JsonObject:
        """Patch an object, or a subresource of it."""
        path = self._item(name, part)
        return await self.api.call(Call("PATCH", path, patch, query, content_type=how))

    async def delete(self, name: str, **options: Any) -> JsonObject:
        """Delete an object; `options` are those of DeleteOptions."""
        return await self.api.call(Call("DELETE", self._item(name), _options(options)))

    async def delete_all(
        self, selector: str, *, field_selector: str = "", **options: Any
    ) -> JsonObject:
        """Delete what selectors match; `options` are those of DeleteOptions."""
        given = {"labelSelector": selector, "fieldSelector": field_selector}
        query = {name: value for name, value in given.items() if value}
        return await self.api.call(Call("DELETE", self.path, _options(options), query))

    async def absent(self, name: str) -> None:
        """Demand that there is no such object."""
        await refused("NotFound", self.get(name))

    async def gone(self, name: str) -> bool:
        """Return whether there is no such object (any more)."""
        try:
            await self.get(name)
        except StatusError as error:
            if error.reason == "NotFound":
                return True
            raise
        return False

    @asynccontextmanager
    async def watch(self, **query: str) -> AsyncIterator[Watch]:
        """Watch the collection."""
        async with self.api.watch(self.path, query) as watch:
            yield watch

    def _item(self, name: str, part: str = "") -> str:
        return f"{self.path}/{name}/{part}" if part else f"{self.path}/{name}"

    def _typed(self, obj: JsonObject) -> JsonObject:
        return {"apiVersion": self.group_version, "kind": self.kind, **obj}


def _options(options: dict[str, Any]) -> JsonObject | None:
    if not options:
        return None
    return {"apiVersion": "v1", "kind": "DeleteOptions", **options}

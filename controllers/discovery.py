"""Which namespaced collections a server has, by its aggregated discovery.

One collection a group's resource, under the group's preferred version or the first that has it.
The last answer is kept; callers say how old it may be, and those who ask at once share a request.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kube.client import AGGREGATED_DISCOVERY, ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that can be in a namespace.

    Attributes:
        group: its API group, "" for the core.
        version: the version to ask for.
        resource: plural name.
        deletes_at_once: whether all of it can be deleted with one request.
    """

    group: str
    version: str
    resource: str
    deletes_at_once: bool = True

    def path(self, namespace: str) -> str:
        """Return the collection's path in a namespace."""
        root = f"/apis/{self.group}" if self.group else "/api"
        return f"{root}/{self.version}/namespaces/{namespace}/{self.resource}"

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}"


@dataclass(frozen=True, slots=True)
class Collections:
    """What one discovery found.

    Attributes:
        known: the collections.
        failing: group versions that could not be asked for theirs.
        asked_s: when the request was sent, by the clock's monotonic seconds.
    """

    known: tuple[Collection, ...]
    failing: tuple[str, ...]
    asked_s: float


class Discovery:
    """Keeps the last answer."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._last: Collections | None = None
        self._asking = asyncio.Lock()

    async def collections(self, not_before_s: float) -> Collections:
        """Return the collections that can be listed and deleted, asked for at or after a time.

        Args:
            not_before_s: monotonic seconds of the client's clock.

        Raises:
            StatusError, Unreachable: the server can't be asked.
        """
        async with self._asking:
            last = self._last
            if last is not None and last.asked_s >= not_before_s and not last.failing:
                return last
            asked_s = self._client.clock.monotonic_s()
            found: dict[tuple[str, str], Collection] = {}
            failing: list[str] = []
            for root in ("/api", "/apis"):
                document = await self._client.request("GET", root, accept=AGGREGATED_DISCOVERY)
                if document.get("kind") != "APIGroupDiscoveryList":
                    raise StatusError(406, "NotAcceptable", f"{root} has no aggregated discovery")
                read_groups(document, found, failing)
            self._last = Collections(tuple(found.values()), tuple(failing), asked_s)
            return self._last


def read_groups(
    document: JsonObject, found: dict[tuple[str, str], Collection], failing: list[str]
) -> None:
    """Add the collections of an APIGroupDiscoveryList to `found`, stale versions to `failing`."""
    for item in document.get("items") or ():
        group = item["metadata"].get("name", "")
        for version in item.get("versions") or ():
            name = version["version"]
            if version.get("freshness", "Current") != "Current":
                failing.append(f"{group}/{name}")
            for entry in version.get("resources") or ():
                verbs = frozenset(entry.get("verbs") or ())
                if entry.get("scope") == "Namespaced" and verbs >= {"list", "delete"}:
                    resource = entry["resource"]
                    at_once = "deletecollection" in verbs
                    collection = Collection(group, name, resource, at_once)
                    found.setdefault((group, resource), collection)

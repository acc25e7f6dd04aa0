"""Which types a server has, by its aggregated discovery.

One collection a group's resource, under the group's preferred version or the first that has it; and
what each kind is called in paths, in every version. The last answer is kept; callers say how old it
may be, and those who ask at once share a request. Types that come and go need no code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from kube.client import AGGREGATED_DISCOVERY, ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects of a type.

    Attributes:
        group: its API group, "" for the core.
        version: the version to ask for.
        resource: plural name.
        kind: of its objects.
        namespaced: whether they are in namespaces.
        verbs: what can be done with them.
    """

    group: str
    version: str
    resource: str
    kind: str = ""
    namespaced: bool = True
    verbs: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        """Group and version as objects name them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "") -> str:
        """Return the collection's path, in a namespace or over all."""
        root = f"/apis/{self.group}" if self.group else "/api"
        middle = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}/{self.version}{middle}/{self.resource}"

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}"


@dataclass(frozen=True, slots=True)
class Collections:
    """What one discovery found.

    Attributes:
        known: the collections, each once.
        failing: group versions that could not be asked for theirs.
        asked_s: when the request was sent, by the clock's monotonic seconds.
        by_kind: the collection of each apiVersion and kind.
    """

    known: tuple[Collection, ...]
    failing: tuple[str, ...]
    asked_s: float
    by_kind: Mapping[tuple[str, str], Collection] = field(default_factory=dict)

    def emptied(self) -> tuple[Collection, ...]:
        """Return those of which a namespace has to be emptied."""
        return tuple(
            one for one in self.known if one.namespaced and one.verbs >= {"list", "delete"}
        )


class Discovery:
    """Keeps the last answer."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._last: Collections | None = None
        self._asking = asyncio.Lock()

    async def collections(self, not_before_s: float) -> Collections:
        """Return what there is, asked for at or after a time.

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
            found = Found()
            for root in ("/api", "/apis"):
                document = await self._client.request("GET", root, accept=AGGREGATED_DISCOVERY)
                if document.get("kind") != "APIGroupDiscoveryList":
                    raise StatusError(406, "NotAcceptable", f"{root} has no aggregated discovery")
                found.read_groups(document)
            self._last = found.result(asked_s)
            return self._last


class Found:
    """What was read of discovery documents so far."""

    def __init__(self) -> None:
        self._preferred: dict[tuple[str, str], Collection] = {}
        self._by_kind: dict[tuple[str, str], Collection] = {}
        self._failing: list[str] = []

    def read_groups(self, document: JsonObject) -> None:
        """Take in an APIGroupDiscoveryList; the first version of a group is its preferred one."""
        for item in document.get("items") or ():
            group = item["metadata"].get("name", "")
            for version in item.get("versions") or ():
                name = version["version"]
                if version.get("freshness", "Current") != "Current":
                    self._failing.append(f"{group}/{name}")
                for entry in version.get("resources") or ():
                    self._add(_collection(group, name, entry))

    def result(self, asked_s: float) -> Collections:
        """Return what was found."""
        known = tuple(self._preferred.values())
        return Collections(known, tuple(self._failing), asked_s, self._by_kind)

    def _add(self, collection: Collection) -> None:
        self._preferred.setdefault((collection.group, collection.resource), collection)
        if collection.kind and "get" in collection.verbs:
            self._by_kind.setdefault((collection.api_version, collection.kind), collection)


def _collection(group: str, version: str, entry: JsonObject) -> Collection:
    return Collection(
        group,
        version,
        entry["resource"],
        (entry.get("responseKind") or {}).get("kind", ""),
        entry.get("scope") == "Namespaced",
        frozenset(entry.get("verbs") or ()),
    )

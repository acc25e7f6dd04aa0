"""Discovery of this server's types and of those of extension API servers, as one.

Where there are no extensions, the answers are those of `kube.discovery`, the very same bytes. What
extensions add is put in where its priorities say; a document is made once for each state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from apiserver.aggregation.discovery_cache import stale_entry
from apiserver.aggregation.model import ApiService, RankedVersion, in_order
from kube.discovery import Discovery
from kube.json_types import JsonObject
from kube.kinds import Registry, join_group_version


class MergedDiscovery:
    """Every discovery document."""

    def __init__(self, local: Callable[[], tuple[Registry, Discovery]]) -> None:
        """Merge into what `local` gives at the time: our types, and the documents about them."""
        self._local = local
        self._remote: dict[tuple[str, str], tuple[ApiService, JsonObject]] = {}
        self._documents: dict[str, bytes] = {}
        self._made_for: Discovery | None = None

    def replace(self, apis: Iterable[ApiService], entries: dict[str, JsonObject]) -> None:
        """Take on what extensions serve.

        Args:
            apis: their APIServices.
            entries: what is known of each, by its name.
        """
        remote = {
            (api.group, api.version): (api, entries.get(api.name) or stale_entry(api.version))
            for api in apis
        }
        if remote != self._remote:
            self._remote = remote
            self._documents.clear()

    def api(self) -> bytes:
        """Return the answer to `/api`."""
        return self._local()[1].api()

    def apis(self) -> bytes:
        """Return the answer to `/apis`."""
        registry, local = self._local()
        if not self._remote:
            return local.apis()
        return self._made("apis", local, lambda: self._group_list(registry))

    def group(self, name: str) -> bytes | None:
        """Return the answer to `/apis/<name>`, None for a group that is not there."""
        registry, local = self._local()
        if not any(group == name for group, _ in self._remote):
            return local.group(name)
        versions = self._order(registry).get(name)
        if not versions:
            return None
        return orjson.dumps({"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)})

    def resources(self, group: str, version: str) -> bytes | None:
        """Return the answer to `/apis/<group>/<version>` of our own, None if there is none."""
        return self._local()[1].resources(group, version)

    def aggregated(self, *, core: bool) -> bytes:
        """Return everything below `/api` (`core`) or `/apis` in one document."""
        registry, local = self._local()
        if core or not self._remote:
            return local.aggregated(core=core)
        return self._made("aggregated", local, lambda: self._aggregated(registry, local))

    def _made(self, key: str, local: Discovery, build: Callable[[], JsonObject]) -> bytes:
        if self._made_for is not local:
            self._documents.clear()
            self._made_for = local
        document = self._documents.get(key)
        if document is None:
            document = self._documents[key] = orjson.dumps(build())
        return document

    def _order(self, registry: Registry) -> dict[str, list[str]]:
        ranked = [
            RankedVersion(
                group.name, group.priority, version, group.version_priorities.get(version, 0)
            )
            for group in registry.groups.values()
            if group.name
            for version in group.versions
            if (group.name, version) not in self._remote
        ]
        ranked += [
            RankedVersion(api.group, api.group_priority, api.version, api.version_priority)
            for api, _ in self._remote.values()
        ]
        return in_order(ranked)

    def _group_list(self, registry: Registry) -> JsonObject:
        groups = [_group(name, versions) for name, versions in self._order(registry).items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _aggregated(self, registry: Registry, local: Discovery) -> JsonObject:
        document: JsonObject = orjson.loads(local.aggregated(core=False))
        known = {
            (item["metadata"]["name"], version["version"]): version
            for item in document["items"]
            for version in item["versions"]
        }
        known |= {key: entry for key, (_, entry) in self._remote.items()}
        document["items"] = [
            {
                "metadata": {"name": name},
                "versions": [known[name, version] for version in versions],
            }
            for name, versions in self._order(registry).items()
        ]
        return document


def _group(name: str, versions: list[str]) -> JsonObject:
    shown = [
        {"groupVersion": join_group_version(name, version), "version": version}
        for version in versions
    ]
    return {"name": name, "versions": shown, "preferredVersion": shown[0]}

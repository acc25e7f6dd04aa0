"""The discovery documents: what groups, versions and resources the API has, as JSON bytes.

Invariants: a `Discovery` describes one immutable registry (when that is replaced, make a new one);
each document is encoded on first use and then is always the same bytes, so its entity tag may be
computed once. Order and shape follow k8s.io/apiserver `endpoints/discovery`; serving, negotiating
and conditional requests are the API server's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import orjson

from kube.json_types import JsonObject
from kube.kinds import GroupInfo, Registry, ResourceInfo, SubresourceInfo, join_group_version

AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"
AGGREGATED_VERSION: Final = "v2"
AGGREGATED_KIND: Final = "APIGroupDiscoveryList"
_ANY_CLIENT: Final = "0.0.0.0/0"


AGGREGATED_TYPE: Final = (
    f"application/json;g={AGGREGATED_GROUP};v={AGGREGATED_VERSION};as={AGGREGATED_KIND}"
)
"""The Content-Type of an aggregated document; clients parse it to know what they got."""


def etag(document: bytes) -> str:
    """Return the quoted entity tag of an aggregated document: SHA-512 in upper-case hex."""
    return f'"{hashlib.sha512(document).hexdigest().upper()}"'


class Discovery:
    """Every discovery document of one registry."""

    __slots__ = ("_documents", "_registry", "_resources", "_server_address")

    def __init__(self, registry: Registry, *, server_address: str = "") -> None:
        """Describe `registry`.

        Args:
            registry: what is served.
            server_address: `host:port` under which `/api` tells clients to reach the server.
        """
        self._registry = registry
        self._server_address = server_address
        self._documents: dict[tuple[str, ...], bytes] = {}
        self._resources: dict[tuple[str, str], list[ResourceInfo]] = {}
        for info in registry.all():
            self._resources.setdefault((info.group, info.version), []).append(info)

    def api(self) -> bytes:
        """Return the answer to `/api`: the versions of the core group."""
        return self._cached(("api",), self._api_versions)

    def apis(self) -> bytes:
        """Return the answer to `/apis`: the named groups."""
        return self._cached(("apis",), self._group_list)

    def group(self, name: str) -> bytes | None:
        """Return the answer to `/apis/<name>`, None for a group that is not served."""
        info = self._registry.groups.get(name)
        if info is None or not name:
            return None
        head = {"kind": "APIGroup", "apiVersion": "v1"}
        return self._cached(("group", name), lambda: head | _group_entry(info))

    def resources(self, group: str, version: str) -> bytes | None:
        """Return the answer to `/api/v1` or `/apis/<group>/<version>`, None if not served."""
        infos = self._resources.get((group, version))
        if infos is None:
            return None
        return self._cached(
            ("resources", group, version), lambda: _resource_list(group, version, infos)
        )

    def aggregated(self, *, core: bool) -> bytes:
        """Return everything below `/api` (`core`) or `/apis` in one document."""
        return self._cached(
            ("aggregated", "core" if core else "named"),
            lambda: {
                "kind": AGGREGATED_KIND,
                "apiVersion": f"{AGGREGATED_GROUP}/{AGGREGATED_VERSION}",
                "metadata": {},
                "items": [
                    self._aggregated_group(group)
                    for group in self._registry.groups.values()
                    if (group.name == "") is core
                ],
            },
        )

    def _cached(self, key: tuple[str, ...], build: Callable[[], JsonObject]) -> bytes:
        document = self._documents.get(key)
        if document is None:
            document = self._documents[key] = orjson.dumps(build())
        return document

    def _api_versions(self) -> JsonObject:
        core = self._registry.groups.get("")
        address = {"clientCIDR": _ANY_CLIENT, "serverAddress": self._server_address}
        # Upstream strips the apiVersion here for the sake of its oldest clients.
        return {
            "kind": "APIVersions",
            "versions": list(core.versions) if core else [],
            "serverAddressByClientCIDRs": [address],
        }

    def _group_list(self) -> JsonObject:
        named = (group for group in self._registry.groups.values() if group.name)
        entries = [_group_entry(group) for group in named]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": entries}

    def _aggregated_group(self, group: GroupInfo) -> JsonObject:
        versions = [
            {
                "version": version,
                "resources": [
                    _aggregated_resource(info) for info in self._resources[group.name, version]
                ],
                "freshness": "Current",
            }
            for version in group.versions
        ]
        # A missing name is how upstream writes the core group's empty one.
        return {"metadata": {"name": group.name} if group.name else {}, "versions": versions}


def _group_entry(group: GroupInfo) -> JsonObject:
    versions = [
        {"groupVersion": join_group_version(group.name, version), "version": version}
        for version in group.versions
    ]
    return {"name": group.name, "versions": versions, "preferredVersion": versions[0]}


def _resource_list(group: str, version: str, infos: list[ResourceInfo]) -> JsonObject:
    head = {"kind": "APIResourceList"} | ({"apiVersion": "v1"} if group else {})
    entries: list[JsonObject] = []
    for info in infos:
        entries.append(_resource_entry(info))
        entries.extend(_subresource_entry(info, child) for child in _children(info))
    entries.sort(key=lambda entry: str(entry["name"]))
    return head | {"groupVersion": join_group_version(group, version), "resources": entries}


def _resource_entry(info: ResourceInfo) -> JsonObject:
    entry: JsonObject = {
        "name": info.plural,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": info.verbs,
    }
    if info.short_names:
        entry["shortNames"] = info.short_names
    if info.categories:
        entry["categories"] = info.categories
    if storage_hash := info.storage_version_hash:
        entry["storageVersionHash"] = storage_hash
    return entry


def _subresource_entry(parent: ResourceInfo, child: SubresourceInfo) -> JsonObject:
    entry: JsonObject = {
        "name": f"{parent.plural}/{child.name}",
        "singularName": "",
        "namespaced": parent.namespaced,
    }
    if _is_foreign(parent, child):
        entry |= {"group": child.group, "version": child.version}
    return entry | {"kind": child.kind, "verbs": child.verbs}


def _aggregated_resource(info: ResourceInfo) -> JsonObject:
    # Upstream names group and version only where they come from a CustomResourceDefinition.
    group, version = (info.group, info.version) if info.custom else ("", "")
    entry: JsonObject = {
        "resource": info.plural,
        "responseKind": {"group": group, "version": version, "kind": info.kind},
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": info.verbs,
    }
    if info.short_names:
        entry["shortNames"] = info.short_names
    if info.categories:
        entry["categories"] = info.categories
    if info.subresources:
        entry["subresources"] = [_aggregated_subresource(info, child) for child in _children(info)]
    return entry


def _aggregated_subresource(parent: ResourceInfo, child: SubresourceInfo) -> JsonObject:
    named = parent.custom or _is_foreign(parent, child)
    group, version = (child.group, child.version) if named else ("", "")
    return {
        "subresource": child.name,
        "responseKind": {"group": group, "version": version, "kind": child.kind},
        "verbs": child.verbs,
    }


def _children(info: ResourceInfo) -> list[SubresourceInfo]:
    return [info.subresources[name] for name in sorted(info.subresources)]


def _is_foreign(parent: ResourceInfo, child: SubresourceInfo) -> bool:
    return (child.group, child.version) != (parent.group, parent.version)

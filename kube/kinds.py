"""The resource registry: every resource the API serves, how it is named, and what it allows.

Invariants: a `Registry` never changes once built; all versions of a group's resource share one
`storage_resource` (core and events.k8s.io events are one); groups and versions stand in discovery
order, the first version of a group being the preferred one. The built-in table is made in
`kube.builtin_kinds`; which of it is served, in `kube.runtime_config`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from kube.runtime_config import resource_filter

CUSTOM_GROUP_PRIORITY: Final = 1000
CUSTOM_VERSION_PRIORITY: Final = 100
_KUBE_VERSION: Final = re.compile(r"^v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?$")
_STABILITY: Final = {"alpha": 1, "beta": 2, None: 3}


def join_group_version(group: str, version: str) -> str:
    """Return the apiVersion of a group's version: `apps/v1`, or `v1` for the core group."""
    return f"{group}/{version}" if group else version


def split_group_version(api_version: str) -> tuple[str, str]:
    """Return group and version of an apiVersion.

    Raises:
        ValueError: it has more than one slash; worded as upstream.
    """
    group, slash, version = api_version.partition("/")
    if "/" in version:
        raise ValueError(f"unexpected GroupVersion string: {api_version}")
    return (group, version) if slash else ("", group)


def version_sort_key(version: str) -> tuple[int, int, int, str]:
    """Return a key that puts the best version first: v2, v1, v1beta1, v1alpha1, then others."""
    match = _KUBE_VERSION.match(version)
    if match is None:
        return (0, 0, 0, version)
    major, stability, minor = match.groups()
    return (-_STABILITY[stability], -int(major), -int(minor or 0), "")


@dataclass(frozen=True, slots=True)
class SubresourceInfo:
    """What one subresource speaks.

    Attributes:
        name: the path element after the object's name, as `status`.
        group, version, kind: of the objects it takes or gives, in the parent's version.
        verbs: sorted.
        schema_name: definition of that kind, empty for connect-only options kinds.
    """

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    schema_name: str = ""

    @property
    def api_version(self) -> str:
        """Group and version of its objects, as they write it."""
        return join_group_version(self.group, self.version)


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """One resource in one version.

    Attributes:
        verbs: sorted, of create, delete, deletecollection, get, list, patch, update, watch.
        list_kind: empty when the resource cannot be listed.
        storage_resource: names the objects in storage; the same in all versions.
        storage_version: apiVersion in which objects are stored and seen by type hooks.
        schema_name: definition of the kind.
        virtual: nothing is stored: reviews, bindings, componentstatuses.
        custom: defined by a CustomResourceDefinition.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    list_kind: str
    subresources: Mapping[str, SubresourceInfo]
    storage_resource: str
    storage_version: str
    schema_name: str
    virtual: bool = False
    custom: bool = False

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return join_group_version(self.group, self.version)

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, or `pods` for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def storage_version_hash(self) -> str:
        """The opaque hash that discovery shows, computed as upstream; empty if virtual."""
        if self.virtual:
            return ""
        group, version = split_group_version(self.storage_version)
        digest = hashlib.sha256(f"{group}/{version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """An API group: its rank among groups and its versions, the preferred one first."""

    name: str
    priority: int
    versions: tuple[str, ...]
    version_priorities: Mapping[str, int] = field(default_factory=dict)

    @property
    def preferred_version(self) -> str:
        """The version clients should choose."""
        return self.versions[0]


class Registry:
    """An immutable set of resources with the look-ups that routing and discovery need."""

    __slots__ = ("_by_kind", "_by_storage", "_by_version", "_groups", "_resources")

    def __init__(self, resources: Iterable[ResourceInfo], groups: Iterable[GroupInfo]) -> None:
        """Index `resources`; groups without any resource are left out, as are such versions."""
        self._resources: dict[tuple[str, str, str], ResourceInfo] = {}
        self._by_kind: dict[tuple[str, str, str], ResourceInfo] = {}
        self._by_storage: dict[str, list[ResourceInfo]] = {}
        self._by_version: dict[tuple[str, str], list[ResourceInfo]] = {}
        for info in sorted(resources, key=lambda info: info.plural):
            self._resources[info.group, info.version, info.plural] = info
            self._by_kind[info.group, info.version, info.kind] = info
            self._by_storage.setdefault(info.storage_resource, []).append(info)
            self._by_version.setdefault((info.group, info.version), []).append(info)
        served = self._by_version.keys()
        kept = (
            GroupInfo(g.name, g.priority, versions, g.version_priorities)
            for g in groups
            if (versions := tuple(v for v in g.versions if (g.name, v) in served))
        )
        ranked = sorted(kept, key=lambda g: (-g.priority, g.name))
        self._groups = MappingProxyType({g.name: g for g in ranked})

    def lookup(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        """Return the resource behind `/apis/group/version/plural`."""
        return self._resources.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        """Return the resource whose objects are of this kind (subresource-only kinds have none)."""
        return self._by_kind.get((group, version, kind))

    def versions_of(self, storage_resource: str) -> tuple[ResourceInfo, ...]:
        """Return every served version of what storage calls `storage_resource`."""
        return tuple(self._by_storage.get(storage_resource, ()))

    def all(self) -> Iterator[ResourceInfo]:
        """Yield every resource of every version, in discovery order."""
        for group in self._groups.values():
            for version in group.versions:
                yield from self.in_version(group.name, version)

    def in_version(self, group: str, version: str) -> list[ResourceInfo]:
        """Return the resources of one group version, by plural."""
        return list(self._by_version.get((group, version), ()))

    @property
    def groups(self) -> Mapping[str, GroupInfo]:
        """The groups by name, in discovery order; the core group is ""."""
        return self._groups

    def preferred_version(self, group: str) -> str | None:
        """Return the version clients should choose, None for an unknown group."""
        info = self._groups.get(group)
        return info.preferred_version if info else None

    def filtered(self, keep: Callable[[ResourceInfo], bool]) -> Registry:
        """Return a registry of the resources for which `keep` holds."""
        return Registry(filter(keep, self._resources.values()), self._groups.values())

    def enabled(self, runtime_config: Mapping[str, str]) -> Registry:
        """Return what is served under upstream's --runtime-config settings.

        Raises:
            kube.runtime_config.RuntimeConfigError: a key or value is malformed or unknown.
        """
        versions = {group.name: group.versions for group in self._groups.values()}
        is_served = resource_filter(versions, runtime_config)
        return self.filtered(lambda info: is_served(info.group, info.version, info.plural))

    def with_custom(self, resources: Iterable[ResourceInfo]) -> Registry:
        """Return a registry that also serves `resources`, those of CustomResourceDefinitions.

        Versions of a group that has no built-in resource are ranked as upstream ranks CRDs'.
        """
        added = list(resources)
        versions: dict[str, set[str]] = {}
        for info in added:
            versions.setdefault(info.group, set()).add(info.version)
        groups = dict(self._groups)
        for name, names in versions.items():
            known = groups.get(name)
            ranks = dict(known.version_priorities) if known else {}
            new = names.difference(known.versions if known else ())
            ranks.update(dict.fromkeys(new, CUSTOM_VERSION_PRIORITY))
            ordered = sorted(ranks, key=lambda v: (-ranks[v], version_sort_key(v)))
            priority = known.priority if known else CUSTOM_GROUP_PRIORITY
            groups[name] = GroupInfo(name, priority, tuple(ordered), ranks)
        return Registry([*self._resources.values(), *added], groups.values())

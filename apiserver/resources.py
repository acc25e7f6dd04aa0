"""The served resources: each built-in type's table entry, hooks and precomputed bytes.

A stored body begins with a constant for its type, `{"kind":…,"apiVersion":…,"metadata":{
"resourceVersion":"`, so that the place of the revision is known without a search (storage splices
it in there at apply time), list items shed kind and apiVersion by one slice, and another version of
the same shape is served by exchanging the prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

import orjson

from apiserver.deprecations import deprecation_warning
from apiserver.tracking import Tracker
from apiserver.types import conversion
from apiserver.types.hooks import TypeHooks
from apiserver.types.registry import hooks_for
from apiserver.types.workloads.scale import WORKLOAD_SCALE, Scaling
from kube.json_types import JsonObject
from kube.kinds import Registry, ResourceInfo, SubresourceInfo
from kube.schema.decode import Decoded, builtin_decoder
from kube.selectors import build_meta
from kube.table.layout import Printer
from kube.table.partial import metadata_cutter
from kube.table.printers import printer_for


class Resource:
    """One served resource in one version.

    Attributes:
        info: its entry in the table of kinds.
        hooks: its type's rules.
        storage: the resource's name in storage, shared by its versions.
        group_resource: (group, plural), as errors name it.
        api_version: "v1" or "group/version".
        prefix: how a stored body begins, up to where the revision is spliced in.
        is_twin: whether admission and hooks have nothing left to complete (apiserver.twins).
        known_meta: the search blob of every object this stands in for (apiserver.stencils), whose
            metadata is known to be good but for the name; None: it is made of each object.
        tracker: tracks who manages what.
        known_fields: what the creator of such an object manages, but for metadata (of a twin) or
            all of it (of a stencil); None: it is found out of each object.
        converted: whether served and stored objects differ in shape.
        own_printer: prints its Tables; None: that of its type (kube.table.printers).
        scaling: how its scale subresource is read and written.
        needs_calls: whether a webhook converts between its versions (custom types alone).
        deprecation: the warning that goes with every answer, "" for none.
    """

    __slots__ = (
        "_fields",
        "api_version",
        "converted",
        "deprecation",
        "group",
        "hooks",
        "info",
        "is_twin",
        "item_strip",
        "kind",
        "known_fields",
        "known_meta",
        "list_head",
        "namespaced",
        "needs_calls",
        "own_printer",
        "plural",
        "prefix",
        "scaling",
        "served_prefix",
        "splice_at",
        "storage",
        "storage_api_version",
        "tracker",
        "version",
    )

    def __init__(self, info: ResourceInfo, hooks: TypeHooks) -> None:
        self.info = info
        self.hooks = hooks
        self.group, self.version, self.kind = info.group, info.version, info.kind
        self.plural, self.namespaced = info.plural, info.namespaced
        self.storage = info.storage_resource
        self.api_version = info.api_version
        self.storage_api_version = info.storage_version
        head = orjson.dumps({"kind": self.kind, "apiVersion": self.storage_api_version})[:-1]
        served = orjson.dumps({"kind": self.kind, "apiVersion": self.api_version})[:-1]
        middle = b',"metadata":{"resourceVersion":"'
        self.prefix = head + middle
        self.served_prefix = served + middle
        self.splice_at = len(self.prefix)
        self.item_strip = len(head) + 1
        self.list_head = orjson.dumps({"kind": info.list_kind, "apiVersion": self.api_version})[:-1]
        self.deprecation = deprecation_warning(self.api_version, self.kind)
        self.converted = conversion.shapes_for(info) is not None
        self._fields = tuple(hooks.fields.items())
        self.is_twin = False
        self.known_meta: bytes | None = None
        self.known_fields: bytes | None = None
        self.tracker = Tracker(info)
        self.own_printer: Printer | None = None
        self.scaling: Scaling = WORKLOAD_SCALE
        self.needs_calls = False

    def replace_hooks(self, hooks: TypeHooks) -> None:
        """Make this, a copy, stand in for objects whose completion is known already."""
        self.hooks = hooks
        self._fields = tuple(hooks.fields.items())
        self.is_twin = True

    @property
    def printer(self) -> Printer:
        """What prints its Tables."""
        return self.own_printer or printer_for(self.storage)

    def decode(self, obj: JsonObject) -> Decoded:
        """Decode an object of this version, in place.

        Raises:
            DecodeError: it does not fit.
        """
        return builtin_decoder(self.info.schema_name).decode(obj)

    @property
    def group_resource(self) -> tuple[str, str]:
        """Group and plural, as Status errors name the type."""
        return self.group, self.plural

    def fields_of_new(self, obj: JsonObject) -> bytes:
        """Return what the creator of an object manages; b"" for nothing.

        Args:
            obj: decoded and defaulted, nothing else done to it yet.
        """
        known = self.known_fields
        if known is None:
            return self.tracker.fields_of_new(obj)
        if self.known_meta is not None:
            return known
        return self.tracker.fields_with_metadata(obj["metadata"], known)

    def encode(self, obj: JsonObject, managed: object = None) -> tuple[bytes, bytes]:
        """Return the body to store (revision still empty) and its search blob.

        The object's own resourceVersion is left out: storage sets it.

        Args:
            obj: the object.
            managed: its managedFields, where they are not in it.
        """
        metadata = obj["metadata"]
        metadata.pop("resourceVersion", None)
        shown: JsonObject = {"resourceVersion": "", **metadata}
        if managed is not None:
            shown["managedFields"] = managed
        document: JsonObject = {
            "kind": self.kind,
            "apiVersion": self.storage_api_version,
            "metadata": shown,
        }
        for key, value in obj.items():
            if key not in document:
                document[key] = value
        return orjson.dumps(document), self.meta_of(obj)

    def encode_shown(self, obj: JsonObject, managed: object) -> bytes:
        """Return what a dry run of `encode` answers with."""
        return self.encode(obj, managed)[0]

    def meta_of(self, obj: JsonObject) -> bytes:
        """Return the search blob: labels and selectable fields."""
        if self.known_meta is not None:
            return self.known_meta
        metadata = obj["metadata"]
        fields = {name: value(obj) for name, value in self._fields}
        return build_meta(metadata.get("labels"), fields)

    def serve(self, body: bytes) -> bytes:
        """Return a stored body as this version shows it."""
        if self.converted:
            return orjson.dumps(self.decode_stored(body))
        if self.prefix is self.served_prefix or self.prefix == self.served_prefix:
            return body
        return self.served_prefix + body[self.splice_at :]

    def metadata_of(self, body: bytes) -> bytes | None:
        """Return a stored body's metadata with its key, as JSON; None: it has to be decoded."""
        if self.converted or self.info.custom:
            return None
        return metadata_cutter(self.info.schema_name)(body, self.item_strip)

    def decode_stored(self, body: bytes) -> JsonObject:
        """Return a stored body as an object of this version."""
        obj: JsonObject = orjson.loads(body)
        if self.converted:
            obj = conversion.from_storage(self.info, obj)
        obj["apiVersion"] = self.api_version
        return obj

    def from_storage(self, obj: JsonObject) -> JsonObject:
        """Return an object of the stored shape in this version; `obj` stays as it is."""
        return self.decode_stored(orjson.dumps(obj))

    def to_storage(self, obj: JsonObject) -> JsonObject:
        """Return an object of this version in the stored shape (may be the same object)."""
        if self.converted:
            return conversion.to_storage(self.info, obj)
        return obj


_COLLECTIONS_MAX: Final = 10_000
COLLECTION_LENGTH_MAX: Final = 512


class Target(NamedTuple):
    """What a resource path names."""

    resource: Resource
    namespace: str
    name: str
    subresource: str
    rest: str
    watch: bool

    @property
    def subresource_info(self) -> SubresourceInfo | None:
        """The subresource's table entry, None for the resource itself or an unknown one."""
        return self.resource.info.subresources.get(self.subresource)


class CustomTypes(Protocol):
    """The resources that CustomResourceDefinitions add, as they are now (apiserver.custom)."""

    def resources(self, group: str, version: str) -> Mapping[str, Resource] | None:
        """Return what is served in a group's version by plural name; None: nothing."""
        ...

    def has_group(self, group: str) -> bool:
        """Tell whether they add anything to a group."""
        ...

    def versions_of(self, resource: Resource) -> Iterable[Resource]:
        """Return a custom type in all versions in which it is served."""
        ...

    async def refresh(self) -> bool:
        """Take in what was acknowledged anywhere; return whether that was anything.

        Raises:
            StorageError: that cannot be known now.
        """
        ...


class Catalog:
    """All served resources, and how paths find them.

    Attributes:
        by_version: the built-in ones, by group and version, and plural.
        by_storage: the built-in ones in their storage version, by what storage calls them.
        custom: the others; None until there are any to ask for.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.by_version: dict[tuple[str, str], dict[str, Resource]] = {}
        self.by_storage: dict[str, Resource] = {}
        self.custom: CustomTypes | None = None
        self._collections: dict[str, Target] = {}
        for info in registry.all():
            resource = Resource(info, hooks_for(info.storage_resource))
            self.by_version.setdefault((info.group, info.version), {})[info.plural] = resource
            if resource.api_version == resource.storage_api_version:
                self.by_storage[info.storage_resource] = resource

    def stored(self) -> Iterable[Resource]:
        """Every resource that storage holds, in its storage version."""
        return self.by_storage.values()

    def in_version(self, group: str, version: str) -> Mapping[str, Resource]:
        """Return what is served in a group's version, by plural name."""
        found: Mapping[str, Resource] | None = self.by_version.get((group, version))
        if found is None and self.custom is not None:
            found = self.custom.resources(group, version)
        return found or {}

    def versions_of(self, resource: Resource) -> Iterator[Resource]:
        """Yield the type in all versions, and under all groups, in which it is served."""
        if resource.info.custom:
            if self.custom is not None:
                yield from self.custom.versions_of(resource)
            return
        for resources in self.by_version.values():
            for other in resources.values():
                if other.storage == resource.storage:
                    yield other

    def find(self, path: str) -> Target | None:
        """Return what a path below /api or /apis names; None: no resource path.

        Raises:
            KeyError: the group and version are served, but not this resource.
        """
        # Nearly all requests are for a collection asked for before, or for an object of one.
        known = self._collections.get(path)
        if known is not None:
            return known
        collection, _, name = path.rpartition("/")
        known = self._collections.get(collection)
        if known is not None and name and bool(known.namespace) == known.resource.namespaced:
            return Target(known.resource, known.namespace, name, "", "", watch=False)
        target = self._parse(path)
        if (
            target is not None
            # Custom types come and go: each request looks for them.
            and not target.resource.info.custom
            and len(path) <= COLLECTION_LENGTH_MAX
            and not (target.name or target.watch or path.endswith("/"))
        ):
            if len(self._collections) >= _COLLECTIONS_MAX:
                del self._collections[next(iter(self._collections))]
            self._collections[path] = target
        return target

    def _parse(self, path: str) -> Target | None:
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            group, rest = "", parts[1:]
        elif parts[0] == "apis" and len(parts) > 2:
            group, rest = parts[1], parts[2:]
        else:
            return None
        if len(rest) < 2:
            return None
        resources = self.in_version(group, rest[0])
        return _resolve(resources, rest[1:]) if resources else None


def _resolve(resources: Mapping[str, Resource], rest: list[str]) -> Target:
    watch = rest[0] == "watch" and len(rest) > 1
    if watch:
        rest = rest[1:]
    count = len(rest)
    namespace = ""
    # "namespaces/x/y" is a namespaced collection unless y is a subresource of the namespace itself.
    if rest[0] == "namespaces" and count > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
        count -= 2
        if not namespace:
            raise KeyError(rest[0])  # not the collection of all namespaces
    if "" in rest[:3]:
        raise KeyError(rest[0])
    resource = resources[rest[0]]
    name = rest[1] if count > 1 else ""
    if bool(namespace) != resource.namespaced and (namespace or name):
        raise KeyError(rest[0])
    subresource = rest[2] if count > 2 else ""
    deeper = "/".join(rest[3:]) if count > 3 else ""
    if deeper and subresource != "proxy":
        raise KeyError(rest[3])
    return Target(resource, namespace, name, subresource, deeper, watch)

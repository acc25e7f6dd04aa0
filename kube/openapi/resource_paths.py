"""The paths and operations of groups, versions and resources, derived from the registry.

Paths, operation ids and tags follow upstream's, because generated clients are named after them.
Invariant: operation ids are unique over all that is served. The deprecated paths with `/watch/`
are left out: they say nothing that the `watch` parameter of lists does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from kube.kinds import ResourceInfo, SubresourceInfo, join_group_version
from kube.openapi import parameters as par
from kube.openapi.operations import (
    MEDIA_TYPES,
    META,
    Body,
    Operation,
    PathItem,
    document_path,
    responses,
)

_STRATEGIC: Final = "application/strategic-merge-patch+json"
_PATCH_TYPES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    _STRATEGIC,
    "application/apply-patch+yaml",
)
# Deleting one of these answers with the object; deleting any other, with a Status.
_RETURNED_WHEN_DELETED: Final = frozenset(
    {
        "csidrivers",
        "csinodes",
        "deviceclasses",
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourceclaims",
        "resourceclaimtemplates",
        "resourcequotas",
        "resourceslices",
        "serviceaccounts",
        "services",
        "storageclasses",
        "volumeattachments",
        "volumeattributesclasses",
    }
)
_STREAM_METHODS: Final = ("get", "post")
_PROXY_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")


def schema_name(info: ResourceInfo) -> str:
    """Return the definition of a resource's kind; that of a custom one begins with its group."""
    if info.schema_name:
        return info.schema_name
    return ".".join([*reversed(info.group.split(".")), info.version, info.kind])


def list_schema_name(info: ResourceInfo) -> str:
    """Return the definition of a resource's list."""
    return f"{schema_name(info).rpartition('.')[0]}.{info.list_kind}"


def group_path(group: str) -> PathItem:
    """Return the path that describes a named group."""
    title, tag = _group_names(group)
    operation_id = f"get{title}APIGroup"
    schema = f"{META}.APIGroup"
    return document_path(f"/apis/{group}/", "get information of a group", operation_id, tag, schema)


def version_paths(group: str, version: str, infos: list[ResourceInfo]) -> Iterator[PathItem]:
    """Yield the paths of one group version: its resource list and its resources."""
    group_title, group_tag = _group_names(group)
    root = f"/{'apis' if group else 'api'}/{join_group_version(group, version)}/"
    title = f"{group_title}{version[:1].upper()}{version[1:]}"
    tag = f"{group_tag}_{version}"
    operation_id = f"get{title}APIResources"
    schema = f"{META}.APIResourceList"
    yield document_path(root, "get available resources", operation_id, tag, schema)
    for info in infos:
        yield from _ResourcePaths(info, root, title, tag).all()


def _group_names(group: str) -> tuple[str, str]:
    """Return a group's name in operation ids and in tags: RbacAuthorization, rbacAuthorization."""
    words = (group or "core").removesuffix(".k8s.io").replace("-", "").split(".")
    title = "".join(word[:1].upper() + word[1:] for word in words)
    return title, title[:1].lower() + title[1:]


def _article(kind: str) -> str:
    if kind.endswith("s") and not kind.endswith("ss"):
        return kind  # a plural, as Endpoints
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"


@dataclass(frozen=True, slots=True)
class _ResourcePaths:
    """Makes the paths of one resource; the other fields begin its paths, ids and tags."""

    info: ResourceInfo
    root: str
    title: str
    tag: str

    def all(self) -> Iterator[PathItem]:
        info = self.info
        namespaced = info.namespaced
        scope = (par.NAMESPACE, par.PRETTY) if namespaced else (par.PRETTY,)
        collection = self.root + ("namespaces/{namespace}/" if namespaced else "") + info.plural
        if namespaced and "list" in info.verbs:
            everywhere = self._list(f"{info.kind}ForAllNamespaces")
            yield PathItem(self.root + info.plural, (par.PRETTY,), (everywhere,))
        if operations := tuple(self._collection()):
            yield PathItem(collection, scope, operations)
        item = f"{collection}/{{name}}"
        if operations := tuple(self._item()):
            yield PathItem(item, (par.object_name(info.kind), *scope), operations)
        for name in sorted(info.subresources):
            child = info.subresources[name]
            scoped = (par.object_name(child.kind), *scope)
            if child.kind.endswith("Options"):
                yield from self._connections(child, f"{item}/{name}", scoped)
            else:
                yield self._subresource(child, f"{item}/{name}", scoped)

    @property
    def _subject(self) -> str:
        return f"Namespaced{self.info.kind}" if self.info.namespaced else self.info.kind

    def _operation(self, method: str, operation_id: str, purpose: str) -> Operation:
        """Return an operation on the resource that is complete but for what differs by verb."""
        info = self.info
        return Operation(
            method=method,
            operation_id=operation_id,
            description=purpose,
            tag=self.tag,
            responses=(),
            action=method,
            kind=(info.group, info.version, info.kind),
        )

    def _list(self, subject: str) -> Operation:
        kind = self.info.kind
        watchable = "watch" in self.info.verbs
        purpose = f"list {'or watch ' if watchable else ''}objects of kind {kind}"
        return replace(
            self._operation("get", f"list{self.title}{subject}", purpose),
            action="list",
            parameters=par.LIST,
            responses=responses((200,), list_schema_name(self.info)),
            produces=(*MEDIA_TYPES, "application/json;stream=watch") if watchable else MEDIA_TYPES,
        )

    def _collection(self) -> Iterator[Operation]:
        """Yield what can be done with the resource in one namespace, or in the cluster."""
        info = self.info
        if "list" in info.verbs:
            yield self._list(self._subject)
        if "create" in info.verbs:
            operation_id = f"create{self.title}{self._subject}"
            yield self._create(operation_id, f"create {_article(info.kind)}", schema_name(info))
        if "deletecollection" in info.verbs:
            operation_id = f"delete{self.title}Collection{self._subject}"
            yield replace(
                self._operation("delete", operation_id, f"delete collection of {info.kind}"),
                action="deletecollection",
                parameters=par.DELETE_COLLECTION,
                body=Body(f"{META}.DeleteOptions", required=False),
                responses=responses((200,), f"{META}.Status"),
            )

    def _create(self, operation_id: str, purpose: str, schema: str) -> Operation:
        return replace(
            self._operation("post", operation_id, purpose),
            parameters=par.WRITE,
            body=Body(schema),
            responses=responses((200, 201, 202), schema),
        )

    def _item(self) -> Iterator[Operation]:
        """Yield what can be done with one object."""
        info = self.info
        schema = schema_name(info)
        phrase = f"the specified {info.kind}"
        yield from self._changes(info.verbs, self._subject, phrase, schema)
        if "delete" in info.verbs:
            operation_id = f"delete{self.title}{self._subject}"
            returned = schema if info.plural in _RETURNED_WHEN_DELETED else f"{META}.Status"
            yield replace(
                self._operation("delete", operation_id, f"delete {_article(info.kind)}"),
                parameters=par.DELETE,
                body=Body(f"{META}.DeleteOptions", required=False),
                responses=responses((200, 202), returned),
            )

    def _changes(
        self, verbs: tuple[str, ...], subject: str, phrase: str, schema: str
    ) -> Iterator[Operation]:
        """Yield get, put and patch of an object or a subresource."""
        if "get" in verbs:
            yield replace(
                self._operation("get", f"read{self.title}{subject}", f"read {phrase}"),
                responses=responses((200,), schema),
            )
        if "update" in verbs:
            yield replace(
                self._operation("put", f"replace{self.title}{subject}", f"replace {phrase}"),
                parameters=par.WRITE,
                body=Body(schema),
                responses=responses((200, 201), schema),
            )
        if "patch" in verbs:
            types = tuple(t for t in _PATCH_TYPES if not (self.info.custom and t == _STRATEGIC))
            purpose = f"partially update {phrase}"
            yield replace(
                self._operation("patch", f"patch{self.title}{subject}", purpose),
                parameters=par.PATCH,
                body=Body(f"{META}.Patch", types),
                responses=responses((200, 201), schema),
            )

    def _subresource(
        self, child: SubresourceInfo, path: str, scope: tuple[par.Parameter, ...]
    ) -> PathItem:
        subject = f"{self._subject}{child.name[:1].upper()}{child.name[1:]}"
        own_kind = child.kind == self.info.kind
        schema = child.schema_name or (schema_name(self.info) if own_kind else "")
        produces: tuple[str, ...] = MEDIA_TYPES
        if child.name == "log":
            schema, produces = "", ("text/plain", *MEDIA_TYPES)
        phrase = f"{child.name} of the specified {self.info.kind}"
        found = list(self._changes(child.verbs, subject, phrase, schema))
        if "create" in child.verbs:
            purpose = f"create {child.name} of {_article(self.info.kind)}"
            found.append(self._create(f"create{self.title}{subject}", purpose, schema))
        kind = (child.group, child.version, child.kind)
        operations = tuple(replace(made, kind=kind, produces=produces) for made in found)
        return PathItem(path, (*scope, *par.OF_SUBRESOURCE.get(child.name, ())), operations)

    def _connections(
        self, child: SubresourceInfo, path: str, scope: tuple[par.Parameter, ...]
    ) -> Iterator[PathItem]:
        """Yield the paths of a subresource that hands the connection on."""
        taken = (*scope[:-1], *par.OF_SUBRESOURCE.get(child.name, ()))
        if child.name != "proxy":
            yield PathItem(path, taken, self._connects(child, _STREAM_METHODS, ""))
            return
        yield PathItem(path, taken, self._connects(child, _PROXY_METHODS, ""))
        deeper = self._connects(child, _PROXY_METHODS, "WithPath")
        yield PathItem(f"{path}/{{path}}", (*taken, par.PROXIED_PATH), deeper)

    def _connects(
        self, child: SubresourceInfo, methods: tuple[str, ...], ending: str
    ) -> tuple[Operation, ...]:
        subject = f"{self._subject}{child.name[:1].upper()}{child.name[1:]}{ending}"
        return tuple(
            replace(
                self._operation(
                    method,
                    f"connect{self.title}{method.capitalize()}{subject}",
                    f"connect {method.upper()} requests to {child.name} of {self.info.kind}",
                ),
                action="connect",
                kind=(child.group, child.version, child.kind),
                produces=("*/*",),
                responses=responses((200,), ""),
            )
            for method in methods
        )

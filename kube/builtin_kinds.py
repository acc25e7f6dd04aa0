"""The built-in resource table of Kubernetes, compiled from installed packages and our facts.

Paths and methods come from the text of the `kubernetes` client's API modules (read, never
imported: importing them takes seconds); kinds from the definitions in `kubernetes_validate`;
names, categories and priorities from `kube/facts`. The result is cached on disk, keyed by all of
these. Invariant: nothing here depends on the order in which files are found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from kube import disk_cache, facts
from kube.kinds import GroupInfo, Registry, ResourceInfo, SubresourceInfo, join_group_version

KUBERNETES_VERSION: Final = "1.37.0"
_OPERATION: Final = re.compile(r"method='([A-Z]+)',\s+resource_path='(/api[^']*)'")
_PATH: Final = re.compile(
    r"/apis?/(?:(?P<group>[a-z][^/]*)/)??(?P<version>v[0-9a-z]+)/"
    r"(?P<ns>namespaces/\{namespace\}/)?"
    r"(?P<plural>[a-z]+)(?P<item>/\{name\})?(?:/(?P<sub>[a-z]+))?(?:/\{path\})?"
)
_COLLECTION_VERBS: Final = {
    "GET": ("list", "watch"),
    "POST": ("create",),
    "DELETE": ("deletecollection",),
}
_ITEM_VERBS: Final = {
    "GET": ("get",),
    "POST": ("create",),
    "PUT": ("update",),
    "PATCH": ("patch",),
    "DELETE": ("delete",),
}
_SHARED_STORAGE: Final = {("events.k8s.io", "events"): ("", "events")}
# Subresources that speak another kind than their parent's: (group, version, kind).
_FOREIGN_KINDS: Final = {
    "scale": ("autoscaling", "v1", "Scale"),
    "pods/eviction": ("policy", "v1", "Eviction"),
    "serviceaccounts/token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "pods/binding": ("", "v1", "Binding"),
    "pods/attach": ("", "v1", "PodAttachOptions"),
    "pods/exec": ("", "v1", "PodExecOptions"),
    "pods/portforward": ("", "v1", "PodPortForwardOptions"),
    "pods/proxy": ("", "v1", "PodProxyOptions"),
    "services/proxy": ("", "v1", "ServiceProxyOptions"),
    "nodes/proxy": ("", "v1", "NodeProxyOptions"),
}
_CHILDREN: Final = 10  # the subresources' place among ResourceInfo's fields
_Key = tuple[str, str, str]


def definitions_file() -> Path:
    """Return the file of every definition of the Kubernetes version we follow."""
    package = disk_cache.package_directory("kubernetes_validate")
    folder = f"v{KUBERNETES_VERSION}-local"
    return package / "kubernetes-json-schema" / folder / "_definitions.json"


def source_files() -> list[Path]:
    """Return the small files that change whenever the packages, or our reading of them, do."""
    here = Path(__file__)
    return [
        disk_cache.package_directory("kubernetes") / "__init__.py",
        disk_cache.package_directory("kubernetes_validate") / "version.py",
        here,
        here.with_name("kinds.py"),
        *sorted(facts.DIRECTORY.glob("*.tsv")),
    ]


@cache
def builtin_registry() -> Registry:
    """Return the registry of all built-in resources, every version served."""
    key = disk_cache.fingerprint(source_files(), KUBERNETES_VERSION)
    table, groups = disk_cache.load_or_build("kinds", key, _build)
    return Registry(
        (_restore(row) for row in table),
        (GroupInfo(name, rank, versions, ranks) for name, rank, versions, ranks in groups),
    )


def _restore(row: tuple[Any, ...]) -> ResourceInfo:
    fields = list(row)
    fields[_CHILDREN] = {child[0]: SubresourceInfo(*child) for child in row[_CHILDREN]}
    return ResourceInfo(*fields)


def _build() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    groups = []
    for name, priority, versions in facts.rows("group_priorities.tsv"):
        ranks = dict(_ranked(item) for item in facts.listed(versions))
        groups.append((name.replace("-", ""), int(priority), tuple(ranks), ranks))
    return list(_resource_rows({name: versions for name, _, versions, _ in groups})), groups


def _ranked(item: str) -> tuple[str, int]:
    version, _, priority = item.partition(":")
    return version, int(priority)


def _resource_rows(version_order: dict[str, tuple[str, ...]]) -> Iterator[tuple[Any, ...]]:
    names = {
        name: (facts.listed(short), facts.listed(categories))
        for name, short, categories in facts.rows("resource_names.tsv")
    }
    schemas, plurals = _read_kinds()
    verbs, subresources, namespaced = _read_operations()
    best = _best_versions(verbs, version_order)
    for (group, version, plural), allowed in sorted(verbs.items()):
        kind = plurals[group, version, plural]
        full_name = f"{plural}.{group}" if group else plural
        short_names, categories = names.get(full_name, ((), ()))
        owner_group, owner = _SHARED_STORAGE.get((group, plural), (group, plural))
        children = subresources.get((group, version, plural), {})
        yield (
            group,
            version,
            kind,
            plural,
            kind.lower(),
            short_names,
            categories,
            (group, version, plural) in namespaced,
            tuple(sorted(allowed)),
            f"{kind}List" if "list" in allowed else "",
            tuple(
                _subresource_row(plural, sub, (group, version, kind), methods, schemas)
                for sub, methods in sorted(children.items())
            ),
            f"{owner_group}/{owner}" if owner_group else owner,
            join_group_version(owner_group, best[owner_group, owner]),
            schemas[group, version, kind],
            "watch" not in allowed,
        )


def _subresource_row(
    plural: str, name: str, parent: _Key, verbs: set[str], schemas: dict[_Key, str]
) -> tuple[Any, ...]:
    foreign = _FOREIGN_KINDS.get(f"{plural}/{name}") or _FOREIGN_KINDS.get(name)
    group, version, kind = foreign or parent
    schema = schemas.get((group, version, kind), "")
    return (name, group, version, kind, tuple(sorted(verbs)), schema)


def _best_versions(
    keys: dict[_Key, set[str]], version_order: dict[str, tuple[str, ...]]
) -> dict[tuple[str, str], str]:
    """Return for each group's resource the best version that has it: the one stored."""
    best: dict[tuple[str, str], str] = {}
    for group, versions in version_order.items():
        for version in versions:
            for key in keys:
                if key[:2] == (group, version):
                    best.setdefault((group, key[2]), version)
    return best


def _read_kinds() -> tuple[dict[_Key, str], dict[_Key, str]]:
    """Return definition names by group-version-kind, and kinds by group-version-plural."""
    definitions = orjson.loads(definitions_file().read_bytes())["$defs"]
    schemas: dict[_Key, str] = {}
    plurals: dict[_Key, str] = {}
    for name, definition in definitions.items():
        owners = definition.get("x-kubernetes-group-version-kind", ())
        if len(owners) != 1:
            continue  # DeleteOptions and WatchEvent belong to every group
        group, version, kind = owners[0]["group"], owners[0]["version"], owners[0]["kind"]
        schemas[group, version, kind] = name
        plurals[group, version, _plural(kind)] = kind
    return schemas, plurals


def _plural(kind: str) -> str:
    singular = kind.lower()
    if singular == "endpoints":
        return singular
    if singular.endswith("s"):
        return f"{singular}es"
    if singular.endswith("y"):
        return f"{singular[:-1]}ies"
    return f"{singular}s"


def _read_operations() -> tuple[dict[_Key, set[str]], dict[_Key, dict[str, set[str]]], set[_Key]]:
    """Return verbs by resource, verbs by resource and subresource, and the namespaced resources."""
    verbs: dict[_Key, set[str]] = {}
    subresources: dict[_Key, dict[str, set[str]]] = {}
    namespaced: set[_Key] = set()
    folder = disk_cache.package_directory("kubernetes") / "client" / "api"
    for module in sorted(folder.glob("*_v[0-9]*_api.py")):
        for method, path in _OPERATION.findall(module.read_text(encoding="utf-8")):
            match = _PATH.fullmatch(path)
            if match is None:
                continue
            key = (match["group"] or "", match["version"], match["plural"])
            if match["ns"]:
                namespaced.add(key)
            if match["sub"]:
                target = subresources.setdefault(key, {}).setdefault(match["sub"], set())
                target.update(_ITEM_VERBS.get(method, ()))
            else:
                table = _ITEM_VERBS if match["item"] else _COLLECTION_VERBS
                verbs.setdefault(key, set()).update(table.get(method, ()))
    # Component statuses are computed for each read, so there is nothing to watch.
    verbs["", "v1", "componentstatuses"].discard("watch")
    return verbs, subresources, namespaced

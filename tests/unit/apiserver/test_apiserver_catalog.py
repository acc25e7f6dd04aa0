"""How paths find resources: a path that was looked up before means what it meant at first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apiserver.resources import _COLLECTIONS_MAX, Catalog, Target
from kube.builtin_kinds import builtin_registry


@pytest.fixture
def catalog() -> Catalog:
    """A catalog that was not asked for anything yet."""
    return Catalog(builtin_registry())


def paths(catalog: Catalog) -> Iterator[str]:
    """Yield paths of every served resource, well formed and not."""
    for resources in catalog.by_version.values():
        for resource in resources.values():
            group, version = resource.group, resource.version
            root = f"/apis/{group}/{version}" if group else f"/api/{version}"
            for place in ("", "/namespaces/one", "/watch", "/watch/namespaces/one"):
                collection = f"{root}{place}/{resource.plural}"
                for rest in ("", "/", "/a", "/a/", "/a/status", "/status", "//a"):
                    yield collection + rest


def found(catalog: Catalog, path: str) -> Target | str | None:
    """Return what a path finds, or why it finds nothing."""
    try:
        target = catalog.find(path)
    except KeyError as error:
        return f"no {error}"
    return target


def test_what_was_found_before_is_found_again(catalog: Catalog) -> None:
    asked = list(paths(catalog))
    fresh = []
    for path in asked:
        catalog._collections.clear()
        fresh.append(found(catalog, path))
    assert [found(catalog, path) for path in asked] == fresh
    assert [found(catalog, path) for path in reversed(asked)] == fresh[::-1]


def test_an_object_is_found_only_where_its_type_lives(catalog: Catalog) -> None:
    for path in ("/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/one/pods"):
        target = catalog.find(path)
        assert target is not None
        assert target.name == ""
    with pytest.raises(KeyError):
        catalog.find("/api/v1/pods/a")
    node = catalog.find("/api/v1/nodes/a")
    assert node is not None
    assert (node.namespace, node.name) == ("", "a")
    pod = catalog.find("/api/v1/namespaces/one/pods/a")
    assert pod is not None
    assert (pod.namespace, pod.name) == ("one", "a")


def test_paths_of_made_up_namespaces_are_not_kept_without_limit(catalog: Catalog) -> None:
    for number in range(_COLLECTIONS_MAX + 10):
        catalog.find(f"/api/v1/namespaces/n{number}/pods")
    assert len(catalog._collections) == _COLLECTIONS_MAX

"""Which groups and versions there are, as far as paths tell: built-in ones and definitions'.

Groups of definitions come and go, so they are asked for each time; the built-in ones are a set.
"""

from __future__ import annotations

from apiserver.resources import Catalog
from kube.kinds import Registry


class KnownPaths:
    """Tells paths of discovery from others below /api and /apis."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._groups = _served_groups(catalog.registry)

    def is_discovery(self, path: str) -> bool:
        """Tell whether discovery answers a path."""
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            return len(parts) == 1 or parts[1:] == ["v1"]
        return len(parts) == 1 or (len(parts) <= 3 and self.is_served(*parts[1:]))

    def is_served(self, group: str, version: str = "") -> bool:
        """Tell whether there is such a group, and such a version of it."""
        if (f"{group}/{version}" if version else group) in self._groups:
            return True
        custom = self._catalog.custom
        if custom is None:
            return False
        return custom.resources(group, version) is not None if version else custom.has_group(group)

    def may_be_custom(self, path: str) -> bool:
        """Tell whether a path that names nothing here may have become one of a custom type."""
        if self._catalog.custom is None or not path.startswith("/apis/"):
            return False
        parts = path.split("/", 4)
        # Groups of definitions have a dot; discovery is told as it is known here.
        return len(parts) > 4 and "." in parts[2] and f"{parts[2]}/{parts[3]}" not in self._groups


def _served_groups(registry: Registry) -> frozenset[str]:
    names: set[str] = set()
    for group in registry.groups.values():
        if group.name:
            names.add(group.name)
            names.update(f"{group.name}/{version}" for version in group.versions)
    return frozenset(names)

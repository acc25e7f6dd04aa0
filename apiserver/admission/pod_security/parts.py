"""What the checks of the pod security standards have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Final, NamedTuple

from kube.json_types import JsonObject

_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


class Fault(NamedTuple):
    """What is wrong with a pod: in short, and in detail."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[JsonObject, JsonObject], Fault | None]
"""Looks at a pod's metadata and spec."""


def containers_of(spec: JsonObject) -> Iterator[tuple[str, JsonObject, JsonObject]]:
    """Yield name, container and security context of all containers, of any kind."""
    for key in _CONTAINERS:
        for container in spec.get(key) or ():
            yield container["name"], container, container.get("securityContext") or {}


def context_of(spec: JsonObject) -> JsonObject:
    """Return the pod's own security context."""
    return spec.get("securityContext") or {}


def quoted(names: Collection[str]) -> str:
    """Return names for a message."""
    return '"' + '", "'.join(names) + '"'


def many(word: str, count: int) -> str:
    """Return a word in the number that `count` calls for."""
    return word if count == 1 else f"{word}s"


def uses(count: int) -> str:
    """Return what `count` containers or volumes do."""
    return "uses" if count == 1 else "use"


def named(word: str, names: Collection[str]) -> str:
    """Return `container "a"` or `containers "a", "b"`."""
    return f"{many(word, len(names))} {quoted(names)}"


def setters(*, pod: bool, containers: Collection[str]) -> list[str]:
    """Return who sets something: the pod, containers, or both."""
    found = ["pod"] if pod else []
    if containers:
        found.append(named("container", containers))
    return found


def is_in_user_namespace(spec: JsonObject) -> bool:
    """Tell whether root in the pod is nobody on the node."""
    return spec.get("hostUsers") is False


def is_windows(spec: JsonObject) -> bool:
    """Tell whether it is a pod for Windows, where some settings do not exist."""
    return bool((spec.get("os") or {}).get("name") == "windows")

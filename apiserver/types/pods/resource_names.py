"""What the name of a resource says about it. Follows pkg/apis/core/helper."""

from __future__ import annotations

from typing import Final

from apiserver.types.formats import is_qualified_name
from kube.text_cache import text_cache

HUGE_PAGES: Final = "hugepages-"
_CONTAINER_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD: Final = _CONTAINER_RESOURCES | {
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
}
_WHOLE: Final = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
POD_LEVEL: Final = ("cpu", "hugepages-", "memory")


def is_huge_page(name: str) -> bool:
    """Whether this is memory in pages of one fixed size."""
    return name.startswith(HUGE_PAGES)


def is_standard(name: str) -> bool:
    """Whether an unprefixed name is one the API knows."""
    return name in _STANDARD or name.startswith((HUGE_PAGES, "requests.hugepages-"))


def is_standard_for_containers(name: str) -> bool:
    """Whether an unprefixed name can be asked for by a container."""
    return name in _CONTAINER_RESOURCES or is_huge_page(name)


def is_pod_level(name: str) -> bool:
    """Whether the amount can be given for a pod as a whole."""
    return name in {"cpu", "memory"} or is_huge_page(name)


def is_native(name: str) -> bool:
    """Whether the resource is Kubernetes' own: unprefixed or under kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


@text_cache(maxsize=1024)
def is_extended(name: str) -> bool:
    """Whether the resource is a device or other thing counted by a third party."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not is_qualified_name(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Whether only whole numbers of the resource exist."""
    return name in _WHOLE or is_extended(name)


def allows_overcommit(name: str) -> bool:
    """Whether a limit may be above the request."""
    return is_native(name) and not is_huge_page(name)

"""An APIService as the server works with it, and the order in which clients see groups."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final, NamedTuple

from kube.json_types import JsonObject
from kube.kinds import version_sort_key

STORAGE: Final = "apiregistration.k8s.io/apiservices"
OWN_GROUP: Final = "apiregistration.k8s.io"
OWN_PRIORITY: Final = 20_001
"""Above what any APIService may have: that group is always the first."""
DEFAULT_PORT: Final = 443


class Reference(NamedTuple):
    """The Service whose pods are an extension API server."""

    namespace: str
    name: str
    port: int

    @property
    def server_name(self) -> str:
        """Whom its certificate has to name."""
        return f"{self.name}.{self.namespace}.svc"


class ApiService(NamedTuple):
    """One version of one group.

    Attributes:
        service: who serves it; None: this server.
        ca_bundle: PEM that the certificate is checked by, b"" for the machine's CAs.
        is_insecure: whether it is not checked at all.
        is_available: whether it was, at the last look.
    """

    name: str
    group: str
    version: str
    group_priority: int
    version_priority: int
    service: Reference | None
    ca_bundle: bytes = b""
    is_insecure: bool = False
    is_available: bool = False


def parse(obj: JsonObject) -> ApiService:
    """Return an APIService object as it is worked with."""
    spec = obj.get("spec") or {}
    service = spec.get("service")
    reference = None
    if service is not None:
        port = service.get("port") or DEFAULT_PORT
        reference = Reference(service.get("namespace", ""), service.get("name", ""), port)
    return ApiService(
        obj["metadata"]["name"],
        spec.get("group", ""),
        spec.get("version", ""),
        spec.get("groupPriorityMinimum", 0),
        spec.get("versionPriority", 0),
        reference,
        _decoded(spec.get("caBundle") or ""),
        bool(spec.get("insecureSkipTLSVerify")),
        available_condition(obj).get("status") == "True",
    )


def available_condition(obj: JsonObject) -> JsonObject:
    """Return an APIService's condition Available, {} if it has none."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == "Available"), {})


def _decoded(bundle: str) -> bytes:
    try:
        return base64.b64decode(bundle)
    except (binascii.Error, ValueError):
        return b""  # it believes nobody then, and whoever looks hears of that


class RankedVersion(NamedTuple):
    """A version of a group, with what it is sorted by."""

    group: str
    group_priority: int
    version: str
    version_priority: int


def in_order(versions: Iterable[RankedVersion]) -> dict[str, list[str]]:
    """Return versions by group, both in the order in which clients see them.

    The highest priority that any of its versions gives a group is the group's.
    """
    known = list(versions)
    ranks: dict[str, int] = {}
    for one in known:
        ranks[one.group] = max(ranks.get(one.group, 0), one.group_priority)
    if OWN_GROUP in ranks:
        ranks[OWN_GROUP] = OWN_PRIORITY
    known.sort(key=lambda one: (-one.version_priority, version_sort_key(one.version)))
    found: dict[str, list[str]] = {}
    for group in sorted(ranks, key=lambda name: (-ranks[name], name)):
        found[group] = [one.version for one in known if one.group == group]
    return found

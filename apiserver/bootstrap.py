"""What a fresh cluster holds: its namespaces, its priority classes and its own Service."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from apiserver.authn import MASTERS, User
from apiserver.options import PLAIN_WRITE
from apiserver.server import Server
from apiserver.settings import ServerSettings
from apiserver.verbs.create import create_object
from kube import status as st
from kube.json_types import JsonObject

_log: Final = logging.getLogger(__name__)
SYSTEM_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")


@dataclass
class ServerItself:
    """The caller of what the server does by itself; nobody reads its warnings."""

    user: User = field(default_factory=lambda: User("system:apiserver", (MASTERS,)))
    user_agent: bytes = b"kube-apiserver"
    is_large: bool = False

    def warn(self, text: str) -> None:
        """Log a warning that a client would have got."""
        _log.warning("bootstrap: %s", text)

    def annotate(self, key: str, value: str) -> None:
        """Drop it: what the server does by itself is not put on record."""


def initial_objects(settings: ServerSettings) -> Iterator[tuple[str, str, JsonObject]]:
    """Yield (storage resource, namespace, object) of everything a fresh cluster holds."""
    for name in SYSTEM_NAMESPACES:
        yield "namespaces", "", {"metadata": {"name": name}}
    for name, value, what in (
        ("system-cluster-critical", 2_000_000_000, "that must run in the cluster, but may move"),
        ("system-node-critical", 2_000_001_000, "that must not be moved from their node"),
    ):
        yield (
            "scheduling.k8s.io/priorityclasses",
            "",
            {
                "metadata": {"name": name},
                "value": value,
                "preemptionPolicy": "PreemptLowerPriority",
                "description": f"Used for system critical pods {what}.",
            },
        )
    cidr = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [settings.service_cidr]}}
    yield "networking.k8s.io/servicecidrs", "", cidr
    yield "services", "default", _own_service(settings)
    yield "endpoints", "default", _own_endpoints(settings)
    yield "discovery.k8s.io/endpointslices", "default", _own_endpoint_slice(settings)


def _own_service(settings: ServerSettings) -> JsonObject:
    first = str(ip_network(settings.service_cidr)[1])
    return {
        "metadata": {
            "name": "kubernetes",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": first,
            "clusterIPs": [first],
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "ports": [
                {"name": "https", "port": 443, "protocol": "TCP", "targetPort": settings.port}
            ],
        },
        "status": {"loadBalancer": {}},
    }


def _own_endpoints(settings: ServerSettings) -> JsonObject:
    # The label: whoever makes slices of Endpoints must not do so here, as the server makes its own.
    return {
        "metadata": {
            "name": "kubernetes",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [
            {
                "addresses": [{"ip": _address(settings)}],
                "ports": [{"name": "https", "port": settings.port, "protocol": "TCP"}],
            }
        ],
    }


def _own_endpoint_slice(settings: ServerSettings) -> JsonObject:
    return {
        "metadata": {
            "name": "kubernetes",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [_address(settings)], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": settings.port, "protocol": "TCP"}],
    }


def _address(settings: ServerSettings) -> str:
    """Endpoints may not be loopback addresses; a server that has no other gets a stand-in."""
    loopback = settings.bind.startswith("127.") or ":" in settings.bind
    return "10.0.0.1" if loopback or settings.bind == "0.0.0.0" else settings.bind


async def bootstrap(server: Server) -> None:
    """Create what is missing of the initial objects.

    Raises:
        StatusError: something can't be created for another reason than that it is there.
    """
    caller = ServerItself()
    for storage, namespace, obj in initial_objects(server.settings):
        resource = server.catalog.by_storage[storage]
        if server.peek(resource, namespace, obj["metadata"]["name"]) is not None:
            continue
        try:
            await create_object(server, caller, resource, namespace, obj, PLAIN_WRITE)
        except st.StatusError as error:
            if error.code >= 500:
                raise
            # Another worker may have been first, and hold what this object would have claimed.
            await server.fresh(resource)
            if server.peek(resource, namespace, obj["metadata"]["name"]) is None:
                raise

"""From a service's name to an address: one of its ready endpoints, as the local replica has them.

Upstream's resolver for clusters whose API server is not on the services' network. Names that are
not `name.namespace.svc` are looked up as any other name is.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from typing import Any, Final

import orjson
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from apiserver.simulated import SimulatedNetworks
from kube.json_types import JsonObject
from kube.selector_parser import label_selector_of_set
from storage.errors import StorageError
from storage.scan import Query
from storage.store_view import StoreView

_SERVICES: Final = "services"
_SLICES: Final = "discovery.k8s.io/endpointslices"
_SERVICE_NAME: Final = "kubernetes.io/service-name"
_ROUTED: Final = (None, "ClusterIP", "NodePort", "LoadBalancer")
_SLICES_MAX: Final = 100


class Unresolved(OSError):
    """A service has no address; the text is upstream's."""


class ServiceResolver(AbstractResolver):
    """Resolves names for the connections to webhooks."""

    def __init__(self, store: StoreView, simulated: SimulatedNetworks) -> None:
        self._store = store
        self._simulated = simulated
        self._others = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return addresses, the port of an endpoint with them.

        Raises:
            OSError: there are none.
        """
        name, _, rest = host.partition(".")
        namespace, _, domain = rest.partition(".")
        if domain != "svc":
            return await self._others.resolve(host, port, family)
        try:
            service = self._service(namespace, name)
            if service.get("type") == "ExternalName":
                return await self._others.resolve(service.get("externalName", ""), port, family)
            address, target_port = self._endpoint(namespace, name, service, port)
        except StorageError as error:
            raise Unresolved(f"service {name!r} cannot be looked up: {error}") from error
        try:
            self._simulated.check(address, target_port)
        except ConnectionRefusedError as error:
            text = f"dial tcp {address}:{target_port}: connect: connection refused"
            raise Unresolved(text) from error
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=address, port=target_port, family=kind, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """See AbstractResolver."""
        await self._others.close()

    def _service(self, namespace: str, name: str) -> JsonObject:
        record = self._store.get(_SERVICES, namespace, name)
        if record is None:
            raise Unresolved(f'service "{name}" not found')
        spec: JsonObject = orjson.loads(record.body).get("spec") or {}
        return spec

    def _endpoint(
        self, namespace: str, name: str, service: JsonObject, port: int
    ) -> tuple[str, int]:
        kind = service.get("type")
        if kind not in _ROUTED:
            raise Unresolved(f'unsupported service type "{kind}"')
        ports = service.get("ports") or ()
        port_name = next((p.get("name") or "" for p in ports if p.get("port") == port), None)
        if port_name is None:
            raise Unresolved(f'no service port {port} found for service "{name}"')
        families = service.get("ipFamilies") or ()
        preferred = families[0] if families else ""
        slices = self._slices(namespace, name)
        random.shuffle(slices)
        slices.sort(key=lambda found: found.get("addressType") != preferred)
        for found in slices:
            target_port = _port_named(found.get("ports") or (), port_name)
            ready = _ready_addresses(found)
            if target_port is not None and ready:
                return random.choice(ready), target_port
        raise Unresolved(f'no endpoints available for service "{name}"')

    def _slices(self, namespace: str, name: str) -> list[JsonObject]:
        """Return a service's slices; labels are searched as bytes, nothing else is parsed."""
        match = label_selector_of_set({_SERVICE_NAME: name}).compile()
        query = Query(_SLICES, namespace, limit=_SLICES_MAX, match=match)
        with self._store.scan(query) as scan:
            return [orjson.loads(record.body) for chunk in scan for record in chunk]


def _port_named(ports: Iterable[Any], name: str) -> int | None:
    for port in ports:
        number = port.get("port")
        if (port.get("name") or "") == name and number is not None:
            return int(number)
    return None


def _ready_addresses(found: JsonObject) -> list[str]:
    return [
        endpoint["addresses"][0]
        for endpoint in found.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        and endpoint.get("addresses")
    ]

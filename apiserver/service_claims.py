"""Cluster IPs and node ports: claimed and given back in the transaction that writes the Service.

An address is claimed by creating its IPAddress object, a node port by an object that only storage
sees. Both live in the Services' partition, so a Service with all its claims is written or nothing
is: there is no allocator state to repair after a crash, and two servers never give one out twice.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from typing import Final

import orjson

from apiserver.companions import Claims
from apiserver.metadata import fill_system_fields
from apiserver.resources import Resource
from apiserver.settings import ServerSettings
from apiserver.types.core.service_allocation import (
    HEALTH_CHECK,
    Allocation,
    PortRequest,
    assign,
    held,
    ip_refused,
    port_refused,
    wanted,
)
from kube import field as fld
from kube import status as st
from kube.json_types import JsonObject
from kube.status import StatusError
from storage.store_view import StoreView
from storage.txn import ABSENT, ANY, Delete, KeyedOp, Put

PORT_CLAIMS: Final = "internal/nodeports"
_TAKEN: Final = "provided IP is already allocated"
_PORT_TAKEN: Final = "provided port is already allocated"
_TRIES_MAX: Final = 256
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class ServiceClaims:
    """The companion of Services; see the module's head."""

    def __init__(
        self, store: StoreView, services: Resource, addresses: Resource, settings: ServerSettings
    ) -> None:
        self._store = store
        self._services = services
        self._addresses = addresses
        self._network = ipaddress.ip_network(settings.service_cidr)
        self._family = f"IPv{self._network.version}"
        self._ports = range(settings.node_port_first, settings.node_port_last + 1)
        size = self._network.num_addresses
        # KEP-3070: the lower part of the range is left to addresses that people choose.
        self._band = min(max(16, size // 16), 256) if size > 32 else 0
        self._random = random.SystemRandom()

    def on_create(self, obj: JsonObject, now: str) -> Claims:
        """Give a new Service its addresses and ports; return the claims.

        Raises:
            StatusError: 422, what it asks for cannot be had.
        """
        return self._claim(obj, wanted(obj, None, (self._family,)), now, obj)

    def on_update(self, new: JsonObject, old: JsonObject, now: str) -> Claims:
        """Give a changed Service what it now needs; return the claims and what it gives back.

        Raises:
            StatusError: 422, what it asks for cannot be had.
        """
        return self._claim(new, wanted(new, old, (self._family,)), now, old)

    def on_delete(self, old: JsonObject) -> Sequence[KeyedOp]:
        """Return the operations that give everything back."""
        return self._release(held(old), old)

    def explain(self, lost: KeyedOp, obj: JsonObject) -> StatusError:
        """Say which claim another write was quicker to make."""
        if isinstance(lost, Put) and lost.resource == self._addresses.storage:
            return self._invalid(obj, [ip_refused(obj, lost.name, _TAKEN)])
        port = int(lost.name)
        indexes = tuple(
            index
            for index, item in enumerate(obj["spec"].get("ports") or ())
            if item.get("nodePort") == port
        )
        request = PortRequest(port, indexes or (HEALTH_CHECK,))
        return self._invalid(obj, [port_refused(request, _PORT_TAKEN)])

    def _claim(
        self, obj: JsonObject, allocation: Allocation, now: str, holder: JsonObject
    ) -> Claims:
        """Claim for `obj`, and give back what `holder`, the Service before, had claimed."""
        if allocation.errors:
            raise self._invalid(obj, allocation.errors)
        if not (allocation.ips or allocation.ports):
            return Claims(self._release(allocation, holder))
        ips = [self._pick_ip(obj, request.ip, request.family) for request in allocation.ips]
        ports = self._pick_ports(obj, allocation.ports)
        assign(obj, allocation, ips=ips, ports=ports)
        claims: list[KeyedOp] = [self._address_claim(obj, ip, now) for ip in ips]
        claims += (self._port_claim(port) for port in dict.fromkeys(ports))
        asked = {request.ip for request in allocation.ips}
        asked.update(str(request.port) for request in allocation.ports)
        chosen = {*ips, *map(str, ports)} - asked
        return Claims([*claims, *self._release(allocation, holder)], frozenset(chosen))

    def _release(self, allocation: Allocation, obj: JsonObject) -> list[KeyedOp]:
        """Give back what is really claimed, and by `obj`.

        IPAddresses may have been removed by hand, and the address given to another Service since.
        """
        ops: list[KeyedOp] = []
        parent = _parent_of(obj)
        for ip in allocation.released_ips:
            found = self._store.get(self._addresses.storage, "", ip)
            if found is not None and orjson.loads(found.body)["spec"]["parentRef"] == parent:
                ops.append(Delete(self._addresses.storage, "", ip, found.mod_revision))
        for port in dict.fromkeys(allocation.released_ports):
            if self._store.get(PORT_CLAIMS, "", str(port)) is not None:
                ops.append(Delete(PORT_CLAIMS, "", str(port), ANY))
        return ops

    def _pick_ip(self, obj: JsonObject, asked: str, family: str) -> str:
        if not asked:
            return self._free_ip(obj, family)
        try:
            address = ipaddress.ip_address(asked)
        except ValueError:
            # The type's validation words what is wrong with it.
            return asked
        why = self._refusal(address)
        if why:
            raise self._invalid(obj, [ip_refused(obj, asked, why)])
        return str(address)

    def _refusal(self, address: _Address) -> str:
        network = self._network
        # As upstream's allocator of several ranges, which none of them takes in.
        if address not in network or address in (network[0], network[-1]):
            return "the provided network does not match the current range"
        if self._store.get(self._addresses.storage, "", str(address)) is not None:
            return _TAKEN
        return ""

    def _free_ip(self, obj: JsonObject, family: str) -> str:
        """Return a free address: random tries in the upper band, then a walk over the range."""
        network, size = self._network, self._network.num_addresses
        if family != self._family:
            fault = ip_refused(obj, "", f"{family} is not configured on cluster")
            raise self._invalid(obj, [fault])
        first = 1 + self._band
        for _ in range(_TRIES_MAX):
            ip = str(network[self._random.randrange(first, size - 1)])
            if self._store.get(self._addresses.storage, "", ip) is None:
                return ip
        for offset in range(1, min(size - 1, 65_536)):
            ip = str(network[offset])
            if self._store.get(self._addresses.storage, "", ip) is None:
                return ip
        raise self._invalid(obj, [ip_refused(obj, "", "range is full")])

    def _pick_ports(self, obj: JsonObject, requests: Sequence[PortRequest]) -> list[int]:
        picked: list[int] = []
        for request in requests:
            if request.port:
                if why := self._port_refusal(request.port):
                    raise self._invalid(obj, [port_refused(request, why)])
                picked.append(request.port)
            else:
                picked.append(self._free_port(obj, request, picked))
        return picked

    def _port_refusal(self, port: int) -> str:
        if port not in self._ports:
            first, last = self._ports[0], self._ports[-1]
            return (
                f"provided port is not in the valid range. The range of valid ports is "
                f"{first}-{last}"
            )
        return _PORT_TAKEN if self._store.get(PORT_CLAIMS, "", str(port)) is not None else ""

    def _free_port(self, obj: JsonObject, request: PortRequest, picked: Sequence[int]) -> int:
        tried = (self._random.choice(self._ports) for _ in range(_TRIES_MAX))
        for candidates in (tried, self._ports):
            for port in candidates:
                if port not in picked and not self._store.get(PORT_CLAIMS, "", str(port)):
                    return port
        raise self._invalid(obj, [port_refused(request, "range is full")])

    def _address_claim(self, obj: JsonObject, ip: str, now: str) -> Put:
        metadata: JsonObject = {
            "name": ip,
            "labels": {
                "ipaddress.kubernetes.io/ip-family": self._family,
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        }
        fill_system_fields(metadata, now)
        document = {"metadata": metadata, "spec": {"parentRef": _parent_of(obj)}}
        body, meta = self._addresses.encode(document)
        resource = self._addresses
        return Put(resource.storage, "", ip, meta, body, resource.splice_at, ABSENT)

    @staticmethod
    def _port_claim(port: int) -> Put:
        body = b'{"resourceVersion":""}'
        return Put(PORT_CLAIMS, "", str(port), b"\x00\x01", body, len(body) - 2, ABSENT)

    def _invalid(self, obj: JsonObject, faults: list[fld.FieldError]) -> StatusError:
        return st.invalid("", self._services.kind, obj["metadata"].get("name", ""), faults)


def _parent_of(obj: JsonObject) -> JsonObject:
    metadata = obj["metadata"]
    return {
        "group": "",
        "resource": "services",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
    }

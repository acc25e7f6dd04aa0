"""Where the kubelet of a node is, and how it is spoken to: the node's status says so.

The server shows its client certificate. A kubelet's own is checked if there is a CA to check it by,
as upstream: kubelets sign theirs themselves unless they are told otherwise.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from apiserver.proxying.wire import Address
from apiserver.server import Server
from apiserver.settings import KubeletSettings
from kube import status as st
from kube.json_types import JsonObject

DEFAULT_PORT: Final = 10_250
WEBSOCKETS: Final = "ExtendWebSocketsToKubelet"
"""A node that declares this feature takes websockets itself."""


class Kubelet(NamedTuple):
    """A node's kubelet.

    Attributes:
        takes_websockets: whether exec, attach and port-forward may come as websockets.
    """

    address: Address
    takes_websockets: bool


class Kubelets:
    """Finds kubelets."""

    def __init__(self, settings: KubeletSettings) -> None:
        self._settings = settings

    async def of(self, server: Server, node: str, *, skips_verification: bool = False) -> Kubelet:
        """Return the kubelet of a node.

        Raises:
            StatusError: 404, there is no such node; 503, it has no address of a kind we may use,
                or our own certificates are of no use.
        """
        record = await server.read(server.catalog.by_storage["nodes"], "", node)
        status = orjson.loads(record.body).get("status") or {}
        host = preferred_address(status.get("addresses") or (), self._settings.address_types)
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        port = endpoint.get("Port") or DEFAULT_PORT
        try:
            tls = self._unverified if skips_verification else self._tls
        except OSError as error:  # as SSLError is
            text = f"kubelets cannot be spoken to: certificates of this server: {error}"
            raise st.service_unavailable(text, retry_after_s=0) from error
        features = status.get("declaredFeatures") or ()
        return Kubelet(Address(host, port, tls), WEBSOCKETS in features)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        authority = self._settings.certificate_authority_file
        if authority is None:
            return self._unverified
        return self._with_certificate(ssl.create_default_context(cafile=str(authority)))

    @cached_property
    def _unverified(self) -> ssl.SSLContext:
        return self._with_certificate(unverified_context())

    def _with_certificate(self, context: ssl.SSLContext) -> ssl.SSLContext:
        settings = self._settings
        show_certificate(context, settings.client_certificate_file, settings.client_key_file)
        return context


def unverified_context() -> ssl.SSLContext:
    """Return a context that believes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def show_certificate(context: ssl.SSLContext, certificate: Path | None, key: Path | None) -> None:
    """Have the server show a client certificate, if it has one."""
    if certificate is not None and key is not None:
        context.load_cert_chain(certificate, key)


def preferred_address(addresses: Sequence[JsonObject], types: Sequence[str]) -> str:
    """Return a node's address of the first kind that it has.

    Raises:
        StatusError: 503, it has none of them.
    """
    for kind in types:
        for address in addresses:
            if address.get("type") == kind and address.get("address"):
                found: str = address["address"]
                return found
    known = " ".join(f"{{{one.get('type')} {one.get('address')}}}" for one in addresses)
    text = f"no preferred addresses found; known addresses: [{known}]"
    raise st.service_unavailable(text, retry_after_s=0)

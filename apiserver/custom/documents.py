"""Discovery and OpenAPI of all that is served at the moment, custom types included.

Whoever asks gets what definitions say by then: documents are made anew when they have changed
since, and those of groups that have not are taken over.
"""

from __future__ import annotations

from apiserver.custom.served import Served
from kube.discovery import Discovery
from kube.kinds import Registry
from kube.openapi import OpenApi


class Documents:
    """Gives out the documents that hold now."""

    def __init__(self, served: Served, server_address: str) -> None:
        self._served = served
        self._server_address = server_address
        self._changes = -1
        self._registry, self._discovery, self._openapi = self._made(None)

    def registry(self) -> Registry:
        """Return all that is served."""
        self._renew()
        return self._registry

    def local(self) -> tuple[Registry, Discovery]:
        """Return the same, with the discovery documents about it."""
        self._renew()
        return self._registry, self._discovery

    def openapi(self) -> OpenApi:
        """Return the OpenAPI documents."""
        self._renew()
        return self._openapi

    def _renew(self) -> None:
        self._served.settle()
        if self._changes != self._served.changes:
            self._registry, self._discovery, self._openapi = self._made(self._openapi)

    def _made(self, previous: OpenApi | None) -> tuple[Registry, Discovery, OpenApi]:
        served = self._served
        self._changes = served.changes
        registry = served.registry()
        discovery = Discovery(registry, server_address=self._server_address)
        openapi = OpenApi(registry, custom=served.kinds(), previous=previous)
        return registry, discovery, openapi

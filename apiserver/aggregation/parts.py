"""The parts of aggregation put together."""

from __future__ import annotations

from apiserver.aggregation.endpoints import Endpoints
from apiserver.aggregation.extensions import Extensions
from apiserver.aggregation.keeper import AggregationKeeper
from apiserver.aggregation.merged_discovery import MergedDiscovery
from apiserver.aggregation.openapi import MergedOpenApi, RemoteOpenApi
from apiserver.proxying.wire import Backends
from apiserver.server import Server
from kube.discovery import Discovery
from kube.openapi import OpenApi


class Aggregation:
    """What serves extensions' types, and what tells of them.

    Attributes:
        extensions: whose requests are, and how they get there.
        discovery, openapi: documents about our types and theirs.
        keeper: keeps all of it up with APIServices.
    """

    def __init__(self, server: Server, backends: Backends) -> None:
        settings, registry = server.settings, server.catalog.registry
        self.extensions = Extensions(settings.aggregation, Endpoints(server.store), backends)
        address = f"{settings.bind}:{settings.port}"
        local = (registry, Discovery(registry, server_address=address))
        self.discovery = MergedDiscovery(lambda: local)
        self.openapi = MergedOpenApi(OpenApi(registry), RemoteOpenApi(backends))
        self.keeper = AggregationKeeper(
            server, self.extensions, self.discovery, self.openapi.remote, backends
        )

"""The parts of aggregation put together."""

from __future__ import annotations

from apiserver.aggregation.endpoints import Endpoints
from apiserver.aggregation.extensions import Extensions
from apiserver.aggregation.keeper import AggregationKeeper
from apiserver.aggregation.merged_discovery import MergedDiscovery
from apiserver.aggregation.openapi import MergedOpenApi, RemoteOpenApi
from apiserver.custom.documents import Documents
from apiserver.proxying.wire import Backends
from apiserver.server import Server


class Aggregation:
    """What serves extensions' types, and what tells of them.

    Attributes:
        extensions: whose requests are, and how they get there.
        discovery: documents about our types and theirs.
        keeper: keeps all of it up with APIServices.
    """

    def __init__(self, server: Server, documents: Documents, backends: Backends) -> None:
        self.extensions = Extensions(server.settings.aggregation, Endpoints(server.store), backends)
        self.discovery = MergedDiscovery(documents.local)
        self._documents = documents
        self._remote = RemoteOpenApi(backends)
        self._openapi = MergedOpenApi(documents.openapi(), self._remote)
        self.keeper = AggregationKeeper(
            server, self.extensions, self.discovery, self._remote, documents.registry, backends
        )

    def openapi(self) -> MergedOpenApi:
        """Return the OpenAPI documents, of our types as they are now and theirs."""
        local = self._documents.openapi()
        if local is not self._openapi.local:
            # Another, and not the same changed: a thread may be making a document of it.
            self._openapi = MergedOpenApi(local, self._remote)
        return self._openapi

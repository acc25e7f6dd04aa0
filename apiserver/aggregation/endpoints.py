"""Where the Services are that APIServices name: followed, so that a request costs no search.

There is no service network here, so a cluster IP leads nowhere: one of the endpoints is dialled, as
upstream does with --enable-aggregator-routing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apiserver.aggregation.model import Reference
from apiserver.following import Following
from apiserver.proxying.places import (
    SERVICE_LABEL,
    SLICES,
    any_endpoint,
    is_ready,
    no_endpoints,
    port_of,
)
from kube import status as st
from kube.field import quote
from kube.json_types import JsonObject
from storage.store_view import StoreView
from storage.watcher import Scope

SERVICES: Final = "services"
_Key = tuple[str, str]


class _Kept:
    """Objects of one scope, by name, that are labelled as wanted; a Sink."""

    def __init__(self, services: frozenset[str] | None = None) -> None:
        self.objects: dict[str, JsonObject] = {}
        self._services = services

    def put(self, _storage: str, obj: JsonObject) -> None:
        """See Sink."""
        metadata = obj["metadata"]
        label = (metadata.get("labels") or {}).get(SERVICE_LABEL, "")
        if self._services is None or label in self._services:
            self.objects[metadata["name"]] = obj
        else:
            self.objects.pop(metadata["name"], None)

    def drop(self, _storage: str, _namespace: str, name: str) -> None:
        """See Sink."""
        self.objects.pop(name, None)

    def clear(self, _storage: str) -> None:
        """See Sink."""
        self.objects.clear()


class Endpoints:
    """The Services followed, and their endpoint slices."""

    def __init__(self, store: StoreView) -> None:
        self._store = store
        self._wanted: frozenset[_Key] = frozenset()
        self._followings: list[Following] = []
        self._services: dict[_Key, _Kept] = {}
        self._slices: dict[str, _Kept] = {}

    def follow(self, references: Iterable[Reference]) -> None:
        """Follow just these from now on."""
        wanted = frozenset((one.namespace, one.name) for one in references)
        if wanted == self._wanted:
            return
        self.close()
        self._wanted = wanted
        for namespace, name in wanted:
            service = self._services[namespace, name] = _Kept()
            self._add(Scope(SERVICES, namespace=namespace, name=name), service)
        for namespace in {one for one, _ in wanted}:
            names = frozenset(name for one, name in wanted if one == namespace)
            slices = self._slices[namespace] = _Kept(names)
            self._add(Scope(SLICES, namespace=namespace), slices)

    def _add(self, scope: Scope, kept: _Kept) -> None:
        self._followings.append(Following(self._store, [scope], kept))

    def settle(self) -> bool:
        """Take in what has happened; return whether that may be anything.

        Raises:
            StorageError: the replica cannot be read.
        """
        # A list: all of them are to settle, whatever the first one says.
        return any([following.settle() for following in self._followings])

    def close(self) -> None:
        """Follow nothing."""
        for following in self._followings:
            following.close()
        self._followings.clear()
        self._services.clear()
        self._slices.clear()
        self._wanted = frozenset()

    def service(self, reference: Reference) -> JsonObject | None:
        """Return the Service, None if there is none."""
        kept = self._services.get((reference.namespace, reference.name))
        return kept.objects.get(reference.name) if kept is not None else None

    def slices(self, reference: Reference) -> list[JsonObject]:
        """Return its endpoint slices."""
        kept = self._slices.get(reference.namespace)
        return [
            one
            for one in (kept.objects.values() if kept is not None else ())
            if one["metadata"]["labels"][SERVICE_LABEL] == reference.name
        ]

    def address(self, reference: Reference) -> tuple[str, int]:
        """Return host and port of one that serves.

        Raises:
            StatusError: 503, there is none.
        """
        service = self.service(reference)
        if service is None:
            raise st.not_found("", SERVICES, reference.name)
        spec = service.get("spec") or {}
        kind = spec.get("type", "ClusterIP")
        if kind == "ExternalName":
            return spec.get("externalName", "").rstrip("."), reference.port
        port = port_of(spec, reference.port)
        if port is None:
            raise st.service_unavailable(
                f"no service port {reference.port} found for service {quote(reference.name)}", 0
            )
        families = spec.get("ipFamilies") or ()
        found = any_endpoint(self.slices(reference), port.get("name", ""), families)
        if found is None:
            raise no_endpoints(reference.name)
        return found


def has_endpoint(slices: Iterable[JsonObject], port_name: str) -> bool:
    """Tell whether any slice has both a ready endpoint and the port, as upstream looks at it."""
    return any(
        any(is_ready(endpoint) for endpoint in one.get("endpoints") or ())
        and any(
            port.get("name", "") == port_name and port.get("port")
            for port in one.get("ports") or ()
        )
        for one in slices
    )

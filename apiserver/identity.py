"""Which API servers there are: a Lease of each in kube-system, as upstream's have it.

A server renews its Lease every ten seconds, under a name that is made of its host's, and takes away
those of others that were not renewed for as long as they said. Who holds what servers said of
themselves, such as their storage versions, goes by the Leases.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import uuid
from typing import Final

import orjson

from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE, DeleteOptions
from apiserver.server import Server
from apiserver.verbs.create import create_object
from apiserver.verbs.delete import delete_object
from apiserver.verbs.update import Change
from kube import times
from kube.json_types import JsonObject
from kube.status import StatusError
from storage.record import Record
from storage.scan import Query

LABEL: Final = "apiserver.kubernetes.io/identity"
KIND: Final = "kube-apiserver"
NAMESPACE: Final = "kube-system"
RENEW_S: Final = 10.0
DURATION_S: Final = 3600
"""Of a Lease, and between two looks at those of others."""
_STORAGE: Final = "coordination.k8s.io/leases"
_log: Final = logging.getLogger(__name__)


def identity_of(host: str) -> str:
    """Return the name by which the server of a host is known."""
    digest = hashlib.sha256(host.encode()).digest()[:16]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


class IdentityLease:
    """See the module's head.

    Args of the constructor:
        server: whose Lease it is.
        host: where it runs, "" for this one.
    """

    def __init__(self, server: Server, host: str = "") -> None:
        self._server = server
        self._host = host or socket.gethostname()
        self.name = identity_of(self._host)
        self._holder = f"{self.name}_{uuid.uuid4()}"
        self._next_look_s = 0.0

    async def run(self) -> None:
        """Renew the Lease until cancelled."""
        clock = self._server.clock
        while True:
            try:
                await self.renew()
                if clock.monotonic_s() >= self._next_look_s:
                    self._next_look_s = clock.monotonic_s() + DURATION_S
                    await self.clear()
            except StatusError as error:
                _log.info("the lease %s is not renewed: %s", self.name, error.message)
            await clock.sleep(RENEW_S)

    async def renew(self) -> None:
        """Say that this server is there.

        Raises:
            StatusError: the store is not to be written to now.
        """
        server, caller = self._server, ServerItself()
        resource = server.catalog.by_storage[_STORAGE]
        now_s = server.clock.now_s()
        renewed = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": DURATION_S,
            "renewTime": times.format_micros(int(now_s * 1_000_000)),
        }
        labels = {LABEL: KIND, "kubernetes.io/hostname": self._host}
        if server.peek(resource, NAMESPACE, self.name) is None:
            obj = {"metadata": {"name": self.name, "labels": labels}, "spec": renewed}
            try:
                await create_object(server, caller, resource, NAMESPACE, obj, PLAIN_WRITE)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
            else:
                return

        def produce(_record: Record, old: JsonObject) -> JsonObject:
            metadata = old["metadata"]
            kept = {**(metadata.get("labels") or {}), **labels}
            spec = {**(old.get("spec") or {}), **renewed}
            return {**old, "metadata": {**metadata, "labels": kept}, "spec": spec}

        await Change(server, caller, resource, produce, PLAIN_WRITE).apply(NAMESPACE, self.name)

    async def clear(self) -> None:
        """Take away the Leases of servers that are not there any more.

        Raises:
            StatusError: the store is not to be written to now.
        """
        server = self._server
        resource = server.catalog.by_storage[_STORAGE]
        now_s = server.clock.now_s()
        with server.store.scan(Query(_STORAGE, namespace=NAMESPACE)) as scan:
            leases = [orjson.loads(record.body) for page in scan for record in page]
        for lease in leases:
            if not is_expired(lease, now_s):
                continue
            name = lease["metadata"]["name"]
            _log.info("the server of lease %s is gone", name)
            try:
                key = (NAMESPACE, name)
                await delete_object(server, ServerItself(), resource, key, DeleteOptions())
            except StatusError as error:
                if error.reason not in ("NotFound", "Conflict"):
                    raise


def is_expired(lease: JsonObject, now_s: float) -> bool:
    """Tell whether a Lease is a server's that has not renewed it for long."""
    if (lease["metadata"].get("labels") or {}).get(LABEL) != KIND:
        return False
    spec = lease.get("spec") or {}
    renewed = spec.get("renewTime")
    seconds = spec.get("leaseDurationSeconds")
    if not renewed or seconds is None:
        return True
    return bool(times.epoch_seconds(renewed) + seconds < now_s)

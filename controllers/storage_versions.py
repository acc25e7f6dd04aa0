"""What servers that are gone said of how they store types is taken away (storageversiongc).

A StorageVersion has an entry of each API server. Servers are known by their Leases in kube-system;
entries of others go, and with the last one the object. What all who are left agree on is said anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
VERSIONS: Final = "/apis/internal.apiserver.k8s.io/v1alpha1/storageversions"
IDENTITY: Final = "apiserver.kubernetes.io/identity"
SERVER: Final = "kube-apiserver"
OF_SERVERS: Final = {"labelSelector": f"{IDENTITY}={SERVER}"}
_CONDITION: Final = "AllEncodingVersionsEqual"


class StorageVersionController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        leases: the informer of servers' Leases.
        versions: the informer of StorageVersions.
    """

    def __init__(self, client: ApiClient, leases: Informer, versions: Informer) -> None:
        self._client = client
        self._leases, self._versions = leases.store, versions.store
        self._queue: WorkQueue[str] = WorkQueue()
        leases.on_changes(self._observe_leases)
        versions.on_changes(self._observe_versions)

    def start(self, scope: TaskScope) -> None:
        """Start the worker."""
        scope.spawn(run_worker(self._queue, self.sync), name="storage versions")

    def _observe_leases(self, deltas: Sequence[Delta]) -> None:
        if any(delta.change is Change.DELETED for delta in deltas):
            # Servers are few, and go rarely.
            for name in self._versions.all_keys():
                self._queue.add(name)

    def _observe_versions(self, deltas: Sequence[Delta]) -> None:
        for delta in deltas:
            if delta.change is not Change.DELETED:
                self._queue.add(delta.key)

    async def sync(self, name: str) -> None:
        """Take the entries of servers that are gone out of an object."""
        known = self._versions.get(name)
        if known is None or all(server in self._known() for server in servers_of(known)):
            return
        path = f"{VERSIONS}/{name}"
        try:
            fresh = await self._client.request("GET", path)
            gone = {one for one in servers_of(fresh) if not await self._is_there(one)}
            if not gone:
                return
            now = times.format_seconds(int(self._client.clock.now_s()))
            left = without(fresh, gone, now)
            if left is None:
                await self._client.request("DELETE", path)
            else:
                await self._client.request("PUT", f"{path}/status", left)
        except StatusError as error:
            if error.code != 404:
                raise

    def _known(self) -> set[str]:
        return {key.partition("/")[2] for key in self._leases.all_keys()}

    async def _is_there(self, server: str) -> bool:
        try:
            lease = await self._client.request("GET", f"{LEASES}/{server}")
        except StatusError as error:
            if error.code != 404:
                raise
            return False
        return bool((lease["metadata"].get("labels") or {}).get(IDENTITY) == SERVER)


def servers_of(version: JsonObject) -> list[str]:
    """Return the servers that an object has entries of."""
    entries = (version.get("status") or {}).get("storageVersions") or ()
    return [one.get("apiServerID", "") for one in entries]


def without(version: JsonObject, gone: set[str], now: str) -> JsonObject | None:
    """Return an object without the entries of some servers; None: it has none left.

    Args:
        version: a StorageVersion; not changed.
        gone: the servers.
        now: the time, as the API writes it.
    """
    status = version.get("status") or {}
    entries = [
        one for one in status.get("storageVersions") or () if one.get("apiServerID") not in gone
    ]
    if not entries:
        return None
    versions = {one.get("encodingVersion", "") for one in entries}
    before = status.get("commonEncodingVersion")
    made = {**status, "storageVersions": entries}
    made.pop("commonEncodingVersion", None)
    common = versions.pop() if len(versions) == 1 else None
    if common is not None:
        made["commonEncodingVersion"] = common
    has_moved = None not in (before, common) and before != common
    made["conditions"] = _conditions(
        version, now, is_common=common is not None, has_moved=has_moved
    )
    return {**version, "status": made}


def _conditions(
    version: JsonObject, now: str, *, is_common: bool, has_moved: bool
) -> list[JsonObject]:
    known = (version.get("status") or {}).get("conditions") or []
    said = "set" if is_common else "unset"
    wanted = {
        "type": _CONDITION,
        "status": "True" if is_common else "False",
        "observedGeneration": version["metadata"].get("generation", 0),
        "lastTransitionTime": now,
        "reason": f"CommonEncodingVersion{said.title()}",
        "message": f"Common encoding version {said}",
    }
    old = next((one for one in known if one["type"] == _CONDITION), None)
    if old is not None and old["status"] == wanted["status"] and not has_moved:
        wanted["lastTransitionTime"] = old.get("lastTransitionTime", now)
    return [*(one for one in known if one["type"] != _CONDITION), wanted]

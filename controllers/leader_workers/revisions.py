"""The templates that a LeaderWorkerSet had, as ControllerRevisions.

What is kept is the patch that brings back `leaderWorkerTemplate` and `networkConfig`; a group that
is made anew in the middle of an update gets what it had by it. A revision's key is the hash of its
patch: leaders, workers and their StatefulSets have it as a label. Once all groups have the newest,
the others are deleted. What was written is known at once, before the watch tells of it.
"""

from __future__ import annotations

from typing import Final

import orjson

from controllers.leader_workers.names import LEADER_WORKER_SET, NAME, REVISION, revision_of
from controllers.leader_workers.wanted import subdomain_policy
from controllers.workloads.history import CONTROLLER_REVISION, name_of, number_of
from controllers.workloads.replica_sets import OWNER_INDEX
from controllers.workloads.revisions import hashed
from kube.client import ApiClient
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

_PREFIX_MAX: Final = 220
_PARTS: Final = ("leaderWorkerTemplate", "networkConfig")


def patch_of(lws: JsonObject) -> JsonObject:
    """Return the patch that brings back what a set's groups are made of."""
    spec = lws["spec"]
    network = spec.get("networkConfig") or {}
    kept = {
        "leaderWorkerTemplate": spec["leaderWorkerTemplate"],
        "networkConfig": {**network, "subdomainPolicy": subdomain_policy(spec)},
    }
    return {"spec": {part: {**value, "$patch": "replace"} for part, value in kept.items()}}


def key_of(patch: JsonObject) -> str:
    """Return the hash that tells a patch from others."""
    return hashed(orjson.dumps(patch, option=orjson.OPT_SORT_KEYS))


def restored(lws: JsonObject, revision: JsonObject) -> JsonObject:
    """Return a set as it was by a revision."""
    data = (revision.get("data") or {}).get("spec") or {}
    kept = {
        part: {key: value for key, value in data[part].items() if key != "$patch"}
        for part in _PARTS
        if part in data
    }
    return {**lws, "spec": {**lws["spec"], **kept}}


class RevisionBook:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        store: of ControllerRevisions, indexed by their owner.
    """

    def __init__(self, client: ApiClient, store: Store) -> None:
        self._client = client
        self._store = store
        self._made: dict[str, dict[str, JsonObject]] = {}

    def all_of(self, lws: JsonObject) -> list[JsonObject]:
        """Return a set's revisions, the oldest first."""
        uid = lws["metadata"]["uid"]
        found = {name_of(one): one for one in self._store.find(OWNER_INDEX, uid)}
        made = self._made.get(uid, {})
        for name in found.keys() & made.keys():
            del made[name]  # the watch has told of it
        return sorted((*found.values(), *made.values()), key=number_of)

    def find(self, lws: JsonObject, key: str) -> JsonObject | None:
        """Return a set's revision by its key, the newest of several."""
        if not key:
            return None
        alike = [one for one in self.all_of(lws) if revision_of(one) == key]
        return alike[-1] if alike else None

    async def make(self, lws: JsonObject, key: str = "") -> JsonObject:
        """Return the revision of a set's template as it is; written if there is none.

        Args:
            lws: the set.
            key: under which the set's groups know it already; "" for the hash.

        Raises:
            StatusError, Unreachable: it was not written, as far as is known.
        """
        patch = patch_of(lws)
        digest = key_of(patch)
        key = key or digest
        known = self.all_of(lws)
        for one in reversed(known):
            if revision_of(one) == key and one.get("data") == patch:
                return one
        metadata = lws["metadata"]
        number = number_of(known[-1]) + 1 if known else 1
        wanted = {
            "apiVersion": CONTROLLER_REVISION.api_version,
            "kind": CONTROLLER_REVISION.kind,
            "metadata": {
                "name": f"{metadata['name'][:_PREFIX_MAX]}-{digest}-{number}",
                "namespace": metadata["namespace"],
                "labels": {NAME: metadata["name"], REVISION: key},
                "ownerReferences": [LEADER_WORKER_SET.controls(lws)],
            },
            "data": patch,
            "revision": number,
        }
        made = await self._create(wanted)
        self._made.setdefault(metadata["uid"], {})[name_of(made)] = made
        return made

    async def _create(self, wanted: JsonObject) -> JsonObject:
        metadata = wanted["metadata"]
        path = CONTROLLER_REVISION.path(f"{metadata['namespace']}/{metadata['name']}")
        try:
            return await self._client.request("POST", path.rpartition("/")[0], wanted)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            # Written before this process started, or of a set of that name that is gone by now.
            found = await self._client.request("GET", path)
            if found["metadata"].get("ownerReferences") != metadata["ownerReferences"]:
                raise
            return found

    async def truncate(self, lws: JsonObject, key: str) -> None:
        """Delete all revisions but those of a key.

        Raises:
            StatusError, Unreachable: one was not deleted.
        """
        made = self._made.get(lws["metadata"]["uid"], {})
        for one in self.all_of(lws):
            if revision_of(one) == key:
                continue
            path = CONTROLLER_REVISION.path(f"{lws['metadata']['namespace']}/{name_of(one)}")
            try:
                await self._client.request("DELETE", path)
            except StatusError as error:
                if error.code != 404:
                    raise
            made.pop(name_of(one), None)

    def forget(self, uid: str) -> None:
        """Forget what was written for a set that is gone."""
        self._made.pop(uid, None)

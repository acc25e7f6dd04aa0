"""The revisions of a DaemonSet's template, and which of them its pods have (daemon/update.go)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from controllers.workloads.claims import Matches, pod_path
from controllers.workloads.daemon_pods import DAEMON_SET
from controllers.workloads.history import (
    CONTROLLER_REVISION,
    POD_LABEL,
    History,
    label_of,
    number_of,
    remembers,
)
from controllers.workloads.pods import PodBrief
from controllers.workloads.status_writes import write_status
from kube.client import ApiClient, Patch
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError


class Lineage(NamedTuple):
    """A set's revisions.

    Attributes:
        digest: by which pods of the current one are known.
        old: the others, in their order.
    """

    digest: str
    old: list[JsonObject]


class DaemonHistory:
    """The revisions of all sets."""

    def __init__(self, client: ApiClient, store: Store) -> None:
        self._client = client
        self._history = History(client, DAEMON_SET, POD_LABEL, store)

    async def of(
        self, owner: JsonObject, matches: Matches, pods: Sequence[PodBrief]
    ) -> Lineage | None:
        """Return a set's revisions, made and numbered as its template asks for.

        Returns:
            None: the name of the new one is taken, and the status now says that it needs another.

        Raises:
            CannotAdopt, StatusError, Unreachable: as claims and writes do.
        """
        template = owner["spec"]["template"]
        found = [
            await self._labelled(one)
            for one in await self._history.claim(owner, matches, releases=True)
        ]
        alike = [one for one in found if remembers(one, template)]
        old = [one for one in found if not remembers(one, template)]
        number = max(map(number_of, old), default=0) + 1
        if not alike:
            current = await self._create(owner, number)
            return None if current is None else Lineage(label_of(current, POD_LABEL), old)
        current = await self._keep_one(alike, pods)
        if number_of(current) < number:
            current = await self._history.renumber(current, number)
        return Lineage(label_of(current, POD_LABEL), old)

    async def _create(self, owner: JsonObject, number: int) -> JsonObject | None:
        collisions = int((owner.get("status") or {}).get("collisionCount", 0))
        made = await self._history.create(self._history.new(owner, number, collisions))
        if made is not None:
            return await self._labelled(made)

        def count(known: JsonObject) -> JsonObject:
            # Counted once, though the cache does not know yet that it was.
            return {**known, "collisionCount": max(collisions + 1, known.get("collisionCount", 0))}

        await write_status(self._client, DAEMON_SET, owner, count)
        return None

    async def _labelled(self, revision: JsonObject) -> JsonObject:
        """Return a revision that pods can be known by; its name tells it from all others."""
        if label_of(revision, POD_LABEL):
            return revision
        metadata = revision["metadata"]
        path = CONTROLLER_REVISION.path(f"{metadata['namespace']}/{metadata['name']}")
        change = {"metadata": {"labels": {POD_LABEL: metadata["name"]}}}
        return await self._client.request("PATCH", path, Patch(change))

    async def _keep_one(self, alike: list[JsonObject], pods: Sequence[PodBrief]) -> JsonObject:
        """Return the last of the revisions of one template; the others' pods become its own."""
        kept = alike[-1]
        surplus = [one for one in alike if one is not kept]
        if surplus:
            digests = {(POD_LABEL, label_of(one, POD_LABEL)) for one in surplus}
            digest = label_of(kept, POD_LABEL)
            for pod in pods:
                if not digests.isdisjoint(pod.labels) and (POD_LABEL, digest) not in pod.labels:
                    await self._relabel(pod, digest)
            await self._history.delete(surplus)
        return kept

    async def _relabel(self, pod: PodBrief, digest: str) -> None:
        change = {"metadata": {"uid": pod.uid, "labels": {POD_LABEL: digest}}}
        try:
            await self._client.request("PATCH", pod_path(pod.key), Patch(change))
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def forget(self, owner: JsonObject, lineage: Lineage, pods: Sequence[PodBrief]) -> None:
        """Delete the oldest revisions that are more than are to be remembered, and not in use."""
        surplus = len(lineage.old) - int(owner["spec"].get("revisionHistoryLimit", 10))
        if surplus <= 0:
            return
        used = {value for pod in pods for key, value in pod.labels if key == POD_LABEL}
        unused = [one for one in lineage.old if label_of(one, POD_LABEL) not in used]
        await self._history.delete(unused[:surplus])

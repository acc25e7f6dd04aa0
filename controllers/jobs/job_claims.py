"""Which pods are a Job's: orphans it selects are adopted, with the finalizer; others are let go.

The rule is that of workloads/claims.py. A generated selector asks for the Job's uid, so orphans are
kept by the uid that they name, and a Job looks at those that name it: nobody looks at all the
orphans of a namespace but for a Job whose selector was written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controllers.jobs.job_pods import FINALIZER, JobPod, JobPodBook
from controllers.jobs.templates import JOB
from controllers.workloads.claims import Claims, pod_path
from controllers.workloads.pods import ORPHANS, Labels, PodBook, PodBrief, selects
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.json_types import JsonObject
from kube.status import StatusError

CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
LEGACY_CONTROLLER_UID: Final = "controller-uid"
_UIDS: Final = (CONTROLLER_UID, LEGACY_CONTROLLER_UID)
_GONE_CODES: Final = (404, 409, 422)


def selected_uid(job: JsonObject) -> str | None:
    """Return the uid that a Job's selector asks for; None: it asks for none."""
    labels = (job["spec"].get("selector") or {}).get("matchLabels") or {}
    for name in _UIDS:
        if name in labels:
            uid: str = labels[name]
            return uid
    return None


def named_uids(labels: Labels) -> set[str]:
    """Return the uids of Jobs that a pod's labels name."""
    return {value for name, value in labels if name in _UIDS}


class Orphans:
    """The orphans that name a Job's uid, by that; fed as a listener of the book of all pods."""

    def __init__(self) -> None:
        self._keys: dict[str, set[str]] = {}

    def observe(self, old: PodBrief | None, new: PodBrief | None) -> None:
        """Take note of a change."""
        before = named_uids(old.labels) if old is not None and old.owner is None else set()
        after = named_uids(new.labels) if new is not None and new.owner is None else set()
        for uid in before - after:
            assert old is not None
            keys = self._keys[uid]
            keys.discard(old.key)
            if not keys:
                del self._keys[uid]
        for uid in after - before:
            assert new is not None
            self._keys.setdefault(uid, set()).add(new.key)

    def naming(self, uid: str) -> list[str]:
        """Return the keys of those that name a uid."""
        return sorted(self._keys.get(uid, ()))


class JobClaims:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        pods: all pods.
        book: the pods of Jobs.
    """

    def __init__(self, client: ApiClient, pods: PodBook, book: JobPodBook) -> None:
        self._client = client
        self._pods = pods
        self._book = book
        self._claims = Claims(client, JOB, pods)
        self.orphans = Orphans()
        pods.listen_for(ORPHANS, self.orphans.observe)

    async def claim(self, job: JsonObject) -> None:
        """Adopt and release; the book knows of it afterwards.

        Raises:
            CannotAdopt: the Job is going, or is another by now.
            StatusError, Unreachable: the server refused, or is away.
        """
        metadata = job["metadata"]
        if "deletionTimestamp" in metadata:
            return
        matches = selects(job["spec"].get("selector"))
        pods = self._book.of(metadata["uid"])
        for key in sorted(pods.unchecked):
            pod = self._book.get(key)
            if pod is None:
                continue
            if not matches(dict(pod.labels)):
                await self._release(job, pod)
            pods.unchecked.discard(key)
        checked = False
        for orphan in self._candidates(job):
            if orphan.is_deleting or orphan.owner is not None:
                continue
            if not matches(dict(orphan.labels)):
                continue
            if not checked:
                await self._claims.check_alive(job)
                checked = True
            reference = JOB.controls(job)
            change = {"ownerReferences": [reference], "finalizers": [FINALIZER]}
            await self._patch(orphan.key, orphan.uid, change)

    def _candidates(self, job: JsonObject) -> Iterable[PodBrief]:
        namespace = job["metadata"]["namespace"]
        uid = selected_uid(job)
        if uid is None:
            return list(self._pods.orphans(namespace))
        found = (self._pods.get(key) for key in self.orphans.naming(uid))
        # Labels are anybody's: a pod of another namespace may name the uid, too.
        return [pod for pod in found if pod is not None and pod.key.partition("/")[0] == namespace]

    async def _release(self, job: JsonObject, pod: JobPod) -> None:
        change = {
            "ownerReferences": [{"$patch": "delete", "uid": job["metadata"]["uid"]}],
            "$deleteFromPrimitiveList/finalizers": [FINALIZER],
        }
        if not await self._patch(pod.key, pod.uid, change):
            self._book.note_gone(pod)

    async def _patch(self, key: str, uid: str, change: JsonObject) -> bool:
        """Return whether the pod was there to be changed."""
        try:
            patch = Patch({"metadata": {"uid": uid, **change}}, STRATEGIC_PATCH)
            answer = await self._client.request("PATCH", pod_path(key), patch)
        except StatusError as error:
            if error.code in _GONE_CODES:
                return False
            raise
        self._book.note(answer)
        return True

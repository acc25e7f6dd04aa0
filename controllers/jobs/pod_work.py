"""What a Job does to its pods: create, delete, let go; many at a time, a bounded number at once.

Whatever the server answers is noted in the book of pods at once, so that the next sync knows it. A
pod that is gone already has lost its finalizer with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from controllers.jobs.job_pods import FINALIZER, JobPod, JobPodBook
from controllers.jobs.templates import JOB
from controllers.recorder import Recorder
from controllers.workloads.claims import pod_path
from controllers.workloads.pod_control import Failure, PodControl, has_cause, slow_start
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

AT_ONCE: Final = 64
_GONE_CODES: Final = (404, 409)
T = TypeVar("T")


class Deleted(NamedTuple):
    """What came of deleting pods.

    Attributes:
        total: how many are deleted, or were gone.
        ready: how many of them were ready.
        failure: the first, if any.
    """

    total: int = 0
    ready: int = 0
    failure: Failure | None = None


async def each(items: Sequence[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Do something with each item, `AT_ONCE` at a time."""
    left: Iterator[T] = iter(items)

    async def work() -> None:
        for item in left:
            await do(item)

    workers = (work() for _ in range(min(AT_ONCE, len(items))))
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class PodWork:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        book: where it is noted.
    """

    def __init__(self, client: ApiClient, recorder: Recorder, book: JobPodBook) -> None:
        self._client = client
        self._control = PodControl(client, recorder, JOB)
        self._book = book

    async def create(
        self, job: JsonObject, pods: Sequence[JsonObject]
    ) -> tuple[int, Failure | None]:
        """Create pods, slowly at first; return how many were, and the first failure.

        That the namespace is being deleted is none: no create will succeed any more, and the
        namespace's end takes the Job, too.
        """

        async def create(pod: JsonObject) -> None:
            self._book.note(await self._control.create(job, pod))

        created, failure = await slow_start(pods, create)
        if failure is not None and has_cause(failure, "NamespaceTerminating"):
            failure = None
        return created, failure

    async def delete(self, job: JsonObject, pods: Sequence[JobPod], *, untracked: bool) -> Deleted:
        """Delete pods.

        Args:
            job: whose they are.
            pods: which.
            untracked: take their finalizers away before, as their ends are not to be counted.
        """
        failures: dict[str, Failure] = {}

        async def delete(pod: JobPod) -> None:
            try:
                if untracked and pod.is_tracked:
                    await self.untrack(pod)
                await self._control.delete(job, pod.key)
            except StatusError as error:
                if error.code != 404:
                    failures[pod.key] = error
                    return
                self._book.note_gone(pod)
            except Unreachable as error:
                failures[pod.key] = error
            else:
                self._book.note_deleting(pod)

        await each(pods, delete)
        deleted = [pod for pod in pods if pod.key not in failures]
        failure = next(iter(failures.values()), None)
        return Deleted(len(deleted), sum(pod.is_ready for pod in deleted), failure)

    async def untrack_all(self, pods: Sequence[JobPod]) -> tuple[set[str], Failure | None]:
        """Take pods' finalizers away; return the uids of those without, and the first failure."""
        done: set[str] = set()
        failures: list[Failure] = []

        async def untrack(pod: JobPod) -> None:
            try:
                await self.untrack(pod)
            except (StatusError, Unreachable) as error:
                failures.append(error)
            else:
                done.add(pod.uid)

        await each(pods, untrack)
        return done, failures[0] if failures else None

    async def untrack(self, pod: JobPod) -> None:
        """Take a pod's finalizer away.

        Raises:
            StatusError, Unreachable: it may have it still.
        """
        if (answer := await untrack(self._client, pod.key, pod.uid)) is None:
            self._book.note_gone(pod)
        else:
            self._book.note(answer)


async def untrack(client: ApiClient, key: str, uid: str) -> JsonObject | None:
    """Take the finalizer of a pod away; return the pod then, None: it is gone.

    Raises:
        StatusError, Unreachable: it may have it still.
    """
    change = {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
    try:
        patch = Patch({"metadata": change}, STRATEGIC_PATCH)
        return await client.request("PATCH", pod_path(key), patch)
    except StatusError as error:
        # Gone, or replaced by another of its name: that has another uid.
        if error.code in _GONE_CODES:
            return None
        raise

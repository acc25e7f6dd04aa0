"""Pods that are to be deleted at a time: when, why, and that somebody told users so.

Who decides, as by taints of nodes or of devices, calls `plan` and `cancel`; a `Cause` says how its
deletions are named. Appointments are in one heap with one sleeper for all: a pod costs a few words,
not a timer. One that was cancelled or moved stays in the heap until its time; it is known by its
number to be none. The heap is made anew when most of it is such.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from controllers.recorder import Recorder
from controllers.workloads.claims import pod_path
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 8
_LOOK_S: Final = 0.1
_STALE_MIN: Final = 1024


@dataclass(frozen=True, slots=True)
class Cause:
    """How deletions are named.

    Attributes:
        reason, message: of the pod's DisruptionTarget condition.
        event: the reason of events.
        names_pod: whether events say which pod they are about, in words too.
    """

    reason: str
    message: str
    event: str
    names_pod: bool = True


TAINT_MANAGER: Final = Cause(
    "DeletionByTaintManager",
    "Taint manager: deleting due to NoExecute taint",
    "TaintManagerEviction",
)


class Planned(NamedTuple):
    """A deletion that is to come.

    Attributes:
        uid: of the pod; another of that name is not meant.
        due_s: when it comes, by the monotonic clock.
        number: in the heap.
    """

    uid: str
    due_s: float
    number: int


class Evictions:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        cause: how deletions are named.

    Attributes:
        on_deleted: called with key and uid of each pod that was deleted.
    """

    def __init__(self, client: ApiClient, recorder: Recorder, cause: Cause = TAINT_MANAGER) -> None:
        self._client = client
        self._clock = client.clock
        self._recorder = recorder
        self._cause = cause
        self.on_deleted: Callable[[str, str], None] = lambda _key, _uid: None
        self._planned: dict[str, Planned] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._numbers = 0
        self._is_some = asyncio.Event()
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()

    def __len__(self) -> int:
        return len(self._planned)

    def start(self, scope: TaskScope) -> None:
        """Start to delete."""
        scope.spawn(self.run(), name="evictions")
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self._delete), name=f"evictions {number}")

    def planned(self, key: str) -> Planned | None:
        """Return when a pod is to be deleted; None: it is not."""
        return self._planned.get(key)

    def plan(self, key: str, uid: str, due_s: float) -> None:
        """Have a pod deleted at a time, at once if that has passed; instead of what was planned."""
        self._planned.pop(key, None)
        if due_s <= self._clock.monotonic_s():
            self._begin(key, uid)
            return
        self._numbers += 1
        self._planned[key] = Planned(uid, due_s, self._numbers)
        heapq.heappush(self._heap, (due_s, self._numbers, key))
        self._is_some.set()
        if len(self._heap) > _STALE_MIN and len(self._heap) > 2 * len(self._planned):
            self._heap = [(one.due_s, one.number, key) for key, one in self._planned.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: str) -> bool:
        """Let a pod be; return whether it was to be deleted, of which users are told."""
        if self._planned.pop(key, None) is None:
            return False
        self._tell(key, f"Cancelling deletion of Pod {key}", "Cancelling deletion")
        return True

    def forget(self, key: str) -> None:
        """Let a pod be that is gone, of which nobody is told."""
        self._planned.pop(key, None)

    async def run(self) -> None:
        """Queue what is due, until cancelled."""
        while True:
            await self._is_some.wait()
            self.take_due()
            if not self._heap:
                self._is_some.clear()
                continue
            await self._clock.sleep(_LOOK_S)

    def take_due(self) -> None:
        """Queue what is due now."""
        now_s = self._clock.monotonic_s()
        while self._heap and self._heap[0][0] <= now_s:
            _, number, key = heapq.heappop(self._heap)
            one = self._planned.get(key)
            if one is not None and one.number == number:
                del self._planned[key]
                self._begin(key, one.uid)

    def _begin(self, key: str, uid: str) -> None:
        self._tell(key, f"Marking for deletion Pod {key}", "Marking for deletion")
        self._queue.add((key, uid))

    async def _delete(self, wanted: tuple[str, str]) -> None:
        """Say why a pod is deleted, then delete it."""
        key, uid = wanted
        path = pod_path(key)
        try:
            pod = await self._client.request("GET", path)
            if pod["metadata"]["uid"] != uid:
                return
            if (condition := self._condition(pod)) is not None:
                body = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
                await self._client.request("PATCH", f"{path}/status", Patch(body, STRATEGIC_PATCH))
            options = {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "preconditions": {"uid": uid},
            }
            await self._client.request("DELETE", path, options)
            self.on_deleted(key, uid)
        except StatusError as error:
            # Gone, or another of that name meanwhile.
            if error.code not in (404, 409):
                raise
            if error.code == 409 and (await self._uid_of(path)) == uid:
                raise

    async def _uid_of(self, path: str) -> str:
        try:
            uid: str = (await self._client.request("GET", path))["metadata"]["uid"]
        except StatusError as error:
            if error.code != 404:
                raise
            return ""
        return uid

    def _condition(self, pod: JsonObject) -> JsonObject | None:
        """Return the condition that says why; None: it is there already."""
        wanted: JsonObject = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": self._cause.reason,
            "message": self._cause.message,
        }
        if generation := pod["metadata"].get("generation"):
            wanted["observedGeneration"] = generation
        for present in (pod.get("status") or {}).get("conditions") or ():
            if present["type"] == "DisruptionTarget":
                if all(present.get(name) == value for name, value in wanted.items()):
                    return None
                if present.get("status") == "True":
                    return {**wanted, "lastTransitionTime": present.get("lastTransitionTime")}
        now = times.format_seconds(int(self._clock.now_s()))
        return {**wanted, "lastTransitionTime": now}

    def _tell(self, key: str, long: str, short: str) -> None:
        namespace, _, name = key.partition("/")
        reference = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name}
        text = long if self._cause.names_pod else short
        self._recorder.note(reference, self._cause.event, text)

"""What pods are told: the condition PodScheduled and status.nominatedNodeName.

Of each pod only what is to be said last is kept, so a report that waits is replaced, not followed.
Nothing is written that the API has already. What could not be written is said again at the pod's
next attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import Final, NamedTuple

from controllers.scheduler.gangs import PodGroup
from controllers.scheduler.intake import SCHEDULED
from controllers.scheduler.queue import Waiting
from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

UNSCHEDULABLE: Final = "Unschedulable"
SCHEDULER_ERROR: Final = "SchedulerError"
_WORKERS: Final = 4
_WAITING_MAX: Final = 16_384
_log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What to say of a pod.

    Attributes:
        nominated: None leaves the nomination as it is.
    """

    pod: Waiting
    reason: str
    message: str
    nominated: str | None = None


class Reporter:
    """See the module's head.

    Attributes:
        groups_api: path of the version of the API that has pod groups.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.groups_api = ""
        self._waiting: OrderedDict[str, Report] = OrderedDict()
        self._groups: OrderedDict[str, tuple[PodGroup, str, str, str]] = OrderedDict()
        self._has_some = asyncio.Event()

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        for number in range(_WORKERS):
            scope.spawn(self._run(), name=f"reporter {number}")

    def tell(self, report: Report) -> None:
        """Have a pod told, unless it knows."""
        if _is_told(report):
            self._waiting.pop(report.pod.uid, None)
            return
        self._waiting[report.pod.uid] = report
        if len(self._waiting) > _WAITING_MAX:
            self._waiting.popitem(last=False)
        self._has_some.set()

    async def expect(self, pod: Waiting, node: str) -> None:
        """Have a pod told which node it is about to get: what it waits for may take long."""
        if pod.nominated == node:
            return
        namespace, _, name = pod.key.partition("/")
        patch = {"metadata": {"uid": pod.uid}, "status": {"nominatedNodeName": node}}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        try:
            await self._client.request("PATCH", path, Patch(patch, STRATEGIC_PATCH))
        except (StatusError, Unreachable) as error:
            _log.info("pod %s is not told of its node: %s", pod.key, error)
        else:
            pod.nominated = node

    def forget(self, uid: str) -> None:
        """Do not say any more what was to be said: the pod has its node."""
        self._waiting.pop(uid, None)

    def tell_group(self, group: PodGroup, status: str, reason: str, message: str) -> None:
        """Have a pod group told; one that was scheduled once stays so."""
        if group.told == (status, reason, message) or group.told[0] == "True":
            self._groups.pop(group.key, None)
            return
        self._groups[group.key] = (group, status, reason, message)
        if len(self._groups) > _WAITING_MAX:
            self._groups.popitem(last=False)
        self._has_some.set()

    async def _run(self) -> None:
        while True:
            await self._has_some.wait()
            if self._groups:
                key, told = self._groups.popitem(last=False)
                try:
                    await self._write_group(*told)
                except (StatusError, Unreachable) as error:
                    _log.info("pod group %s is not told: %s", key, error)
                continue
            if not self._waiting:
                self._has_some.clear()
                continue
            _, report = self._waiting.popitem(last=False)
            try:
                await self._write(report)
            except (StatusError, Unreachable) as error:
                _log.info("pod %s is not told: %s", report.pod.key, error)

    async def _write_group(self, group: PodGroup, status: str, reason: str, message: str) -> None:
        condition: JsonObject = {
            "type": "PodGroupScheduled",
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": group.generation,
            "lastTransitionTime": times.format_seconds(int(self._client.clock.now_s())),
        }
        namespace, _, name = group.key.partition("/")
        path = f"{self.groups_api}/namespaces/{namespace}/podgroups/{name}/status"
        patch = {"status": {"conditions": [condition]}}
        await self._client.request("PATCH", path, Patch(patch, STRATEGIC_PATCH))

    async def _write(self, report: Report) -> None:
        pod = report.pod
        namespace, _, name = pod.key.partition("/")
        condition: JsonObject = {
            "type": SCHEDULED,
            "status": "False",
            "reason": report.reason,
            "message": report.message,
            "lastProbeTime": None,
        }
        if pod.generation:
            condition["observedGeneration"] = pod.generation
        if pod.told_status != "False":
            now_s = int(self._client.clock.now_s())
            condition["lastTransitionTime"] = times.format_seconds(now_s)
        status: JsonObject = {"conditions": [condition]}
        if report.nominated is not None:
            status["nominatedNodeName"] = report.nominated or None
        # By its uid, so that a pod of the same name is not told.
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        await self._client.request("PATCH", path, Patch(patch, STRATEGIC_PATCH))
        pod.told, pod.told_status = (report.reason, report.message), "False"
        if report.nominated is not None:
            pod.nominated = report.nominated


def _is_told(report: Report) -> bool:
    pod = report.pod
    if report.nominated is not None and report.nominated != pod.nominated:
        return False
    return pod.told == (report.reason, report.message) and pod.told_status == "False"

"""The status of an autoscaler while it is looked at: what is new in it, and its conditions."""

from __future__ import annotations

import copy
from typing import Final

from controllers.recorder import Recorder
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import reference_of
from kube import times
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

AUTOSCALER: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")


class AutoscalerStatus:
    """See the module's head.

    Attributes:
        about: the autoscaler, as events refer to it.
    """

    def __init__(self, client: ApiClient, recorder: Recorder, found: JsonObject) -> None:
        self.about = reference_of(AUTOSCALER, found)
        self._client = client
        self._recorder = recorder
        self._found = found
        self._status: JsonObject = copy.deepcopy(found.get("status") or {})

    def set(self, kind: str, status: str, reason: str, text: str) -> None:
        """Set a condition; its time changes with its status alone."""
        conditions = self._status.setdefault("conditions", [])
        known = next((one for one in conditions if one["type"] == kind), None)
        if known is None:
            known = {"type": kind}
            conditions.append(known)
        if known.get("status") != status:
            now_s = self._client.clock.now_s()
            known["lastTransitionTime"] = times.format_seconds(int(now_s))
        known |= {"status": status, "reason": reason, "message": text}

    def count(
        self,
        current: int,
        desired: int | None,
        statuses: list[JsonObject] | None,
        *,
        rescaled_s: float | None = None,
    ) -> None:
        """Set what else there is.

        Args:
            current: how many there are.
            desired: how many there are to be, None: as before.
            statuses: of the metrics, None: nothing is known of them.
            rescaled_s: when the target was scaled, if it was.
        """
        known = self._status
        status: JsonObject = {
            "currentReplicas": current,
            "desiredReplicas": known.get("desiredReplicas", 0) if desired is None else desired,
            "currentMetrics": statuses,
        }
        for name in ("lastScaleTime", "conditions"):
            if name in known:
                status[name] = known[name]
        if rescaled_s is not None:
            status["lastScaleTime"] = times.format_seconds(int(rescaled_s))
        self._status = status

    async def write(self) -> None:
        """Write the status if it differs.

        Raises:
            StatusError, Unreachable: it was not written.
        """
        if _plain(self._status) == _plain(self._found.get("status") or {}):
            return
        metadata = self._found["metadata"]
        path = AUTOSCALER.path(f"{metadata['namespace']}/{metadata['name']}")
        try:
            wanted = {**self._found, "status": self._status}
            self._found = await self._client.request("PUT", f"{path}/status", wanted)
        except (StatusError, Unreachable) as error:
            if not (isinstance(error, StatusError) and error.code == 404):
                self._recorder.warn(self.about, "FailedUpdateStatus", str(error))
                raise


def _plain(status: JsonObject) -> JsonObject:
    """Return a status without what stands for nothing."""
    return {name: value for name, value in status.items() if value not in (None, [], 0)}

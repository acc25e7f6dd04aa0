"""Making and deleting a DaemonSet's pods as a survey says (manage, rollingUpdate, syncNodes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controllers.recorder import Recorder
from controllers.workloads.daemon_pods import DAEMON_SET, node_of, pods_for
from controllers.workloads.daemon_survey import Survey, limits_of
from controllers.workloads.expectations import Expectations
from controllers.workloads.failed_pods import FailedPods
from controllers.workloads.pod_control import (
    Failure,
    PodControl,
    at_once,
    has_cause,
    reference_of,
    slow_start,
)
from controllers.workloads.pods import PodBrief
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

BURST: Final = 250
_ROUNDS: Final = 20
"""Where there are many nodes a batch is larger: each costs a pass over all of them."""


class DaemonWork:
    """Does what is to be done, for all sets."""

    def __init__(self, client: ApiClient, recorder: Recorder, expected: Expectations) -> None:
        self._clock = client.clock
        self._control = PodControl(client, recorder, DAEMON_SET)
        self._recorder = recorder
        self._expected = expected
        self._failed = FailedPods()

    async def do(self, owner: JsonObject, survey: Survey, digest: str, nodes: int) -> float | None:
        """Make and delete a batch of pods; return when a failed one is to be looked at again.

        Raises:
            StatusError, Unreachable: not all of it was done, as far as is known.
        """
        gone, again_s = self._ended(owner, survey)
        lacking, surplus = survey.lacking, [*survey.surplus, *gone]
        if not lacking and not surplus:
            # An update goes on when there is as much as there is to be.
            surge, unavailable = limits_of(owner, survey.desired)
            if _is_rolling(owner):
                lacking = survey.update.surged(surge)
                surplus = survey.update.deletable(unavailable, survey.desired)
        burst = max(BURST, nodes // _ROUNDS)
        await self._write(owner, lacking[:burst], surplus[:burst], digest)
        return again_s

    def _ended(self, owner: JsonObject, survey: Survey) -> tuple[list[PodBrief], float | None]:
        """Return the ended pods that are deleted now, and when those that stay are due."""
        about = reference_of(DAEMON_SET, owner)
        generation = (owner.get("status") or {}).get("observedGeneration", 0)
        now_s = self._clock.monotonic_s()
        gone: list[PodBrief] = []
        waits: list[float] = []
        for pod in survey.failed:
            node = node_of(pod)
            key = (owner["metadata"]["uid"], generation, node)
            wait_s = self._failed.delay_s(key, now_s)
            if wait_s > 0:
                waits.append(wait_s)
                continue
            text = f"Found failed daemon pod {pod.key} on node {node}, will try to kill it"
            self._recorder.warn(about, "FailedDaemonPod", text)
            gone.append(pod)
        for pod in survey.succeeded:
            text = (
                f"Found succeeded daemon pod {pod.key} on node {node_of(pod)}, "
                "will try to delete it"
            )
            self._recorder.note(about, "SucceededDaemonPod", text)
            gone.append(pod)
        return gone, min(waits, default=None)

    async def _write(
        self, owner: JsonObject, nodes: Sequence[str], pods: Sequence[PodBrief], digest: str
    ) -> None:
        metadata = owner["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        make = pods_for(owner, digest)
        self._expected.expect(key, len(nodes), [pod.key for pod in pods])

        async def create(node: str) -> None:
            try:
                await self._control.create(owner, make(node))
            except StatusError as error:
                # No create will succeed any more, and the namespace's end takes the set, too.
                if not has_cause(error, "NamespaceTerminating"):
                    raise

        async def delete(pod: PodBrief) -> None:
            try:
                await self._control.delete(owner, pod.key)
            except (StatusError, Unreachable) as error:
                self._expected.deleted(key, pod.key)
                if not (isinstance(error, StatusError) and error.code == 404):
                    raise

        done = 0
        failure: Failure | None = None
        try:
            done, failure = await slow_start(nodes, create)
        finally:
            # No watch will tell of those that were not created.
            self._expected.created(key, len(nodes) - done)
        failures = await at_once(pods, delete)
        if failure is not None or failures:
            raise failure or failures[0]


def _is_rolling(owner: JsonObject) -> bool:
    strategy = owner["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")

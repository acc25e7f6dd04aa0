"""The controller of PodDisruptionBudgets: their status, by which evictions are judged.

A status is written when it differs, on the condition that the budget is as it was read: an eviction
takes from it at any time, and what it took must not come back. A budget that can't be counted
allows nothing, and its condition says why.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import orjson

from controllers.paced_queue import PacedQueue
from controllers.policy import budgets
from controllers.policy.expected_pods import ExpectedPods, NoOwner
from controllers.policy.scales import NoSuchKind
from controllers.policy.wording import selector_text
from controllers.recorder import Recorder
from controllers.selections import PodGroups
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import reference_of
from controllers.workloads.pods import PodBrief, selects
from controllers.workqueue import run_worker
from kube import times
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

BUDGET: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
_WORKERS: Final = 2
_CONFLICT_S: Final = 0.05
_UNMANAGED: Final = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a "
    "result, the status of the PDB cannot be calculated correctly, which may result in undefined "
    'behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
    "integer value."
)
_log = logging.getLogger(__name__)


class DisruptionController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        found: informer of budgets.
        groups: all pods.
        expected: how many pods there should be.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        found: Informer,
        groups: PodGroups,
        expected: ExpectedPods,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._budgets = found.store
        self._expected = expected
        self._paced = PacedQueue(client.clock)
        self._selections = groups.selections(self._observe_pod)
        found.on_changes(self._observe)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(
                run_worker(self._paced.queue, self._sync_timed), name=f"disruption {number}"
            )

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, before in deltas:
            if change is Change.DELETED:
                self._selections.drop(key)
            elif not before or orjson.loads(before)["spec"] != obj["spec"]:
                # Most changes are of the status alone, and matching all pods anew costs.
                self._selections.put(key, selects(obj["spec"].get("selector")))
            self._paced.add(key)

    def _observe_pod(
        self,
        old: PodBrief | None,
        new: PodBrief | None,
        before: frozenset[str],
        after: frozenset[str],
    ) -> None:
        if len(after) > 1 and before != after:
            assert new is not None
            first = min(after).partition("/")[2]
            text = (
                f'Pod "{new.namespace}"/"{new.name}" matches multiple PodDisruptionBudgets.  '
                f'Chose "{first}" arbitrarily.'
            )
            self._recorder.warn(_pod_reference(new), "MultiplePodDisruptionBudgets", text)
        if before == after and old is not None and new is not None and _counts_alike(old, new):
            return
        for key in before | after:
            self._paced.add_for_pod(key)

    async def _sync_timed(self, key: str) -> float | None:
        return await self._paced.timed(key, self.sync)

    async def sync(self, key: str) -> float | None:
        """Write a budget's status; return when to look again."""
        budget = self._budgets.get(key)
        if budget is None:
            self._paced.forget(key)
            return None
        try:
            return await self._count(key, budget)
        except StatusError as error:
            if error.code == 409:
                # An eviction was faster; the watch will tell of it.
                return _CONFLICT_S
            await self._fail(key, budget, error)
            raise
        except Unreachable as error:
            await self._fail(key, budget, error)
            raise
        except (NoOwner, NoSuchKind, ValueError) as error:
            # It is looked at again when its pods change.
            await self._fail(key, budget, error)
        return None

    async def _count(self, key: str, budget: JsonObject) -> float | None:
        about, spec = reference_of(BUDGET, budget), budget["spec"]
        pods = list(self._selections.pods(key))
        if not pods:
            self._recorder.note(about, "NoPods", "No matching pods found")
        expected, unmanaged = len(pods), list[str]()
        if budgets.needs_scale(spec):
            try:
                expected, unmanaged = await self._expected.count(pods)
            except (StatusError, Unreachable, NoOwner, NoSuchKind) as error:
                text = f"Failed to calculate the number of expected pods: {error}"
                self._recorder.warn(about, "CalculateExpectedPodCountFailed", text)
                raise
        elif spec.get("minAvailable") is None:
            expected = 0
        if unmanaged:
            text = _UNMANAGED.format(selector_text(spec.get("selector")))
            self._recorder.warn(about, "UnmanagedPods", text)
        now_s = self._client.clock.now_s()
        noted = (budget.get("status") or {}).get("disruptedPods") or {}
        disrupted = budgets.disrupted_pods(pods, noted, now_s)
        for pod in disrupted.expired:
            namespace = budget["metadata"]["namespace"]
            text = f"Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't"
            self._recorder.warn(_pod_reference(pod), "NotDeleted", text)
        counts = (
            budgets.count_healthy(pods, disrupted.times, now_s),
            budgets.desired_healthy(spec, expected),
            expected,
        )
        now = times.format_seconds(int(now_s))
        await self._write(key, budget, budgets.status_of(budget, counts, disrupted.times, now))
        # A second more, as times of the API have no parts of seconds.
        return None if disrupted.recheck_s is None else disrupted.recheck_s + 1

    async def _fail(self, key: str, budget: JsonObject, error: Exception) -> None:
        _log.warning("%s can't be counted: %s", key, error)
        now = times.format_seconds(int(self._client.clock.now_s()))
        await self._write(key, budget, budgets.failed_status(budget, str(error), now))

    async def _write(self, key: str, budget: JsonObject, status: JsonObject) -> None:
        known = dict(budget.get("status") or {})
        if not known.get("disruptedPods"):
            known.pop("disruptedPods", None)
        if known == status:
            return
        try:
            path = f"{BUDGET.path(key)}/status"
            await self._client.request("PUT", path, {**budget, "status": status})
        except StatusError as error:
            if error.code != 404:
                raise


def _counts_alike(old: PodBrief, new: PodBrief) -> bool:
    return (
        old.uid == new.uid
        and old.is_deleting == new.is_deleting
        and (old.ready_s is None) == (new.ready_s is None)
        and old.owner == new.owner
    )


def _pod_reference(pod: PodBrief) -> JsonObject:
    namespace, _, name = pod.key.partition("/")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": namespace,
        "name": name,
        "uid": pod.uid,
    }

"""The controller of HorizontalPodAutoscalers (pkg/controller/podautoscaler).

Every fifteen seconds each autoscaler asks its metrics how many pods there should be, takes the most
of the answers, lets limits and the recent past correct it (`behavior.py`), and writes the scale of
its target if that is not what it was. Its status is written when it differs. One that is new, or
whose spec changed, is looked at without waiting for its turn.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from controllers.discovery import Collection
from controllers.policy import behavior
from controllers.policy.hpa_status import AutoscalerStatus
from controllers.policy.metric_sources import Found, MetricFailed, MetricSources, Target
from controllers.policy.replicas import Tolerances
from controllers.policy.scales import NoSuchKind, Scales
from controllers.recorder import Recorder
from controllers.selections import PodGroups, Selections
from controllers.workqueue import WorkQueue, run_worker
from kube import quantity
from kube.client import ApiClient, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.selector_parser import SelectorError, parse_label_selector
from kube.status import StatusError
from runtime.tasks import TaskScope

PERIOD_S: Final = 15.0
TOLERANCE: Final = 0.1
_WORKERS: Final = 5
_DECODED_AT_ONCE: Final = 100
_log = logging.getLogger(__name__)


class _Undecided(Exception):
    """Nothing is scaled in this round; the conditions say why, and this the event."""

    def __init__(self, text: str, statuses: list[JsonObject] | None = None) -> None:
        super().__init__(text)
        self.statuses = statuses


class _Wish(NamedTuple):
    """How many pods the metrics ask for, which one does, and what all say."""

    replicas: int
    metric: str
    statuses: list[JsonObject]


class AutoscalerController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        found, pods: informers of autoscalers and of pods.
        groups: all pods.
        scales, sources: of targets, and of metrics.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        informers: tuple[Informer, Informer],
        groups: PodGroups,
        scales: Scales,
        sources: MetricSources,
    ) -> None:
        found, pods = informers
        self._client = client
        self._recorder = recorder
        self._found = found.store
        self._pods = pods.store
        self._scales = scales
        self._sources = sources
        self._queue: WorkQueue[str] = WorkQueue()
        self._memory: dict[str, behavior.Memory] = {}
        # Which pods are whose: two autoscalers of the same pods would undo each other's work.
        self._selections: Selections = groups.selections(lambda *_: None)
        self._selectors: dict[str, str] = {}
        found.on_changes(self._observe)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all watches are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"autoscalers {number}")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, before in deltas:
            if change is Change.MODIFIED and orjson.loads(before)["spec"] == obj["spec"]:
                continue
            self._queue.add(key)

    async def sync(self, key: str) -> float | None:
        """Look at an autoscaler; return when to look again."""
        found = self._found.get(key)
        if found is None:
            self._memory.pop(key, None)
            self._selections.drop(key)
            self._selectors.pop(key, None)
            return None
        status = AutoscalerStatus(self._client, self._recorder, found)
        try:
            await self._reconcile(key, found, status)
        except _Undecided as error:
            _log.info("%s is not scaled: %s", key, error)
        except (StatusError, Unreachable) as error:
            _log.warning("%s is not looked after: %s", key, error)
        return PERIOD_S

    async def _reconcile(self, key: str, found: JsonObject, status: AutoscalerStatus) -> None:
        spec = found["spec"]
        collection, scale = await self._scale(found, status)
        current = int((scale.get("spec") or {}).get("replicas", 0))
        now_s = self._client.clock.now_s()
        memory = self._memory.get(key)
        if memory is None:
            first = behavior.At(current, self._client.clock.monotonic_s())
            memory = self._memory[key] = behavior.Memory([first])
        bounds = behavior.Bounds(current, spec.get("minReplicas", 1), spec["maxReplicas"])
        statuses: list[JsonObject] | None = None
        desired, reason = current, ""
        if current == 0 and bounds.least != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            status.set("ScalingActive", "False", "ScalingDisabled", text)
        elif current > bounds.most:
            reason = "Current number of replicas above Spec.MaxReplicas"
            desired = bounds.most
        elif current < bounds.least:
            reason = "Current number of replicas below Spec.MinReplicas"
            desired = bounds.least
        else:
            try:
                wish = await self._wish(key, found, scale, status, now_s)
            except _Undecided as error:
                status.count(current, None, error.statuses)
                await status.write()
                self._recorder.warn(status.about, "FailedComputeMetricsReplicas", str(error))
                raise
            statuses = wish.statuses
            if wish.replicas > current:
                reason = f"{wish.metric} above target"
            elif wish.replicas < current:
                reason = "All metrics below target"
            desired = self._normalize(memory, spec, bounds, wish.replicas, status)
        if desired != current:
            change = (current, desired, reason)
            await self._rescale((collection, scale), found, change, statuses, status)
            at_s = self._client.clock.monotonic_s()
            behavior.remember_change(memory, spec.get("behavior"), current, desired, at_s)
        status.count(current, desired, statuses, rescaled_s=now_s if desired != current else None)
        await status.write()

    def _normalize(
        self,
        memory: behavior.Memory,
        spec: JsonObject,
        bounds: behavior.Bounds,
        wish: int,
        status: AutoscalerStatus,
    ) -> int:
        now_s = self._client.clock.monotonic_s()
        outcome = behavior.normalize(memory, spec.get("behavior"), bounds, wish, now_s)
        status.set("AbleToScale", "True", *outcome.able)
        status.set("ScalingLimited", "True" if outcome.is_limited else "False", *outcome.limited)
        return outcome.replicas

    async def _scale(
        self, found: JsonObject, status: AutoscalerStatus
    ) -> tuple[Collection, JsonObject]:
        """Return the target's type and its scale.

        Raises:
            _Undecided: they can't be had; the status says so.
        """
        target, namespace = found["spec"]["scaleTargetRef"], found["metadata"]["namespace"]
        group = target.get("apiVersion", "").rpartition("/")[0]
        failure: Exception | None = None
        text = "unable to determine resource for scale target reference"
        try:
            for collection in await self._scales.find(group, target["kind"]):
                text = (
                    "failed to query scale subresource for "
                    f"{target['kind']}/{namespace}/{target['name']}"
                )
                try:
                    scale = await self._scales.get(collection, namespace, target["name"])
                except (StatusError, Unreachable) as error:
                    failure = failure or error
                    continue
                able = "the HPA controller was able to get the target's current scale"
                status.set("AbleToScale", "True", "SucceededGetScale", able)
                return collection, scale
        except (NoSuchKind, StatusError, Unreachable) as error:
            failure = error
        self._recorder.warn(status.about, "FailedGetScale", str(failure))
        unable = f"the HPA controller was unable to get the target's current scale: {failure}"
        status.set("AbleToScale", "False", "FailedGetScale", unable)
        await status.write()
        raise _Undecided(f"{text}: {failure}")

    async def _rescale(
        self,
        target: tuple[Collection, JsonObject],
        found: JsonObject,
        change: tuple[int, int, str],
        statuses: list[JsonObject] | None,
        status: AutoscalerStatus,
    ) -> None:
        """Write the target's scale.

        Raises:
            _Undecided: it was refused; the status says so.
        """
        (collection, scale), (current, desired, reason) = target, change
        namespace, name = found["metadata"]["namespace"], found["spec"]["scaleTargetRef"]["name"]
        wanted = copy.deepcopy(scale)
        wanted.setdefault("spec", {})["replicas"] = desired
        try:
            await self._scales.put(collection, namespace, name, wanted)
        except (StatusError, Unreachable) as error:
            text = f"New size: {desired}; reason: {reason}; error: {error}"
            self._recorder.warn(status.about, "FailedRescale", text)
            unable = f"the HPA controller was unable to update the target scale: {error}"
            status.set("AbleToScale", "False", "FailedUpdateScale", unable)
            status.count(current, None, statuses)
            await status.write()
            raise _Undecided(f"failed to rescale {name}: {error}") from error
        able = f"the HPA controller was able to update the target scale to {desired}"
        status.set("AbleToScale", "True", "SucceededRescale", able)
        self._recorder.note(
            status.about, "SuccessfulRescale", f"New size: {desired}; reason: {reason}"
        )

    async def _wish(
        self,
        key: str,
        found: JsonObject,
        scale: JsonObject,
        status: AutoscalerStatus,
        now_s: float,
    ) -> _Wish:
        """Return what the metrics ask for.

        Raises:
            _Undecided: nothing, or too little is known to scale down; the status says why.
        """
        selector = self._selector(key, scale, status)
        target = Target(
            found["metadata"]["namespace"],
            selector,
            await self._decoded(key),
            int((scale.get("spec") or {}).get("replicas", 0)),
            int((scale.get("status") or {}).get("replicas", 0)),
            tolerances_of(found["spec"]),
            now_s,
        )
        statuses: list[JsonObject] = []
        best: Found | None = None
        failures: list[MetricFailed] = []
        specs = found["spec"].get("metrics") or []
        for spec in specs:
            try:
                one = await self._sources.find(spec, target)
            except MetricFailed as error:
                self._recorder.warn(status.about, error.reason, error.told)
                failures.append(error)
                statuses.append({"type": ""})
                continue
            statuses.append(one.status)
            if best is None or best.replicas == 0 or one.replicas > best.replicas:
                best = one
        if best is None or (failures and best.replicas < target.wanted):
            raise self._failed(failures, len(specs), statuses, status)
        text = f"the HPA was able to successfully calculate a replica count from {best.name}"
        status.set("ScalingActive", "True", "ValidMetricFound", text)
        return _Wish(best.replicas, best.name, statuses)

    def _failed(
        self,
        failures: list[MetricFailed],
        count: int,
        statuses: list[JsonObject],
        status: AutoscalerStatus,
    ) -> _Undecided:
        if not failures:
            return _Undecided("invalid metrics (0 invalid out of 0), first error is: <nil>")
        first = failures[0]
        text = f"the HPA was unable to compute the replica count: {first.told}"
        status.set("ScalingActive", "False", first.reason, text)
        text = f"invalid metrics ({len(failures)} invalid out of {count}), first error is: {first}"
        return _Undecided(text, statuses)

    def _selector(self, key: str, scale: JsonObject, status: AutoscalerStatus) -> str:
        """Return the selector of a target's pods, which must be nobody else's.

        Raises:
            _Undecided: there is none, or it is no good; the status says so.
        """
        text = (scale.get("status") or {}).get("selector") or ""
        if not text:
            self._recorder.warn(status.about, "SelectorRequired", "selector is required")
            missing = "the HPA target's scale is missing a selector"
            status.set("ScalingActive", "False", "InvalidSelector", missing)
            raise _Undecided("selector is required")
        if self._selectors.get(key) != text:
            try:
                self._selections.put(key, parse_label_selector(text).matches)
            except SelectorError as error:
                problem = (
                    "couldn't convert selector into a corresponding internal selector object: "
                    f"{error}"
                )
                self._recorder.warn(status.about, "InvalidSelector", problem)
                status.set("ScalingActive", "False", "InvalidSelector", problem)
                raise _Undecided(problem) from error
            self._selectors[key] = text
        rivals = self._selections.rivals(key)
        if len(rivals) > 1:
            pairs = (one.partition("/") for one in rivals)
            shown = " ".join(f"{{{name} {namespace}}}" for namespace, _, name in pairs)
            problem = f"pods by selector {text} are controlled by multiple HPAs: [{shown}]"
            self._recorder.warn(status.about, "AmbiguousSelector", problem)
            status.set("ScalingActive", "False", "AmbiguousSelector", problem)
            raise _Undecided(problem)
        return text

    async def _decoded(self, key: str) -> list[JsonObject]:
        """Return the pods, a hundred of them in a turn of the loop."""
        found = []
        for number, pod in enumerate(list(self._selections.pods(key)), 1):
            whole = self._pods.get(pod.key)
            if whole is not None:
                found.append(whole)
            if number % _DECODED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return found


def tolerances_of(spec: JsonObject) -> Tolerances:
    """Return how far a ratio may be off, as the behavior says it, or a tenth."""
    rules = spec.get("behavior") or {}

    def of(name: str) -> float:
        value = (rules.get(name) or {}).get("tolerance")
        return TOLERANCE if value is None else float(quantity.parse_value(value))

    return Tolerances(of("scaleDown"), of("scaleUp"))

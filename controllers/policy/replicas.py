"""How many pods a metric asks for (pkg/controller/podautoscaler, replica_calculator). Pure.

The ratio of what is used to what is wanted, times the pods that count. Pods whose metrics are
missing, or that are not ready, are taken to be against the change: they use all they may when fewer
are asked for, and nothing when more are. Within the tolerance nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controllers.policy.metrics import PodMetric, PodMetrics
from controllers.workloads.pods import condition_of, epoch_s
from kube import quantity
from kube.json_types import JsonObject

CPU_INITIALIZATION_S: Final = 300.0
INITIAL_READINESS_S: Final = 30.0
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
NO_PODS: Final = "no pods returned by selector while calculating replica count"
_NO_METRICS: Final = "did not receive metrics for targeted pods (pods might be unready)"


class CannotCalculate(Exception):
    """There is no number; the text is upstream's."""


class Tolerances(NamedTuple):
    """How far a ratio may be from 1 without anything being done."""

    down: float = 0.1
    up: float = 0.1

    def cover(self, ratio: float) -> bool:
        """Tell whether a ratio is near enough."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class Proposal(NamedTuple):
    """What a metric asks for.

    Attributes:
        replicas: how many pods.
        usage: what is used, on average or in all, in thousandths.
        utilization: of what was requested, in percent.
    """

    replicas: int
    usage: int
    utilization: int = 0


@dataclass(slots=True)
class Groups:
    """Pods by how much their metrics say.

    Attributes:
        ready: how many count as they are.
        unready, missing, ignored: names of those that do not run well, of which nothing is known,
            and that are going or over.
    """

    ready: int = 0
    unready: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)


def group(
    pods: Iterable[JsonObject], metrics: Mapping[str, PodMetric], resource: str, now_s: float
) -> Groups:
    """Sort pods by how much their metrics say (groupPods)."""
    groups = Groups()
    for pod in pods:
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
        name = metadata["name"]
        if "deletionTimestamp" in metadata or phase == "Failed":
            groups.ignored.add(name)
        elif phase == "Pending":
            groups.unready.add(name)
        elif name not in metrics:
            groups.missing.add(name)
        elif resource == "cpu" and _is_unready(pod, metrics[name], now_s):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _is_unready(pod: JsonObject, metric: PodMetric, now_s: float) -> bool:
    """Tell whether a pod's use of CPU says little: it has only begun, or was never ready."""
    condition = condition_of(pod, "Ready")
    started = (pod.get("status") or {}).get("startTime")
    if condition is None or not started:
        return True
    started_s, is_false = epoch_s(started), condition.get("status") == "False"
    changed_s = epoch_s(condition.get("lastTransitionTime"))
    if started_s + CPU_INITIALIZATION_S > now_s:
        return is_false or metric.at_s < changed_s + metric.window_s
    return is_false and started_s + INITIAL_READINESS_S > changed_s


def requests_of(pods: Iterable[JsonObject], resource: str, container: str = "") -> dict[str, int]:
    """Return what pods, or a container of each, request of a resource, in thousandths.

    Raises:
        CannotCalculate: one requests nothing.
    """
    found: dict[str, int] = {}
    for pod in pods:
        spec, name = pod["spec"], pod["metadata"]["name"]
        own = (spec.get("resources") or {}).get("requests")
        if own and not container:
            if resource not in own:
                text = f"missing pod-level request for {resource} in Pod {name}"
                raise CannotCalculate(text)
            found[name] = quantity.parse_value(own[resource]).milli_value
        else:
            found[name] = _requests_of_containers(spec, name, resource, container)
    return found


def _requests_of_containers(spec: JsonObject, pod: str, resource: str, container: str) -> int:
    sidecars = (
        one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"
    )
    total, is_found = 0, not container
    for one in (*spec["containers"], *sidecars):
        if container and one["name"] != container:
            continue
        is_found = True
        request = ((one.get("resources") or {}).get("requests") or {}).get(resource)
        if request is None:
            text = f"missing request for {resource} in container {one['name']} of Pod {pod}"
            raise CannotCalculate(text)
        total += quantity.parse_value(request).milli_value
    if not is_found:
        raise CannotCalculate(f"container {container} not found in Pod {pod}")
    return total


def _utilization(
    metrics: Mapping[str, PodMetric], requests: Mapping[str, int], target: int
) -> tuple[float, int, int]:
    """Return the ratio to a target in percent, the percentage itself, and the average value."""
    used = requested = count = 0
    for name, metric in metrics.items():
        if name in requests:
            used += metric.value
            requested += requests[name]
            count += 1
    if requested == 0:
        raise CannotCalculate("no metrics returned matched known pods")
    percent = used * 100 // requested
    return percent / target, percent, used // count


def _average(metrics: Mapping[str, PodMetric], target: int) -> tuple[float, int]:
    average = sum(metric.value for metric in metrics.values()) // len(metrics)
    return average / target, average


def _bounded(value: float) -> int:
    return INT32_MAX if value > INT32_MAX else math.ceil(value)


def _counted(
    pods: Sequence[JsonObject], metrics: PodMetrics, resource: str, now_s: float
) -> Groups:
    """Group pods, and drop the metrics that do not count.

    Raises:
        CannotCalculate: there are no pods, or no metrics are left.
    """
    if not pods:
        raise CannotCalculate(NO_PODS)
    groups = group(pods, metrics, resource, now_s)
    for name in groups.ignored | groups.unready:
        metrics.pop(name, None)
    if not metrics:
        raise CannotCalculate(_NO_METRICS)
    return groups


def by_utilization(
    current: int,
    pods: Sequence[JsonObject],
    metrics: PodMetrics,
    target: tuple[str, str, int],
    settings: tuple[Tolerances, float],
) -> Proposal:
    """Return how many pods a share of their requests asks for (GetResourceReplicas).

    Args:
        current: how many there should be now.
        pods: those selected.
        metrics: of theirs; changed in place.
        target: the resource, the container or "", and the wanted percentage.
        settings: tolerances, and what time it is.

    Raises:
        CannotCalculate: there is no number.
    """
    resource, container, percent = target
    tolerances, now_s = settings
    groups = _counted(pods, metrics, resource, now_s)
    requests = requests_of(pods, resource, container)
    ratio, utilization, raw = _utilization(metrics, requests, percent)
    if _is_plain(groups, ratio):
        count = current if tolerances.cover(ratio) else _bounded(ratio * groups.ready)
        return Proposal(count, raw, utilization)
    fallback = max(100, percent)
    full = {name: requests.get(name, 0) * fallback // 100 for name in groups.missing}
    _assume(metrics, groups, ratio, full)
    again, _, _ = _utilization(metrics, requests, percent)
    return Proposal(_decide(current, ratio, again, len(metrics), tolerances), raw, utilization)


def by_average(
    current: int,
    pods: Sequence[JsonObject],
    metrics: PodMetrics,
    target: tuple[str, int],
    settings: tuple[Tolerances, float],
) -> Proposal:
    """Return how many pods an average value asks for (calcPlainMetricReplicas).

    Args:
        current: how many there should be now.
        pods: those selected.
        metrics: of theirs; changed in place.
        target: the resource or "", and the wanted average in thousandths.
        settings: tolerances, and what time it is.

    Raises:
        CannotCalculate: there is no number.
    """
    resource, wanted = target
    tolerances, now_s = settings
    groups = _counted(pods, metrics, resource, now_s)
    ratio, usage = _average(metrics, wanted)
    if _is_plain(groups, ratio):
        count = current if tolerances.cover(ratio) else _bounded(ratio * groups.ready)
        return Proposal(count, usage)
    _assume(metrics, groups, ratio, dict.fromkeys(groups.missing, wanted))
    again, _ = _average(metrics, wanted)
    return Proposal(_decide(current, ratio, again, len(metrics), tolerances), usage)


def _is_plain(groups: Groups, ratio: float) -> bool:
    return not groups.missing and not (groups.unready and ratio > 1.0)


def _assume(metrics: PodMetrics, groups: Groups, ratio: float, full: Mapping[str, int]) -> None:
    """Fill in what is not known, against the change."""
    for name in groups.missing:
        if ratio < 1.0:
            metrics[name] = PodMetric(full[name])
        elif ratio > 1.0:
            metrics[name] = PodMetric(0)
    if ratio > 1.0:
        for name in groups.unready:
            metrics[name] = PodMetric(0)


def _decide(current: int, ratio: float, again: float, count: int, tolerances: Tolerances) -> int:
    """Return the number, unless what was assumed turned the change around."""
    if tolerances.cover(again) or (ratio < 1.0 < again) or (ratio > 1.0 > again):
        return current
    wanted = _bounded(again * count)
    if (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current):
        return current
    return wanted


def by_value(
    current: int, pods: Sequence[JsonObject], value: int, target: int, tolerances: Tolerances
) -> Proposal:
    """Return how many pods one value asks for, in proportion to those that are ready.

    Raises:
        CannotCalculate: there are no pods.
    """
    ratio = value / target
    if current == 0:
        return Proposal(_bounded(ratio), value)
    if tolerances.cover(ratio):
        return Proposal(current, value)
    if not pods:
        raise CannotCalculate(f"unable to calculate ready pods: {NO_PODS}")
    ready = sum(
        (pod.get("status") or {}).get("phase") == "Running"
        and (condition_of(pod, "Ready") or {}).get("status") == "True"
        for pod in pods
    )
    return Proposal(_bounded(ratio * ready), value)


def by_value_per_pod(
    status_replicas: int, value: int, target: int, tolerances: Tolerances
) -> Proposal:
    """Return how many pods one value asks for, that each is to have a part of."""
    count = status_replicas
    ratio = value / (target * count) if count else math.inf
    if not tolerances.cover(ratio):
        count = _bounded(value / target)
    if value >= INT64_MAX:
        return Proposal(count, INT64_MAX)
    return Proposal(count, math.ceil(value / status_replicas) if status_replicas else 0)

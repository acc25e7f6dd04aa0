"""Which controllers keep budgets and autoscalers, as whom they write, and what they share."""

from __future__ import annotations

from typing import Final

from controllers.discovery import Discovery
from controllers.parts import PODS, Context, Controller, Part
from controllers.policy.autoscaler import AutoscalerController
from controllers.policy.disruption import BUDGET, DisruptionController
from controllers.policy.expected_pods import ExpectedPods
from controllers.policy.hpa_status import AUTOSCALER
from controllers.policy.metric_sources import MetricSources
from controllers.policy.metrics import MetricsClient
from controllers.policy.scales import Scales
from controllers.policy.stale_targets import StaleTargets
from controllers.workloads.claims import Kind
from controllers.workloads.replica_sets import INDEXERS, REPLICA_SET, REPLICATION_CONTROLLER
from controllers.workloads.rollouts import DEPLOYMENT
from runtime.tasks import TaskScope

_DISRUPTION: Final = "disruption-controller"
_AUTOSCALER: Final = "horizontal-pod-autoscaler"
_STATEFUL_SET: Final = Kind("apps/v1", "StatefulSet", "statefulsets")
_OWNERS: Final = (REPLICATION_CONTROLLER, DEPLOYMENT, REPLICA_SET, _STATEFUL_SET)


class _Both:
    """Two controllers under one name."""

    def __init__(self, *parts: Controller) -> None:
        self._parts = parts

    def start(self, scope: TaskScope) -> None:
        """Start the workers of both."""
        for part in self._parts:
            part.start(scope)


def _disruption(context: Context) -> Controller:
    informers, writer = context.informers, context.writer(_DISRUPTION)
    pods = informers.of(PODS)
    stores = {kind.kind: informers.of(kind.collection, indexers=INDEXERS).store for kind in _OWNERS}
    # Types are the process's to look at, scales the account's.
    expected = ExpectedPods(stores, pods.store, Scales(writer, Discovery(context.client)))
    recorder = context.recorder(_DISRUPTION, "controllermanager")
    budgets = informers.of(BUDGET.collection)
    made = DisruptionController(writer, recorder, budgets, context.groups(), expected)
    return _Both(made, StaleTargets(writer, pods))


def _autoscaler(context: Context) -> Controller:
    informers, writer = context.informers, context.writer(_AUTOSCALER)
    scales = Scales(writer, Discovery(context.client))
    return AutoscalerController(
        writer,
        context.recorder(_AUTOSCALER),
        (informers.of(AUTOSCALER.collection), informers.of(PODS)),
        context.groups(),
        scales,
        MetricSources(MetricsClient(writer), scales),
    )


PARTS: Final = (
    Part(_DISRUPTION, (_DISRUPTION,), _disruption),
    Part("horizontal-pod-autoscaler-controller", (_AUTOSCALER,), _autoscaler),
)

"""Which controllers keep pods, as whom they write, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.parts import Context, Controller, Part
from controllers.workloads.claim_book import ClaimBook
from controllers.workloads.claims import Kind
from controllers.workloads.daemon_pods import DAEMON_SET
from controllers.workloads.daemon_sets import DaemonSetController
from controllers.workloads.deployments import DeploymentController
from controllers.workloads.history import CONTROLLER_REVISION
from controllers.workloads.replica_sets import (
    INDEXERS,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    ReplicaController,
)
from controllers.workloads.rollouts import DEPLOYMENT
from controllers.workloads.stateful_identity import STATEFUL_SET
from controllers.workloads.stateful_pods import StatefulPods
from controllers.workloads.stateful_sets import StatefulSetController
from controllers.workqueue import WorkQueue
from kube.informers.informer import Informer

_DEPLOYMENTS: Final = "deployment-controller"
_STATEFUL_SETS: Final = "statefulset-controller"
_DAEMON_SETS: Final = "daemon-set-controller"
_CLAIMS: Final = "/api/v1/persistentvolumeclaims"


def _replicas(context: Context, account: str, kind: Kind) -> Controller:
    owners = context.informers.of(kind.collection, indexers=INDEXERS)
    writer, recorder = context.writer(account), context.recorder(account)
    return ReplicaController(kind, writer, recorder, owners, context.pods())


def _replica_sets(context: Context) -> Controller:
    return _replicas(context, "replicaset-controller", REPLICA_SET)


def _replication_controllers(context: Context) -> Controller:
    return _replicas(context, "replication-controller", REPLICATION_CONTROLLER)


def _deployments(context: Context) -> Controller:
    informers = context.informers
    return DeploymentController(
        context.writer(_DEPLOYMENTS),
        context.recorder(_DEPLOYMENTS),
        informers.of(DEPLOYMENT.collection, indexers=INDEXERS),
        informers.of(REPLICA_SET.collection, indexers=INDEXERS),
        context.pods(),
    )


def _revisions(context: Context) -> Informer:
    return context.informers.of(CONTROLLER_REVISION.collection, indexers=INDEXERS)


def _stateful_sets(context: Context) -> Controller:
    queue: WorkQueue[str] = WorkQueue()
    claims = context.informers.of(_CLAIMS)
    book = ClaimBook(queue.add)
    claims.on_changes(book.take)
    client, recorder = context.writer(_STATEFUL_SETS), context.recorder(_STATEFUL_SETS)
    writer = StatefulPods(client, recorder, book, claims.store, context.completers)
    sets = context.informers.of(STATEFUL_SET.collection, indexers=INDEXERS)
    return StatefulSetController(writer, sets, _revisions(context), context.pods(), queue)


def _daemon_sets(context: Context) -> Controller:
    return DaemonSetController(
        context.writer(_DAEMON_SETS),
        context.recorder(_DAEMON_SETS),
        context.informers.of(DAEMON_SET.collection, indexers=INDEXERS),
        _revisions(context),
        context.pods(),
        context.nodes(),
    )


PARTS: Final = (
    Part("replicaset-controller", ("replicaset-controller",), _replica_sets),
    Part("replicationcontroller-controller", ("replication-controller",), _replication_controllers),
    Part(_DEPLOYMENTS, (_DEPLOYMENTS,), _deployments),
    Part(_STATEFUL_SETS, (_STATEFUL_SETS,), _stateful_sets),
    Part("daemonset-controller", (_DAEMON_SETS,), _daemon_sets),
)

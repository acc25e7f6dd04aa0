"""Which controllers keep pods, as whom they write, and which informers they share."""

from __future__ import annotations

from typing import Final

from controllers.parts import Context, Controller, Part
from controllers.workloads.claims import Kind
from controllers.workloads.deployments import DEPLOYMENT, DeploymentController
from controllers.workloads.replica_sets import (
    INDEXERS,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    ReplicaController,
)

_DEPLOYMENTS: Final = "deployment-controller"


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


PARTS: Final = (
    Part("replicaset-controller", ("replicaset-controller",), _replica_sets),
    Part("replicationcontroller-controller", ("replication-controller",), _replication_controllers),
    Part(_DEPLOYMENTS, (_DEPLOYMENTS,), _deployments),
)

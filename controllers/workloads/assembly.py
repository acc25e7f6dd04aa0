"""Which controllers keep pods, as whom they write, and which informers they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from controllers.recorder import Recorder
from controllers.workloads.deployments import DEPLOYMENT, DeploymentController
from controllers.workloads.pods import PodBook
from controllers.workloads.replica_sets import (
    INDEXERS,
    REPLICA_SET,
    REPLICATION_CONTROLLER,
    ReplicaController,
)
from kube.client import ApiClient
from kube.informers.informer import Informers
from runtime.tasks import TaskScope

_REPLICAS: Final = {
    "replicaset-controller": REPLICA_SET,
    "replication-controller": REPLICATION_CONTROLLER,
}
NAMES: Final = (*_REPLICAS, "deployment-controller")
"""The service accounts that they write as."""
PODS: Final = "/api/v1/pods"


class Controller(Protocol):
    """What is started once all informers are synced."""

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        ...


def make(
    writers: Mapping[str, ApiClient], informers: Informers, scope: TaskScope
) -> list[Controller]:
    """Return the controllers; their events are written from now on, in `scope`.

    Args:
        writers: clients by service account.
        informers: of the process.
        scope: where recorders run.
    """
    pods = PodBook()
    informers.of(PODS).on_changes(pods.take)

    def recorder(name: str) -> Recorder:
        made = Recorder(writers[name], name)
        made.start(scope)
        return made

    made: list[Controller] = [
        ReplicaController(
            kind,
            writers[name],
            recorder(name),
            informers.of(kind.collection, indexers=INDEXERS),
            pods,
        )
        for name, kind in _REPLICAS.items()
    ]
    name = "deployment-controller"
    deployments = informers.of(DEPLOYMENT.collection, indexers=INDEXERS)
    sets = informers.of(REPLICA_SET.collection)
    made.append(DeploymentController(writers[name], recorder(name), deployments, sets, pods))
    return made

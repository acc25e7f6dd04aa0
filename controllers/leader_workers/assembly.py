"""The controller of LeaderWorkerSets: the type is made at the start, then its objects are kept."""

from __future__ import annotations

import logging
from typing import Final

from controllers.leader_workers.controller import LeaderWorkerSetController
from controllers.leader_workers.definition import DEFINITION, definition
from controllers.leader_workers.identity import complete
from controllers.leader_workers.names import LEADER_WORKER_SET
from controllers.parts import NODES, PODS, Context, Controller, Part
from controllers.workloads.history import CONTROLLER_REVISION
from controllers.workloads.replica_sets import INDEXERS
from controllers.workloads.stateful_identity import STATEFUL_SET
from kube.client import ApiClient, Unreachable
from kube.informers.informer import Informer
from kube.informers.reflector import Reflector
from kube.status import StatusError
from runtime.tasks import TaskScope

_NAME: Final = "leaderworkerset-controller"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SERVICES: Final = "/api/v1/services"
_LOOK_S: Final = 0.5
_LOOK_S_MAX: Final = 30.0
_log = logging.getLogger(__name__)


class _Started:
    """Makes the type, waits until it is served, and only then has the controller begin.

    What is started at once would keep the whole process from being ready for as long as there is
    no such type, as on a server that has no custom types.
    """

    def __init__(
        self, client: ApiClient, sets: Informer, controller: LeaderWorkerSetController
    ) -> None:
        self._client = client
        self._sets = sets
        self._controller = controller

    def start(self, scope: TaskScope) -> None:
        """Begin to wait."""
        scope.spawn(self._run(scope), name="start of leaderworkersets")

    async def _run(self, scope: TaskScope) -> None:
        pause_s = _LOOK_S
        while not await self._is_served():
            await self._install()
            await self._client.clock.sleep(pause_s)
            pause_s = min(_LOOK_S_MAX, 2 * pause_s)
        self._sets.start(scope)
        await self._sets.synced.wait()
        self._controller.start(scope)
        _log.info("leaderworkersets are kept")

    async def _is_served(self) -> bool:
        try:
            await self._client.request("GET", LEADER_WORKER_SET.collection, query={"limit": "1"})
        except (StatusError, Unreachable):
            return False
        return True

    async def _install(self) -> None:
        """Make the type, unless there is one, which may be upstream's."""
        try:
            await self._client.request("GET", f"{_DEFINITIONS}/{DEFINITION}")
        except Unreachable as error:
            _log.info("the type of leaderworkersets can't be looked for yet: %s", error)
        except StatusError as error:
            if error.code == 404:
                await self._make()
            else:
                _log.info("the type of leaderworkersets can't be looked for yet: %s", error)

    async def _make(self) -> None:
        try:
            await self._client.request("POST", _DEFINITIONS, definition())
        except (StatusError, Unreachable) as error:
            _log.warning("leaderworkersets are no type here: %s", error)


def _leader_worker_sets(context: Context) -> Controller:
    informers, client = context.informers, context.writer(_NAME)
    context.completers.append(complete)
    path = LEADER_WORKER_SET.collection
    sets = Informer(lambda sink: Reflector(context.client, path, sink, turns=informers.turns), path)
    shared = (
        informers.of(STATEFUL_SET.collection, indexers=INDEXERS),
        informers.of(PODS),
        informers.of(NODES),
        informers.of(_SERVICES),
        informers.of(CONTROLLER_REVISION.collection, indexers=INDEXERS),
    )
    controller = LeaderWorkerSetController(
        client, context.recorder(_NAME, "leaderworkerset"), sets, shared
    )
    return _Started(client, sets, controller)


PARTS: Final = (Part(_NAME, (_NAME,), _leader_worker_sets),)

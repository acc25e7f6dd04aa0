"""ConfigMaps and Secrets of pods: who names some gets them before anything of it starts.

As a kubelet has it: a pod whose volume's ConfigMap is missing stays in ContainerCreating, one whose
variables' is missing says CreateContainerConfigError, and both go on once it is there. What was
read is kept for some seconds, so that the pods of a template ask once. A pod that names none, and
whose commands ask for nothing around them, costs nothing here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from controllers.fleet.containers import Container, State
from controllers.fleet.fleet_node import Node
from controllers.fleet.lives import Life
from controllers.fleet.pod_fields import Missing
from controllers.fleet.pod_life import Pod
from controllers.fleet.pod_scene import (
    ContainerWorld,
    Place,
    Reference,
    Scene,
    held_of,
    references_of,
    service_variables,
)
from controllers.fleet.scripts import Script
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_WORKERS: Final = 4
_RETRY_S: Final = 3.0
_KEPT_S: Final = 10.0
_MISSING_S: Final = 1.0
_KEPT_MAX: Final = 1024
CONFIG_ERROR: Final = "CreateContainerConfigError"
_SERVICE: Final = "/api/v1/namespaces/default/services/kubernetes"
_TOKEN_PATH: Final = "serviceaccount"
AllocatableOf = Callable[[Node], Mapping[str, str]]


@dataclass(slots=True)
class Supply:
    """What a pod waits for.

    Attributes:
        obj: the pod.
        reason, message: why it waits for longer than a moment; empty: it does not.
    """

    obj: JsonObject
    references: list[Reference]
    reason: str = ""
    message: str = ""


class Supplies:
    """See the module's head.

    Args of the constructor:
        client: who reads.
        host: the address of all nodes.
        allocatable_of: what a node has.

    Attributes:
        on_supplied: is told of pods that have what they waited for.
        on_fault: is told of pods that have to wait for it.
    """

    def __init__(self, client: ApiClient, host: str, allocatable_of: AllocatableOf) -> None:
        self.on_supplied: Callable[[Pod], None] = lambda _pod: None
        self.on_fault: Callable[[Pod], None] = lambda _pod: None
        self._client = client
        self._host = host
        self._allocatable_of = allocatable_of
        self._cluster: dict[str, str] = {}
        self._waiting: dict[str, Pod] = {}
        self._queue: WorkQueue[str] = WorkQueue()
        self._kept: OrderedDict[tuple[str, str], tuple[float, dict[str, bytes] | None]] = (
            OrderedDict()
        )

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._queue, self._sync), name=f"supplies {number}")
        scope.spawn(self._learn_of_cluster(), name="variables of the cluster")

    async def _learn_of_cluster(self) -> None:
        """Learn where the API server is, as containers are told."""
        while not self._cluster:
            try:
                service = await self._client.request("GET", _SERVICE)
            except (StatusError, Unreachable):
                await self._client.clock.sleep(_RETRY_S)
            else:
                self._cluster = service_variables(service)

    def admit(self, pod: Pod, obj: JsonObject) -> None:
        """Give a pod's containers their commands, once it has what they need."""
        give_commands(pod.everyone, pod.life)
        needs_scene = any(_needs_scene(one) for one in pod.everyone)
        references = references_of(obj, with_token=needs_scene and _names_token(obj))
        if not references:
            if needs_scene:
                self._give_scene(pod, self._scene(pod, obj, {}))
            pod.replan()
            return
        if pod.is_over:
            return
        pod.supply = Supply(obj, references)
        self._waiting[pod.uid] = pod
        self._queue.add(pod.uid)

    def admit_extras(self, pod: Pod, obj: JsonObject) -> None:
        """Give containers their commands that were added to a pod which is here already."""
        added = [one for one in pod.extras if one.script is None and one.state is State.PENDING]
        if added:
            give_commands(added, pod.life)
            scene = self._scene(pod, obj, {})
            for one in added:
                if one.script is not None:
                    one.script.scene = scene

    def forget(self, pod: Pod) -> None:
        """Let go of a pod that is gone."""
        self._waiting.pop(pod.uid, None)

    async def scene(self, pod: Pod) -> Scene:
        """Return what is around a pod now.

        Raises:
            StatusError, Unreachable: the server does not tell.
        """
        namespace, _, name = pod.key.partition("/")
        obj = await self._client.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        held = await self._read(namespace, references_of(obj, with_token=True))
        present = {key: one for key, one in held.items() if one is not None}
        return self._scene(pod, obj, present)

    def _scene(
        self, pod: Pod, obj: JsonObject, held: Mapping[tuple[str, str], Mapping[str, bytes]]
    ) -> Scene:
        allocatable = self._allocatable_of(pod.node)
        place = Place(pod.address, self._host, allocatable, self._cluster)
        return Scene(obj, held, place)

    def _give_scene(self, pod: Pod, scene: Scene) -> None:
        for one in pod.everyone:
            if one.script is not None and _needs_scene(one):
                one.script.scene = scene

    async def _sync(self, uid: str) -> float | None:
        """Read what a pod needs; return in how many seconds to look again."""
        pod = self._waiting.get(uid)
        supply = pod.supply if pod is not None else None
        if pod is None or supply is None or pod.is_gone:
            self._waiting.pop(uid, None)
            return None
        namespace = pod.key.partition("/")[0]
        found = await self._read(namespace, supply.references)
        held = {key: one for key, one in found.items() if one is not None}
        # One that has run already goes on without what is gone meanwhile.
        has_run = any(one.has_run for one in pod.containers)
        fault = None if has_run else _fault(supply.references, held)
        scene = self._scene(pod, supply.obj, held)
        if fault is None and not has_run:
            fault = _fault_of_variables(scene)
        if fault is not None:
            supply.reason, supply.message = fault
            self.on_fault(pod)
            return _RETRY_S
        self._waiting.pop(uid, None)
        pod.supply = None
        self._give_scene(pod, scene)
        pod.replan()
        self.on_supplied(pod)
        return None

    async def _read(
        self, namespace: str, references: Iterable[Reference]
    ) -> dict[tuple[str, str], dict[str, bytes] | None]:
        names = {(one.kind, one.name) for one in references}
        return {key: await self._read_one(key[0], namespace, key[1]) for key in names}

    async def _read_one(self, kind: str, namespace: str, name: str) -> dict[str, bytes] | None:
        key, now_s = (kind, f"{namespace}/{name}"), self._client.clock.monotonic_s()
        kept = self._kept.get(key)
        if kept is not None and now_s - kept[0] < (_MISSING_S if kept[1] is None else _KEPT_S):
            return kept[1]
        path = f"/api/v1/namespaces/{namespace}/{kind}s/{name}"
        found: dict[str, bytes] | None = None
        try:
            found = held_of(kind, await self._client.request("GET", path))
        except StatusError as error:
            if error.code != 404:
                raise
        self._kept[key] = (now_s, found)
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return found


def give_commands(containers: Iterable[Container], life: Life) -> None:
    """Have containers live by their commands, where nothing says how they go."""
    for one in containers:
        shape = one.shape
        if shape.command is None:
            continue
        is_said = life.says_init if shape.is_init and not shape.is_sidecar else life.says_run
        if not is_said or shape.is_ephemeral:
            one.script = Script(shape.command.words, shape.reads, shape.name, shape.last_words)


def _needs_scene(one: Container) -> bool:
    command = one.shape.command
    return one.script is not None and command is not None and command.needs_scene


def _names_token(obj: JsonObject) -> bool:
    """Tell whether a pod's commands may read what belongs to its account."""
    return any(
        _TOKEN_PATH in word
        for group in ("initContainers", "containers")
        for container in obj["spec"].get(group) or ()
        for word in (*(container.get("command") or ()), *(container.get("args") or ()))
    )


def _fault(
    references: Iterable[Reference], held: Mapping[tuple[str, str], Mapping[str, bytes]]
) -> tuple[str, str] | None:
    """Return why a pod cannot start: volumes come first, as a kubelet has it; None: it can."""
    missing = [
        one for one in references if (one.kind, one.name) not in held and not one.is_optional
    ]
    for one in sorted(missing, key=lambda one: not one.volume):
        text = f'{one.kind} "{one.name}" not found'
        if one.volume:
            return "", f'MountVolume.SetUp failed for volume "{one.volume}" : {text}'
        return CONFIG_ERROR, text
    return None


def _fault_of_variables(scene: Scene) -> tuple[str, str] | None:
    try:
        for name in scene.containers:
            ContainerWorld(scene, name)
    except Missing as error:
        return CONFIG_ERROR, str(error)
    return None

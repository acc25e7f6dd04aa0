"""All pods of the fleet: taken from one watch, run by timers, told to the server.

A pod is written when what its status tells has changed, at most once at a time, with whatever has
happened meanwhile: a thousand pods that start at once are a thousand writes, however many steps
each took. One that is deleted is ended within its grace, its last status written, and then it is
deleted without grace, if it is still the same. A lost node writes nothing, and catches up when it
is back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import orjson

from controllers.fleet.admission import refusal_of
from controllers.fleet.containers import Container, State
from controllers.fleet.fleet_node import Node
from controllers.fleet.lives import Stage, Subject, life_of, unusable
from controllers.fleet.mounts import Mounts
from controllers.fleet.narrator import Narrator
from controllers.fleet.pod_life import MOUNT_S, NEVER, Condition, Pod, Verdict
from controllers.fleet.pod_status import gates_of, read_status, status_patch
from controllers.fleet.shapes import shape_of, shared_labels
from controllers.fleet.supplies import Supplies
from controllers.fleet.timers import Timers
from controllers.fleet.writers import Writers
from kube import times
from kube.access import Access
from kube.client import JSON, STRATEGIC_PATCH
from kube.informers.changes import Change, Told, key_of
from kube.json_types import JsonObject
from kube.pipe import Answer, Pipe, refusal
from runtime.clock import Clock
from runtime.tasks import TaskScope

PATH: Final = "/api/v1/pods"
QUERY: Final = {"fieldSelector": "spec.nodeName!="}
_RETRY_S: Final = 1.0
_STRAYS_MAX: Final = 100_000
_NOT_FOUND: Final = 404
_DISPUTED: Final = -1
"""Stands for what was written last where somebody else has written since; no hash is that."""
_DISPUTED_S: Final = 5.0
"""After which it is written again: a kubelet compares every ten seconds."""
_log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What pods live in.

    Attributes:
        nodes: the fleet's, by name.
        stages: those that count now.
        host: the address of all nodes.
        mounts: who knows which pods wait for their claims; supplies: or for ConfigMaps and Secrets.
        must_wait: whether nodes have more urgent things to tell now.
    """

    nodes: Mapping[str, Node]
    stages: Callable[[], Sequence[Stage]]
    host: str
    clock: Clock
    narrator: Narrator
    mounts: Mounts
    supplies: Supplies
    must_wait: Callable[[], bool]


class Pods:
    """See the module's head; a sink of a reflector of bound pods.

    Attributes:
        pods: by "namespace/name".
        started: how many were told to run since the start.
    """

    def __init__(self, access: Access, around: Surroundings, writes_max: int) -> None:
        self.pods: dict[str, Pod] = {}
        self.started = 0
        self._around = around
        self._clock = around.clock
        self._timers: Timers[Pod] = Timers(around.clock, self._wake)
        self._writers: Writers[Pod] = Writers(
            access,
            "pods",
            writes_max,
            self._write,
            self._retry_later,
            must_wait=around.must_wait,
        )
        self._strays: set[str] = set()
        self._fetchers: Writers[Node] = Writers(
            access, "pods of new nodes", 1, self._fetch, self._fetch_later
        )
        self._told: set[str] = set()
        around.mounts.on_bound = around.supplies.on_supplied = self._supplied
        around.supplies.on_fault = self._told_of_fault

    def start(self, scope: TaskScope) -> None:
        """Start to let pods live."""
        self._writers.start(scope)
        self._fetchers.start(scope)
        scope.spawn(self._timers.run(), name="timers of pods")

    # What the watch tells --------------------------------------------------------------------

    def begin(self) -> None:
        """See Sink."""
        self._told = set()
        self._is_initial = True

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for told in events:
            key = key_of(told.object)
            if told.change is Change.DELETED:
                self._forget(key, told.object["metadata"]["uid"])
                continue
            if self._is_initial:
                self._told.add(key)
            self._observe(key, told.object)

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        self._is_initial = False
        for pod in [pod for key, pod in self.pods.items() if key not in self._told]:
            self._forget(pod.key, pod.uid)
            yield
        self._told = set()

    _is_initial = True

    def _forget(self, key: str, uid: str) -> None:
        pod = self.pods.get(key)
        if pod is None or pod.uid != uid:
            return
        del self.pods[key]
        pod.is_gone = True
        if pod.mounts:
            self._around.mounts.forget(pod)
        if pod.supply is not None:
            self._around.supplies.forget(pod)
        node: Node = pod.node
        node.pods.discard(pod)
        if not pod.shape.uses_host_network:
            node.free_address(pod.address)

    def _observe(self, key: str, obj: JsonObject) -> None:
        try:
            self._look_at(key, obj)
        except (KeyError, TypeError, ValueError, AttributeError):
            # One pod that is not as pods are must not stop all others.
            _log.exception("pod %s cannot be run", key)

    def _look_at(self, key: str, obj: JsonObject) -> None:
        metadata = obj["metadata"]
        pod = self.pods.get(key)
        if pod is not None and pod.uid != metadata["uid"]:
            self._forget(key, pod.uid)
            pod = None
        if pod is None:
            name: str = obj["spec"]["nodeName"]
            node = self._around.nodes.get(name)
            if node is None or not node.is_alive:
                self._note_stray(name)
                return
            pod = self._admit(key, obj, node)
            self._follow(pod, obj, is_news=True)
        else:
            self._follow(pod, obj, is_news=False)

    def _note_stray(self, node: str) -> None:
        """Remember a node that is not there and has pods."""
        if len(self._strays) < _STRAYS_MAX:
            self._strays.add(node)

    def _admit(self, key: str, obj: JsonObject, node: Node) -> Pod:
        """Take a pod that is new here, as the API says it is."""
        metadata, status = obj["metadata"], obj.get("status") or {}
        shape = shape_of(obj["spec"])
        life = life_of(self._around.stages(), _subject(metadata, shape.images))
        if shape.bad_image and not life.pull_failure:
            life = unusable(life, shape.bad_image)
        now_s = self._clock.now_s()
        pod = Pod(key, metadata["uid"], shape, life, now_s)
        pod.node = node
        pod.labels = shared_labels(metadata.get("labels") or {})
        read_status(pod, status, node.slow, now_s)
        self.pods[key] = pod
        node.pods.add(pod)
        if pod.address:
            node.keep_address(pod.address)
        elif not pod.is_over:
            pod.address = self._around.host if shape.uses_host_network else node.take_address()
        if status.get("startTime"):
            pod.sent = pod.fingerprint()
        elif (verdict := refusal_of(pod, node)) is not None:
            pod.fail(verdict, now_s)
            return pod
        if not any(one.has_run for one in pod.containers):
            self._around.mounts.admit(pod, obj)
        self._around.supplies.admit(pod, obj)
        return pod

    def _supplied(self, pod: Pod) -> None:
        """Let a pod run that has what it waited for."""
        if not pod.is_held:
            pod.mounted_s = self._clock.now_s()
        self._wake(pod)

    def _told_of_fault(self, pod: Pod) -> None:
        """Tell that a pod waits for what is not there."""
        self._around.narrator.unsupplied(pod)
        self._wake(pod)

    def _follow(self, pod: Pod, obj: JsonObject, *, is_news: bool) -> None:
        """Take note of what others have changed, and go on."""
        metadata = obj["metadata"]
        generation = metadata.get("generation") or 0
        if generation != pod.generation:
            if pod.generation:
                pod.reshape(shape_of(obj["spec"]), self._clock.now_s(), pod.node.slow)
                self._around.supplies.admit_extras(pod, obj)
            pod.generation = generation
            is_news = True
        if pod.shape.gates:
            gates = gates_of(pod, obj.get("status") or {})
            is_news = is_news or gates != pod.gates
            pod.gates = gates
        if (deleted := metadata.get("deletionTimestamp")) is not None:
            grace_s = float(metadata.get("deletionGracePeriodSeconds") or 0)
            if not pod.is_leaving or grace_s < pod.grace_s:
                pod.is_leaving = is_news = True
                self._begin_end(pod, times.epoch_seconds(deleted) - grace_s, grace_s)
        if is_news:
            self._wake(pod)
        elif self._is_disputed(pod, obj.get("status") or {}):
            pod.sent = _DISPUTED
            pod.due_s = min(pod.due_s, self._clock.now_s() + _DISPUTED_S)
            self._timers.at(pod.due_s, pod)

    def _is_disputed(self, pod: Pod, status: JsonObject) -> bool:
        """Tell whether somebody else has said whether a pod is ready, and it is not so.

        The node lifecycle does, of pods on a node that was silent for too long.
        """
        if not pod.sent or pod.is_dirty or pod.is_writing or pod.is_leaving or pod.node.is_lost:
            return False
        for one in status.get("conditions") or ():
            if one["type"] == "Ready":
                return pod.conditions[Condition.READY][0] is not (one.get("status") == "True")
        return False

    def _begin_end(self, pod: Pod, since_s: float, grace_s: float) -> None:
        node: Node = pod.node
        if node.is_lost:
            # Nobody there has heard of it.
            pod.grace_s = grace_s
            return
        # The server counts in whole seconds, and may be ahead of us.
        pod.end(min(since_s, self._clock.now_s()), grace_s)
        self._around.narrator.killing(pod)

    async def _fetch(self, pipe: Pipe, node: Node) -> None:
        """Take the pods that were bound to a node before it was there."""
        query = f"?fieldSelector=spec.nodeName%3D{node.name}"
        answer = await pipe.request("GET", PATH + query, b"", JSON)
        if answer.code != 200:
            raise refusal(f"the pods of node {node.name}", answer)
        for obj in orjson.loads(answer.body)["items"]:
            if node.is_alive and key_of(obj) not in self.pods:
                self._observe(key_of(obj), obj)

    def _fetch_later(self, node: Node) -> None:
        self._fetchers.put(node)

    # What happens in time ----------------------------------------------------------------------

    def _wake(self, pod: Pod) -> None:
        if pod.is_gone:
            return
        node: Node = pod.node
        now_s = self._clock.now_s()
        before = [(one.state, one.restarts) for one in pod.everyone]
        due_s = pod.advance(now_s, node.slow)
        self._around.narrator.tell(pod, before)
        if pod.mounts and not pod.is_over and now_s - pod.started_s >= MOUNT_S:
            self._around.narrator.unmounted(pod)
        if due_s != pod.due_s:
            pod.due_s = due_s
            self._timers.at(due_s, pod)
        self._settle(pod)

    def _settle(self, pod: Pod) -> None:
        """Have a pod written if there is anything to tell."""
        node: Node = pod.node
        if pod.is_dirty or pod.is_writing or pod.is_gone or node.is_lost or not node.is_alive:
            return
        if pod.fingerprint() != pod.sent or (pod.is_leaving and pod.is_over):
            pod.is_dirty = True
            self._writers.put(pod)

    def on_node(self, node: Node) -> None:
        """Go on with the pods of a node that has come or changed."""
        if node.is_alive and node.name in self._strays:
            self._strays.discard(node.name)
            self._fetchers.put(node)
        for pod in tuple(node.pods):
            if not node.is_alive:
                self._note_stray(node.name)
                self._forget(pod.key, pod.uid)
                continue
            if pod.is_leaving and pod.kill_s == NEVER and not node.is_lost:
                pod.end(self._clock.now_s(), pod.grace_s)
            self._wake(pod)

    def evict(self, pod: Pod, verdict: Verdict) -> None:
        """End a pod because its node has to."""
        pod.fail(verdict, self._clock.now_s())
        self._wake(pod)

    def exit(self, pod: Pod, one: Container, code: int) -> None:
        """Have a container end with a code: somebody has left what it runs."""
        if one.state is State.RUNNING and not pod.is_gone:
            one.exit(self._clock.now_s(), code, pod.life, pod.node.slow)
            self._wake(pod)

    # What is written ---------------------------------------------------------------------------

    async def _write(self, pipe: Pipe, pod: Pod) -> None:
        pod.is_dirty = False
        node: Node = pod.node
        if pod.is_gone or node.is_lost:
            return
        pod.is_writing = True
        try:
            sent = pod.fingerprint()
            if sent != pod.sent:
                if not self._is_taken(pod, await self._patch(pipe, pod)):
                    return
                if pod.phase == "Running" and not pod.sent:
                    self.started += 1
                pod.sent = sent
            if pod.is_leaving and pod.is_over and sent == pod.fingerprint():
                self._is_taken(pod, await self._delete(pipe, pod))
                # Only finalizers of others may hold it now.
                pod.is_gone = True
        finally:
            pod.is_writing = False
        pod.failures = 0
        self._settle(pod)

    async def _patch(self, pipe: Pipe, pod: Pod) -> Answer:
        body = status_patch(pod, self._around.host)
        return await pipe.request("PATCH", f"{_path(pod)}/status", body, STRATEGIC_PATCH)

    async def _delete(self, pipe: Pipe, pod: Pod) -> Answer:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}}
        return await pipe.request("DELETE", _path(pod), orjson.dumps(options), JSON)

    def _is_taken(self, pod: Pod, answer: Answer) -> bool:
        """Tell whether the server has taken what was told of a pod, which is gone else.

        Raises:
            Unreachable: it is to be tried again.
        """
        if answer.code == _NOT_FOUND:
            pod.is_gone = True
            return False
        if answer.code >= 300:
            # Another pod of that name is told of by the watch.
            raise refusal(f"what is told of pod {pod.key}", answer)
        return True

    def _retry_later(self, pod: Pod) -> None:
        pod.failures += 1
        pause_s = min(60.0, _RETRY_S * 2.0 ** min(pod.failures, 10))
        pod.due_s = self._clock.now_s() + pause_s
        self._timers.at(pod.due_s, pod)


def _path(pod: Pod) -> str:
    namespace, _, name = pod.key.partition("/")
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def _subject(metadata: JsonObject, images: tuple[str, ...]) -> Subject:
    owners = metadata.get("ownerReferences") or ()
    owner = next((one["kind"] for one in owners if one.get("controller")), "")
    return Subject(
        metadata["uid"],
        metadata.get("namespace", ""),
        metadata.get("labels") or {},
        metadata.get("annotations") or {},
        owner,
        images,
    )

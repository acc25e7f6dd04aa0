"""Deletes garbage, as upstream's garbage collector decides what is: with the live objects at hand.

    an owner that is solid exists, and does not wait for its dependents to go
    an owner that waits is being deleted in the foreground
    an owner that dangles does not exist, or another of its name does

    any solid            -> keep the object, drop its references to owners that wait or dangle
    one waits, and the
    object owns others   -> delete it in the foreground, too
    else                 -> delete it, by what its finalizers say, else in the background

Invariants:
    - Nothing is deleted but on the word of live reads of the object and of each of its owners, and
      only if the object's owners are still those.
    - All that must survive is in the API: a collector that is killed is followed by one that sees
      the same objects and finalizers, and comes to the same end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from controllers.discovery import Discovery
from controllers.garbage.absent import AbsentOwners
from controllers.garbage.graph import FOREGROUND, ORPHAN, Graph
from controllers.garbage.monitors import Monitors
from controllers.garbage.nodes import Identity, Node, Reference, read_references
from controllers.garbage.requests import Absent, Requests, UnknownKind
from controllers.recorder import Recorder
from controllers.workqueue import Backoff, RetryLimit, WorkQueue, note_worker
from kube.client import ApiClient, Unreachable
from kube.informers.informer import Informers
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

WORKERS: Final = 20
COMPONENT: Final = "garbage-collector-controller"
_SYNC_S_MAX: Final = 30.0
_BACKOFF: Final = Backoff(first_s=0.005, most_s=1000.0)
_log = logging.getLogger(__name__)


class _Unsure(Exception):
    """A virtual node whose object is there, but was shown by no watch yet: look again."""


class _NeverRight(Exception):
    """An object in no namespace names an owner in one: no retry will help."""


@dataclass(slots=True)
class _Owners:
    """An object's references, sorted by what is known of the owners."""

    solid: list[Reference] = field(default_factory=list)
    dangling: list[Reference] = field(default_factory=list)
    waiting: list[Reference] = field(default_factory=list)


class GarbageCollector:
    """See the module's head.

    Args of the constructor:
        watcher: who watches all types.
        client: who reads and writes single objects.
        informers: of the process: what they watch is not watched twice.

    Attributes:
        graph: who owns whom.
        monitors: the types that are watched.
        synced: set once it has begun to collect.
    """

    def __init__(self, watcher: ApiClient, client: ApiClient, informers: Informers) -> None:
        self.synced = asyncio.Event()
        self._recorder = Recorder(client, COMPONENT)
        self._absent = AbsentOwners()
        to_delete: WorkQueue[Node] = WorkQueue(_BACKOFF, limit=RetryLimit())
        to_orphan: WorkQueue[Node] = WorkQueue(_BACKOFF, limit=RetryLimit())
        self.graph = Graph(to_delete, to_orphan, self._absent, self._report)
        self._requests = Requests(client)
        discovery = Discovery(watcher)
        self.monitors = Monitors(watcher, discovery, self.graph, self._requests, informers)

    def start(self, scope: TaskScope) -> None:
        """Start to watch all types, and to collect once all have told what there is."""
        self._recorder.start(scope)
        self.monitors.start(scope)
        scope.spawn(self._start_workers(scope), name="garbage collection")

    async def _start_workers(self, scope: TaskScope) -> None:
        if not await self.monitors.wait_synced(_SYNC_S_MAX):
            _log.warning("not all types are watched yet; garbage is collected all the same")
        graph = self.graph
        for number in range(WORKERS):
            for queue, work in (
                (graph.to_delete, self.attempt_to_delete),
                (graph.to_orphan, self.attempt_to_orphan),
            ):
                name = f"garbage {work.__name__} {number}"
                scope.spawn(self._run_worker(queue, work), name=name)
        self.synced.set()

    async def _run_worker(
        self, queue: WorkQueue[Node], work: Callable[[Node], Awaitable[None]]
    ) -> None:
        note_worker(queue)
        while True:
            node = await queue.get()
            try:
                await work(node)
            except _Unsure:
                queue.retry(node)
            except _NeverRight as error:
                _log.info("%s is kept: %s", node, error)
                queue.forget(node)
            except UnknownKind as error:
                self.monitors.look_again()
                _log.info("%s is looked at again in %.1f s: %s", node, queue.retry(node), error)
            except Absent:
                # What was to be changed is gone; its watch tells the rest.
                queue.forget(node)
            except (StatusError, Unreachable) as error:
                _log.warning("%s fails, again in %.2f s: %s", node, queue.retry(node), error)
            except Exception:  # noqa: BLE001 - logged with its traceback, and retried
                _log.exception("%s fails, again in %.2f s", node, queue.retry(node))
            else:
                queue.forget(node)
            finally:
                queue.done(node)

    async def attempt_to_delete(self, node: Node) -> None:
        """Look at a node that may be garbage, and delete it if it is.

        Raises:
            StatusError, Unreachable, UnknownKind: it has to be looked at again.
        """
        if self.graph.nodes.get(node.uid) is not node:
            return
        # Being deleted is a way of no return: its dependents have their turn when it is gone.
        if node.being_deleted and not node.deleting_dependents:
            return
        identity, was_virtual = node.identity, node.virtual
        try:
            latest = await self._requests.metadata(identity)
            if node.deleting_dependents:
                await self._go_on_waiting(node, identity)
                return
            await self._delete_unless_owned(node, identity, latest)
        except Absent:
            self.graph.remove_absent(identity)
            return
        if was_virtual and node.virtual:
            raise _Unsure

    async def attempt_to_orphan(self, node: Node) -> None:
        """Release a node's dependents, then let it go.

        Raises:
            StatusError, Unreachable, UnknownKind: something is left to be done.
        """
        identity = node.identity
        waiting = list(node.dependents or ())
        failures: list[Exception] = []
        async with TaskScope(f"release by {identity.name}") as scope:
            for number in range(min(WORKERS, len(waiting))):
                worker = self._release(waiting, identity.uid, failures)
                scope.spawn(worker, name=f"release {number}")
        if failures:
            raise failures[0]
        await self._requests.drop_finalizer(identity, ORPHAN)

    async def _release(
        self, waiting: list[Node], owner_uid: str, failures: list[Exception]
    ) -> None:
        # A server that is away is not asked for each of thousands: the rest is left to a retry.
        while waiting and len(failures) < WORKERS:
            dependent = waiting.pop()
            try:
                await self._requests.drop_owners(dependent.identity, {owner_uid})
            except Absent:
                continue
            except (StatusError, Unreachable, UnknownKind) as error:
                failures.append(error)

    async def _go_on_waiting(self, node: Node, identity: Identity) -> None:
        """Let a node go if nothing blocks it any more; else see that what does is looked at."""
        blocking = node.blocking()
        if not blocking:
            await self._requests.drop_finalizer(identity, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.deleting_dependents:
                self.graph.to_delete.add(dependent)

    async def _delete_unless_owned(
        self, node: Node, identity: Identity, latest: JsonObject
    ) -> None:
        references = read_references(latest)
        if not references:
            return
        owners = await self._classify(node, references)
        if owners.solid:
            useless = {one.uid for one in (*owners.dangling, *owners.waiting)}
            if useless:
                await self._requests.drop_owners(identity, useless)
        elif owners.waiting and node.dependents:
            if any(one.deleting_dependents for one in node.dependents):
                # Perhaps a circle, in which each would wait for the next.
                blocking = [one.uid for one in references if one.blocks]
                if blocking:
                    await self._requests.unblock_owners(identity, blocking)
                    latest = await self._requests.metadata(identity)
            await self._requests.delete(identity, latest, "Foreground")
        else:
            await self._requests.delete(identity, latest, _policy(latest))

    async def _classify(self, node: Node, references: Sequence[Reference]) -> _Owners:
        owners = _Owners()
        for reference in references:
            owner = await self._find_owner(node, reference)
            if owner is None:
                owners.dangling.append(reference)
            elif owner.get("deletionTimestamp") and FOREGROUND in (owner.get("finalizers") or ()):
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _find_owner(self, node: Node, reference: Reference) -> JsonObject | None:
        """Return the live metadata of an owner, None if there is no such object.

        Raises:
            UnknownKind: its type is not known.
            _NeverRight: it would be in a namespace, and the node is in none.
        """
        api_version, kind, name, uid, _ = reference
        in_none = Identity(kind, api_version, "", name, uid)
        in_same = Identity(kind, api_version, node.namespace, name, uid)
        if in_none in self._absent or in_same in self._absent:
            return None
        namespaced = self._requests.collection(api_version, kind).namespaced
        if namespaced and not node.namespace:
            raise _NeverRight(f"{in_none} would have to be in a namespace")
        identity = in_same if namespaced else in_none
        try:
            return await self._requests.metadata(identity)
        except Absent:
            self._absent.add(identity)
            return None

    def _report(self, node: Node, owner: Identity) -> None:
        message = f'ownerRef {owner} does not exist in namespace "{node.namespace}"'
        api_version, kind = node.kind
        involved = {
            "kind": kind,
            "namespace": node.namespace,
            "name": node.name,
            "uid": node.uid,
            "apiVersion": api_version,
        }
        self._recorder.warn(involved, "OwnerRefInvalidNamespace", message)


def _policy(metadata: JsonObject) -> str:
    """Return how dependents of an object are treated: as its finalizers say."""
    finalizers = metadata.get("finalizers") or ()
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"

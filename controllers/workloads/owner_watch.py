"""Who is to be looked at again when a pod, or an owner itself, changes.

For controllers of one kind of owners whose pods are in the book: a pod of an owner wakes it, and is
noted as what it waited for; an orphan wakes whoever selects it. Invariant: when a sync asks its
expectations, the book has every pod that they no longer wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from controllers.pace import Rhythm
from controllers.workloads.claims import Kind
from controllers.workloads.expectations import Expectations
from controllers.workloads.pods import PodBook, PodBrief, selects
from controllers.workqueue import WorkQueue
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.informers.store import Store
from kube.json_types import JsonObject


def selector_of(owner: JsonObject) -> JsonObject | None:
    """Return an owner's label selector."""
    selector: JsonObject | None = owner["spec"].get("selector")
    return selector


@dataclass(slots=True)
class OwnerWatch:
    """See the module's head.

    Attributes:
        kind: of the owners.
        owners: their store, indexed by "namespace".
        expected: what owners wait for.
        queue: gets their keys.
        rhythm: says when one is looked at whose pods changed.
        selector: says which pods one selects.
    """

    kind: Kind
    owners: Store
    expected: Expectations
    queue: WorkQueue[str]
    rhythm: Rhythm
    selector: Callable[[JsonObject], JsonObject | None] = selector_of
    _keys: dict[str, str] = field(default_factory=dict)
    _generations: dict[str, int] = field(default_factory=dict)
    _min_ready_s: dict[str, int] = field(default_factory=dict)

    def begin(self, owners: Informer, pods: PodBook) -> None:
        """Take note from now on."""
        owners.on_changes(self._observe)
        pods.listen_for(self.kind.kind, self._observe_pod)

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            uid = obj["metadata"]["uid"]
            if change is Change.DELETED:
                self.expected.forget(key)
                self.rhythm.forget(key)
                self._keys.pop(uid, None)
                self._generations.pop(uid, None)
                self._min_ready_s.pop(key, None)
                self.queue.add(key)
                continue
            self._keys[uid] = key
            self._note_min_ready(key, obj["spec"].get("minReadySeconds", 0))
            generation = obj["metadata"].get("generation", 0)
            if self._generations.get(uid) == generation:
                # Nobody asks for anything new; most likely the controller has written its status.
                self.rhythm.wake(key)
            else:
                self._generations[uid] = generation
                self.queue.add(key)

    def _observe_pod(self, old: PodBrief | None, new: PodBrief | None) -> None:
        was = self._owner_key(old)
        now = self._owner_key(new)
        if was is not None and was != now:
            assert old is not None
            is_settled = self.expected.satisfied(was)
            self.expected.deleted(was, old.key)
            self._wake(was, is_settled=is_settled)
        if now is not None:
            assert new is not None
            is_settled = self.expected.satisfied(now)
            if old is None:
                # Even one that is seen for the first time as it goes.
                self.expected.created(now)
            if new.is_deleting:
                self.expected.deleted(now, new.key)
            if was == now and old is not None and new.ready_s is not None and old.ready_s is None:
                self._look_again_when_available(now)
            self._wake(now, is_settled=is_settled)
        elif new is not None and new.owner is None and not new.is_deleting:
            self._offer(old, new)

    def _wake(self, key: str, *, is_settled: bool) -> None:
        if not is_settled and self.expected.satisfied(key):
            self.queue.add(key)  # all that it waited for is there
        else:
            self.rhythm.wake(key)

    def _owner_key(self, pod: PodBrief | None) -> str | None:
        if pod is None or pod.owner is None or pod.owner.kind != self.kind.kind:
            return None
        return self._keys.get(pod.owner.uid)

    def _offer(self, old: PodBrief | None, new: PodBrief) -> None:
        """Have whoever selects an orphan look at it, if that is news."""
        if old is not None and old.owner is None and old.labels == new.labels:
            return
        namespace = new.key.partition("/")[0]
        labels = dict(new.labels)
        for key in self.owners.keys("namespace", namespace):
            owner = self.owners.get(key)
            if owner is not None and selects(self.selector(owner))(labels):
                self.queue.add(key)

    def _note_min_ready(self, key: str, min_ready_s: int) -> None:
        if min_ready_s:
            self._min_ready_s[key] = min_ready_s
        else:
            self._min_ready_s.pop(key, None)

    def _look_again_when_available(self, key: str) -> None:
        if (min_ready_s := self._min_ready_s.get(key)) is not None:
            # A second more, as times of the API have no parts of seconds.
            self.queue.add_after(key, min_ready_s + 1)

"""Pods of Jobs: of each Job those that still matter, kept by what has become of them.

A pod matters until it has ended and its end is counted, which is when it loses the tracking
finalizer; of those before it nothing is kept, so a Job's sync costs what is under way, however many
pods have ended and still lie about. Invariants:
    - A pod is in exactly one of its Job's `active`, `terminating` and `ended`.
    - What the server answered to our own writes is known at once (`note`, `note_deleting`,
      `note_gone`): a sync never counts without what the last one did, whatever the watch lags.
      Older news of such a pod is passed over, until the watch has caught up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from controllers.jobs.backoff import finished_s
from controllers.jobs.policies import Verdict
from controllers.workloads.pods import Labels, condition_of, controller_of, epoch_s
from kube.informers.changes import Change, key_of
from kube.informers.informer import Delta
from kube.json_types import JsonObject
from runtime.clock import Clock

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES: Final = "batch.kubernetes.io/job-index-ignored-failure-count"
UNKNOWN: Final = -1
ENDED: Final = frozenset({"Succeeded", "Failed"})
FORGOTTEN_S: Final = 300.0
"""So long the watch may take to tell of what we wrote; then it never will."""
_INT32_MAX: Final = 2**31 - 1
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_digits: Final = re.compile(r"\+?[0-9]{1,18}").fullmatch


class JobPod(NamedTuple):
    """What a Job needs to know of a pod.

    Attributes:
        key: "namespace/name".
        job: uid of the Job that controls it.
        is_tracked: whether it has the finalizer, that is, its end is not counted yet.
        completion: its completion index, UNKNOWN: it has none.
        restarts: of all its containers together.
        failures, ignored: how often its index failed before it, as its annotations say.
        finished_s: when it ended; 0: it has not, and is not being deleted.
        rank: those of lower ones go first when there are too many.
    """

    key: str
    uid: str
    revision: str
    job: str
    labels: Labels
    phase: str
    is_deleting: bool
    is_tracked: bool
    is_ready: bool
    completion: int
    restarts: int
    failures: int
    ignored: int
    finished_s: int
    rank: tuple[object, ...]


def count_of(annotations: JsonObject, name: str) -> int:
    """Return a count that an annotation holds, 0 where it holds none."""
    text = annotations.get(name, "")
    count = int(text) if _digits(text) else 0
    return count if count <= _INT32_MAX else 0


def index_of(annotations: JsonObject) -> int:
    """Return the completion index that an annotation holds."""
    text = annotations.get(INDEX, "")
    return int(text) if _digits(text) else UNKNOWN


def read(key: str, pod: JsonObject) -> JobPod | None:
    """Return what matters of a pod; None: it is no Job's, or does not matter any more."""
    owner = controller_of(pod)
    if owner is None or owner.kind != "Job":
        return None
    metadata, status = pod["metadata"], pod.get("status") or {}
    phase = status.get("phase", "")
    is_tracked = FINALIZER in (metadata.get("finalizers") or ())
    if phase in ENDED and not is_tracked:
        return None
    annotations = metadata.get("annotations") or {}
    is_deleting = "deletionTimestamp" in metadata
    ready = condition_of(pod, "Ready")
    ready_s = epoch_s(ready.get("lastTransitionTime")) if _holds(ready) and ready else None
    statuses = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )
    restarts = [one.get("restartCount", 0) for one in statuses]
    return JobPod(
        key=key,
        uid=metadata["uid"],
        revision=metadata.get("resourceVersion", ""),
        job=owner.uid,
        labels=frozenset((metadata.get("labels") or {}).items()),
        phase=phase,
        is_deleting=is_deleting,
        is_tracked=is_tracked,
        is_ready=ready_s is not None,
        completion=index_of(annotations),
        restarts=sum(restarts),
        failures=count_of(annotations, FAILURES),
        ignored=count_of(annotations, IGNORED_FAILURES),
        finished_s=finished_s(pod) if is_deleting or phase in ENDED else 0,
        rank=(
            bool(pod["spec"].get("nodeName")),
            _PHASES.get(phase, 0),
            ready_s is not None,
            -ready_s if ready_s else float("-inf"),
            -max(restarts, default=0),
            -epoch_s(metadata.get("creationTimestamp")),
            metadata["uid"],
        ),
    )


def _holds(condition: JsonObject | None) -> bool:
    return condition is not None and condition.get("status") == "True"


@dataclass(slots=True)
class JobPods:
    """The pods of one Job, by their keys.

    Attributes:
        active: running, or they will.
        terminating: being deleted, and not ended yet.
        ended: ended and not counted yet.
        unchecked: keys of those whose labels nobody has compared with the Job's selector.
        verdicts: what the failure policy said of pods, with the revision it looked at.
    """

    active: dict[str, JobPod] = field(default_factory=dict)
    terminating: dict[str, JobPod] = field(default_factory=dict)
    ended: dict[str, JobPod] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)
    verdicts: dict[str, tuple[str, Verdict]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[JobPod]:
        yield from self.active.values()
        yield from self.terminating.values()
        yield from self.ended.values()

    def __len__(self) -> int:
        return len(self.active) + len(self.terminating) + len(self.ended)

    def place(self, pod: JobPod) -> dict[str, JobPod]:
        """Return where a pod belongs."""
        if pod.phase in ENDED:
            return self.ended
        return self.terminating if pod.is_deleting else self.active


NO_PODS: Final = JobPods()
Listener = Callable[[JobPod | None, JobPod | None], None]
"""Told of a pod before and after a change; None: it did not or does not matter."""
_GONE: Final = 2**63


class JobPodBook:
    """The pods of all Jobs; see the module's head. Fed by the informer of pods.

    Args of the constructor:
        clock: to forget what the watch will never tell of.
        on_change: see Listener.
        on_stray: told the key of a pod that has the finalizer and no controller.
    """

    def __init__(self, clock: Clock, on_change: Listener, on_stray: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_stray = on_stray
        self._pods: dict[str, JobPod] = {}
        self._jobs: dict[str, JobPods] = {}
        self._seen = 0
        # In the order in which they were noted, so that the oldest is the first.
        self._ahead: dict[str, tuple[str, int, float]] = {}
        self._leaving: set[str] = set()

    def of(self, uid: str) -> JobPods:
        """Return a Job's pods; only `unchecked` and `verdicts` are for others to change."""
        return self._jobs.get(uid, NO_PODS)

    def get(self, key: str) -> JobPod | None:
        """Return a pod that matters."""
        return self._pods.get(key)

    def take(self, deltas: Sequence[Delta]) -> None:
        """Take note of what the watch tells."""
        for change, key, obj, _ in deltas:
            metadata = obj["metadata"]
            self._seen = max(self._seen, _number(metadata))
            if key in self._ahead and self._is_past(change, key, metadata):
                continue
            old = self._pods.get(key)
            new = None if change is Change.DELETED else read(key, obj)
            if key in self._leaving:
                new = self._still_leaving(old, new, key)
            if old is not None or new is not None:
                self._put(key, old, new)
                self._on_change(old, new)
            if change is not Change.DELETED and new is None and _is_stray(obj):
                self._on_stray(key)
        self.expire()

    def _is_past(self, change: Change, key: str, metadata: JsonObject) -> bool:
        """Tell whether we know more of a pod than the watch tells; if not, it has caught up."""
        uid, revision, _ = self._ahead[key]
        is_same = metadata.get("uid") == uid
        if is_same and change is not Change.DELETED and _number(metadata) < revision:
            return True
        del self._ahead[key]
        return False

    def _still_leaving(self, old: JobPod | None, new: JobPod | None, key: str) -> JobPod | None:
        if new is not None and old is not None and new.uid == old.uid and not new.is_deleting:
            return new._replace(is_deleting=True)
        self._leaving.discard(key)
        return new

    def note(self, pod: JsonObject) -> None:
        """Take note of a pod as the server answered it, if the watch has not told of it yet."""
        metadata = pod["metadata"]
        if _number(metadata) <= self._seen:
            return
        key = key_of(pod)
        old, new = self._pods.get(key), read(key, pod)
        if old is not None and new is not None and key in self._leaving:
            new = new._replace(is_deleting=True)
        self._remember(key, metadata["uid"], _number(metadata))
        self._put(key, old, new)

    def note_deleting(self, pod: JobPod) -> None:
        """Take note that the server has begun to delete a pod."""
        known = self._pods.get(pod.key)
        if known is None or known.uid != pod.uid or known.is_deleting:
            return
        self._leaving.add(pod.key)
        self._put(pod.key, known, known._replace(is_deleting=True))

    def note_gone(self, pod: JobPod) -> None:
        """Take note that there is no such pod any more."""
        known = self._pods.get(pod.key)
        if known is not None and known.uid == pod.uid:
            self._remember(pod.key, pod.uid, _GONE)
            self._put(pod.key, known, None)

    def _remember(self, key: str, uid: str, revision: int) -> None:
        self._ahead.pop(key, None)
        self._ahead[key] = uid, revision, self._clock.monotonic_s()

    def expire(self) -> None:
        """Forget what was noted so long ago that the watch will never tell of it.

        A pod that came and went while the watch was away is told of by nobody.
        """
        limit_s = self._clock.monotonic_s() - FORGOTTEN_S
        while self._ahead:
            key = next(iter(self._ahead))
            uid, _, at_s = self._ahead[key]
            if at_s > limit_s:
                return
            del self._ahead[key]
            known = self._pods.get(key)
            if known is not None and known.uid == uid:
                self._put(key, known, None)
                self._on_change(known, None)

    def _put(self, key: str, old: JobPod | None, new: JobPod | None) -> None:
        if old is not None:
            pods = self._jobs[old.job]
            del pods.place(old)[key]
            if new is None or new.job != old.job:
                pods.unchecked.discard(key)
                pods.verdicts.pop(key, None)
                if not len(pods):
                    del self._jobs[old.job]
        if new is None:
            self._pods.pop(key, None)
            self._leaving.discard(key)
            return
        pods = self._jobs.setdefault(new.job, JobPods())
        pods.place(new)[key] = self._pods[key] = new
        if old is None or old.job != new.job or old.labels != new.labels:
            pods.unchecked.add(key)

    def check(self) -> None:
        """Assert the invariants; for tests."""
        found = [(uid, pod) for uid, pods in self._jobs.items() for pod in pods]
        assert sorted(pod.key for _, pod in found) == sorted(self._pods)
        for uid, pod in found:
            assert (pod.job, self._pods[pod.key]) == (uid, pod)
            assert pod.key in self._jobs[uid].place(pod)
        assert self._leaving <= self._pods.keys()
        assert all(len(pods) for pods in self._jobs.values())


def _number(metadata: JsonObject) -> int:
    text = metadata.get("resourceVersion", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _is_stray(pod: JsonObject) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ()) and controller_of(pod) is None

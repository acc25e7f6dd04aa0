"""Events: what controllers have to say of objects, written beside their work.

Correlated as client-go does: the same said again raises a count; more than ten different messages
of one reason about one object within ten minutes become one that is changed; and of one object at
most 25 are told in a burst, then one in five minutes. Nobody waits for an event: what does not fit
into the queue, or is refused, is dropped.

What went well is told 50 times a second, and 1000 times at once: that is what client-go's limits
and queue leave of a flood, as when ten thousand pods are scheduled. What is wrong has no such
limit, and finds room in the queue.
"""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from kube import times
from kube.client import STRATEGIC_PATCH, ApiClient, Patch, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.clock import Clock
from runtime.queues import BoundedQueue, QueueFull
from runtime.tasks import TaskScope

SIMILAR_MAX: Final = 10
SIMILAR_S: Final = 600.0
BURST: Final = 25
REFILL_S: Final = 300.0
NOTES_PER_S: Final = 50.0
NOTES_BURST: Final = 1000
_NORMAL: Final = "Normal"
COMBINED: Final = "(combined from similar events): "
_REMEMBERED_MAX: Final = 4096
_QUEUED_MAX: Final = 2 * NOTES_BURST
"""Half of it is for warnings alone."""
_NAME_MAX: Final = 230
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """One thing to tell.

    Attributes:
        involved: reference to the object it is about.
        kind: Normal or Warning.
        reason, message: what.
    """

    involved: JsonObject
    kind: str
    reason: str
    message: str

    @property
    def subject(self) -> tuple[str, ...]:
        """The object, hashable."""
        return tuple(sorted(f"{key}={value}" for key, value in self.involved.items()))


@dataclass(slots=True)
class _Similar:
    since_s: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float


@dataclass(slots=True)
class _Allowance:
    """How many notes may be taken: a burst, refilled in time."""

    clock: Clock
    left: float = NOTES_BURST
    at_s: float = float("-inf")

    def take(self) -> bool:
        """Tell whether one more may be."""
        now_s = self.clock.monotonic_s()
        self.left = min(NOTES_BURST, self.left + (now_s - self.at_s) * NOTES_PER_S)
        self.at_s = now_s
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Written:
    name: str
    first: str
    count: int


class Correlator:
    """Decides what is written: pure but for what it remembers, the last 4096 of each."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._similar: OrderedDict[tuple[str, ...], _Similar] = OrderedDict()

    def correlate(self, said: Said, now_s: float) -> tuple[tuple[str, ...], str] | None:
        """Return the key and the message under which it is written, None if it is too much."""
        subject = said.subject
        key = (*subject, said.kind, said.reason)
        similar = self._similar.pop(key, None)
        if similar is None or now_s - similar.since_s > SIMILAR_S:
            similar = _Similar(now_s)
        _remember(self._similar, key, similar)
        # One more than counts needs no room: from then on all are combined.
        if len(similar.messages) <= SIMILAR_MAX:
            similar.messages.add(said.message)
        is_combined = len(similar.messages) > SIMILAR_MAX
        if not self._admits(subject, now_s):
            return None
        if is_combined:
            return key, COMBINED + said.message
        return (*key, said.message), said.message

    def _admits(self, subject: tuple[str, ...], now_s: float) -> bool:
        bucket = self._buckets.pop(subject, None) or _Bucket(BURST, now_s)
        _remember(self._buckets, subject, bucket)
        bucket.left = min(BURST, bucket.left + (now_s - bucket.at_s) / REFILL_S)
        bucket.at_s = now_s
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True


class Recorder:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        component: who says it.
    """

    def __init__(self, client: ApiClient, component: str) -> None:
        self._client = client
        self._component = component
        self._correlator = Correlator()
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._queue: BoundedQueue[Said] = BoundedQueue(_QUEUED_MAX)
        self._numbers = itertools.count()
        self._allowance = _Allowance(client.clock)
        self._dropped = 0

    def __len__(self) -> int:
        """Return how many wait to be written."""
        return len(self._queue)

    def start(self, scope: TaskScope) -> None:
        """Write what is said, from now on."""
        scope.spawn(self._run(), name=f"events of {self._component}")

    def warn(self, involved: JsonObject, reason: str, message: str) -> None:
        """Say that something about an object is wrong."""
        self._say(Said(involved, "Warning", reason, message))

    def note(self, involved: JsonObject, reason: str, message: str) -> None:
        """Say what was done for an object."""
        self._say(Said(involved, _NORMAL, reason, message))

    def _say(self, said: Said) -> None:
        try:
            if said.kind == _NORMAL and len(self._queue) >= NOTES_BURST:
                raise QueueFull
            self._queue.offer(said)
        except QueueFull:
            # Told once for each time that it happens: thousands may be dropped a second.
            if not self._dropped:
                _log.warning("events are dropped, first: %s %s", said.reason, said.message)
            self._dropped += 1

    async def _run(self) -> None:
        while True:
            for said in await self._queue.get_batch():
                try:
                    await self.write(said)
                except (StatusError, Unreachable) as error:
                    _log.warning("an event is not written: %s: %s", said.message, error)
            if self._dropped:
                _log.warning("%d events were dropped", self._dropped)
                self._dropped = 0

    async def write(self, said: Said) -> None:
        """Write one, unless it is too much.

        Raises:
            StatusError, Unreachable: it was not written.
        """
        clock = self._client.clock
        found = self._correlator.correlate(said, clock.monotonic_s())
        if found is None or (said.kind == _NORMAL and not self._allowance.take()):
            return
        key, message = found
        now = times.format_seconds(int(clock.now_s()))
        namespace = said.involved.get("namespace") or "default"
        path = f"/api/v1/namespaces/{namespace}/events"
        written = self._written.pop(key, None)
        if written is not None:
            change = {"count": written.count + 1, "lastTimestamp": now, "message": message}
            try:
                patch = Patch(change, STRATEGIC_PATCH)
                await self._client.request("PATCH", f"{path}/{written.name}", patch)
            except StatusError as error:
                if error.code != 404:
                    raise
            else:
                written.count += 1
                _remember(self._written, key, written)
                return
        suffix = f"{clock.now_ms():x}{next(self._numbers) % 0x1000:03x}"
        name = f"{said.involved['name'][:_NAME_MAX]}.{suffix}"
        await self._client.request("POST", path, self._event(said, message, name, now))
        _remember(self._written, key, _Written(name, now, 1))

    def _event(self, said: Said, message: str, name: str, now: str) -> JsonObject:
        namespace = said.involved.get("namespace") or "default"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in said.involved.items() if value},
            "type": said.kind,
            "reason": said.reason,
            "message": message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }


def _remember(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    if len(kept) > _REMEMBERED_MAX:
        kept.popitem(last=False)

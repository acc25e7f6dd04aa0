"""LeaderWorkerSets: many groups of pods by one template (sigs.k8s.io/lws, pkg/controllers).

    LeaderWorkerSet llm --> StatefulSet llm, of leaders: llm-0, llm-1
                                llm-0 --> StatefulSet llm-0, of its workers: llm-0-1, llm-0-2
                                llm-1 --> StatefulSet llm-1, ...

A sync of a set writes the revision of its template, applies the leaders' StatefulSet with the
partition that an update has come to, and tells how its groups are. Groups are looked at by
themselves (groups.py). What was applied is known at once: of the StatefulSet that the watch tells
of and the one that was answered, the newer counts, so that no step is taken twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from controllers.leader_workers import names, status
from controllers.leader_workers.group_book import GroupBook, GroupKey
from controllers.leader_workers.groups import GroupKeeper, make_service
from controllers.leader_workers.names import LEADER_WORKER_SET, annotations_of, revision_of
from controllers.leader_workers.revisions import RevisionBook, patch_of
from controllers.leader_workers.rollout import (
    MISSING,
    Leaders,
    next_step,
    progress_text,
    surplus_text,
)
from controllers.leader_workers.sets import headless_service, leader_set
from controllers.leader_workers.wanted import Wanted, read_spec
from controllers.pace import Rhythm
from controllers.recorder import Recorder
from controllers.workloads.pod_control import reference_of
from controllers.workloads.stateful_identity import STATEFUL_SET
from controllers.workloads.status_writes import write_status
from controllers.workqueue import WorkQueue, run_worker
from kube import times
from kube.client import ApiClient, Patch, Unreachable
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_APPLY: Final = "application/apply-patch+yaml"
_PAUSE_S: Final = 0.1
_GOING_S: Final = 5.0
_FRESH_S: Final = 10.0
_SET_WORKERS: Final = 4
_GROUP_WORKERS: Final = 16


class _Applied(NamedTuple):
    """What was applied last for a set.

    Attributes:
        encoded: what was asked for.
        made: what was answered.
        fresh_until_s: as long as it counts though no watch has told of it.
    """

    encoded: bytes
    made: JsonObject
    fresh_until_s: float

    def holds(self, leaders: JsonObject, wanted: JsonObject, encoded: bytes) -> bool:
        """Tell whether the same is wanted, and nobody has changed it since."""
        mine, theirs = self.made["metadata"], leaders["metadata"]
        return (
            self.encoded == encoded
            and mine["uid"] == theirs["uid"]
            and mine.get("generation") == theirs.get("generation")
            and all(
                (theirs.get(part) or {}).items() >= wanted["metadata"][part].items()
                for part in ("labels", "annotations")
            )
        )


class LeaderWorkerSetController:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        sets: the informer of LeaderWorkerSets.
        informers: of StatefulSets, pods, nodes, services and ControllerRevisions.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        sets: Informer,
        informers: Sequence[Informer],
    ) -> None:
        stateful_sets, pods, nodes, services, revisions = informers
        self._client = client
        self._recorder = recorder
        self._sets = sets.store
        self._stateful_sets: Store = stateful_sets.store
        self._services: Store = services.store
        self._queue: WorkQueue[str] = WorkQueue()
        self._groups: WorkQueue[GroupKey] = WorkQueue()
        self._rhythm = Rhythm(self._queue, client.clock, _PAUSE_S)
        self._book = GroupBook(self._groups.add, self._rhythm.wake)
        self._revisions = RevisionBook(client, revisions.store)
        self._keeper = GroupKeeper(
            client, recorder, self._book, self._revisions, (pods.store, nodes.store)
        )
        self._applied: dict[str, _Applied] = {}
        self._generations: dict[str, int] = {}
        sets.on_changes(self._observe)
        pods.on_changes(self._book.take_pods)
        stateful_sets.on_changes(self._book.take_sets)
        stateful_sets.on_changes(self._observe_leaders)
        services.on_changes(self._observe_services)

    def start(self, scope: TaskScope) -> None:
        """Start the workers."""
        for number in range(_SET_WORKERS):
            scope.spawn(run_worker(self._queue, self.sync), name=f"leaderworkersets {number}")
        for number in range(_GROUP_WORKERS):
            scope.spawn(run_worker(self._groups, self.sync_group), name=f"groups {number}")

    def _observe(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            if change is Change.DELETED:
                self._revisions.forget(obj["metadata"]["uid"])
                self._rhythm.forget(key)
                self._applied.pop(key, None)
                self._generations.pop(key, None)
                continue
            generation = obj["metadata"].get("generation", 0)
            if self._generations.get(key) == generation:
                self._rhythm.wake(key)
                continue
            self._generations[key] = generation
            self._queue.add(key)
            for index in self._book.groups(key):
                self._groups.add((key, index))

    def _observe_leaders(self, deltas: Sequence[Delta]) -> None:
        for change, key, obj, _ in deltas:
            applied = self._applied.get(key)
            if change is Change.DELETED and applied is not None and _is_same(applied.made, obj):
                del self._applied[key]

    def _observe_services(self, deltas: Sequence[Delta]) -> None:
        for change, _, obj, _ in deltas:
            name = names.labels_of(obj).get(names.NAME)
            if name and change is Change.DELETED:
                self._rhythm.wake(f"{obj['metadata']['namespace']}/{name}")

    async def sync_group(self, key: GroupKey) -> float | None:
        """Do what a group needs; return when to look again."""
        lws = self._sets.get(key[0])
        if lws is None or "deletionTimestamp" in lws["metadata"]:
            return None
        return await self._keeper.keep(lws, key)

    async def sync(self, key: str) -> float | None:
        """Bring a set's leaders and status to what they are to be; return when to look again."""
        lws = self._sets.get(key)
        if lws is None or "deletionTimestamp" in lws["metadata"]:
            return None
        self._rhythm.begin(key)
        leaders = self._leaders(key)
        if leaders is not None and "deletionTimestamp" in leaders["metadata"]:
            return _GOING_S
        wanted = read_spec(lws["spec"])
        revision, is_new = await self._revision(lws, leaders)
        made = await self._keep_leaders(lws, wanted, leaders, (revision, is_new))
        if not wanted.is_unique:
            await self._keep_service(lws)
        counts = status.count(wanted, self._book.groups(key), revision)
        await self._tell(lws, made, wanted, counts)
        if counts.is_done(wanted):
            await self._revisions.truncate(lws, revision)
        return None

    def _leaders(self, key: str) -> JsonObject | None:
        """Return the leaders' StatefulSet, as the watch told or as it was answered."""
        seen, applied = self._stateful_sets.get(key), self._applied.get(key)
        if applied is None:
            return seen
        made = applied.made
        if seen is None:
            # Not told of yet; or gone before the answer came, which shows in a while.
            is_fresh = self._client.clock.monotonic_s() < applied.fresh_until_s
            return made if is_fresh else None
        if not _is_same(seen, made):
            return seen
        return made if _revision(made) > _revision(seen) else seen

    async def _revision(self, lws: JsonObject, leaders: JsonObject | None) -> tuple[str, bool]:
        """Return the key of the template's revision, and whether leaders do not have it yet."""
        known = revision_of(leaders) if leaders is not None else ""
        revision = self._revisions.find(lws, known)
        if revision is None:
            revision = await self._revisions.make(lws, known)
            text = f"Creating revision with key {revision_of(revision)} for a newly created "
            if known:
                text = f"Creating missing revision with key {known} for existing "
            self._note(lws, "CreatingRevision", f"{text}LeaderWorkerSet")
        if leaders is None or revision.get("data") == patch_of(lws):
            return revision_of(revision), False
        made = await self._revisions.make(lws)
        text = f"Creating revision with key {revision_of(made)} for updated LWS"
        self._note(lws, "CreatingRevision", text)
        return revision_of(made), True

    async def _keep_leaders(
        self,
        lws: JsonObject,
        wanted: Wanted,
        leaders: JsonObject | None,
        revision: tuple[str, bool],
    ) -> JsonObject:
        """Apply the leaders' StatefulSet as far as it differs; return it."""
        metadata, (key, is_new) = lws["metadata"], revision
        before = None if leaders is None else _read(leaders)
        groups = self._book.groups(f"{metadata['namespace']}/{metadata['name']}")
        states = [
            group.state(wanted.size, key) if (group := groups.get(index)) else MISSING
            for index in range(0 if before is None else before.replicas)
        ]
        step = next_step(wanted, before, states, is_new=is_new)
        if before is not None:
            text = surplus_text(metadata["name"], before.replicas, step.replicas)
            if text:
                self._note(lws, "GroupsProgressing", text)
        made = await self._apply(lws, leaders, leader_set(lws, step, key))
        if before is None:
            text = f"Created leader statefulset {metadata['name']}"
            self._note(lws, "GroupsProgressing", text)
        elif not is_new and step.partition != before.partition:
            self._note(lws, "GroupsUpdating", progress_text(before.partition, step.partition))
        return made

    async def _apply(
        self, lws: JsonObject, leaders: JsonObject | None, wanted: JsonObject
    ) -> JsonObject:
        metadata = lws["metadata"]
        name, key = metadata["name"], f"{metadata['namespace']}/{metadata['name']}"
        encoded = orjson.dumps(wanted, option=orjson.OPT_SORT_KEYS)
        last = self._applied.get(key)
        if leaders is not None and last is not None and last.holds(leaders, wanted, encoded):
            return leaders
        query = {"fieldManager": names.MANAGER, "force": "true"}
        try:
            path = STATEFUL_SET.path(key)
            made = await self._client.request("PATCH", path, Patch(wanted, _APPLY), query=query)
        except (StatusError, Unreachable) as error:
            verb = "create" if leaders is None else "update"
            text = f"Failed to {verb} leader statefulset {name}: {error}"
            about = reference_of(LEADER_WORKER_SET, lws)
            self._recorder.warn(about, f"Failed{verb.title()}", text)
            raise
        until_s = self._client.clock.monotonic_s() + _FRESH_S
        self._applied[key] = _Applied(encoded, made, until_s)
        return made

    async def _keep_service(self, lws: JsonObject) -> None:
        metadata = lws["metadata"]
        name = metadata["name"]
        if f"{metadata['namespace']}/{name}" in self._services:
            return
        owner = LEADER_WORKER_SET.controls(lws)
        try:
            await make_service(self._client, headless_service(lws, name, {names.NAME: name}, owner))
        except (StatusError, Unreachable) as error:
            text = f"Failed to create headless service for error: {error}"
            self._recorder.warn(reference_of(LEADER_WORKER_SET, lws), "FailedCreate", text)
            raise

    async def _tell(
        self, lws: JsonObject, leaders: JsonObject, wanted: Wanted, counts: status.Counts
    ) -> None:
        now = times.format_seconds(int(self._client.clock.now_s()))
        made, text = status.new_status(lws, leaders, counts, wanted, now)
        await write_status(self._client, LEADER_WORKER_SET, lws, lambda _known: made)
        if text:
            reason = status.reason_of(status.true_conditions(wanted, counts)[0])
            self._note(lws, reason, text)

    def _note(self, lws: JsonObject, reason: str, text: str) -> None:
        self._recorder.note(reference_of(LEADER_WORKER_SET, lws), reason, text)


def _is_same(one: JsonObject, other: JsonObject) -> bool:
    """Tell whether two are states of one object, not of two of one name."""
    return bool(one["metadata"]["uid"] == other["metadata"]["uid"])


def _revision(obj: JsonObject) -> int:
    text = obj["metadata"].get("resourceVersion", "")
    return int(text) if text.isdigit() else 0


def _read(leaders: JsonObject) -> Leaders:
    spec = leaders["spec"]
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
    asked = annotations_of(leaders).get(names.REPLICAS, "")
    return Leaders(
        replicas=int(spec.get("replicas", 1)),
        partition=int(rolling.get("partition", 0)),
        asked=int(asked) if asked.isdigit() else None,
    )

"""One step of one Deployment; see deployments.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from controllers.recorder import Recorder
from controllers.workloads import revisions, rollback, rollout_math, rollout_status
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import has_cause, reference_of
from controllers.workloads.pods import condition_of, controller_of
from controllers.workloads.replica_sets import REPLICA_SET
from controllers.workloads.rollout_math import active, replicas_of
from kube.client import ApiClient
from kube.json_types import JsonObject
from kube.status import StatusError

DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")


class Tools(NamedTuple):
    """What a step is done with.

    Attributes:
        client: who writes.
        recorder: who tells of it.
        has_pods: tells whether any pod of some ReplicaSets may still run.
    """

    client: ApiClient
    recorder: Recorder
    has_pods: Callable[[Sequence[JsonObject]], bool]


class Rollout:
    """One step of one Deployment.

    Args of the constructor:
        tools: what it is done with.
        deployment: as the cache has it; replaced by what is written.
        sets: its ReplicaSets.
    """

    def __init__(self, tools: Tools, deployment: JsonObject, sets: list[JsonObject]) -> None:
        self._client, self._recorder, self._has_pods = tools
        self._deployment = deployment
        self._sets = sets
        metadata = deployment["metadata"]
        self._path = DEPLOYMENT.path(f"{metadata['namespace']}/{metadata['name']}")
        self._now_s = tools.client.clock.now_s()

    async def step(self) -> float | None:
        """Do it; return when to look again."""
        if "deletionTimestamp" in self._deployment["metadata"]:
            new, old = await self._new_and_old(create=False)
            await self._tell(new, old)
            return None
        await self._mark_paused()
        if self._deployment["spec"].get("paused"):
            return await self._scale_only()
        if (revision := rollback.wanted_revision(self._deployment)) is not None:
            await self._roll_back(revision)
            return None
        if await self._is_scaling():
            return await self._scale_only()
        if rollout_math.is_rolling(self._deployment):
            return await self._roll()
        return await self._recreate()

    async def _mark_paused(self) -> None:
        deployment = self._deployment
        if not rollout_status.has_deadline(deployment):
            return
        current = condition_of(deployment, rollout_status.PROGRESSING)
        reason = None if current is None else current.get("reason")
        if reason == rollout_status.TIMED_OUT:
            return  # what went wrong is not to be forgotten over a pause
        is_paused = bool(deployment["spec"].get("paused"))
        if is_paused == (reason == rollout_status.PAUSED):
            return
        status = dict(deployment.get("status") or {})
        how = "paused" if is_paused else "resumed"
        made = rollout_status.condition(
            rollout_status.PROGRESSING,
            status="Unknown",
            reason=rollout_status.PAUSED if is_paused else rollout_status.RESUMED,
            message=f"Deployment is {how}",
            now_s=self._now_s,
        )
        rollout_status.put(status, made)
        await self._write_status(status)

    async def _is_scaling(self) -> bool:
        new, old = await self._new_and_old(create=False)
        total = replicas_of(self._deployment)
        everything = [*old, *([] if new is None else [new])]
        return any(
            (desired := rollout_math.annotated(one, rollout_math.DESIRED)) is not None
            and desired != total
            for one in active(everything)
        )

    async def _scale_only(self) -> float | None:
        new, old = await self._new_and_old(create=False)
        await self._scale_all(new, old)
        deployment = self._deployment
        if deployment["spec"].get("paused") and rollback.wanted_revision(deployment) is None:
            await self._forget(old)
        return await self._tell(new, old)

    async def _roll_back(self, revision: int) -> None:
        """Bring an earlier template back, as an annotation asks for; its change is what follows."""
        new, old = await self._new_and_old(create=True)
        found = rollback.find(self._deployment, [*old, *([] if new is None else [new])], revision)
        self._deployment = await self._client.request("PUT", self._path, found.deployment)
        about = reference_of(DEPLOYMENT, self._deployment)
        tell = self._recorder.note if found.is_done else self._recorder.warn
        tell(about, found.reason, found.text)

    async def _roll(self) -> float | None:
        new, old = await self._new_and_old(create=True)
        assert new is not None
        if await self._roll_up(new, old) or await self._roll_down(new, old):
            return await self._tell_rollout(new, old)
        if rollout_status.is_complete(self._deployment, self._deployment.get("status") or {}):
            await self._forget(old)
        return await self._tell_rollout(new, old)

    async def _roll_up(self, new: JsonObject, old: list[JsonObject]) -> bool:
        total = replicas_of(self._deployment)
        if replicas_of(new) == total:
            return False
        count = total
        if replicas_of(new) < total:
            count = rollout_math.new_replicas(self._deployment, [*old, new], new)
        return await self._scale(new, count)

    async def _roll_down(self, new: JsonObject, old: list[JsonObject]) -> bool:
        deployment, running = self._deployment, active(old)
        if not running:
            return False
        least = replicas_of(deployment) - rollout_math.max_unavailable(deployment)
        waiting = replicas_of(new) - rollout_math.status_of(new, "availableReplicas")
        most = rollout_math.wanted([*running, new]) - least - waiting
        if most <= 0:
            return False
        # Pods that do not work go first: they are no loss.
        done = await self._scale_down_unhealthy(running, most)
        available = rollout_math.told([*running, new], "availableReplicas")
        left = available - least
        for one in revisions.oldest_first(running):
            if left <= 0:
                break
            count = min(replicas_of(one), left)
            if count:
                await self._scale(one, replicas_of(one) - count)
                left -= count
                done = True
        return done

    async def _scale_down_unhealthy(self, running: list[JsonObject], most: int) -> bool:
        done = 0
        for one in revisions.oldest_first(running):
            if done >= most:
                break
            broken = replicas_of(one) - rollout_math.status_of(one, "availableReplicas")
            count = min(most - done, broken)
            if replicas_of(one) and count > 0:
                await self._scale(one, replicas_of(one) - count)
                done += count
        return done > 0

    async def _recreate(self) -> float | None:
        new, old = await self._new_and_old(create=False)
        scaled = [await self._scale(one, 0) for one in active(old)]
        if any(scaled) or self._has_pods(old):
            return await self._tell_rollout(new, old)
        if new is None:
            new, old = await self._new_and_old(create=True)
        assert new is not None
        await self._scale(new, replicas_of(self._deployment))
        if rollout_status.is_complete(self._deployment, self._deployment.get("status") or {}):
            await self._forget(old)
        return await self._tell_rollout(new, old)

    async def _scale_all(self, new: JsonObject | None, old: list[JsonObject]) -> None:
        """Follow a new number of replicas, each ReplicaSet by its share."""
        deployment = self._deployment
        total = replicas_of(deployment)
        everything = [*old, *([] if new is None else [new])]
        running = active(everything)
        if len(running) <= 1:
            only = running[0] if running else new
            if only is None and old:
                only = revisions.oldest_first(old)[-1]
            if only is not None:
                await self._scale(only, total)
            return
        if rollout_math.is_saturated(deployment, new):
            for one in active(old):
                await self._scale(one, 0)
            return
        if rollout_math.is_rolling(deployment):
            await self._scale_by_share(running, total)

    async def _scale_by_share(self, running: list[JsonObject], total: int) -> None:
        deployment = self._deployment
        allowed = total + rollout_math.max_surge(deployment) if total else 0
        add = allowed - rollout_math.wanted(running)
        # The largest first; of equal ones the newest when growing, the oldest when shrinking.
        ordered = revisions.oldest_first(running)
        if add > 0:
            ordered.reverse()
        ordered.sort(key=replicas_of, reverse=True)
        added = 0
        counts = []
        for one in ordered:
            share = rollout_math.proportion(one, deployment, add, added) if add else 0
            added += share
            counts.append(replicas_of(one) + share)
        if add:
            counts[0] = max(0, counts[0] + add - added)
        for one, count in zip(ordered, counts, strict=True):
            await self._scale(one, count, always=True)

    async def _scale(self, replica_set: JsonObject, count: int, *, always: bool = False) -> bool:
        """Give a ReplicaSet so many replicas, in place and on the server; tell if it had others.

        Args:
            replica_set: of the Deployment.
            count: of replicas.
            always: write its annotations though it has so many already.
        """
        before = replicas_of(replica_set)
        notes = revisions.sizes(self._deployment)
        known = replica_set["metadata"].get("annotations") or {}
        is_noted = all(known.get(name) == value for name, value in notes.items())
        if before == count and (is_noted or not always):
            return False
        metadata = {**replica_set["metadata"], "annotations": {**known, **notes}}
        spec = {**replica_set["spec"], "replicas": count}
        written = await self._client.request(
            "PUT",
            REPLICA_SET.path(f"{metadata['namespace']}/{metadata['name']}"),
            {**replica_set, "metadata": metadata, "spec": spec},
        )
        replica_set.update(written)
        if before != count:
            how = "up" if before < count else "down"
            text = f"Scaled {how} replica set {metadata['name']} from {before} to {count}"
            self._note(text)
        return before != count

    def _note(self, text: str) -> None:
        about = reference_of(DEPLOYMENT, self._deployment)
        self._recorder.note(about, "ScalingReplicaSet", text)

    async def _new_and_old(self, *, create: bool) -> tuple[JsonObject | None, list[JsonObject]]:
        """Return the ReplicaSet of the current template, and the others."""
        new = revisions.find_new(self._deployment, self._sets)
        uid = None if new is None else new["metadata"]["uid"]
        old = [one for one in self._sets if one["metadata"]["uid"] != uid]
        revision = max((revisions.revision_of(one) for one in old), default=0) + 1
        if new is not None:
            await self._renew(new, revision)
        elif create:
            new = await self._create_set(old, revision)
            self._sets.append(new)
        return new, old

    async def _renew(self, new: JsonObject, revision: int) -> None:
        deployment = self._deployment
        changed = {**new, "metadata": dict(new["metadata"]), "spec": dict(new["spec"])}
        is_changed = revisions.annotate(deployment, changed, revision, exists=True)
        ready_s = deployment["spec"].get("minReadySeconds", 0)
        if new["spec"].get("minReadySeconds", 0) != ready_s:
            changed["spec"]["minReadySeconds"] = ready_s
            is_changed = True
        if is_changed:
            metadata = new["metadata"]
            path = REPLICA_SET.path(f"{metadata['namespace']}/{metadata['name']}")
            new.update(await self._client.request("PUT", path, changed))
        await self._mark_found(new, "FoundNewReplicaSet", "Found new replica set", always=False)

    async def _mark_found(self, new: JsonObject, reason: str, text: str, *, always: bool) -> None:
        """Take over the new ReplicaSet's revision, and say where it comes from."""
        deployment = self._deployment
        annotation = (new["metadata"].get("annotations") or {}).get(revisions.REVISION, "")
        known = (deployment["metadata"].get("annotations") or {}).get(revisions.REVISION)
        status = dict(deployment.get("status") or {})
        current = condition_of(deployment, rollout_status.PROGRESSING)
        if rollout_status.has_deadline(deployment) and (always or current is None):
            made = rollout_status.condition(
                rollout_status.PROGRESSING,
                status="True",
                reason=reason,
                message=f'{text} "{new["metadata"]["name"]}"',
                now_s=self._now_s,
            )
            rollout_status.put(status, made)
        if known == annotation and status == (deployment.get("status") or {}):
            return
        await self._write_status(status, {revisions.REVISION: annotation})

    async def _create_set(self, old: list[JsonObject], revision: int) -> JsonObject:
        deployment = self._deployment
        made = revisions.new_set(DEPLOYMENT, deployment)
        count = rollout_math.new_replicas(deployment, [*old, made], made)
        made["spec"]["replicas"] = count
        revisions.annotate(deployment, made, revision, exists=False)
        namespace, name = made["metadata"]["namespace"], made["metadata"]["name"]
        collection = REPLICA_SET.path(f"{namespace}/").rstrip("/")
        try:
            created = await self._client.request("POST", collection, made)
        except StatusError as error:
            created = await self._not_created(made, error)
        else:
            if count > 0:
                self._note(f"Scaled up replica set {name} from 0 to {count}")
        text = "Created new replica set"
        await self._mark_found(created, "NewReplicaSetCreated", text, always=True)
        return created

    async def _not_created(self, made: JsonObject, error: StatusError) -> JsonObject:
        """Return the ReplicaSet that is there already, if it is ours; else raise."""
        deployment, name = self._deployment, made["metadata"]["name"]
        if error.status.get("reason") == "AlreadyExists":
            path = REPLICA_SET.path(f"{made['metadata']['namespace']}/{name}")
            found = await self._client.request("GET", path)
            owner = controller_of(found)
            ours = owner is not None and owner.uid == deployment["metadata"]["uid"]
            if ours and revisions.find_new(deployment, [found]) is not None:
                return found
            # Another template has the same hash: the next one is made with a salt.
            status = dict(deployment.get("status") or {})
            status["collisionCount"] = status.get("collisionCount", 0) + 1
            await self._write_status(status)
            raise error
        if has_cause(error, "NamespaceTerminating"):
            raise error
        text = f'Failed to create new replica set "{name}": {error}'
        if rollout_status.has_deadline(deployment):
            status = dict(deployment.get("status") or {})
            made_condition = rollout_status.condition(
                rollout_status.PROGRESSING,
                status="False",
                reason="ReplicaSetCreateError",
                message=text,
                now_s=self._now_s,
            )
            rollout_status.put(status, made_condition)
            await self._write_status(status)
        about = reference_of(DEPLOYMENT, deployment)
        self._recorder.warn(about, "ReplicaSetCreateError", text)
        raise error

    async def _forget(self, old: list[JsonObject]) -> None:
        for one in revisions.forgotten(self._deployment, old):
            metadata = one["metadata"]
            path = REPLICA_SET.path(f"{metadata['namespace']}/{metadata['name']}")
            try:
                await self._client.request("DELETE", path)
            except StatusError as error:
                if error.code != 404:
                    raise

    async def _tell(self, new: JsonObject | None, old: list[JsonObject]) -> float | None:
        sets = [*old, *([] if new is None else [new])]
        status = rollout_status.calculate(self._deployment, sets, new, self._now_s)
        if status != (self._deployment.get("status") or {}):
            await self._write_status(status)
        return None

    async def _tell_rollout(self, new: JsonObject | None, old: list[JsonObject]) -> float | None:
        sets = [*old, *([] if new is None else [new])]
        status = rollout_status.calculate(self._deployment, sets, new, self._now_s)
        rollout_status.put_progress(self._deployment, status, new, self._now_s)
        rollout_status.put_failures(status, sets, new)
        if status == (self._deployment.get("status") or {}):
            return rollout_status.look_again_s(self._deployment, status, self._now_s)
        await self._write_status(status)
        return None

    async def _write_status(
        self, status: JsonObject, annotations: dict[str, str] | None = None
    ) -> None:
        """Write the status, and annotations of the Deployment; later steps go on from there."""
        metadata = dict(self._deployment["metadata"])
        if annotations:
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
        document = {**self._deployment, "metadata": metadata, "status": status}
        self._deployment = await self._client.request("PUT", f"{self._path}/status", document)

"""One step of one StatefulSet: what stateful_plan.py decides is done, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from controllers.pace import paced
from controllers.workloads import stateful_plan as plan
from controllers.workloads.claim_retention import Claimant, Retention, policy_of
from controllers.workloads.expectations import Expectations
from controllers.workloads.history import name_of, template_of
from controllers.workloads.pod_control import at_once, slow_start
from controllers.workloads.pods import PodBrief
from controllers.workloads.stateful_identity import (
    has_identity,
    new_pod,
    ordinal_of,
    revision_of,
)
from controllers.workloads.stateful_plan import Need
from controllers.workloads.stateful_pods import ClaimGoing, StatefulPods
from kube.json_types import JsonObject


class Revisions(NamedTuple):
    """A set's revisions.

    Attributes:
        current: that its pods had before the update.
        update: that they are to get.
        collisions: how often a name was taken.
    """

    current: JsonObject
    update: JsonObject
    collisions: int


class Place(NamedTuple):
    """One place of a set.

    Attributes:
        ordinal: of its pod.
        pod: None: there is none.
    """

    ordinal: int
    pod: PodBrief | None


class Rollout:
    """See the module's head.

    Args of the constructor:
        owner: the set.
        pods: its pods.
        revisions: see there.
        writer: writes pods and claims.
        expected: what sets wait for.

    Attributes:
        replaced: how many pods of the current revision were deleted for the update.
    """

    def __init__(
        self,
        owner: JsonObject,
        pods: Sequence[PodBrief],
        revisions: Revisions,
        writer: StatefulPods,
        expected: Expectations,
    ) -> None:
        metadata = owner["metadata"]
        self._owner = owner
        self._key = f"{metadata['namespace']}/{metadata['name']}"
        self._name: str = metadata["name"]
        self._claimant = Claimant("apps/v1", "StatefulSet", self._name, metadata["uid"])
        self._revisions = revisions
        self._writer = writer
        self._expected = expected
        self._layout = plan.layout_of(owner)
        self._slots = plan.arrange(self._name, pods, self._layout)
        self.replaced = 0

    async def step(self, now_s: float) -> None:
        """Do what can be done now.

        Raises:
            StatusError, Unreachable: not all of it was done.
        """
        slots, layout = self._slots, self._layout
        places = [Place(layout.start + at, pod) for at, pod in enumerate(slots.replicas)]
        if await self._keep(places, now_s):
            return
        await self._give_claims(slots.condemned)
        chosen, is_all = plan.surplus(slots, layout, now_s)
        await self._delete(chosen)
        if is_all:
            return
        old = plan.outdated(slots, layout, name_of(self._revisions.update), now_s)
        await self._delete(old)
        current = name_of(self._revisions.current)
        self.replaced = sum(revision_of(pod) == current for pod in old)

    async def _keep(self, places: Sequence[Place], now_s: float) -> bool:
        """Make, mend and clear what is to be there; return whether others have to wait for it."""
        if self._layout.is_ordered:
            async for some in paced(places):
                for place in some:
                    if await self._keep_one(place, now_s):
                        return True
            return False

        async def keep(place: Place) -> None:
            await self._keep_one(place, now_s)

        busy: list[Place] = []
        async for some in paced(places):
            busy += [place for place in some if self._is_busy(place, now_s)]
        _, failure = await slow_start(busy, keep)
        if failure is not None:
            raise failure
        return False

    def _is_busy(self, place: Place, now_s: float) -> bool:
        """Tell whether anything is to be written for a place."""
        pod = place.pod
        if pod is None or plan.need_of(pod, self._layout, now_s) is Need.NO_POD:
            return True
        lacks = pod.phase == "Pending" and self._writer.lacks_claims(self._owner, pod.name)
        return lacks or not self._is_well(pod)

    def _is_well(self, pod: PodBrief) -> bool:
        retention = self._retention(pod.name, pod.uid)
        return has_identity(pod) and self._writer.keeps_claims(self._owner, retention)

    async def _keep_one(self, place: Place, now_s: float) -> bool:
        """Do what one place needs; return whether the next has to wait, if it is to."""
        pod = place.pod
        need = plan.need_of(pod, self._layout, now_s)
        if pod is None:
            await self._create(place.ordinal)
            return True
        if need is Need.NO_POD:
            await self._delete([pod])
            return True
        retention = self._retention(pod.name, pod.uid)
        if pod.phase == "Pending" and self._writer.lacks_claims(self._owner, pod.name):
            with suppress(ClaimGoing):
                await self._writer.create_claims(self._owner, pod.name, retention)
        if need is Need.TIME:
            return True
        if not self._is_well(pod):
            await self._writer.mend(self._owner, pod, retention)
        return False

    async def _create(self, ordinal: int) -> None:
        name = f"{self._name}-{ordinal}"
        if self._writer.waits_for_claims(self._owner, name):
            return
        is_current = plan.uses_current(ordinal, self._layout)
        revision = self._revisions.current if is_current else self._revisions.update
        pod = new_pod(self._owner, template_of(revision), name_of(revision), ordinal)
        self._expected.expect(self._key, creations=1)
        try:
            await self._writer.create(self._owner, pod, self._retention(name, ""))
        except ClaimGoing:
            # The set is woken when it is gone.
            self._expected.created(self._key)
        except BaseException:
            self._expected.created(self._key)
            raise

    async def _delete(self, pods: Sequence[PodBrief]) -> None:
        if not pods:
            return
        self._expected.expect(self._key, deletions=[pod.key for pod in pods])

        async def delete(pod: PodBrief) -> None:
            done = False
            try:
                done = await self._writer.delete(self._owner, pod)
            finally:
                if not done:
                    self._expected.deleted(self._key, pod.key)

        for failure in await at_once(pods, delete):
            raise failure

    async def _give_claims(self, condemned: Sequence[PodBrief]) -> None:
        for pod in condemned:
            retention = self._retention(pod.name, pod.uid)
            if not self._writer.keeps_claims(self._owner, retention):
                await self._writer.give_claims(self._owner, retention)

    def _retention(self, pod_name: str, uid: str) -> Retention:
        is_wanted = self._layout.has(ordinal_of(self._name, pod_name))
        pod = Claimant("v1", "Pod", pod_name, uid)
        return Retention(*policy_of(self._owner), self._claimant, pod, is_wanted)

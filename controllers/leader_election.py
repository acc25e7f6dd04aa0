"""One of several processes acts: who holds a Lease, as client-go's leader election has it.

The holder writes the Lease every `retry_s`. Whoever else wants it looks as often, and takes it when
it has seen no write for as long as the Lease says; by its own clock, as clocks of machines differ.
A holder that could not write for `renew_s` has to stop, before another may begin. Both wait for
less than the Lease's duration, so no two act at once unless a process stands still in between.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import Final

from kube import times
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

_JITTER: Final = 0.2
_log = logging.getLogger(__name__)


class LeadershipLost(Exception):
    """The Lease could not be kept; what it was held for has to end now."""


@dataclass(frozen=True, slots=True)
class ElectionPlan:
    """Which Lease, who wants it, and how long they wait; upstream's defaults.

    Attributes:
        identity: who wants it; the same after a restart takes it up again at once.
        namespace, name: of the Lease.
        lease_s: how long it is good after it was written last.
        renew_s: how long its holder tries to write it.
        retry_s: between two attempts.
    """

    identity: str
    namespace: str = "kube-system"
    name: str = "kube-controller-manager"
    lease_s: int = 15
    renew_s: float = 10.0
    retry_s: float = 2.0


class LeaderElection:
    """See the module's head."""

    def __init__(self, client: ApiClient, plan: ElectionPlan) -> None:
        self._client = client
        self._plan = plan
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{plan.namespace}/leases"
        self._seen: JsonObject | None = None
        self._seen_s = 0.0

    async def acquire(self) -> None:
        """Return when the Lease is held."""
        while not await self._try():
            await self._pause()
        _log.info("%s leads", self._plan.identity)

    async def keep(self) -> None:
        """Hold the Lease until cancelled.

        Raises:
            LeadershipLost: it could not be written in time, or another has it.
        """
        written_s = self._client.clock.monotonic_s()
        while True:
            await self._pause()
            before_s = self._client.clock.monotonic_s()
            try:
                # A server that hangs must not keep us beyond our time.
                async with asyncio.timeout(max(0.0, written_s + self._plan.renew_s - before_s)):
                    if await self._try():
                        written_s = before_s
            except TimeoutError:
                pass
            if self._client.clock.monotonic_s() - written_s >= self._plan.renew_s:
                raise LeadershipLost(f"{self._plan.identity} could not renew its lease in time")
            if self._seen is not None and _holder(self._seen) != self._plan.identity:
                raise LeadershipLost(f"{_holder(self._seen)} leads")

    async def release(self) -> None:
        """Give the Lease back, so that another need not wait; best effort."""
        if self._seen is None or _holder(self._seen) != self._plan.identity:
            return
        spec = {**self._seen["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        try:
            await self._write({**self._seen, "spec": spec})
        except (StatusError, Unreachable) as error:
            _log.info("the lease is not given back: %s", error)

    async def _try(self) -> bool:
        """Take the Lease, or renew it; return whether it is held."""
        try:
            await self._look()
            if self._seen is None:
                metadata = {"name": self._plan.name, "namespace": self._plan.namespace}
                lease: JsonObject = {"metadata": metadata, "spec": self._spec({})}
                self._note(await self._client.request("POST", self._collection, lease))
                return True
            if not self._may_have(self._seen["spec"]):
                return False
            await self._write({**self._seen, "spec": self._spec(self._seen["spec"])})
        except (StatusError, Unreachable) as error:
            _log.info("the lease is not ours yet: %s", error)
            return False
        return True

    def _may_have(self, spec: JsonObject) -> bool:
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._plan.identity):
            return True
        good_s = self._seen_s + (spec.get("leaseDurationSeconds") or self._plan.lease_s)
        return self._client.clock.monotonic_s() >= good_s

    def _spec(self, before: JsonObject) -> JsonObject:
        now = times.format_micros(self._client.clock.now_ms() * 1000)
        is_ours = before.get("holderIdentity") == self._plan.identity
        transitions = before.get("leaseTransitions") or 0
        return {
            **before,
            "holderIdentity": self._plan.identity,
            "leaseDurationSeconds": self._plan.lease_s,
            "acquireTime": before.get("acquireTime") if is_ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if is_ours or not before else transitions + 1,
        }

    async def _look(self) -> None:
        try:
            self._note(await self._client.request("GET", f"{self._collection}/{self._plan.name}"))
        except StatusError as error:
            if error.code != 404:
                raise
            self._seen = None

    async def _write(self, lease: JsonObject) -> None:
        path = f"{self._collection}/{self._plan.name}"
        self._note(await self._client.request("PUT", path, lease))

    def _note(self, lease: JsonObject) -> None:
        """Take down what the Lease says, and when it was seen to change."""
        if self._seen is None or self._seen["spec"] != lease["spec"]:
            self._seen_s = self._client.clock.monotonic_s()
        self._seen = lease

    async def _pause(self) -> None:
        retry_s = self._plan.retry_s
        await self._client.clock.sleep(retry_s * random.uniform(1.0, 1.0 + _JITTER))


def _holder(lease: JsonObject) -> str:
    return str(lease["spec"].get("holderIdentity") or "")

"""Leader election: one leads at a time, by what each sees of the Lease and its own clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controllers.leader_election import ElectionPlan, LeaderElection, LeadershipLost
from kube.client import Unreachable
from kube.status import StatusError

Json = dict[str, Any]


class _Clock:
    """Moves when somebody sleeps, and others have their turn then."""

    def __init__(self) -> None:
        self.now = 100.0

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic_s(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class _Server:
    """Keeps one Lease; stands in for a client, too."""

    def __init__(self) -> None:
        self.clock = _Clock()
        self.lease: Json | None = None
        self.is_away = False
        self.revision = 0

    async def request(self, method: str, _path: str, body: Json | None = None) -> Json:
        if self.is_away:
            raise Unreachable("away")
        if method == "GET" and self.lease is None:
            raise StatusError(404, "NotFound", "no lease")
        if body is not None:
            told = body["metadata"].get("resourceVersion")
            if method == "POST" and self.lease is not None:
                raise StatusError(409, "AlreadyExists", "there is one")
            if method == "PUT" and told != str(self.revision):
                raise StatusError(409, "Conflict", "changed")
            self.revision += 1
            metadata = {**body["metadata"], "resourceVersion": str(self.revision)}
            self.lease = {**body, "metadata": metadata}
        assert self.lease is not None
        return self.lease

    @property
    def spec(self) -> Json:
        assert self.lease is not None
        spec: Json = self.lease["spec"]
        return spec


def _election(server: Any, identity: str) -> LeaderElection:
    return LeaderElection(server, ElectionPlan(identity))


def test_the_first_makes_the_lease_and_renews_it() -> None:
    server = _Server()

    async def run() -> None:
        election = _election(server, "a")
        await election.acquire()
        first = dict(server.spec)
        assert (first["holderIdentity"], first["leaseTransitions"]) == ("a", 0)
        server.clock.now += 2
        assert await election._try()
        assert server.spec["acquireTime"] == first["acquireTime"]
        assert server.spec["renewTime"] > first["renewTime"]

    asyncio.run(run())


def test_another_waits_until_it_has_seen_no_write_for_the_leases_time() -> None:
    server = _Server()

    async def run() -> None:
        one, two = _election(server, "a"), _election(server, "b")
        await one.acquire()
        server.clock.now += 60
        # It sees the lease for the first time: how old it is, only another clock would tell.
        assert not await two._try()
        server.clock.now += 10
        assert await one._try()
        server.clock.now += 10
        assert not await two._try()
        server.clock.now += 15
        assert await two._try()
        assert (server.spec["holderIdentity"], server.spec["leaseTransitions"]) == ("b", 1)
        assert not await one._try()

    asyncio.run(run())


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    server = _Server()

    async def run() -> None:
        one, two = _election(server, "a"), _election(server, "b")
        await one.acquire()
        assert not await two._try()
        await one.release()
        assert await two._try()

    asyncio.run(run())


def test_who_cannot_renew_in_time_stops_before_another_may_begin() -> None:
    server = _Server()

    async def run() -> None:
        election = _election(server, "a")
        await election.acquire()
        began_s = server.clock.now
        server.is_away = True
        with pytest.raises(LeadershipLost, match="in time"):
            await election.keep()
        assert 10 <= server.clock.now - began_s < 15

    asyncio.run(run())


def test_who_sees_another_lead_stops() -> None:
    server = _Server()

    async def run() -> None:
        election = _election(server, "a")
        await election.acquire()
        assert server.lease is not None
        server.revision += 1
        metadata = {**server.lease["metadata"], "resourceVersion": str(server.revision)}
        spec = {**server.spec, "holderIdentity": "b"}
        server.lease = {"metadata": metadata, "spec": spec}
        with pytest.raises(LeadershipLost, match="b leads"):
            await election.keep()

    asyncio.run(run())

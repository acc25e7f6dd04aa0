"""PUT of types that it may create: what a replica that lags shows does not decide."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import pytest

from apiserver.resources import Resource
from apiserver.server import Server
from storage.record import Record
from tests.bench.in_process import InProcess, in_process, request

_NAMESPACE: Final = "default"
_LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{_NAMESPACE}/leases"
_ENDPOINTS: Final = f"/api/v1/namespaces/{_NAMESPACE}/endpoints"


def _lease(holder: str, **metadata: str) -> bytes:
    return orjson.dumps(
        {"metadata": {"name": "one", **metadata}, "spec": {"holderIdentity": holder}}
    )


def _endpoints(address: str) -> bytes:
    subsets = [{"addresses": [{"ip": address}]}]
    return orjson.dumps({"metadata": {"name": "one"}, "subsets": subsets})


async def _ask(server: InProcess, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    given = request(method, path, body, Content_Type="application/json")
    (answer,) = await server.answers([given])
    found: dict[str, Any] = orjson.loads(answer)
    return found


def _stale_once(monkeypatch: pytest.MonkeyPatch, shown: Record | None) -> None:
    """Let the replica show an object once as it was, or was not."""
    real, left = Server.peek, [shown]

    def peek(self: Server, resource: Resource, namespace: str, name: str) -> Record | None:
        return left.pop() if left else real(self, resource, namespace, name)

    monkeypatch.setattr(Server, "peek", peek)


def _run(monkeypatch: pytest.MonkeyPatch, path: str, body: bytes, after: bytes) -> dict[str, Any]:
    """Create an object, delete it, and put it while the replica shows it still."""

    async def run() -> dict[str, Any]:
        async with in_process() as server:
            await _ask(server, "POST", path, body)
            resource = server.api._server.catalog.find(f"{path}/one")
            assert resource is not None
            record = server.api._server.peek(resource.resource, _NAMESPACE, "one")
            assert record is not None
            await _ask(server, "DELETE", f"{path}/one")
            _stale_once(monkeypatch, record)
            return await _ask(server, "PUT", f"{path}/one", after)

    return asyncio.run(run())


def test_put_of_what_went_while_the_replica_lags_creates_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = _run(monkeypatch, _ENDPOINTS, _endpoints("10.0.0.1"), _endpoints("10.0.0.2"))
    assert put["subsets"][0]["addresses"] == [{"ip": "10.0.0.2"}]


def test_put_without_a_revision_of_a_lease_that_went_while_the_replica_lags_creates_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = _run(monkeypatch, _LEASES, _lease("a"), _lease("b"))
    assert put["spec"]["holderIdentity"] == "b"


def test_put_of_what_the_replica_has_not_got_yet_replaces_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> tuple[str, dict[str, Any]]:
        async with in_process() as server:
            made = await _ask(server, "POST", _LEASES, _lease("a"))
            version = made["metadata"]["resourceVersion"]
            _stale_once(monkeypatch, None)
            put = await _ask(server, "PUT", f"{_LEASES}/one", _lease("b", resourceVersion=version))
            return made["metadata"]["uid"], put

    uid, put = asyncio.run(run())
    assert put["metadata"]["uid"] == uid
    assert put["spec"]["holderIdentity"] == "b"

"""What the router keeps of requests is bounded, whoever sends them and whatever they name."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from apiserver import plans
from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.fairness.inflight import InflightGate
from apiserver.metrics import Metrics
from apiserver.query import _parse_known, parse_query
from apiserver.refusals import impossible_name
from apiserver.resources import Catalog
from apiserver.router import Router
from apiserver.verb_table import Verbs
from kube.builtin_kinds import builtin_registry
from runtime.clock import SystemClock


def _router(
    *, access_log: bool = False, verbs: Verbs | None = None, authorizer: Any = None
) -> Router:
    settings = SimpleNamespace(body_bytes_max=1024, request_timeout_s=1.0, access_log=access_log)
    server: Any = SimpleNamespace(
        settings=settings,
        catalog=Catalog(builtin_registry()),
        metrics=Metrics(),
        clock=SystemClock(),
    )

    async def behind(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("no request of these tests is for the app behind")

    authenticator = Authenticator({}, [], lambda user, _exchange: user)
    gate = InflightGate(0, 0)
    verbs, authorizer = verbs or Verbs({}, {}, {}), authorizer or Authorizer()
    return Router(server, authenticator, authorizer, verbs, behind, gate)


async def _ask(router: Router, path: str, method: str = "GET") -> int:
    codes: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await router(scope, receive, send)
    return codes[0]


def test_made_up_subresources_are_not_remembered() -> None:
    router = _router()

    async def run() -> None:
        for number in range(50):
            path = f"/api/v1/namespaces/a/pods/b/made-up-{number}"
            assert await _ask(router, path) == 403

    asyncio.run(run())
    assert len(router._plans._series) == 1
    assert not router._plans._alike


def test_plans_of_creates_are_remembered_by_short_paths_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plans, "_PLANS_MAX", 3)
    router = _router()

    async def run() -> None:
        for number in range(5):
            assert await _ask(router, f"/api/v1/namespaces/a{number}/pods", "POST") == 403
        assert await _ask(router, f"/api/v1/namespaces/{'a' * 60_000}/pods", "POST") == 403

    asyncio.run(run())
    assert [plan.target.namespace for plan in router._plans._creates.values()] == ["a2", "a3", "a4"]


def test_long_queries_are_not_remembered() -> None:
    before = _parse_known.cache_info().currsize
    long = b"a=" + b"b" * 60_000
    assert parse_query(long) == {"a": ["b" * 60_000]}
    assert _parse_known.cache_info().currsize == before
    assert parse_query(b"short-and-new=1") is parse_query(b"short-and-new=1")


def test_parts_of_a_query_that_cannot_be_read_are_passed_over_as_in_go() -> None:
    assert parse_query(b"a=1&b=%zz&c=2;d=3&e&%=5&f=%ff") == {"a": ["1"], "e": [""], "f": ["\ufffd"]}


def test_what_is_in_all_namespaces_is_neither_made_nor_deleted_at_once() -> None:
    async def serve(_server: Any, exchange: Any, _target: Any) -> None:
        await exchange.respond(200, b"")

    verbs = Verbs({verb: serve for verb in ("list", "create", "deletecollection")}, {}, {})
    router = _router(verbs=verbs, authorizer=SimpleNamespace(check=lambda _user, _asked: True))

    async def run() -> list[int]:
        paths = "/api/v1/pods", "/api/v1/namespaces/a/pods", "/api/v1/nodes"
        return [
            await _ask(router, path, method)
            for path in paths
            for method in ("GET", "POST", "DELETE")
        ]

    assert asyncio.run(run()) == [200, 405, 405, *[200] * 6]


def test_a_name_that_can_be_no_part_of_a_path_is_refused_for_that() -> None:
    async def serve(_server: Any, exchange: Any, _target: Any) -> None:
        await exchange.respond(200, b"")

    router = _router(
        verbs=Verbs({"get": serve}, {}, {}),
        authorizer=SimpleNamespace(check=lambda _user, _asked: True),
    )

    async def run() -> list[int]:
        names = ".", "..", "a%b", "...", "a"
        return [await _ask(router, f"/api/v1/namespaces/a/pods/{name}") for name in names]

    assert asyncio.run(run()) == [400, 400, 400, 200, 200]
    said = impossible_name(".."), impossible_name("a%b")
    assert [error.message for error in said] == [
        """Name parameter invalid: "..": may not be '..'""",
        """Name parameter invalid: "a%b": may not contain '%'""",
    ]


def test_a_line_break_in_a_path_forges_no_line_of_the_access_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    router = _router(access_log=True)
    with caplog.at_level(logging.INFO, "apiserver.access"):
        asyncio.run(_ask(router, "/api/v1/namespaces/a\nverb=delete user=admin code=200"))
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]


def test_watches_are_no_requests_under_way_for_metrics() -> None:
    seen: dict[str, tuple[int, int]] = {}

    def serving(verb: str) -> Any:
        async def serve(server: Any, exchange: Any, _target: Any) -> None:
            seen[verb] = server.metrics.inflight_read, server.metrics.inflight_write
            await exchange.respond(200, b"")

        return serve

    verbs = Verbs({verb: serving(verb) for verb in ("list", "watch", "create")}, {}, {})
    allowing = SimpleNamespace(check=lambda _user, _attributes: True)
    router = _router(verbs=verbs, authorizer=allowing)

    async def run() -> None:
        for path, method in (
            ("/api/v1/namespaces/a/pods", "GET"),
            ("/api/v1/watch/namespaces/a/pods", "GET"),
            ("/api/v1/namespaces/a/pods", "POST"),
        ):
            assert await _ask(router, path, method) == 200

    asyncio.run(run())
    assert seen == {"list": (1, 0), "watch": (0, 0), "create": (0, 1)}
    metrics = router._server.metrics
    assert (metrics.inflight_read, metrics.inflight_write) == (0, 0)

"""The type of stages: made when the server can be asked, and watched once it is served."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from controllers.fleet.stages import PATH, StageBook, StageWatch
from kube.client import ApiClient, Unreachable
from kube.status import StatusError


class _Scope:
    def __init__(self) -> None:
        self.names: list[str] = []

    def spawn(self, work: Any, *, name: str) -> None:
        work.close()
        self.names.append(name)


class _Clock:
    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)


class _Server:
    """Refuses the first requests that would make the type, and serves it once it is made."""

    def __init__(self, *refusals: Exception) -> None:
        self.clock = _Clock()
        self._refusals = list(refusals)
        self._is_made = False

    async def request(self, method: str, path: str, *_rest: Any, **_more: Any) -> Any:
        if method == "POST":
            if self._refusals:
                raise self._refusals.pop(0)
            self._is_made = True
        elif path == PATH and not self._is_made:
            raise StatusError(404, "NotFound", "404 page not found")
        return {}


@pytest.mark.parametrize(
    "refusals",
    [
        (),
        (Unreachable("connection refused"), Unreachable("connection refused")),
        (StatusError(503, "ServiceUnavailable", "starting"),),
    ],
)
def test_the_type_is_made_even_where_the_server_starts_later(
    refusals: tuple[Exception, ...],
) -> None:
    scope, client = _Scope(), cast("ApiClient", _Server(*refusals))

    async def run() -> None:
        async with asyncio.timeout(5):
            await StageWatch(client, StageBook()).run(cast("Any", scope))

    asyncio.run(run())
    assert scope.names == ["watch of stages"]

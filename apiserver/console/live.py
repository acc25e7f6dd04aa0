"""/console/api/live: all that the console and `ultraplane top` show, as one stream of lines.

    {"type": "hello", ...}     once: who asks, what he may see, bounds of latencies
    {"type": "cells", ...}     nodes: all that there are at first, then those that changed
    {"type": "tick", ...}      each second: the server's figures, counts of nodes and pods

Who asks needs `get` on this path, and for nodes and pods the right to list and watch them: what he
may not see is left out, and `hello` says so. Token and rights are looked at again while it lasts.
A client that is slow is waited for: what it has not been told gathers in sets that are no larger
than the cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from apiserver.authn import Authenticator, NotYet, User
from apiserver.authz import Attributes, Authorizer
from apiserver.console.cells import Book, Viewer
from apiserver.console.figures import Figures
from apiserver.console.follower import Follower
from apiserver.exchange import Exchange
from apiserver.histograms import FINE_BOUNDS_S
from kube import status as st
from kube.version import VERSION_INFO

LIVE_PATH: Final = "/console/api/live"
VIEWERS_MAX: Final = 32
"""Of one worker."""
TICK_S: Final = 1.0
_RIGHTS_EACH_S: Final = 5.0
_LASTS_S_MAX: Final = 3600.0
_ROWS_MAX: Final = 2000
"""Nodes in a line."""
_TYPE: Final = b"application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Rights:
    """What somebody may see."""

    nodes: bool
    pods: bool


class Live:
    """Serves the stream.

    Args of the constructor:
        follower, figures: what is told.
        authenticator, authorizer: who is asked again while a stream lasts.
        endings: called functions end open streams when the server stops.
    """

    def __init__(
        self,
        follower: Follower,
        figures: Figures,
        authenticator: Authenticator,
        authorizer: Authorizer,
        endings: set[Callable[[], None]],
    ) -> None:
        self._follower = follower
        self._figures = figures
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._endings = endings
        self._clock = follower.clock
        self._open = 0

    async def serve(self, exchange: Exchange) -> None:
        """Answer a request whose user may make it.

        Raises:
            StatusError: 405; 429, too many look already.
            ClientGone: the client has gone.
        """
        if exchange.method != "GET":
            raise st.wrong_method()
        if self._open >= VIEWERS_MAX:
            raise st.too_many_requests("too many consoles are open on this server", 10)
        self._open += 1
        self._endings.add(exchange.abort)
        try:
            await self._stream(exchange)
        finally:
            self._open -= 1
            self._endings.discard(exchange.abort)

    async def _stream(self, exchange: Exchange) -> None:
        rights = await self._rights(exchange.user)
        wants_cells = rights.nodes and exchange.parameter("cells") != "false"
        exchange.headers.append((b"x-content-type-options", b"nosniff"))
        # Not compressed part by part: browsers read no further than the first member.
        await exchange.start(200, _TYPE)
        await exchange.write(_line(self._hello(exchange.user, rights)))
        clock = self._clock
        ends_s = clock.monotonic_s() + _LASTS_S_MAX
        looks_s = clock.monotonic_s() + _RIGHTS_EACH_S
        with self._follower.looking() as viewer:
            while (now_s := clock.monotonic_s()) < ends_s:
                if now_s >= looks_s:
                    if not await self._still_may(exchange, rights):
                        break
                    looks_s = now_s + _RIGHTS_EACH_S
                await exchange.write(_line(await self._tick(rights)))
                if wants_cells:
                    await self._tell_cells(exchange, viewer, rights)
                await clock.sleep(max(0.0, now_s + TICK_S - clock.monotonic_s()))
        await exchange.finish()

    async def _tell_cells(self, exchange: Exchange, viewer: Viewer, rights: Rights) -> None:
        for line in cell_lines(self._follower.book, viewer, with_use=rights.pods):
            await exchange.write(_line(line))
            await asyncio.sleep(0)

    async def _tick(self, rights: Rights) -> dict[str, Any]:
        follower = self._follower
        told = {"type": "tick", **await self._figures.now()}
        if rights.nodes:
            told["nodes"] = follower.book.node_counts()
            told["nodes"]["complete"] = "nodes" in follower.complete
        if rights.pods:
            told["pods"] = follower.book.pod_counts()
            told["pods"]["complete"] = "pods" in follower.complete
        return told

    @staticmethod
    def _hello(user: User, rights: Rights) -> dict[str, Any]:
        return {
            "type": "hello",
            "user": user.name,
            "version": VERSION_INFO["gitVersion"],
            "sees": {"nodes": rights.nodes, "pods": rights.pods},
            "bounds_s": FINE_BOUNDS_S,
            "tick_s": TICK_S,
        }

    async def _rights(self, user: User) -> Rights:
        found = {}
        for resource in ("nodes", "pods"):
            asked = [Attributes(verb, "", "v1", resource) for verb in ("list", "watch")]
            found[resource] = all([await self._may(user, one) for one in asked])
        return Rights(found["nodes"], found["pods"])

    async def _still_may(self, exchange: Exchange, rights: Rights) -> bool:
        """Tell whether who asked is still somebody, who may still see what he sees."""
        try:
            try:
                user = self._authenticator.authenticate(exchange)
            except NotYet as cause:
                user = await self._authenticator.authenticate_later(exchange, cause)
        except st.StatusError:
            return False
        return (
            user == exchange.user
            and await self._may(user, Attributes("get", path=LIVE_PATH))
            and await self._rights(user) == rights
        )

    async def _may(self, user: User, asked: Attributes) -> bool:
        decision = await self._authorizer.decide_at_last(user, asked)
        return decision.allowed


def cell_lines(book: Book, viewer: Viewer, *, with_use: bool) -> Iterator[dict[str, Any]]:
    """Yield what a viewer has not been told, in lines of bounded length; it counts as told then.

    A change between two lines is told by a later one.
    """
    while viewer.rows or viewer.uses or viewer.gone:
        line: dict[str, Any] = {"type": "cells"}
        if viewer.gone:
            line["gone"] = _some(viewer.gone)
        elif viewer.rows:
            slots = _some(viewer.rows)
            viewer.uses.difference_update(slots)
            rows = [row for slot in slots if (row := book.row(slot)) is not None]
            line["rows"] = rows if with_use else [[*row[:4], -1, -1, -1, -1, 0] for row in rows]
        elif not with_use:
            viewer.uses.clear()
            return
        else:
            line["uses"] = [row for slot in _some(viewer.uses) if (row := book.use_row(slot))]
        if len(book.zones) > viewer.zones:
            line["zones"] = book.zones[viewer.zones :]
            viewer.zones = len(book.zones)
        yield line


def _some(slots: set[int]) -> list[int]:
    return [slots.pop() for _ in range(min(len(slots), _ROWS_MAX))]


def _line(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content) + b"\n"

"""One request on its connection: uvicorn's cycle, run with less around it, and its short cuts.

What it adds to uvicorn, and why:

- `respond` writes a whole answer with one write: on the hot path uvicorn's two `send` calls and
  their header checks cost more than the lookup they carry;
- a part of a stream that many connections send is framed once, for all of them;
- whoever waits for a message is one task at most: `Signal` tells it, where an asyncio.Event and its
  queue cost 1 µs a request;
- its task leaves the server's table by itself: a callback for that costs a turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


class Signal:
    """As asyncio.Event, for a single waiter."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Let the waiter go on, now or when it comes."""
        self._is_set = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def clear(self) -> None:
        """Let the next one wait."""
        self._is_set = False

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            return
        assert self._waiter is None, "somebody waits already"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Cycle(RequestResponseCycle):
    """A request and its answer."""

    # How every cycle begins; what changes is set on the object.
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0

    # uvicorn's own takes all of this one by one.
    def __init__(self, connection: HttpToolsProtocol, *, keep_alive: bool) -> None:
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.access_logger = connection.access_logger
        self.access_log = connection.access_log
        self.default_headers = connection.server_state.default_headers
        self.message_event = Signal()  # type: ignore[assignment]
        self.waiting_for_100_continue = connection.expect_100_continue
        self.keep_alive = keep_alive
        self.on_response = connection.on_response_complete
        self.on_lost: Callable[[], None] = connection.forget  # type: ignore[attr-defined]
        self.body = bytearray()

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: set[asyncio.Task[None]],
        app: ASGI3Application,
    ) -> None:
        """Answer, in a task that is in `tasks` while it runs."""
        self._tasks = tasks
        self._task: asyncio.Task[None] = loop.create_task(self.run_asgi(app))
        tasks.add(self._task)

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Answer; the app's failures are uvicorn's to tell."""
        try:
            try:
                await app(self.scope, self.receive, self.send)
            except BaseException as error:  # noqa: BLE001 (as uvicorn: the client must hear of it)
                await self._tell(error)
            else:
                if not (self.response_complete or self.disconnected):
                    await self._tell(None)
        finally:
            self._tasks.discard(self._task)
            if self.disconnected:
                self.on_lost()
            self.on_response = self.on_lost = _nothing

    async def _tell(self, failure: BaseException | None) -> None:
        self.logger.error("the application did not answer", exc_info=failure)
        if self.response_started:
            self.transport.close()
        elif not self.disconnected:
            await self.send_500_response()


def _nothing(*_: Any) -> None:
    pass


def respond(cycle: RequestResponseCycle, status: int, head: bytes, body: bytes, end: bytes) -> bool:
    """Write a whole answer at once.

    Args:
        cycle: the request's cycle.
        status: HTTP status code.
        head: header lines, each ended by CRLF, without content-length and connection.
        body, end: the whole body, in two parts.

    Returns:
        False if the answer has to go the ordinary way (connection is to be closed, HEAD,
        the write buffer is full); nothing was written then.
    """
    if cycle.disconnected:
        return True
    if cycle.waiting_for_100_continue:
        # A body that was not asked for may come or not: the next request can't be told from it.
        cycle.keep_alive = False
    if (
        not cycle.keep_alive
        or cycle.response_started
        or cycle.flow.write_paused
        or cycle.scope["method"] == "HEAD"
    ):
        return False
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (head, b"content-length: %d\r\n\r\n" % (len(body) + len(end)), body, end)
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    cycle.response_complete = True
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    cycle.on_response()
    return True


def whole_body(cycle: RequestResponseCycle) -> bytes | None:
    """Return a request's body if all of it has come, None if it has to be waited for."""
    if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    return body


def frame(chunk: bytes) -> bytes:
    """Return a part of a streamed answer as a chunk of HTTP/1.1; an empty one would end it."""
    assert chunk
    return b"%x\r\n%b\r\n" % (len(chunk), chunk)


def unframe(framed: bytes) -> bytes:
    """Return what `frame` was given."""
    return framed[framed.index(b"\r\n") + 2 : -2]


def takes_framed(cycle: RequestResponseCycle) -> bool:
    """Tell whether a framed part of a streamed answer can be written to the transport now."""
    return bool(
        cycle.chunked_encoding
        and not cycle.flow.write_paused
        and not cycle.disconnected
        and cycle.scope["method"] != "HEAD"
    )

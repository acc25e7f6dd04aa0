"""A whole API server in this process: its journal in memory, its connections objects.

What a request costs the server is measured without what surrounds it: no sockets, no disk, no
other process whose turn may come. So figures of different builds can be compared on a machine that
is not quiet, the least of some rounds taken.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from uvicorn.server import ServerState

from apiserver import main
from apiserver.protocol import ApiProtocol
from apiserver.router import Router
from apiserver.settings import ServerSettings
from journal.memory import MemoryEngine
from runtime.clock import SystemClock
from runtime.tasks import TaskScope
from tests.bench.server import TMPFS
from ultraplane.config import Config
from ultraplane.server_settings import server_settings
from ultraplane.up import prepare_pki

_READY_S_MAX: Final = 60.0
_TOKEN: Final = "in-process"
_PORT: Final = 1


class Refusal(Exception):
    """The server did not answer a request with success."""


class _Journal(MemoryEngine):
    """The journal, with the form of append that needs no task, as its client has."""

    connected = True

    async def start(self) -> None:
        """Do nothing: it is there."""

    async def close(self) -> None:
        """Do nothing."""

    def submit_for(
        self,
        _waiter: asyncio.Future[Any],
        stream: str,
        record: bytes,
        key: bytes,
        _deadline_s: float,
        _translate: Callable[[Exception], Exception],
    ) -> None:
        """Append one record; the waiter finds it in the log."""
        self.append_now(stream, (record,), key)


class _Connection(asyncio.Transport):
    """The server's end of a client's connection; requests are sent one after the other."""

    def __init__(self, protocol: ApiProtocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.requests: Iterable[bytes] = iter(())
        self.done: asyncio.Future[None] | None = None
        self.answers: list[bytes] = []
        self.keeps = False

    def write(self, data: Any) -> None:
        """Take an answer, and send the next request in the loop's next turn."""
        if not data.startswith((b"HTTP/1.1 20",)):
            assert self.done is not None
            self.done.set_exception(Refusal(bytes(data[:600])))
            return
        if self.keeps:
            self.answers.append(bytes(data))
        asyncio.get_running_loop().call_soon(self.send)

    def send(self) -> None:
        """Send the next request, if there is one."""
        request = next(self.requests, None)
        if request is not None:
            self._protocol.data_received(request)
        elif self.done is not None and not self.done.done():
            self.done.set_result(None)

    def is_closing(self) -> bool:
        """It stays open."""
        return False

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        """Nothing is known of it."""
        return default

    def get_write_buffer_size(self) -> int:
        """All is taken at once."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no limit."""

    def pause_reading(self) -> None:
        """Requests come one at a time anyway."""

    def resume_reading(self) -> None:
        """They do."""

    def close(self) -> None:
        """End what waits for answers."""
        if self.done is not None and not self.done.done():
            self.done.set_exception(Refusal("the server closed the connection"))

    abort = close


class InProcess:
    """The server, and what asks it.

    Attributes:
        api: the server.
        router: its router.
    """

    def __init__(self, api: main._ApiServer) -> None:
        self.api = api
        self._config = api._http_config()
        app = self._config.app
        assert isinstance(app, Router)
        self.router = app
        self._state = ServerState()
        self._connections: list[_Connection] = []

    def _connection(self, index: int) -> _Connection:
        while len(self._connections) <= index:
            loop = asyncio.get_running_loop()
            protocol = ApiProtocol(self._config, self._state, {}, loop)
            connection = _Connection(protocol)
            protocol.connection_made(connection)
            self._connections.append(connection)
        return self._connections[index]

    async def send(self, requests: Sequence[bytes], connections: int = 64) -> float:
        """Send requests over some connections; return the CPU they took, in µs each.

        Raises:
            Refusal: one was not granted.
        """
        loop = asyncio.get_running_loop()
        used = [self._connection(index) for index in range(min(connections, len(requests)))]
        for index, connection in enumerate(used):
            connection.requests = iter(requests[index :: len(used)])
            connection.done = loop.create_future()
        before_ns = time.thread_time_ns()
        for connection in used:
            connection.send()
        await asyncio.gather(*[one.done for one in used if one.done is not None])
        return (time.thread_time_ns() - before_ns) / 1000 / len(requests)

    async def answers(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests one after the other; return the bodies of their answers."""
        connection = self._connection(0)
        connection.keeps = True
        try:
            await self.send(requests, 1)
        finally:
            connection.keeps = False
        answers, connection.answers = connection.answers, []
        return [answer.partition(b"\r\n\r\n")[2] for answer in answers]


@asynccontextmanager
async def in_process(**settings: Any) -> AsyncGenerator[InProcess, None]:
    """Run an API server in this process.

    Args:
        settings: fields of `ServerSettings` that are not to have their defaults; of "storage",
            likewise some fields.
    """
    with tempfile.TemporaryDirectory(prefix="ultraplane-bench-", dir=TMPFS) as name:
        api = _make(_settings(Path(name), dict(settings)))
        await api._journal.start()
        async with TaskScope("in process") as scope:
            server = InProcess(api)
            opening = scope.spawn(api._open_store(), name="open store")
            async with asyncio.timeout(_READY_S_MAX):
                while not api._is_bootstrapped:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.01)
            try:
                yield server
            finally:
                opening.cancel()
                await api._custom.close()
                await api._store.stop()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a request as it comes over the wire.

    Args:
        method: of HTTP.
        path: with its query.
        body: of the request.
        headers: names with "_" for "-".
    """
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {_TOKEN}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _settings(directory: Path, changed: dict[str, Any]) -> ServerSettings:
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{_TOKEN},bench,bench,"system:masters"\n')
    config = Config.model_validate(
        {
            "data_dir": directory / "data",
            "memory_dir": directory / "memory",
            "auth": {"token_file": tokens},
        }
    )
    config.data_dir.mkdir(mode=0o700)
    config.memory_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = prepare_pki(config, SystemClock())
    settings = server_settings(config, pki, _PORT)
    storage = replace(settings.storage, **changed.pop("storage", {}))
    return replace(settings, storage=storage, **changed)


def _make(settings: ServerSettings) -> main._ApiServer:
    """Return a server whose journal is in memory."""
    made, main.make_journal = main.make_journal, _make_journal
    try:
        return main._ApiServer(settings)
    finally:
        main.make_journal = made


def _make_journal(*_args: Any, clock: Any, **_kwargs: Any) -> Any:
    return _Journal(clock)

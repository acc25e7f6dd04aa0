"""What the workers of one server tell each other: their metrics, on being asked.

Each listens on a private socket once it serves; that it accepts connections there is how the
supervisor knows one worker from the next, as they share their port. One that does not answer in
time is left out: metrics must not wait for a worker that hangs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from apiserver.settings import ServerSettings
from runtime import unix_sockets

_log: Final = logging.getLogger(__name__)
_ASK: Final = b"m"
_ASK_S_MAX: Final = 2.0
_ANSWER_BYTES_MAX: Final = 64 << 20


def socket_path(memory_dir: Path, worker_index: int) -> Path:
    """Return where a worker listens for its siblings."""
    return memory_dir / f"worker-{worker_index}.sock"


class Peers:
    """This worker among its siblings.

    Args of the constructor:
        settings: how many there are, and which we are.
        export: returns our metrics.
    """

    def __init__(self, settings: ServerSettings, export: Callable[[], bytes]) -> None:
        self._settings = settings
        self._export = export
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to answer: this worker serves now."""
        path = socket_path(self._settings.memory_dir, self._settings.worker_index)
        listener = unix_sockets.listen(path)
        self._server = await asyncio.start_unix_server(self._answer, sock=listener)

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def gather(self) -> list[bytes]:
        """Return our metrics and those of all siblings that answer."""
        settings = self._settings
        others = [n for n in range(1, settings.workers + 1) if n != settings.worker_index]
        answers = await asyncio.gather(*(self._ask(number) for number in others))
        return [self._export(), *filter(None, answers)]

    async def _ask(self, number: int) -> bytes:
        path = socket_path(self._settings.memory_dir, number)
        try:
            async with asyncio.timeout(_ASK_S_MAX):
                with unix_sockets.short_path(path) as name:
                    reader, writer = await asyncio.open_unix_connection(name)
                try:
                    writer.write(_ASK)
                    return await _read_whole(reader)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError) as error:
            _log.warning("worker %d does not tell its metrics: %s", number, error or "no answer")
            return b""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ASK_S_MAX):
                if await reader.read(1) == _ASK:
                    writer.write(self._export())
                    await writer.drain()
        writer.close()


async def _read_whole(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while part := await reader.read(1 << 20):
        parts.append(part)
        size += len(part)
        if size > _ANSWER_BYTES_MAX:
            raise OSError("it tells too much")
    return b"".join(parts)

"""What the workers of one server tell each other, on being asked: figures, and how far they are.

Each listens on a private socket once it serves; that it accepts connections there is how the
supervisor knows one worker from the next, as they share their port. One that does not answer in
time is left out: metrics must not wait for a worker that hangs, nor must a write.

A question is one byte, `m` for metrics, `f` for the console's figures; that for how far (`r`) is
followed by a revision and the length of a resource's name, little-endian, and the name. It is
answered by one byte when the worker is there.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from apiserver.settings import ServerSettings
from runtime import unix_sockets
from storage.errors import StorageError

_log: Final = logging.getLogger(__name__)
_ASK: Final = b"m"
_FIGURES: Final = b"f"
_REACHED: Final = b"r"
_REVISION: Final = struct.Struct("<QH")
_NAME_BYTES_MAX: Final = 512
_ASK_S_MAX: Final = 2.0
_ANSWER_BYTES_MAX: Final = 64 << 20


Reach = Callable[[str, int, float], Awaitable[None]]
"""Waits until a resource's replica has come to a revision, for some seconds at most."""


def socket_path(memory_dir: Path, worker_index: int) -> Path:
    """Return where a worker listens for its siblings."""
    return memory_dir / f"worker-{worker_index}.sock"


class Peers:
    """This worker among its siblings.

    Args of the constructor:
        settings: how many there are, and which we are.
        export: returns our metrics.
        figures: returns our part of the console's figures.
        reach: waits until our replica of a resource has come to a revision.
    """

    def __init__(
        self,
        settings: ServerSettings,
        export: Callable[[], bytes],
        figures: Callable[[], bytes],
        reach: Reach,
    ) -> None:
        self._settings = settings
        self._export = export
        self._figures = figures
        self._reach = reach
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
        return [self._export(), *await self._ask_all(_ASK)]

    async def gather_figures(self) -> list[bytes]:
        """Return our part of the console's figures and those of all siblings that answer."""
        return [self._figures(), *await self._ask_all(_FIGURES)]

    async def _ask_all(self, question: bytes) -> list[bytes]:
        answers = await asyncio.gather(*(self._ask(number, question) for number in self._others()))
        return [answer for answer in answers if answer]

    async def all_reach(self, resource: str, revision: int) -> None:
        """Return when all siblings have come to a revision, or do not answer."""
        name = resource.encode()
        question = _REACHED + _REVISION.pack(revision, len(name)) + name
        await asyncio.gather(*(self._ask(number, question) for number in self._others()))

    def _others(self) -> list[int]:
        settings = self._settings
        return [n for n in range(1, settings.workers + 1) if n != settings.worker_index]

    async def _ask(self, number: int, question: bytes) -> bytes:
        path = socket_path(self._settings.memory_dir, number)
        try:
            return await unix_sockets.ask(path, question, _ASK_S_MAX, _ANSWER_BYTES_MAX)
        except (OSError, TimeoutError) as error:
            _log.warning("worker %d does not answer: %s", number, error or "in time")
            return b""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, StorageError):
            async with asyncio.timeout(_ASK_S_MAX):
                question = await reader.read(1)
                if question == _ASK:
                    writer.write(self._export())
                elif question == _FIGURES:
                    writer.write(self._figures())
                elif question == _REACHED:
                    revision, length = _REVISION.unpack(await reader.readexactly(_REVISION.size))
                    name = await reader.readexactly(min(length, _NAME_BYTES_MAX))
                    await self._reach(name.decode(errors="replace"), revision, _ASK_S_MAX)
                    writer.write(b"1")
                await writer.drain()
        writer.close()

"""The storage process: it keeps replicas that API server workers map, until SIGTERM.

Writers, housekeeping and checkpoints of one partition or of all are here, and nothing that clients
reach: a worker maps the files and hears of each step by the feed beside them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop

from apiserver import assembly
from apiserver.settings import ServerSettings
from journal.connect import make_journal
from runtime import unix_sockets
from runtime.clock import SystemClock
from runtime.tasks import TaskCrashed, TaskScope
from storage.store import Store

_log: Final = logging.getLogger(__name__)


def run(settings: ServerSettings, listen: Path, partition: str | None) -> None:
    """Keep replicas until SIGTERM or SIGINT; exit 1 if the start is refused.

    Args:
        settings: those of the API server.
        listen: a Unix socket that accepts connections once all is caught up.
        partition: the one to keep; None: all.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_StorageProcess(settings, listen, partition).serve())


class _StorageProcess:
    def __init__(self, settings: ServerSettings, listen: Path, partition: str | None) -> None:
        self._listen = listen
        self._clock = SystemClock()
        self._ended = asyncio.Event()
        self._has_crashed = False
        self._journal = make_journal(
            settings.journal_address,
            settings.journal_nats,
            clock=self._clock,
            on_crash=self._on_crash,
        )
        sealers = assembly.make_sealers(settings, self._clock)
        options = assembly.store_options(settings, assembly.make_catalog(settings), sealers)
        self._store = Store(
            self._journal, replace(options, shared=True, only=partition), clock=self._clock
        )
        self._watch = assembly.make_watch(settings, self._store, self._journal, self._clock)

    async def serve(self) -> None:
        """Keep the replicas until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ended.set)
        await self._journal.start()
        try:
            async with TaskScope("storage") as scope:
                background = [
                    scope.spawn(self._open_store(), name="open store"),
                    scope.spawn(self._watch.run(), name="space"),
                    scope.spawn(self._watch.run_journal(), name="journal's counters"),
                ]
                await self._ended.wait()
                for task in background:
                    task.cancel()
        finally:
            await self._store.stop()
            await self._journal.close()
        if self._has_crashed:
            sys.exit(1)

    async def _open_store(self) -> None:
        await assembly.open_store(self._store, self._clock)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        _log.info("ready")
        server = await asyncio.start_unix_server(
            lambda _reader, writer: writer.close(), sock=unix_sockets.listen(self._listen)
        )
        async with server:
            await server.serve_forever()

    def _on_crash(self, crash: TaskCrashed) -> None:
        """End, to be started again: without its journal client this process can only wait."""
        _log.critical("%s", crash)
        self._has_crashed = True
        self._ended.set()

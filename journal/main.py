"""The journal as a process: `python -m journal.main --data-dir D --listen unix:/path`.

Logs to stderr and prints nothing. SIGTERM and SIGINT stop it in order: commits under way are
finished and answered. It exits with 1 if the journal can't be opened or served.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import uvloop

from journal.disk import Environment, FileOps
from journal.engine import Limits
from journal.errors import JournalError
from journal.local import LocalEngine
from journal.service import JournalService, serve

_log = logging.getLogger(__name__)

THREAD_SWITCH_SECONDS: Final = 0.0005
"""A disk thread that has synced waits at most so long for the interpreter; the default is 5 ms."""


async def run_service(
    data_dir: Path,
    address: str,
    *,
    environment: Environment | None = None,
    on_ready: Callable[[JournalService], None] | None = None,
) -> None:
    """Serve the journal in `data_dir` until SIGTERM, SIGINT or cancellation.

    Args:
        data_dir: where the streams live; made if need be.
        address: `unix:/path` or `tcp:host:port`.
        environment: limits, clock and file operations; the defaults serve production.
        on_ready: called once connections are accepted.

    Raises:
        JournalError: the directory is locked, damaged or of a newer format.
        OSError: the directory or the address can't be had.
        TaskCrashed: a task of the service failed; the commits under way were finished.
    """
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    engine = await LocalEngine.open(data_dir, environment)
    try:
        service = await serve(engine, address)
        ended = service.stop_requested
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        try:
            if on_ready is not None:
                on_ready(service)
            await ended.wait()
            _log.info("journal is stopping")
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await service.stop()
    finally:
        await engine.close()


SEGMENT_MIB_MAX: Final = 4000


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="journal.main", description="Serve the journal.")
    parser.add_argument("--data-dir", type=Path, required=True, help="where the streams live")
    parser.add_argument("--listen", required=True, help="unix:/path or tcp:host:port")
    parser.add_argument(
        "--segment-mib",
        type=_segment_mib,
        default=64,
        help=f"size of a segment file, 1 to {SEGMENT_MIB_MAX}",
    )
    parser.add_argument(
        "--hold-seconds",
        type=float,
        default=Limits().hold_seconds,
        help="how long the log is kept for a replica that says nothing",
    )
    parser.add_argument(
        "--reserve-mib",
        type=int,
        default=0,
        help="how much of the disk is taken for when it is full",
    )
    parser.add_argument(
        "--test-sync-delay-ms",
        type=float,
        default=0.0,
        help="for tests and benchmarks: how much longer each durable write takes",
    )
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    return parser.parse_args(arguments)


def _segment_mib(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= SEGMENT_MIB_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {SEGMENT_MIB_MAX}")
    return int(text)


def limits_for(
    segment_mib: int, hold_seconds: float = Limits().hold_seconds, reserve_mib: int = 0
) -> Limits:
    """Return the limits of an engine whose segments have this size; a group fits into one."""
    segment_bytes = segment_mib << 20
    group_bytes_max = min(Limits().group_bytes_max, segment_bytes)
    return Limits(
        segment_bytes=segment_bytes,
        group_bytes_max=group_bytes_max,
        hold_seconds=hold_seconds,
        reserve_bytes=reserve_mib << 20,
    )


def slow_disk(delay_ms: float) -> FileOps:
    """Return operations whose sync takes so much longer, on the thread that does it."""

    def sync(descriptor: int) -> None:
        time.sleep(delay_ms / 1000)
        os.fdatasync(descriptor)

    return FileOps(sync=sync) if delay_ms > 0 else FileOps()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; return the process's exit code."""
    options = _parse(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    environment = Environment(
        limits_for(options.segment_mib, options.hold_seconds, options.reserve_mib),
        ops=slow_disk(options.test_sync_delay_ms),
    )
    try:
        uvloop.run(run_service(options.data_dir, options.listen, environment=environment))
    except (JournalError, OSError, ValueError) as error:
        _log.critical("the journal does not run: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

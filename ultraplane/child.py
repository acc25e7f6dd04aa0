"""One operating system process of ours: started, watched, ended.

Invariants:
    - It dies with us, however we die: the kernel sends it SIGKILL (PR_SET_PDEATHSIG). The parts are
      made to be killed; an orphan that still holds the port or the log would be worse.
    - It leads a session of its own, so that Ctrl-C reaches only the supervisor, which then stops
      the processes in their order.
    - It inherits its log and nothing else.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ultraplane import logs

_PR_SET_PDEATHSIG: Final = 1
# Loaded before any fork: a forked child may do little before it execs.
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Child:
    """A started process."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, log_start: int) -> None:
        self._process = process
        self._log = log
        self._log_start = log_start

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended: minus the signal if by one; None while it runs."""
        return self._process.returncode

    def last_lines(self, count: int) -> list[str]:
        """Return the end of what it has logged."""
        return logs.last_lines(self._log, count, since_byte=self._log_start)

    async def wait(self) -> int:
        """Return its exit code once it has ended."""
        return await self._process.wait()

    def kill(self) -> None:
        """End it at once; nothing happens if it has ended."""
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self, timeout_s: float) -> bool:
        """Ask it to end, make it end after `timeout_s`; return whether it ended by itself."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True


async def start_child(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start a process whose output goes to the end of `log`.

    Raises:
        OSError: there is no such program, or no room for another process.
    """
    log_start = logs.size(log)
    descriptor = logs.open_log(log)
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_tie_to(os.getpid()),
        )
    finally:
        os.close(descriptor)
    return Child(process, log, log_start)


def exit_text(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _tie_to(parent: int) -> Callable[[], None]:
    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the line above took effect.
        if os.getppid() != parent:
            os._exit(1)

    return tie

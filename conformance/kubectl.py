"""The kubectl of this machine, led to the server under test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Final

from conformance.checks import CaseFailed, CaseSkipped
from conformance.stage import Stage

RUN_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    stdout: str
    stderr: str


async def kubectl(stage: Stage, *arguments: str, stdin: str = "", fails: bool = False) -> Ran:
    """Run kubectl in the case's namespace; it has to succeed, or to fail if `fails`.

    Raises:
        CaseSkipped: there is no kubectl here.
        CaseFailed: it ended otherwise, or not at all.
    """
    process = await _start(stage, arguments)
    try:
        async with asyncio.timeout(RUN_S_MAX):
            out, err = await process.communicate(stdin.encode())
    except TimeoutError as error:
        raise CaseFailed(f"kubectl {' '.join(arguments)}: not done in {RUN_S_MAX:g} s") from error
    finally:
        await _end(process)
    ran = Ran(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))
    if bool(ran.code) != fails:
        raise CaseFailed(
            f"kubectl {' '.join(arguments)}: code {ran.code}: {ran.stderr}{ran.stdout}"
        )
    return ran


@asynccontextmanager
async def running(stage: Stage, *arguments: str) -> AsyncIterator[str]:
    """Run a kubectl that goes on, until the block ends; gives the first line it prints."""
    process = await _start(stage, arguments)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(RUN_S_MAX):
            line = await process.stdout.readline()
        yield line.decode(errors="replace")
    except TimeoutError as error:
        raise CaseFailed(f"kubectl {' '.join(arguments)} says nothing") from error
    finally:
        await _end(process)


async def _start(stage: Stage, arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
    program = shutil.which("kubectl")
    if program is None:
        raise CaseSkipped("there is no kubectl on this machine's PATH")
    environment = {
        **os.environ,
        "KUBECONFIG": str(stage.target.kubeconfig),
        "HOME": _cache_home(),
    }
    return await asyncio.create_subprocess_exec(
        program,
        f"--namespace={stage.namespace}",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ultraplane-conformance-kubectl-")


def _cache_home() -> str:
    """Return where kubectl keeps what it has discovered: nothing of the user's is used."""
    return _home().name

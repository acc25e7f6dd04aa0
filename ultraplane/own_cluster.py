"""A cluster for one run of something: in a directory of its own, stopped and removed afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import yaml

from ultraplane.errors import UserError
from ultraplane.run_state import read_state, state_path
from ultraplane.supervisor import Phase

_START_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 30.0
_POLL_S: Final = 0.05
_LOG_END: Final = 2_000


@asynccontextmanager
async def own_cluster(settings: dict[str, Any] | None = None) -> AsyncIterator[Path]:
    """Run `ultraplane up` until the block ends; gives its kubeconfig.

    Args:
        settings: more of its configuration.

    Raises:
        UserError: it does not start.
    """
    place = tempfile.mkdtemp(prefix="ultraplane-run-")
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: ASYNC240
    shared = tempfile.mkdtemp(prefix="ultraplane-run-", dir=memory)
    directory = Path(place)
    try:
        server = {"port": 0, **(settings or {}).get("server", {})}
        config = {**(settings or {}), "server": server, "memory_dir": shared}
        file = directory / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        data = directory / "data"
        with (directory / "up.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ultraplane.cli",
                "up",
                f"--data-dir={data}",
                f"--config={file}",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for us: we stop the cluster when we are done with it.
                start_new_session=True,
                env=dict(os.environ),
            )
            try:
                await _ready(process, data, directory / "up.log")
                yield data / "kubeconfig"
            finally:
                await _stop(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(shared, ignore_errors=True)


async def _ready(process: asyncio.subprocess.Process, data: Path, log: Path) -> None:
    try:
        async with asyncio.timeout(_START_S_MAX):
            while not _all_ready(data):
                if process.returncode is not None:
                    raise UserError(f"the cluster does not start:\n{_end_of(log)}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        text = f"the cluster is not ready after {_START_S_MAX:g} s:\n{_end_of(log)}"
        raise UserError(text) from error


def _all_ready(data: Path) -> bool:
    state = read_state(state_path(data))
    return state is not None and all(process.phase is Phase.READY for process in state.processes)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_END:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

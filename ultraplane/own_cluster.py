"""A cluster for one run of something: in a directory of its own, stopped and removed afterwards.

It ends when we do, however we end; what it kept is removed unless we are killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from ultraplane.child import Child, start_child
from ultraplane.errors import UserError
from ultraplane.run_state import read_state, state_path
from ultraplane.supervisor import Phase

_START_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 30.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 20


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
        command = [sys.executable, "-m", "ultraplane.cli", "up"]
        flags = [f"--data-dir={data}", f"--config={file}"]
        up = await start_child([*command, *flags], os.environ, directory / "up.log")
        try:
            await _ready(up, data)
            yield data / "kubeconfig"
        finally:
            await up.stop(_STOP_S_MAX)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(shared, ignore_errors=True)


async def _ready(up: Child, data: Path) -> None:
    try:
        async with asyncio.timeout(_START_S_MAX):
            while not _all_ready(data):
                if up.exit_code is not None:
                    raise UserError(f"the cluster does not start:\n{_end_of(up)}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        text = f"the cluster is not ready after {_START_S_MAX:g} s:\n{_end_of(up)}"
        raise UserError(text) from error


def _all_ready(data: Path) -> bool:
    state = read_state(state_path(data))
    return state is not None and all(process.phase is Phase.READY for process in state.processes)


def _end_of(up: Child) -> str:
    return "\n".join(up.last_lines(_LOG_LINES))

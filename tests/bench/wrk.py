"""Runs wrk, the load generator, and reads its result."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

SCRIPTS: Final = Path(__file__).parent / "wrk"
HOW_TO_INSTALL: Final = (
    "wrk, the load generator, is not installed: `apt install wrk` on Debian and Ubuntu, "
    "`brew install wrk` on macOS, or https://github.com/wg/wrk"
)
_MARK: Final = "RESULT "


class LoadFailed(Exception):
    """A run that measured nothing: wrk failed, or the server refused what it was sent."""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk measured.

    Attributes:
        refused: answers of status 400 and above.
        broken: connections that failed, and requests without an answer in time.
    """

    requests: int
    duration_us: int
    bytes: int
    p50_us: float
    p99_us: float
    max_us: float
    refused: int
    broken: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.requests * 1e6 / self.duration_us


def is_installed() -> bool:
    """Tell whether wrk can be run."""
    return shutil.which("wrk") is not None


def run(
    url: str,
    script: str,
    *,
    connections: int,
    seconds: int,
    token: str = "",
    accept: str = "",
    options: dict[str, str] | None = None,
) -> Load:
    """Load `url` from one thread and return what came of it.

    Raises:
        LoadFailed: wrk failed, or more than 1 in 100 requests did.
    """
    headers = ["-H", f"Authorization: Bearer {token}"] if token else []
    if accept:
        headers += ["-H", f"Accept: {accept}"]
    given = [f"{key}={value}" for key, value in (options or {}).items()]
    command = [
        *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s"),
        *("-s", str(SCRIPTS / script)),
        *headers,
        url,
        *(["--", *given] if given else []),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    _, mark, result = ended.stdout.partition(_MARK)
    if ended.returncode or not mark:
        raise LoadFailed(f"wrk failed on {url}: {ended.stderr or ended.stdout}")
    load = Load(**orjson.loads(result.splitlines()[0]))
    if not load.requests or (load.refused + load.broken) * 100 > load.requests:
        raise LoadFailed(f"{url} by {script}: {load}")
    return load

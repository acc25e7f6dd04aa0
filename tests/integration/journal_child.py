"""A journal of its own for tests: started, killed and started again, beside any API server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.integration.cluster import ROOT

_START_S_MAX = 30.0


class JournalChild:
    """A journal process that serves `directory`.

    Attributes:
        address: where it listens.
    """

    def __init__(
        self, directory: Path, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._environment = environment
        self.address = f"unix:{directory}/journal.sock"
        self._socket = directory / "journal.sock"
        self._log = directory / "journal.log"
        self._command = [
            *(sys.executable, "-m", "journal.main", f"--data-dir={directory / 'journal'}"),
            *(f"--listen={self.address}", *arguments),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it listens."""
        self._socket.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        self._process = process
        deadline_s = time.monotonic() + _START_S_MAX
        while not self._socket.exists():
            assert process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline_s, self._log.read_text()
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it with kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self.runs:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def running_journal(directory: Path, *arguments: str) -> Iterator[JournalChild]:
    """Run a journal until the block ends."""
    child = JournalChild(directory, *arguments)
    child.start()
    try:
        yield child
    finally:
        child.stop()

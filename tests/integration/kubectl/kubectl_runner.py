"""Real kubectl in a namespace of its own, with nothing on stderr that upstream would not print."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import IO, Any

import orjson

from tests.integration.cluster import Cluster

WATCH_S_MAX = 20


@dataclass(frozen=True)
class Kubectl:
    """kubectl, bound to a cluster and a namespace."""

    cluster: Cluster
    namespace: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed and warn of nothing; return what it prints."""
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 0, f"kubectl {arguments}: {result.stderr}{result.stdout}"
        assert result.stderr == "", f"kubectl {arguments}: {result.stderr}"
        return result.stdout

    def run(
        self, *arguments: str, stdin: str | None = None, editor: str = ""
    ) -> CompletedProcess[str]:
        """Run a command of any outcome."""
        return subprocess.run(
            ["kubectl", f"--namespace={self.namespace}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self._environment() | ({"KUBE_EDITOR": editor} if editor else {}),
        )

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must fail; return what it says on stderr."""
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 1, f"kubectl {arguments}: {result.stdout}"
        return result.stderr

    def json(self, *arguments: str) -> Any:
        """Run a command with `-o json` and return the object."""
        return orjson.loads(self(*arguments, "-o", "json"))

    @contextmanager
    def watching(self, *arguments: str) -> Iterator[IO[str]]:
        """Run a command that goes on; yield its output, which ends within WATCH_S_MAX."""
        process = subprocess.Popen(
            [
                "kubectl",
                f"--namespace={self.namespace}",
                f"--request-timeout={WATCH_S_MAX}s",
                *arguments,
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment(),
        )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()

    def _environment(self) -> dict[str, str]:
        home = self.cluster.directory / "home"
        home.mkdir(exist_ok=True)
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "HOME": str(home)}


def rows(table: str) -> list[list[str]]:
    """Return the words of each line that kubectl printed."""
    return [line.split() for line in table.splitlines()]

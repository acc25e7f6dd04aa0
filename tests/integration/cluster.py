"""A real cluster for tests: `ultraplane up` on free ports, with everything a client needs.

The processes are the project's own; what is killed is killed by pid, and the supervisor (or the
test, for a part that it started) brings it back.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from ultraplane.run_state import read_state, state_path
from ultraplane.supervisor import Phase

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_S_MAX = 60.0
STOP_S_MAX = 30.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status code, decoded body if it is JSON, and the raw one."""

    code: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)


@dataclass
class Cluster:
    """A running cluster.

    Attributes:
        directory: its data directory.
        kubeconfig: for kubectl and client libraries (client certificate of system:masters).
        port: of the API server, with TLS.
        plain_port: of the API server, without TLS, on loopback.
        token: a bearer token of system:masters.
        process: `ultraplane up`.
        launch: starts another, when that one has ended.
    """

    directory: Path
    port: int
    plain_port: int
    token: str
    process: subprocess.Popen[bytes]
    launch: Callable[[], subprocess.Popen[bytes]]

    @property
    def kubeconfig(self) -> Path:
        """Path of the kubeconfig."""
        return self.directory / "kubeconfig"

    @property
    def url(self) -> str:
        """URL with TLS."""
        return f"https://{HOST}:{self.port}"

    @property
    def plain_url(self) -> str:
        """URL without TLS."""
        return f"http://{HOST}:{self.plain_port}"

    def make_namespace(self, name: str) -> None:
        """Create a namespace with the account that pods in it need, as its controller would."""
        made = self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert made.code == 201, made.body
        self.give_account(name)

    def give_account(self, namespace: str) -> None:
        """Create the account that pods in a namespace need, unless its controller was quicker."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        made = self.call("POST", path, {"metadata": {"name": "default"}})
        assert made.code in (201, 409), made.body

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        timeout_s: float = 40.0,
    ) -> Answer:
        """Send one request over plain HTTP with the token; bytes as they are, the rest as JSON."""
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if data is not None:
            sent["Content-Type"] = content_type
        request = urllib.request.Request(
            self.plain_url + path, data=data, method=method, headers=sent
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), dict(error.headers))

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run real kubectl against the cluster."""
        home = self.directory / "home"
        home.mkdir(exist_ok=True)
        result = subprocess.run(
            ["kubectl", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(home)},
        )
        if check and result.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {result.stderr}{result.stdout}")
        return result

    def pid_of(self, part: str) -> int:
        """Return the pid of a part that the supervisor runs.

        Args:
            part: journal, apiserver (any worker), apiserver-2 (that one), storage, controllers,
                scheduler.
        """
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            pid = self.find_pid(part)
            if pid is not None:
                return pid
            time.sleep(_POLL_S)
        raise AssertionError(f"no process of {part}")

    def find_pid(self, part: str) -> int | None:
        """Return the pid of a part if it runs just now; see `pid_of`."""
        for pid in _children(self.process.pid):
            if part in _names(_command_line(pid)):
                return pid
        return None

    def count_children(self) -> int:
        """Return how many parts run just now."""
        return len(_children(self.process.pid))

    def kill(self, part: str) -> None:
        """End a part with kill -9; the supervisor starts it again."""
        os.kill(self.pid_of(part), signal.SIGKILL)

    def relaunch(self) -> None:
        """End `ultraplane up` with kill -9, and all its parts with it; start it again."""
        self.process.kill()
        self.process.wait()
        self.process = self.launch()
        self.wait_started()

    def wait_started(self) -> None:
        """Return when every part has been ready: from then on, all are kept whatever happens."""
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, self.logs()
            state = read_state(state_path(self.directory))
            if (
                state is not None
                and state.pid == self.process.pid
                and all(process.phase is Phase.READY for process in state.processes)
            ):
                return
            time.sleep(_POLL_S)
        raise AssertionError(f"not started in {START_S_MAX} s: {self.logs()}")

    def wait_ready(self) -> None:
        """Return when /readyz answers 200, and every worker serves."""
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            assert self.process.poll() is None, self.logs()
            try:
                if self.call("GET", "/readyz", timeout_s=2).code == 200 and self._all_serve():
                    return
            except (OSError, ssl.SSLError):
                pass
            time.sleep(_POLL_S)
        raise AssertionError(f"not ready in {START_S_MAX} s: {self.logs()}")

    def _all_serve(self) -> bool:
        state = read_state(state_path(self.directory))
        return state is not None and all(
            process.phase is Phase.READY
            for process in state.processes
            if process.name.startswith(("apiserver", "storage"))
        )

    def logs(self) -> str:
        """Return the ends of all logs."""
        ends = [
            f"== {path.name}\n{path.read_text(errors='replace')[-4000:]}"
            for path in sorted((self.directory / "logs").glob("*.log"))
        ]
        return "\n".join(ends)


@contextmanager
def run_cluster(
    directory: Path,
    config: dict[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """Run a cluster in `directory` until the block ends; what is in there is found again."""
    port, plain_port = free_port(), free_port()
    token = secrets.token_hex(16)
    tokens = directory / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{token},tester,tester,"system:masters"\n')
    settings = dict(config or {})
    settings["server"] = {
        "port": port,
        "plain_http_port": plain_port,
        **settings.get("server", {}),
    }
    settings["auth"] = {"token_file": str(tokens), **settings.get("auth", {})}
    # Most tests want their pods to stay as they are; those of the scheduler say so.
    settings["supervisor"] = {"without": ["scheduler"], **settings.get("supervisor", {})}
    memory = Path(tempfile.mkdtemp(prefix="ultraplane-test-", dir="/dev/shm"))
    settings.setdefault("memory_dir", str(memory))
    # Nobody acts on nodes and pods but the test itself, unless it asks for that.
    settings["fleet"] = {"nodes": 0, **settings.get("fleet", {})}
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    data = directory / "data"
    command = [sys.executable, "-m", "ultraplane.cli", "up", "--data-dir", str(data)]
    output = (directory / "up.log").open("ab")

    def launch() -> subprocess.Popen[bytes]:
        whole = [*command, "--config", str(path)]
        return subprocess.Popen(
            whole, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )

    cluster = Cluster(data, port, plain_port, token, launch(), launch)
    try:
        cluster.wait_ready()
        yield cluster
    finally:
        stop(cluster.process)
        output.close()
        shutil.rmtree(memory, ignore_errors=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End `ultraplane up` in order, by force if it does not."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a TCP port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _children(parent: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        # A thread, or the process, may end just now.
        with suppress(FileNotFoundError, ProcessLookupError):
            found += (int(pid) for pid in task.read_text().split())
    return found


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def _names(words: list[str]) -> set[str]:
    """Return what a process is called: its part, and which of several it is."""
    if "ultraplane.serve" in words:
        part, *rest = filter(None, words[words.index("ultraplane.serve") + 1 :])
        # A worker's number, or a storage process's partition, comes last.
        return {part, f"{part}-{rest[-1]}"}
    if "controllers.fleet" in words:
        return {"fleet"}
    if "controllers.scheduler" in words:
        return {"scheduler"}
    return {word.removesuffix(".main") for word in words if word.endswith(".main")}


def memory_of(cluster: Cluster) -> Path:
    """Return where a cluster's replica is."""
    settings = orjson.loads((cluster.directory / "run" / "apiserver.json").read_bytes())
    memory = Path(settings["memory_dir"])
    assert memory.is_relative_to("/dev/shm"), memory
    return memory

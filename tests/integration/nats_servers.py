"""Real NATS servers for tests: one, or a cluster of three, with JetStream on files, on loopback.

What is killed is killed by pid; directories outlive their processes, as disks do.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conftest import nats_program

HOST: Final = "127.0.0.1"
START_S_MAX: Final = 40.0
_POLL_S: Final = 0.02


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class NatsServer:
    """One server; `start` and `kill` it as often as needed.

    Attributes:
        name: of the server in its cluster.
        directory: its configuration, log and store.
        port: for clients.
        monitor_port: for questions over HTTP.
    """

    name: str
    directory: Path
    port: int
    monitor_port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """Start it, or start it again over the same store."""
        program = nats_program()
        assert program is not None, "there is no nats-server"
        command = [program, "-c", str(self.directory / "nats.conf")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it at once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        self.process = None

    def pause(self) -> None:
        """Let it stand still, as a machine does that the others cannot reach."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def ask(self, path: str) -> Any:
        """Return what the monitoring port answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{HOST}:{self.monitor_port}{path}", timeout=2) as answer:
            return json.load(answer)

    def is_healthy(self) -> bool:
        """Whether JetStream is there, and has caught up."""
        try:
            return bool(self.ask("/healthz").get("status") == "ok")
        except (OSError, urllib.error.URLError):
            return False


@dataclass
class NatsCluster:
    """One server or several."""

    servers: list[NatsServer]

    @property
    def url(self) -> str:
        """All servers, as `--journal` takes them."""
        return "nats://" + ",".join(f"{HOST}:{server.port}" for server in self.servers)

    def wait_healthy(self) -> None:
        """Return when all that run answer and JetStream has a leader."""
        deadline_s = time.monotonic() + START_S_MAX
        running = [server for server in self.servers if server.process is not None]
        while not all(server.is_healthy() for server in running):
            assert time.monotonic() < deadline_s, self._logs()
            time.sleep(_POLL_S)

    def leader_of(self, stream: str) -> NatsServer:
        """Return which server leads a JetStream stream."""
        deadline_s = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline_s:
            for server in self.servers:
                name = _leader(server, stream) if server.process is not None else ""
                for other in self.servers:
                    if other.name == name and other.process is not None:
                        return other
            time.sleep(_POLL_S)
        raise AssertionError(f"nobody leads {stream}: {self._logs()}")

    def stop(self) -> None:
        """End all."""
        for server in self.servers:
            if server.process is not None:
                server.kill()

    def _logs(self) -> str:
        return "\n".join((server.directory / "log").read_text()[-2000:] for server in self.servers)


def _leader(server: NatsServer, stream: str) -> str:
    try:
        found = server.ask("/jsz?streams=true&accounts=true")
    except (OSError, urllib.error.URLError):
        return ""
    for account in found.get("account_details", ()):
        for detail in account.get("stream_detail", ()):
            if detail["name"] == stream:
                return str(detail.get("cluster", {}).get("leader", ""))
    return ""


@contextmanager
def running_nats(
    directory: Path, count: int = 1, more: Mapping[str, Any] | None = None
) -> Iterator[NatsCluster]:
    """Run servers until the block ends.

    Args:
        directory: where theirs are made.
        count: 1, or 3 for a cluster.
        more: further settings of each server.
    """
    ports = free_ports(3 * count)
    routes = [f"nats://{HOST}:{port}" for port in ports[2 * count :]]
    cluster = NatsCluster([])
    for index in range(count):
        name = f"zone-{index + 1}"
        own = directory / name
        own.mkdir(parents=True)
        settings: dict[str, Any] = {
            "server_name": name,
            "listen": f"{HOST}:{ports[index]}",
            "http": f"{HOST}:{ports[count + index]}",
            "max_payload": 9 << 20,
            "jetstream": {"store_dir": str(own / "store"), "max_file_store": 4 << 30},
            **(more or {}),
        }
        if count > 1:
            settings["cluster"] = {
                "name": "ultraplane",
                "listen": routes[index].removeprefix("nats://"),
                "routes": routes,
            }
        (own / "nats.conf").write_text(json.dumps(settings))
        cluster.servers.append(NatsServer(name, own, ports[index], ports[count + index]))
    try:
        for server in cluster.servers:
            server.start()
        cluster.wait_healthy()
        yield cluster
    finally:
        cluster.stop()

"""`ultraplane up`: from a configuration to a running cluster, and back to nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controllers.fleet.plan import read_plan
from runtime.clock import Clock, SystemClock
from runtime.tasks import TaskScope
from ultraplane.checks import check_settings, read_encryption
from ultraplane.config import Config
from ultraplane.display import Display, LastingConsole
from ultraplane.errors import UserError
from ultraplane.files import DirectoryLock, private_directory, write_private
from ultraplane.joining import join_cluster
from ultraplane.kubeconfig import write_kubeconfig, write_part_kubeconfig
from ultraplane.parts import (
    client_context,
    fleet_plan_path,
    part_environment,
    part_kubeconfig,
    process_table,
    server_url,
    write_fleet_plan,
)
from ultraplane.pki import Pki, PkiPlan, ensure_pki
from ultraplane.run_state import RunState, state_path, write_state
from ultraplane.server_settings import encryption_copy, write_server_settings
from ultraplane.supervisor import Limits, ProcessSpec, ProcessState, Supervisor

LOOPBACK: Final = "127.0.0.1"


class PortInUse(UserError):
    """Somebody else listens where we would; nothing was started."""


def run_up(config: Config, kubeconfig: Path | None, version: str) -> None:
    """Run a cluster in this process and its children until Ctrl-C or SIGTERM.

    Raises:
        UserError: it cannot start, for a reason that the message gives.
    """
    clock = SystemClock()
    started_s = clock.monotonic_s() - process_age_s()
    private_directory(config.data_dir)
    with DirectoryLock(config.data_dir):
        cluster = prepare(config, kubeconfig, clock)
        asyncio.run(_run(cluster, clock, started_s, version))


def process_age_s() -> float:
    """Return how long this process exists, loading of the interpreter included."""
    # Field 22, counted from behind the command's name, which may hold spaces.
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return uptime_s - ticks / os.sysconf("SC_CLK_TCK")


class Cluster:
    """A cluster prepared to be started: all files are written, the port is known."""

    def __init__(
        self, config: Config, port: int, kubeconfig: Path, specs: list[ProcessSpec]
    ) -> None:
        self.config = config
        self.port = port
        self.kubeconfig = kubeconfig
        self.specs = specs

    @property
    def log_dir(self) -> Path:
        """Where the processes log."""
        return self.config.data_dir / "logs"

    def publish(self, states: Sequence[ProcessState]) -> None:
        """Write what runs for `ultraplane status`."""
        state = RunState(
            pid=os.getpid(),
            host=self.config.server.bind,
            port=self.port,
            kubeconfig=str(self.kubeconfig),
            processes=tuple(states),
        )
        write_state(state_path(self.config.data_dir), state)


def prepare(config: Config, kubeconfig: Path | None, clock: Clock) -> Cluster:
    """Make directories, certificates, kubeconfig and settings files.

    Raises:
        UserError: the port is taken, or a file or directory is of no use.
    """
    check_settings(config)
    given = config.storage.encryption_provider_config
    encryption = None if given is None else read_encryption(given)
    port = free_port(config.server.bind, config.server.port)
    plain_port = config.server.plain_http_port
    if plain_port is not None:
        if plain_port == port:
            raise PortInUse(f"server.port and server.plain_http_port are both {port}")
        free_port(LOOPBACK, plain_port, setting="server.plain_http_port")
    forget_deleted_cluster(config)
    for name in ("run", "logs"):
        private_directory(config.data_dir / name)
    private_directory(config.memory_path)
    if config.join is not None:
        join_cluster(config.join, config.data_dir)
    pki = prepare_pki(config, clock)
    ca_file = config.server.tls_ca_file or pki.ca_certificate
    path = kubeconfig or config.data_dir / "kubeconfig"
    server = server_url(config, port)
    write_kubeconfig(path, server=server, ca_file=ca_file, pki=pki)
    for part in ("controllers", "scheduler", *(["fleet"] if config.runs_fleet else [])):
        own = part_kubeconfig(config, part)
        write_part_kubeconfig(
            own, part, server=server, ca_file=ca_file, pki=pki, near=config.near_address
        )
    if config.runs_fleet:
        write_fleet_plan(config, pki, _kubelet_port(config))
    write_server_settings(config, pki, port)
    if encryption is None:
        encryption_copy(config).unlink(missing_ok=True)
    else:
        write_private(encryption_copy(config), encryption)
    specs = process_table(config, port, client_context(ca_file, pki))
    return Cluster(config, port, path, specs)


def forget_deleted_cluster(config: Config) -> None:
    """Remove the replica in memory of a cluster whose data directory was deleted.

    Its place follows from the directory's path alone, and a new cluster there would refuse to start
    on it. Nothing is lost: a replica is made again from journal and checkpoints.
    """
    is_new = not (config.data_dir / "pki").exists()
    if is_new and config.memory_dir is None:
        shutil.rmtree(config.memory_path, ignore_errors=True)


def prepare_pki(config: Config, clock: Clock) -> Pki:
    """Make or renew the certificates of a configuration."""
    plan = PkiPlan(
        bind=config.server.bind,
        service_cidr=config.server.service_cidr,
        extra_names=config.server.tls_names,
        client_ca_file=config.auth.client_ca_file,
        token_file=config.auth.token_file,
    )
    return ensure_pki(config.data_dir / "pki", plan, clock)


def free_port(bind: str, port: int, *, setting: str = "") -> int:
    """Return `port` if nobody listens there, a free one for 0.

    Args:
        bind: address to listen on.
        port: where.
        setting: the key that gives the port where no flag does.

    Raises:
        PortInUse: somebody does.
        UserError: we may not listen there.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server will: connections of the last run that linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen(1)
        except PermissionError as error:
            way_out = setting or "--port 6443"
            raise UserError(f"port {port} needs root; choose one above 1023: {way_out}") from error
        except OSError as error:
            why = f"cannot listen on {bind} port {port}: {error.strerror}"
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"{why}; server.bind is an address of this machine") from error
            way_out = setting or f"--port {port + 1 if port < 65_535 else port - 1}"
            raise PortInUse(
                f"{why}. See who does with `ss -ltnp 'sport = :{port}'`, or choose another port: "
                f"{way_out}"
            ) from error
        chosen: int = probe.getsockname()[1]
        return chosen


def _kubelet_port(config: Config) -> int:
    """Return where the fleet's nodes answer: where they did, if that can be, as they all say so."""
    wanted = config.fleet.kubelet_port
    if wanted:
        return free_port(LOOPBACK, wanted, setting="fleet.kubelet_port")
    try:
        return free_port(LOOPBACK, read_plan(fleet_plan_path(config)).kubelet_port)
    except (OSError, ValueError, PortInUse):
        return free_port(LOOPBACK, 0)


def stop_signals() -> list[signal.Signals]:
    """Return the signals that stop a cluster; under `nohup`, a closed terminal does not."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


async def _run(cluster: Cluster, clock: Clock, started_s: float, version: str) -> None:
    config = cluster.config
    display = Display(LastingConsole(), cluster.publish, cluster.log_dir)
    display.show_title(version)
    supervisor = Supervisor(
        cluster.specs,
        log_dir=cluster.log_dir,
        environment=part_environment(os.environ),
        limits=Limits(
            ready_timeout_s=config.supervisor.ready_timeout_s,
            stop_timeout_s=config.supervisor.stop_timeout_s,
            delay_s_max=config.supervisor.restart_delay_s_max,
            log_bytes_max=config.supervisor.log_bytes_max,
        ),
        clock=clock,
        observer=display,
    )

    def on_signal(number: signal.Signals) -> None:
        # A closed terminal is often told of twice, by the kernel and the shell: no call for haste.
        if number is signal.SIGHUP and supervisor.is_stopping:
            return
        # First, as there may be nothing left to show it on.
        supervisor.stop()
        display.show_stopping()

    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, on_signal, number)

    async def announce() -> None:
        await supervisor.wait_ready()
        seconds = clock.monotonic_s() - started_s
        display.show_ready(seconds, cluster.kubeconfig, config.data_dir)

    async with TaskScope("up") as scope:
        announcement = scope.spawn(announce(), name="announce")
        try:
            await supervisor.run()
        finally:
            announcement.cancel()

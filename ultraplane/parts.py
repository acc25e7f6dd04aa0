"""The parts of a cluster as data: what each is told, and the processes that `up` keeps.

This is the only place that knows which processes there are; a new part is one more entry in
`process_table`. What the API server is told is in server_settings.py.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from apiserver.peers import socket_path
from controllers.fleet.plan import FleetPlan, Template, encode_plan
from storage.partition_map import PartitionMap
from ultraplane.config import Config
from ultraplane.files import write_private
from ultraplane.pki import Pki
from ultraplane.probes import accepts_connections, answers_ok
from ultraplane.server_settings import settings_path
from ultraplane.supervisor import ProcessSpec

_RESERVE_FILE_PART = 8
"""Of the reserve that is taken as a file."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def part_kubeconfig(config: Config, part: str) -> Path:
    """Return where the kubeconfig of controllers, scheduler or fleet is written."""
    return config.data_dir / "run" / f"{part}.kubeconfig"


def journal_arguments(config: Config) -> list[str]:
    """Return what the journal is told, as arguments of `journal.main`."""
    return [
        f"--data-dir={config.data_dir / 'journal'}",
        f"--listen={config.journal_address}",
        f"--segment-mib={config.journal.segment_mib}",
        f"--hold-seconds={config.journal.replica_expiry_s:g}",
        f"--reserve-mib={config.journal.reserve_mib // _RESERVE_FILE_PART}",
        f"--log-level={config.log_level}",
    ]


def controllers_arguments(config: Config, kubeconfig: Path | None = None) -> list[str]:
    """Return what the controllers are told, as arguments of `controllers.main`."""
    return [
        f"--kubeconfig={kubeconfig or part_kubeconfig(config, 'controllers')}",
        f"--listen={config.controllers_address}",
        f"--controllers={config.controllers.run}",
        "--use-service-account-credentials",
        *_signing_arguments(config),
        *config.controllers.arguments(config.server.service_cidr),
        f"--log-level={config.log_level}",
    ]


def _signing_arguments(config: Config) -> list[str]:
    """Only where the CA's key is: another server's may have been copied without it."""
    directory = config.data_dir / "pki"
    certificate, key = directory / "ca.crt", directory / "ca.key"
    if not key.is_file():
        return []
    return [
        f"--cluster-signing-cert-file={certificate}",
        f"--cluster-signing-key-file={key}",
    ]


def fleet_plan(config: Config, pki: Pki, kubelet_port: int) -> FleetPlan:
    """Return what the fleet is told; its nodes answer on a port of loopback."""
    fleet = config.fleet
    templates = tuple(
        Template(one.name, one.instance_type, one.weight, one.labels, one.taints, one.zones)
        for one in fleet.templates
    )
    front = config.aggregation.requestheader_client_ca_file or pki.front_proxy_ca
    return FleetPlan(
        nodes=fleet.nodes,
        templates=templates or FleetPlan().templates,
        instance_types=fleet.instance_types,
        pod_cidrs=fleet.pod_cidrs,
        lease_interval_s=fleet.lease_interval_s,
        status_interval_s=fleet.status_interval_s,
        writes_max=fleet.writes_max,
        storage_class=fleet.storage_class,
        kubelet_port=kubelet_port,
        client_ca=str(pki.client_ca_bundle),
        proxy_ca=str(front),
    )


def write_fleet_plan(config: Config, pki: Pki, kubelet_port: int) -> Path:
    """Write what the fleet is told; it holds no secrets."""
    path = fleet_plan_path(config)
    write_private(path, encode_plan(fleet_plan(config, pki, kubelet_port)))
    return path


def fleet_plan_path(config: Config) -> Path:
    """Return where the fleet's plan is written."""
    return config.data_dir / "run" / "fleet.json"


def fleet_arguments(config: Config) -> list[str]:
    """Return what the fleet is told, as arguments of `controllers.fleet`."""
    return [
        f"--kubeconfig={part_kubeconfig(config, 'fleet')}",
        f"--plan={fleet_plan_path(config)}",
        f"--listen={config.fleet_address}",
        f"--log-level={config.log_level}",
    ]


def scheduler_arguments(config: Config) -> list[str]:
    """Return what the scheduler is told, as arguments of `controllers.scheduler`."""
    chosen = config.supervisor.scheduler_config
    return [
        f"--kubeconfig={part_kubeconfig(config, 'scheduler')}",
        f"--listen={config.scheduler_address}",
        *([] if chosen is None else [f"--config={chosen}"]),
        f"--log-level={config.log_level}",
    ]


def process_table(config: Config, port: int, context: ssl.SSLContext) -> list[ProcessSpec]:
    """Return the processes of a cluster.

    Args:
        config: the configuration; the files that `prepare` writes must be there.
        port: where the API server listens.
        context: how to reach it.
    """
    journal = ProcessSpec(
        name="journal",
        argv=_python("journal.main", *journal_arguments(config)),
        probe=accepts_connections(config.journal_address),
        address=config.journal_address,
    )
    parts = [*_storage_processes(config), *_workers(config, port, context), *_actors(config)]
    return parts if config.journal.external else [journal, *parts]


def _actors(config: Config) -> list[ProcessSpec]:
    """Return those that act by the API; they wait for its server by themselves.

    To load beside it spares 0.3 s.
    """
    chosen = (
        (
            config.runs_controllers,
            "controllers",
            ("controllers.main", *controllers_arguments(config)),
            config.controllers_address,
        ),
        (
            config.runs_scheduler,
            "scheduler",
            ("controllers.scheduler", *scheduler_arguments(config)),
            config.scheduler_address,
        ),
        (
            config.runs_fleet,
            "fleet",
            ("controllers.fleet", *fleet_arguments(config)),
            config.fleet_address,
        ),
    )
    return [
        ProcessSpec(
            name=name,
            argv=_python(*command),
            probe=accepts_connections(address),
            after=_after_journal(config),
            address=address,
        )
        for is_run, name, command, address in chosen
        if is_run
    ]


def _after_journal(config: Config) -> tuple[str, ...]:
    # One that others run is waited for by the parts themselves.
    return () if config.journal.external else ("journal",)


def _storage_processes(config: Config) -> list[ProcessSpec]:
    """Return who keeps the replica, where the API server does not do so itself."""
    arguments: dict[str, tuple[str, ...]] = {}
    if config.storage.process_per_partition:
        partitions = PartitionMap(config.storage.partitions).names
        arguments = {f"storage-{name}": (name,) for name in partitions}
    elif config.server.workers > 1:
        arguments = {"storage": ()}
    specs = []
    for name, partition in arguments.items():
        address = config.storage_address(name)
        command = ("storage", str(settings_path(config)), address.removeprefix("unix:"), *partition)
        specs.append(
            ProcessSpec(
                name=name,
                argv=_python("ultraplane.serve", *command),
                probe=accepts_connections(address),
                after=_after_journal(config),
                address=address,
            )
        )
    return specs


def _workers(config: Config, port: int, context: ssl.SSLContext) -> list[ProcessSpec]:
    """Return the API server, or its workers; they wait for the storage processes by themselves."""
    workers = config.server.workers
    specs = []
    for index in range(1, workers + 1):
        # Workers share the port: only by a socket of its own can one be told from the next.
        own = socket_path(config.memory_path, index)
        specs.append(
            ProcessSpec(
                name="apiserver" if workers == 1 else f"apiserver-{index}",
                argv=_python(
                    "ultraplane.serve", "apiserver", str(settings_path(config)), str(index)
                ),
                probe=accepts_connections(f"unix:{own}")
                if workers > 1
                else answers_ok(connect_host(config.server.bind), port, "/readyz", context),
                after=_after_journal(config),
                address=server_url(config, port),
            )
        )
    return specs


def part_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the parts: they find the code that we were started from."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def connect_host(bind: str) -> str:
    """Return the address under which a listener on this machine is reached."""
    return _WILDCARDS.get(bind, bind)


def server_url(config: Config, port: int) -> str:
    """Return the API server's URL, for clients on this machine."""
    host = connect_host(config.server.bind)
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def client_context(ca_file: Path, pki: Pki) -> ssl.SSLContext:
    """Return how the admin reaches the API server."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.load_cert_chain(pki.admin_certificate, pki.admin_key)
    return context


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    # -P: a directory called `journal` where `up` was called must not be taken for ours.
    return (sys.executable, "-P", "-m", module, *arguments)

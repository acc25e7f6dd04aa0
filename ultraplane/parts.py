"""The parts of a cluster as data: what each is told, and the processes that `up` keeps.

This is the only place that knows which processes there are; a new part is one more entry in
`process_table`.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from apiserver.peers import socket_path
from apiserver.settings import (
    AdmissionSettings,
    AggregationSettings,
    AuditSettings,
    AuthSettings,
    KubeletSettings,
    ServerSettings,
    StorageSettings,
    encode_settings,
)
from controllers.fleet.plan import FleetPlan, Template, encode_plan
from journal.nats_options import NatsOptions, options_to_json
from storage.partition_map import PartitionMap
from ultraplane.access_config import AdmissionSection, AuditSection
from ultraplane.config import Config
from ultraplane.files import write_private
from ultraplane.pki import Pki
from ultraplane.policy_files import (
    audit_policy,
    authentication_document,
    authorization_document,
    plugin_configurations,
)
from ultraplane.probes import accepts_connections, answers_ok
from ultraplane.supervisor import ProcessSpec

_RESERVE_FILE_PART = 8
"""Of the reserve that is taken as a file."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def server_settings(config: Config, pki: Pki, port: int) -> ServerSettings:
    """Return what the API server is told."""
    server = config.server
    first, _, last = server.node_port_range.partition("-")
    return ServerSettings(
        data_dir=config.data_dir,
        memory_dir=config.memory_path,
        journal_address=config.journal_address,
        journal_nats=options_to_json(nats_options(config)),
        bind=server.bind,
        port=port,
        plain_http_port=server.plain_http_port,
        tls_certificate_file=server.tls_certificate_file or pki.server_certificate,
        tls_key_file=server.tls_key_file or pki.server_key,
        client_ca_file=pki.client_ca_bundle,
        token_file=pki.token_bundle,
        service_account_key_file=pki.service_account_key,
        service_account_issuer=server.service_account_issuer,
        body_bytes_max=server.body_bytes_max,
        request_timeout_s=server.request_timeout_s,
        read_timeout_s=server.read_timeout_s,
        write_timeout_s=server.write_timeout_s,
        connections_max=server.connections_max,
        priority_and_fairness=server.priority_and_fairness,
        max_requests_inflight=server.max_requests_inflight,
        max_mutating_requests_inflight=server.max_mutating_requests_inflight,
        encryption_config_file=(
            encryption_copy(config) if config.storage.encryption_provider_config else None
        ),
        service_cidr=server.service_cidr,
        node_port_first=int(first),
        node_port_last=int(last),
        runtime_config=server.runtime_config,
        access_log=server.access_log,
        shutdown_delay_s=server.shutdown_delay_s,
        log_level=config.log_level,
        workers=server.workers,
        worker_index=0,
        storage=_storage(config),
        auth=AuthSettings(
            service_account_key_files=config.auth.service_account_key_files,
            authentication=authentication_document(config.auth),
            authentication_file=config.auth.authentication_config,
            anonymous=config.auth.anonymous,
            bootstrap_tokens=config.auth.bootstrap_tokens,
            authorization=authorization_document(config.auth),
            authorization_file=config.auth.authorization_config,
        ),
        admission=_admission(config.admission),
        audit=_audit(config.audit),
        kubelet=_kubelet_settings(config, pki),
        aggregation=_aggregation_settings(config, pki),
        console=server.console,
        scheduler_socket=_socket(config.scheduler_address, is_run=config.runs_scheduler),
        controllers_socket=_socket(config.controllers_address, is_run=config.runs_controllers),
    )


def _storage(config: Config) -> StorageSettings:
    storage = config.storage
    return StorageSettings(
        partitions=storage.partitions,
        compaction_age_s=storage.compaction_age_s,
        compaction_revisions_max=storage.compaction_revisions_max,
        compaction_interval_s=storage.compaction_interval_s,
        checkpoint_interval_s=storage.checkpoint_interval_s,
        map_bytes_max=storage.map_bytes_max,
        plain_bytes_max=storage.plain_bytes_max,
        process_per_partition=storage.process_per_partition,
        quota_memory_bytes=storage.quota_memory_mib << 20,
        quota_objects=storage.quota_objects,
        quota_objects_of=storage.quota_objects_of,
        quota_log_bytes=config.journal.quota_log_mib << 20,
        memory_reserve_bytes=storage.memory_reserve_mib << 20,
        log_reserve_bytes=config.journal.reserve_mib << 20,
    )


def _socket(address: str, *, is_run: bool) -> Path | None:
    return Path(address.removeprefix("unix:")) if is_run else None


def _admission(admission: AdmissionSection) -> AdmissionSettings:
    return AdmissionSettings(
        enable=admission.enable_plugins,
        disable=admission.disable_plugins,
        configurations=plugin_configurations(admission),
    )


def _audit(audit: AuditSection) -> AuditSettings:
    return AuditSettings(
        policy=audit_policy(audit),
        log_path=audit.log_path,
        log_bytes_max=audit.log_mib_max << 20,
        log_backups_max=audit.log_backups_max,
        log_age_days_max=audit.log_age_days_max,
    )


def _kubelet_settings(config: Config, pki: Pki) -> KubeletSettings:
    kubelet = config.kubelet
    return KubeletSettings(
        certificate_authority_file=kubelet.certificate_authority,
        client_certificate_file=kubelet.client_certificate or pki.kubelet_client_certificate,
        client_key_file=kubelet.client_key or pki.kubelet_client_key,
        address_types=kubelet.preferred_address_types,
    )


def _aggregation_settings(config: Config, pki: Pki) -> AggregationSettings:
    aggregation = config.aggregation
    return AggregationSettings(
        client_certificate_file=aggregation.proxy_client_cert_file or pki.front_proxy_certificate,
        client_key_file=aggregation.proxy_client_key_file or pki.front_proxy_key,
        client_ca_file=aggregation.requestheader_client_ca_file or pki.front_proxy_ca,
        client_names=aggregation.requestheader_allowed_names,
    )


def nats_options(config: Config) -> NatsOptions:
    """Return how NATS is used, should the journal be there."""
    nats = config.nats
    return NatsOptions(
        prefix=nats.prefix,
        replicas=nats.replicas,
        stream_bytes_max=nats.stream_mib_max << 20,
        user=nats.user,
        password_file=nats.password_file,
        token_file=nats.token_file,
        nkey_seed_file=nats.nkey_seed_file,
        credentials_file=nats.credentials_file,
        tls_ca_file=nats.tls_ca_file,
        tls_certificate_file=nats.tls_certificate_file,
        tls_key_file=nats.tls_key_file,
        hold_seconds=config.journal.replica_expiry_s,
    )


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
        f"--kubeconfig={kubeconfig or controllers_kubeconfig(config)}",
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


def fleet_kubeconfig(config: Config) -> Path:
    """Return where the fleet's kubeconfig is written."""
    return config.data_dir / "run" / "fleet.kubeconfig"


def fleet_arguments(config: Config) -> list[str]:
    """Return what the fleet is told, as arguments of `controllers.fleet`."""
    return [
        f"--kubeconfig={fleet_kubeconfig(config)}",
        f"--plan={fleet_plan_path(config)}",
        f"--listen={config.fleet_address}",
        f"--log-level={config.log_level}",
    ]


def scheduler_arguments(config: Config) -> list[str]:
    """Return what the scheduler is told, as arguments of `controllers.scheduler`."""
    chosen = config.supervisor.scheduler_config
    return [
        f"--kubeconfig={scheduler_kubeconfig(config)}",
        f"--listen={config.scheduler_address}",
        *([] if chosen is None else [f"--config={chosen}"]),
        f"--log-level={config.log_level}",
    ]


def scheduler_kubeconfig(config: Config) -> Path:
    """Return where the scheduler's kubeconfig is written."""
    return config.data_dir / "run" / "scheduler.kubeconfig"


def controllers_kubeconfig(config: Config) -> Path:
    """Return where the controllers' kubeconfig is written."""
    return config.data_dir / "run" / "controllers.kubeconfig"


def write_server_settings(config: Config, pki: Pki, port: int) -> Path:
    """Write the API server's settings file; it holds paths of secrets, no secrets."""
    content = encode_settings(server_settings(config, pki, port))
    path = settings_path(config)
    write_private(path, json.dumps(content, indent=1).encode())
    return path


def encryption_copy(config: Config) -> Path:
    """Return where the parts read what is encrypted.

    A copy on tmpfs, made at the start: a part that is started again has the keys that the others
    have, though the operator is changing the file, and no disk gets the keys beside the data.
    """
    return config.memory_path / "encryption-config.yaml"


def settings_path(config: Config) -> Path:
    """Return where the API server's settings are written."""
    return config.data_dir / "run" / "apiserver.json"


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

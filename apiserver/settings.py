"""What the API server is told at its start: one frozen, typed value, read from a file.

The file (settings_file.py) is written for each start by whoever runs the server (`ultraplane up`
does) from the configuration people write; it holds paths of secrets, never secrets. Nothing else in
this package reads the environment or a configuration file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

STATUS_PATH: Final = "/ultraplane/status"
"""Where `ultraplane status` asks: {"partitions": [{"name", "revision", "state_hash", "objects",
"bytes", "lag", ...}], "alarms", "journal", "disks", "quotas"}; lag is in records not applied yet;
bytes are those of the files, of the objects' pages, and of the objects when not compressed;
state_hash is the same for all replicas at the same revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """How the storage replica works.

    Attributes:
        partitions: resources ("pods", "apps/deployments") by partition; the rest is in "default".
        compaction_age_s: history younger than this is kept.
        compaction_revisions_max: but never more revisions than this, a partition.
        compaction_interval_s: how often the housekeeper looks.
        checkpoint_interval_s: time between two checkpoints of a partition that has changed.
        map_bytes_max: the largest a partition may grow in memory.
        plain_bytes_max: types with more bytes are compressed; None: none is.
        process_per_partition: whether each partition has a process of its own.
        quota_memory_bytes: what all partitions may take of memory; 0, as of all quotas: no limit.
        quota_objects: how many objects there may be.
        quota_objects_of: the same by storage resource.
        quota_log_bytes: what the log may take.
        memory_reserve_bytes: kept free of the replica's file system for what frees it.
        log_reserve_bytes: kept free of the journal's disk.
    """

    partitions: Mapping[str, tuple[str, ...]]
    compaction_age_s: float
    compaction_revisions_max: int
    compaction_interval_s: float
    checkpoint_interval_s: float
    map_bytes_max: int
    plain_bytes_max: int | None
    process_per_partition: bool
    quota_memory_bytes: int
    quota_objects: int
    quota_objects_of: Mapping[str, int]
    quota_log_bytes: int
    memory_reserve_bytes: int
    log_reserve_bytes: int


DEFAULT_AUTHORIZATION: Final[Mapping[str, Any]] = {
    "apiVersion": "apiserver.config.k8s.io/v1",
    "kind": "AuthorizationConfiguration",
    "authorizers": [{"type": "Node", "name": "node"}, {"type": "RBAC", "name": "rbac"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who is let in, besides those of the token file and the client CA.

    Attributes:
        service_account_key_files: PEM: more keys whose service account tokens are taken.
        authentication: upstream's AuthenticationConfiguration, decoded; {}: none.
        authentication_file: where it is, as it may change; None: it is of settings.
        anonymous: whether requests without credentials are decided about, or refused at once.
        bootstrap_tokens: whether secrets of kube-system may be bootstrap tokens.
        authorization: upstream's AuthorizationConfiguration, decoded.
        authorization_file: where it is, as it may change; None: it is of settings.
    """

    service_account_key_files: tuple[Path, ...] = ()
    authentication: Mapping[str, Any] = field(default_factory=dict)
    authentication_file: Path | None = None
    anonymous: bool = True
    bootstrap_tokens: bool = True
    authorization: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT_AUTHORIZATION))
    authorization_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """What is put on record; nothing is without a policy and a place for it.

    Attributes:
        policy: upstream's audit Policy, decoded; {}: none.
        log_path: the log; each further worker has one of its own beside it.
        log_bytes_max: a larger log is set aside, and a new one begun.
        log_backups_max: so many of those stay; 0: all.
        log_age_days_max: for so long; 0: for ever.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    log_path: Path | None = None
    log_bytes_max: int = 100 << 20
    log_backups_max: int = 10
    log_age_days_max: int = 0

    def path_of(self, worker_index: int) -> Path | None:
        """Return where a worker writes, None if nothing is put on record."""
        path = self.log_path
        if path is None or not self.policy or worker_index < 2:
            return path if self.policy else None
        return path.with_stem(f"{path.stem}-{worker_index}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionSettings:
    """Which admission plugins run.

    Attributes:
        enable: names of those that run besides the default ones.
        disable: names of default ones that do not.
        configurations: what plugins are told, decoded, by their names.
    """

    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """How kubelets are spoken to.

    Attributes:
        certificate_authority_file: who has signed their certificates, PEM; None: that is not
            checked, as upstream.
        client_certificate_file, client_key_file: what the server shows them, PEM; None: nothing.
        address_types: of a node's addresses, the first kind that it has is used.
        simulated_cidrs: ranges of addresses of pods that do not run: nothing is dialled there.
    """

    certificate_authority_file: Path | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    address_types: tuple[str, ...] = (
        "InternalIP",
        "ExternalIP",
        "Hostname",
        "InternalDNS",
        "ExternalDNS",
    )
    simulated_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationSettings:
    """How extension API servers are spoken to.

    Attributes:
        client_certificate_file, client_key_file: what the server shows them, PEM; None: nothing.
        client_ca_file: who has signed that, PEM: what they are told to check it by.
        client_names: the common names that they are told to believe.
    """

    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    client_ca_file: Path | None = None
    client_names: tuple[str, ...] = ("front-proxy-client",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the API server works.

    Attributes:
        data_dir: durable state: checkpoints.
        memory_dir: a directory on tmpfs: the replica, which a reboot may take away.
        journal_address: "unix:/path", "tcp:host:port" or "nats://host:port[,host:port...]".
        journal_nats: how NATS is used, where the address is one of NATS.
        bind: address to listen on, with TLS.
        port: TCP port to listen on, with TLS.
        plain_http_port: a port of 127.0.0.1 without TLS, for benchmarks; None is none.
        tls_certificate_file: the serving certificate, PEM.
        tls_key_file: its key, PEM.
        client_ca_file: who is signed by it is authenticated: CN is the user, O are the groups.
        token_file: bearer tokens in upstream's CSV form: token,user,uid,"group1,group2"; None is
            none.
        service_account_key_file: PEM (EC P-256): signs and proves service account tokens (ES256).
        service_account_issuer: their "iss".
        body_bytes_max: a larger request body is refused with 413.
        request_timeout_s: requests but watches are given up after this.
        read_timeout_s: a request, or a TLS handshake, that is not whole after this is cut off.
        write_timeout_s: a client that takes nothing of its answer for this long is cut off.
        connections_max: more open connections are refused.
        priority_and_fairness: whether requests are let in by priority levels and flow schemas,
            with the two limits below together; without, by these plain limits.
        max_requests_inflight: reads that run at once, upstream's --max-requests-inflight.
        max_mutating_requests_inflight: writes, --max-mutating-requests-inflight.
        encryption_config_file: an EncryptionConfiguration: what is sealed in journal and
            checkpoints, and by which keys; None: nothing is.
        service_cidr: where Services get their cluster IPs from.
        node_port_first: lowest port for Services of type NodePort.
        node_port_last: highest of them.
        runtime_config: upstream's --runtime-config: "api/alpha": "false".
        access_log: whether each request is logged.
        shutdown_delay_s: how long it serves on after it was told to stop, not ready any more.
        log_level: "debug", "info", "warning" or "error".
        workers: how many processes serve on the same port.
        worker_index: which of them this one is, from 1; 0 before anyone is chosen.
        storage: how the replica works.
        auth: who is let in.
        audit: what is put on record.
        admission: who looks at writes.
        kubelet: how kubelets are spoken to.
        aggregation: how extension API servers are.
        console: whether /console is served.
        near_socket: path of a Unix socket without TLS, for our own user alone; None is none.
        scheduler_socket, controllers_socket: where these tell their figures; None: they do not run
            beside this server.
    """

    data_dir: Path
    memory_dir: Path
    journal_address: str
    journal_nats: Mapping[str, Any]
    bind: str
    port: int
    plain_http_port: int | None
    tls_certificate_file: Path
    tls_key_file: Path
    client_ca_file: Path
    token_file: Path | None
    service_account_key_file: Path
    service_account_issuer: str
    body_bytes_max: int
    request_timeout_s: float
    read_timeout_s: float
    write_timeout_s: float
    connections_max: int
    priority_and_fairness: bool
    max_requests_inflight: int
    max_mutating_requests_inflight: int
    encryption_config_file: Path | None
    service_cidr: str
    node_port_first: int
    node_port_last: int
    runtime_config: Mapping[str, str]
    access_log: bool
    shutdown_delay_s: float
    log_level: str
    workers: int
    worker_index: int
    storage: StorageSettings
    auth: AuthSettings = field(default_factory=AuthSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    aggregation: AggregationSettings = field(default_factory=AggregationSettings)
    console: bool = True
    near_socket: Path | None = None
    scheduler_socket: Path | None = None
    controllers_socket: Path | None = None

    @property
    def is_mapped(self) -> bool:
        """Whether the replica is kept by other processes, and only mapped by this one."""
        return self.workers > 1 or self.storage.process_per_partition

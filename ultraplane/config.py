"""Every setting of Ultraplane: its type, its default, its meaning and its limits.

The models are the single description: `ultraplane config` prints them, config_reader.py checks
files and environment against them. Values are checked here once; the parts below the command line
get plain frozen values made from them (ultraplane.parts).
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from journal.nats_options import is_nats_address, parse_servers
from ultraplane.access_config import AdmissionSection, AuditSection, AuthSection
from ultraplane.backend_config import AggregationSection, KubeletSection
from ultraplane.config_fleet import FleetSection
from ultraplane.config_nats import NatsSection
from ultraplane.controllers_config import ControllersSection
from ultraplane.sections import Location, Section
from ultraplane.supervisor_config import SupervisorSection

_PARTITION_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESOURCE: Final = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-z][a-z0-9-]*")
_HOST_NAME: Final = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?",
    re.IGNORECASE,
)
# What changes most, or is watched by most, gets a log and a writer of its own.
_PARTITIONS: Final[dict[str, tuple[str, ...]]] = {
    "events": ("events",),
    "leases": ("coordination.k8s.io/leases",),
    "nodes": ("nodes",),
    "pods": ("pods",),
}
# The kernel takes 107.
_SOCKET_PATH_BYTES_MAX: Final = 100
# A Service and the reservation of its cluster IP are written in one transaction.
_WRITTEN_TOGETHER: Final = ("services", "networking.k8s.io/ipaddresses")


def _host_name(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a DNS name of ASCII letters, or an address")
    return text


def _listening_address(text: str) -> str:
    if text.startswith("unix:") and len(os.fsencode(text[5:])) > _SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"the path must not be longer than {_SOCKET_PATH_BYTES_MAX} bytes")
    if is_nats_address(text):
        parse_servers(text)
    if text.startswith("tcp:") and int(text.rpartition(":")[2]) > 65_535:
        raise ValueError("the port must not be larger than 65535")
    return text


def _off(value: Any) -> Any:
    # YAML reads `off` as a boolean.
    return "off" if value is False else value


def _switch_text(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    # YAML reads `api/alpha: false` as a boolean, which is what people write.
    return {
        key: str(item).lower() if isinstance(item, bool) else item for key, item in value.items()
    }


def _network(text: str) -> str:
    network = ipaddress.ip_network(text)
    if network.num_addresses < 8:
        raise ValueError("must hold at least 8 addresses")
    return str(network)


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _node_ports(text: str) -> str:
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if match is None or not 0 < int(match[1]) <= int(match[2]) <= 65_535:
        raise ValueError('must be "first-last" within 1-65535')
    return text


def default_data_dir() -> Path:
    """Return where data is kept unless told otherwise, by the XDG base directory rules."""
    home = os.environ.get("XDG_DATA_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.local/share").expanduser()
    return base / "ultraplane"


Port = Annotated[int, Field(ge=1, le=65_535)]


class ServerSection(Section):
    """The API server's face."""

    bind: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1",
        description="Address to listen on, always with TLS and authentication. The default lets "
        "nobody in from outside this machine.",
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(
        default=6443, description="TCP port to listen on; 0 takes a free one at each start."
    )
    plain_http_port: Port | None = Field(
        default=None,
        description="Another port, of 127.0.0.1 only and without TLS, for benchmarks. Requests "
        "must authenticate by bearer token there.",
    )
    tls_names: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(
        default=(),
        description="More host names and addresses for the generated serving certificate.",
    )
    tls_certificate_file: Location | None = Field(
        default=None,
        description="A serving certificate of your own (PEM) instead of the generated one.",
    )
    tls_key_file: Location | None = Field(default=None, description="Its private key (PEM).")
    tls_ca_file: Location | None = Field(
        default=None, description="Who signed it (PEM); goes into the kubeconfig."
    )
    body_bytes_max: int = Field(
        default=3 * 1024 * 1024,
        ge=1024,
        le=1 << 30,
        description="Larger request bodies are refused (413).",
    )
    request_timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Requests other than watches are given up after this.",
    )
    read_timeout_s: float = Field(
        default=32.0,
        gt=0,
        le=3600,
        description="A request, or a TLS handshake, that is not whole after this is cut off.",
    )
    write_timeout_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="A client that takes nothing of its answer for this long is cut off.",
    )
    connections_max: int = Field(
        default=250_000,
        ge=16,
        description="Open connections beyond this are refused, by each worker for itself.",
    )
    priority_and_fairness: bool = Field(
        default=True,
        description="Share the server fairly among its clients by FlowSchemas and "
        "PriorityLevelConfigurations. Without, only the two limits below hold.",
    )
    max_requests_inflight: int = Field(
        default=400,
        ge=1,
        le=1_000_000,
        description="Reads that may run at once; with priority and fairness, this and the next "
        "limit together are the seats that priority levels share.",
    )
    max_mutating_requests_inflight: int = Field(
        default=200, ge=1, le=1_000_000, description="Writes that may run at once."
    )
    service_cidr: Annotated[str, AfterValidator(_network)] = Field(
        default="10.96.0.0/12", description="Where Services get their cluster IPs from."
    )
    node_port_range: Annotated[str, AfterValidator(_node_ports)] = Field(
        default="30000-32767", description="Where Services of type NodePort get their ports from."
    )
    service_account_issuer: str = Field(
        default="https://kubernetes.default.svc.cluster.local",
        description="The issuer written into service account tokens.",
    )
    runtime_config: Annotated[dict[str, str], BeforeValidator(_switch_text)] = Field(
        default_factory=dict,
        description="API groups, versions and resources to serve or not, as upstream's "
        '--runtime-config: {"api/alpha": "false", "batch/v1/cronjobs": "false"}.',
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that serve on the same port; 1 also keeps the replica. With more, "
        "the replica has a process of its own, and each worker maps it read-only: reads scale with "
        "the cores.",
    )
    console: bool = Field(
        default=True,
        description="Serve the web console at /console: files without data for anybody, figures "
        "for who may `get` /console/api/live.",
    )
    access_log: bool = Field(
        default=False, description="Log every request. Slow; for looking into things."
    )
    shutdown_delay_s: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="How long it serves on after it was told to stop, while /readyz fails, so that "
        "load balancers send it no more; as upstream's --shutdown-delay-duration. Must be shorter "
        "than supervisor.stop_timeout_s.",
    )

    @model_validator(mode="after")
    def _own_certificate_is_whole(self) -> Self:
        given = [self.tls_certificate_file, self.tls_key_file, self.tls_ca_file]
        if any(given) and not all(given):
            raise ValueError("tls_certificate_file, tls_key_file and tls_ca_file go together")
        return self


class JournalSection(Section):
    """The log: order and durability."""

    address: Annotated[str, AfterValidator(_listening_address)] | None = Field(
        default=None,
        pattern=r"^(unix:/.+|tcp:.+:\d{1,5}|(nats|tls)://.+)$",
        description="Where the journal listens, unix:/path or tcp:host:port, or which servers of "
        "NATS JetStream keep it, nats://host:port,host:port (tls:// demands TLS); unset is "
        "unix:<data_dir>/journal.sock, in <memory_dir> if that path is too long. The protocol has "
        "no authentication: keep tcp on loopback.",
    )
    external: bool = Field(
        default=False,
        description="The journal at `address` is run by somebody else: `up` starts none. So do the "
        "other API servers of a cluster, each with a data directory of its own.",
    )
    replica_expiry_s: float = Field(
        default=3600.0,
        ge=300,
        description="The log is kept for an API server that is away for so long; one that is back "
        "later may need another's checkpoints.",
    )
    segment_mib: int = Field(
        default=64,
        ge=1,
        le=4000,
        description="A log file is closed, and may be trimmed later, at this size.",
    )
    quota_log_mib: int = Field(
        default=0,
        ge=0,
        description="The log may take so much of the disk; above, new objects are refused (507), "
        "deletes are not. 0 is no limit. Every stream keeps up to two files whatever happens.",
    )
    reserve_mib: int = Field(
        default=512,
        ge=0,
        description="So much of the log's disk (at most an eighth) is left to what makes space: "
        "with less, new objects are refused, with a quarter of it all but deletes. An eighth of it "
        "is taken as a file at once, to be given up if others fill the disk.",
    )

    @model_validator(mode="after")
    def _external_has_an_address(self) -> Self:
        if self.external and self.address is None:
            raise ValueError("external needs address: where the journal is")
        if not self.external and self.address is not None and is_nats_address(self.address):
            raise ValueError(
                "NATS servers are run by somebody else: set external, or use --journal"
            )
        return self


class StorageSection(Section):
    """The replica that the API server reads from."""

    partitions: dict[str, tuple[str, ...]] = Field(
        default_factory=lambda: dict(_PARTITIONS),
        description="Resources with a log, a memory map and revisions of their own, by partition, "
        'as "plural" or "group/plural": {"apps": ["apps/deployments", "apps/replicasets"]}. All '
        'others share the partition "default". Alike for all API servers of a cluster; cannot be '
        "changed once there is data.",
    )
    compaction_age_s: float = Field(
        default=300.0,
        ge=1,
        description="History younger than this is kept for watches and paged lists.",
    )
    compaction_revisions_max: int = Field(
        default=1_000_000, ge=1000, description="But never more revisions than this, a partition."
    )
    compaction_interval_s: float = Field(
        default=30.0, ge=0.1, description="How often old history is looked for."
    )
    checkpoint_interval_s: float = Field(
        default=300.0,
        ge=1,
        description="How often a changed partition is copied to the disk, which is what lets the "
        "journal be trimmed. Twice as long where so much is written that copying costs memory.",
    )
    map_bytes_max: int = Field(
        default=64 * 1024**3,
        ge=1 << 24,
        description="The largest a partition may grow. Address space, not memory, is reserved.",
    )
    process_per_partition: bool = Field(
        default=False,
        description="Keep each partition in a process of its own, so that writes to several of "
        "them are applied on several cores; the API server then maps them, even with one worker.",
    )
    encryption_provider_config: Location | None = Field(
        default=None,
        description="A file with an EncryptionConfiguration (apiserver.config.k8s.io/v1), closed "
        "to others (0600): which resources are encrypted in journal and checkpoints, and by which "
        "keys. Alike for all API servers of a cluster; read at each start. See "
        "docs/encryption-at-rest.md.",
    )
    compression: Annotated[Literal["auto", "off"], BeforeValidator(_off)] = Field(
        default="auto",
        description="auto: resources with more than compression_threshold_mib of objects are kept "
        "compressed in memory, if that makes them much smaller. off: none is from now on; what is "
        "compressed already stays so until it is written again.",
    )
    compression_threshold_mib: int = Field(
        default=192, ge=1, description="See compression; 192 are about 70,000 pods."
    )
    quota_memory_mib: int = Field(
        default=0,
        ge=0,
        description="Objects and history may take so much memory; above, new objects are refused "
        "(507), deletes are not. 0 is no limit.",
    )
    quota_objects: int = Field(
        default=0, ge=0, description="So many objects there may be; 0 is no limit."
    )
    quota_objects_of: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description='The same by resource: {"events": 1000000, "apps/deployments": 5000}.',
    )
    memory_reserve_mib: int = Field(
        default=256,
        ge=0,
        description="So much of the file system of memory_dir (at most an eighth) is left to what "
        "makes space: with less, new objects are refused, with a quarter of it all but deletes.",
    )

    @property
    def plain_bytes_max(self) -> int | None:
        """How many bytes a resource may have that is not compressed; None: any."""
        return None if self.compression == "off" else self.compression_threshold_mib << 20

    @model_validator(mode="after")
    def _partitions_are_a_map(self) -> Self:
        home: dict[str, str] = {}
        for name, resources in self.partitions.items():
            if not _PARTITION_NAME.fullmatch(name):
                raise ValueError(f"partition {name!r} must be made of a-z, 0-9 and inner dashes")
            for resource in resources:
                if resource in home:
                    raise ValueError(f"{resource} is in two partitions: {home[resource]}, {name}")
                home[resource] = name
                if not _RESOURCE.fullmatch(resource):
                    raise ValueError(f'{resource!r} must be "plural" or "group/plural"')
        if len({home.get(resource, "default") for resource in _WRITTEN_TOGETHER}) > 1:
            raise ValueError(f"{' and '.join(_WRITTEN_TOGETHER)} must be in the same partition")
        return self


class Config(Section):
    """The whole configuration."""

    data_dir: Location = Field(
        default_factory=default_data_dir,
        description="Everything durable: journal, checkpoints, certificates, kubeconfig, logs.",
    )
    memory_dir: Location | None = Field(
        default=None,
        description="A directory on tmpfs for the replica's memory maps; unset is one in /dev/shm "
        "that belongs to the data directory. May vanish with a reboot.",
    )
    join: Location | None = Field(
        default=None,
        description="Data directory of another API server of the same cluster. What all must have "
        "alike (CA, service account key, admin's token) and its checkpoints are copied from there "
        "at the first start.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much the processes write to <data_dir>/logs."
    )
    server: ServerSection = Field(default_factory=ServerSection, description="The API server.")
    journal: JournalSection = Field(default_factory=JournalSection, description="The log.")
    nats: NatsSection = Field(
        default_factory=NatsSection, description="NATS, where it is the journal."
    )
    storage: StorageSection = Field(default_factory=StorageSection, description="The replica.")
    auth: AuthSection = Field(default_factory=AuthSection, description="Who is let in.")
    audit: AuditSection = Field(default_factory=AuditSection, description="The audit log.")
    admission: AdmissionSection = Field(
        default_factory=AdmissionSection, description="What looks at writes."
    )
    kubelet: KubeletSection = Field(
        default_factory=KubeletSection, description="How kubelets are spoken to."
    )
    aggregation: AggregationSection = Field(
        default_factory=AggregationSection, description="How extension API servers are."
    )
    controllers: ControllersSection = Field(
        default_factory=ControllersSection, description="How the controllers act."
    )
    fleet: FleetSection = Field(default_factory=FleetSection, description="Simulated nodes.")
    supervisor: SupervisorSection = Field(
        default_factory=SupervisorSection, description="How `ultraplane up` treats its processes."
    )

    @property
    def memory_path(self) -> Path:
        """The memory directory, given or derived from the data directory and the user."""
        if self.memory_dir is not None:
            return self.memory_dir
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:12]
        return Path("/dev/shm") / f"ultraplane-{os.getuid()}-{digest}"

    @property
    def journal_address(self) -> str:
        """Where the journal listens, given or derived from the data directory."""
        if self.journal.address is not None:
            return self.journal.address
        return self._socket_address("journal.sock")

    @property
    def runs_controllers(self) -> bool:
        """Whether `up` runs the controllers."""
        return self._acts and "controllers" not in self.supervisor.without

    @property
    def runs_fleet(self) -> bool:
        """Whether `up` runs simulated nodes."""
        return self._acts and self.fleet.nodes > 0 and "fleet" not in self.supervisor.without

    @property
    def _acts(self) -> bool:
        chosen = self.supervisor.controllers
        return self.join is None if chosen is None else chosen

    @property
    def controllers_address(self) -> str:
        """Where the controllers accept connections when they are ready."""
        return self._socket_address("controllers.sock")

    @property
    def fleet_address(self) -> str:
        """Where the fleet accepts connections when it is ready."""
        return self._socket_address("fleet.sock")

    @property
    def runs_scheduler(self) -> bool:
        """Whether `up` runs the scheduler."""
        return self._acts and "scheduler" not in self.supervisor.without

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler accepts connections when it is ready."""
        return self._socket_address("scheduler.sock")

    def storage_address(self, name: str) -> str:
        """Where a storage process accepts connections when it is ready."""
        return self._socket_address(f"{name}.sock")

    def _socket_address(self, name: str) -> str:
        path = self.data_dir / name
        if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MAX:
            path = self.memory_path / name
        return f"unix:{path}"

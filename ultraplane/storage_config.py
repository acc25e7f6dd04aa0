"""Settings of the log and of the replica: where they are, how large they may become."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from journal.nats_options import is_nats_address, parse_servers
from ultraplane.sections import Location, Section

_PARTITION_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RESOURCE: Final = re.compile(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-z][a-z0-9-]*")
# What changes most, or is watched by most, gets a log and a writer of its own.
_PARTITIONS: Final[dict[str, tuple[str, ...]]] = {
    "events": ("events",),
    "leases": ("coordination.k8s.io/leases",),
    "nodes": ("nodes",),
    "pods": ("pods",),
}
# The kernel takes 107.
SOCKET_PATH_BYTES_MAX: Final = 100
# A Service and the reservation of its cluster IP are written in one transaction.
_WRITTEN_TOGETHER: Final = ("services", "networking.k8s.io/ipaddresses")


def _listening_address(text: str) -> str:
    if text.startswith("unix:") and len(os.fsencode(text[5:])) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"the path must not be longer than {SOCKET_PATH_BYTES_MAX} bytes")
    if is_nats_address(text):
        parse_servers(text)
    if text.startswith("tcp:") and int(text.rpartition(":")[2]) > 65_535:
        raise ValueError("the port must not be larger than 65535")
    return text


def _off(value: Any) -> Any:
    # YAML reads `off` as a boolean.
    return "off" if value is False else value


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

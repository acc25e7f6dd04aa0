"""Settings of the API server's face: where it listens, how much it takes, what it serves."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ultraplane.sections import Location, Section

_HOST_NAME: Final = re.compile(
    r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?",
    re.IGNORECASE,
)
Port = Annotated[int, Field(ge=1, le=65_535)]


def _host_name(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a DNS name of ASCII letters, or an address")
    return text


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

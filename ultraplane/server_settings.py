"""What the API server and the storage processes are told, made of the configuration."""

from __future__ import annotations

import json
from pathlib import Path

from apiserver.settings import (
    AdmissionSettings,
    AggregationSettings,
    AuditSettings,
    AuthSettings,
    KubeletSettings,
    ServerSettings,
    StorageSettings,
)
from apiserver.settings_file import encode_settings
from journal.nats_options import NatsOptions, options_to_json
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
        near_socket=_socket(config.near_address or "", is_run=config.near_address is not None),
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
        simulated_cidrs=config.fleet.pod_cidrs if config.has_fleet else (),
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

"""The API server's settings survive their file, and mistakes in it are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apiserver.settings import (
    AggregationSettings,
    KubeletSettings,
    ServerSettings,
    StorageSettings,
)
from apiserver.settings_file import (
    SettingsError,
    decode_settings,
    encode_settings,
    read_settings,
)

SETTINGS = ServerSettings(
    data_dir=Path("/d"),
    memory_dir=Path("/m"),
    journal_address="unix:/d/journal.sock",
    journal_nats={"prefix": "ultraplane"},
    bind="127.0.0.1",
    port=6443,
    plain_http_port=None,
    tls_certificate_file=Path("/d/pki/apiserver.crt"),
    tls_key_file=Path("/d/pki/apiserver.key"),
    client_ca_file=Path("/d/pki/ca.crt"),
    token_file=None,
    service_account_key_file=Path("/d/pki/service-account.key"),
    service_account_issuer="https://kubernetes.default.svc",
    encryption_config_file=Path("/etc/encryption.yaml"),
    body_bytes_max=3_145_728,
    request_timeout_s=60.0,
    read_timeout_s=32.0,
    write_timeout_s=30.0,
    connections_max=1000,
    priority_and_fairness=True,
    max_requests_inflight=400,
    max_mutating_requests_inflight=200,
    service_cidr="10.96.0.0/12",
    node_port_first=30_000,
    node_port_last=32_767,
    runtime_config={"api/alpha": "false"},
    access_log=False,
    shutdown_delay_s=0.0,
    log_level="info",
    workers=3,
    worker_index=2,
    kubelet=KubeletSettings(
        certificate_authority_file=Path("/etc/kubelets.crt"), address_types=("Hostname",)
    ),
    aggregation=AggregationSettings(client_key_file=Path("/d/pki/front.key"), client_names=()),
    storage=StorageSettings(
        partitions={"pods": ("pods",)},
        compaction_age_s=300.0,
        compaction_revisions_max=1_000_000,
        compaction_interval_s=30.0,
        checkpoint_interval_s=300.0,
        map_bytes_max=1 << 30,
        plain_bytes_max=64 << 20,
        process_per_partition=False,
        quota_memory_bytes=1 << 30,
        quota_objects=1000,
        quota_objects_of={"events": 10},
        quota_log_bytes=0,
        memory_reserve_bytes=1 << 20,
        log_reserve_bytes=1 << 20,
    ),
)


def test_settings_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "apiserver.json"
    path.write_text(json.dumps(encode_settings(SETTINGS)))
    assert read_settings(path) == SETTINGS


def _changed(section: str | None, key: str, value: Any) -> dict[str, Any]:
    content = encode_settings(SETTINGS)
    target = content if section is None else content[section]
    if value is None:
        del target[key]
    else:
        target[key] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_changed(None, "port", None), r"settings: missing \['port'\], unknown \[\]"),
        (_changed(None, "prot", 1), r"settings: missing \[\], unknown \['prot'\]"),
        (_changed("storage", "partitions", None), r"settings\.storage: missing \['partitions'\]"),
        (_changed(None, "storage", 5), r"settings\.storage must be an object"),
        ([], "settings must be an object"),
    ],
)
def test_missing_and_unknown_keys_stop_the_start(content: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        decode_settings(content)


def test_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "apiserver.json"
    path.write_text("{")
    with pytest.raises(SettingsError, match=r"apiserver\.json is no JSON"):
        read_settings(path)

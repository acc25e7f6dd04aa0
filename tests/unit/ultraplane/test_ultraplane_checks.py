"""Settings that cannot be used are found before anything starts, and named."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from kube.builtin_kinds import builtin_registry
from runtime.clock import SystemClock
from ultraplane.checks import SettingUseless, check_settings
from ultraplane.config import Config
from ultraplane.config_reader import ConfigError, load_config
from ultraplane.pki import Pki, PkiPlan, ensure_pki
from ultraplane.up import PortInUse, free_port, prepare


def _config(directory: Path, **settings: Any) -> Config:
    flags = {key.replace("__", "."): value for key, value in settings.items()}
    memory = directory / "memory"
    return load_config(None, {}, {"data_dir": directory / "data", "memory_dir": memory, **flags})


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Some certificates and keys."""
    return ensure_pki(tmp_path / "own", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"token,user\n", "record 1: must have at least 3 columns"),
        (b"a,b,c\n\nd,e\n", "record 3: must have at least 3 columns"),
        (b"\xff\xfe,a,b\n", "no CSV in UTF-8"),
    ],
)
def test_a_token_file_is_read_before_the_start(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(SettingUseless, match=rf"auth\.token_file .*{why}"):
        check_settings(_config(tmp_path, auth__token_file=path))


@pytest.mark.parametrize("key", ["auth.token_file", "auth.client_ca_file"])
def test_a_file_that_is_not_there_is_named_with_its_key(tmp_path: Path, key: str) -> None:
    config = _config(tmp_path, **{key: tmp_path / "absent"})
    with pytest.raises(SettingUseless, match=f"{key} .*/absent cannot be read: No such file"):
        check_settings(config)


@pytest.mark.parametrize(
    ("resource", "hint"),
    [
        ("deployments", "'apps/deployments'"),
        ("apps/deployment", "'apps/deployments'"),
        ("events.k8s.io/events", "'events'"),
        ("tokenreviews", ""),
        ("example.com/widgets", ""),
    ],
)
def test_a_partition_holds_only_what_is_stored(tmp_path: Path, resource: str, hint: str) -> None:
    config = _config(tmp_path, storage__partitions={"own": ("pods", resource)})
    with pytest.raises(SettingUseless, match=r"storage\.partitions\.own: no resource") as caught:
        check_settings(config)
    assert hint in str(caught.value)


def test_any_stored_type_may_have_a_partition(tmp_path: Path) -> None:
    stored = {info.storage_resource for info in builtin_registry().all() if not info.virtual}
    together = {"services", "networking.k8s.io/ipaddresses"}
    partitions: dict[str, tuple[str, ...]] = {
        f"p{n}": (name,) for n, name in enumerate(sorted(stored - together))
    }
    partitions["services"] = tuple(together)
    assert len(partitions) > 50
    check_settings(_config(tmp_path, storage__partitions=partitions))


def test_an_own_certificate_must_fit_its_key(tmp_path: Path, pki: Pki) -> None:
    def own(certificate: Path, key: Path, authority: Path) -> Config:
        return _config(
            tmp_path,
            server__tls_certificate_file=certificate,
            server__tls_key_file=key,
            server__tls_ca_file=authority,
        )

    check_settings(own(pki.server_certificate, pki.server_key, pki.ca_certificate))
    with pytest.raises(SettingUseless, match=r"server\.tls_key_file .* are no certificate and its"):
        check_settings(own(pki.server_certificate, pki.admin_key, pki.ca_certificate))
    with pytest.raises(SettingUseless, match=r"server\.tls_ca_file .* holds no certificates"):
        check_settings(own(pki.server_certificate, pki.server_key, pki.admin_token))
    with pytest.raises(SettingUseless, match=r"server\.tls_certificate_file .*cannot be read"):
        check_settings(own(tmp_path / "absent", pki.server_key, pki.ca_certificate))


def test_a_group_that_there_is_not_is_refused(tmp_path: Path) -> None:
    check_settings(_config(tmp_path, server__runtime_config={"batch/v1": "false"}))
    with pytest.raises(SettingUseless, match=r"server\.runtime_config: unknown api groups nope"):
        check_settings(_config(tmp_path, server__runtime_config={"nope/v1": "false"}))


def test_the_plain_port_must_be_free_and_another_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        config = _config(tmp_path, server__port=0, server__plain_http_port=port)
        with pytest.raises(PortInUse, match=r"another port: server\.plain_http_port"):
            prepare(config, None, SystemClock())
    config = _config(tmp_path, server__port=port, server__plain_http_port=port)
    with pytest.raises(PortInUse, match="are both"):
        prepare(config, None, SystemClock())


def test_an_address_that_is_not_ours_is_not_called_a_port_in_use() -> None:
    with pytest.raises(Exception, match=r"server\.bind is an address of this machine"):
        free_port("192.0.2.1", 6443)
    with (
        socket.create_server(("127.0.0.1", 65_535)),
        pytest.raises(PortInUse, match="--port 65534"),
    ):
        free_port("127.0.0.1", 65_535)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_dir", ""),
        ("data_dir", "a\0b"),
        ("data_dir", "~no-such-user-of-ours/x"),
        ("server.tls_names", ["exämple.org"]),
        ("server.tls_names", [""]),
        ("server.tls_names", ["a b"]),
        ("storage.compaction_interval_s", float("inf")),
        ("journal.address", "unix:/" + "a" * 101),
        ("journal.address", "tcp:localhost:65536"),
    ],
)
def test_a_value_that_would_only_fail_later_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config(None, {}, {key: value})


def test_names_of_certificates_are_host_names_or_addresses() -> None:
    names = ("*.example.org", "10.0.0.1", "fd00::1", "my_host")
    assert load_config(None, {}, {"server.tls_names": names}).server.tls_names == names


@pytest.mark.parametrize("resources", [{"cpu": "4"}, {"cpu": "many", "memory": "1Gi"}])
def test_an_instance_type_must_have_cpus_and_memory(
    tmp_path: Path, resources: dict[str, str]
) -> None:
    config = _config(tmp_path, fleet__instance_types={"odd": resources})
    with pytest.raises(SettingUseless, match=r"fleet\.instance_types\.odd"):
        check_settings(config)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fleet.templates", [{"name": "a", "instance_type": "absent"}]),
        ("fleet.templates", [{"name": "a"}, {"name": "a"}]),
        ("fleet.templates", [{"name": "A_"}]),
        ("fleet.pod_cidrs", ["10.0.0.0/25"]),
        ("fleet.pod_cidrs", ["fd00::/16"]),
        ("fleet.nodes", -1),
    ],
)
def test_a_fleet_that_cannot_be_is_refused_with_its_key(
    tmp_path: Path, setting: str, value: object
) -> None:
    with pytest.raises(ConfigError, match="fleet"):
        _config(tmp_path, **{setting: value})

"""The configuration's rules, and where values come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ultraplane.config import Config
from ultraplane.config_docs import effective_file, example_file, key_docs
from ultraplane.config_reader import ConfigError, keys, load_config


def _file(directory: Path, text: str) -> Path:
    path = directory / "ultraplane.yaml"
    path.write_text(text)
    return path


def test_defaults_listen_on_loopback_only() -> None:
    config = load_config(None, {}, {})
    assert config.server.bind == "127.0.0.1"
    assert config.server.plain_http_port is None
    assert config.server.access_log is False


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "server: {port: 1001, connections_max: 1001, request_timeout_s: 11}")
    environment = {"ULTRAPLANE_SERVER__PORT": "1002", "ULTRAPLANE_SERVER__CONNECTIONS_MAX": "1002"}
    server = load_config(path, environment, {"server.port": 1003}).server
    assert (server.port, server.connections_max, server.request_timeout_s) == (1003, 1002, 11)


def test_flag_not_given_changes_nothing() -> None:
    assert load_config(None, {}, {"server.port": None}).server.port == 6443


def test_environment_names_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "log_level: debug")
    assert load_config(None, {"ULTRAPLANE_CONFIG": str(path)}, {}).log_level == "debug"


def test_environment_holds_maps_as_yaml() -> None:
    environment = {"ULTRAPLANE_SERVER__RUNTIME_CONFIG": "{api/alpha: false}"}
    assert load_config(None, environment, {}).server.runtime_config == {"api/alpha": "false"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server: {prot: 1}", "unknown key server.prot; did you mean server.port?"),
        ("prot: 1", "unknown key prot; did you mean server.port?"),
        ("data_dri: /x", "unknown key data_dri; did you mean data_dir?"),
        ("zzz: 1", "unknown key zzz; `ultraplane config` lists all keys"),
        ("server: 5", "server is a section: it must hold keys"),
        ("[1]", "must hold keys and values, as `ultraplane config --example`"),
        ("a: [", "is no YAML"),
        ("server: {port: 70000}", "server.port: Input should be less than or equal to 65535"),
        ("server: {bind: everywhere}", "does not appear to be an IPv4 or IPv6 address"),
        ("server: {service_cidr: 10.0.0.0/30}", "must hold at least 8 addresses"),
        ("server: {node_port_range: 9-5}", 'must be "first-last" within 1-65535'),
        ("server: {tls_key_file: /k}", "tls_key_file and tls_ca_file go together"),
        ("storage: {compression: on}", "Input should be 'auto' or 'off'"),
        ("storage: {partitions: {A: [pods]}}", "must be made of a-z, 0-9 and inner dashes"),
        ("storage: {partitions: {a: [pods], b: [pods]}}", "pods is in two partitions: a, b"),
        ("storage: {partitions: {a: [services]}}", "must be in the same partition"),
        ("storage: {partitions: {a: [pods, pods]}}", "pods is in two partitions: a, a"),
        ("storage: {partitions: {a: [apps/v1/pods]}}", 'must be "plural" or "group/plural"'),
        ("storage: {partitions: {a: ['']}}", 'must be "plural" or "group/plural"'),
        ("journal: {external: true}", "external needs address"),
        ("journal: {replica_expiry_s: 1}", "greater than or equal to 300"),
        ("journal: {address: 'localhost:1'}", "String should match pattern"),
    ],
)
def test_mistake_in_a_file_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, {})
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "server: {port: -1, connections_max: 0}\nlog_level: loud")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, {})
    assert len(str(caught.value).splitlines()) == 3


def test_unknown_variable_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"ULTRAPLANE_PORTT: unknown key portt; did you mean"):
        load_config(None, {"ULTRAPLANE_PORTT": "1"}, {})


def test_unreadable_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml", {}, {})


def test_data_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert Config().data_dir == Path("/srv/data/ultraplane")


def test_relative_data_directory_becomes_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load_config(None, {}, {"data_dir": Path("x/../y")}).data_dir == Path("/y")


def test_memory_directories_of_two_data_directories_differ() -> None:
    one = load_config(None, {}, {"data_dir": "/a"})
    other = load_config(None, {}, {"data_dir": "/b"})
    assert one.memory_path != other.memory_path
    assert one.memory_path == load_config(None, {}, {"data_dir": "/a"}).memory_path


def test_socket_path_too_long_for_the_kernel_moves_to_the_memory_directory() -> None:
    short = load_config(None, {}, {"data_dir": "/a"})
    assert short.journal_address == "unix:/a/journal.sock"
    long = load_config(None, {}, {"data_dir": "/" + "a" * 100})
    assert long.journal_address == f"unix:{long.memory_path}/journal.sock"


@pytest.mark.parametrize(
    ("text", "plain_bytes_max"),
    [
        ("storage: {}", 192 << 20),
        ("storage: {compression: auto, compression_threshold_mib: 3}", 3 << 20),
        # A boolean to YAML.
        ("storage: {compression: off}", None),
        ("storage: {compression: 'off'}", None),
    ],
)
def test_compression_begins_at_a_number_of_bytes_or_never(
    tmp_path: Path, text: str, plain_bytes_max: int | None
) -> None:
    config = load_config(_file(tmp_path, text), {}, {})
    assert config.storage.plain_bytes_max == plain_bytes_max


def test_every_key_is_documented() -> None:
    docs = {doc.name: doc for doc in key_docs()}
    assert set(docs) == {key.name for key in keys()}
    assert [doc.name for doc in docs.values() if len(doc.doc) < 10] == []
    assert docs["server.port"].type == "integer ≥ 0, ≤ 65535"
    assert docs["server.plain_http_port"].type == "integer ≥ 1, ≤ 65535 | null"


def test_example_file_as_printed_changes_nothing(tmp_path: Path) -> None:
    assert load_config(_file(tmp_path, example_file()), {}, {}) == Config()


def test_example_file_uncommented_is_the_defaults(tmp_path: Path) -> None:
    lines = []
    for line in example_file().splitlines():
        head, mark, rest = line.partition("#")
        is_key = mark and not rest.startswith(" ")
        lines.append(head + rest if is_key else line)
    text = "\n".join(lines)
    assert set(yaml.safe_load(text)) == set(Config.model_fields)
    assert load_config(_file(tmp_path, text), {}, {}) == Config()


def test_effective_file_reads_back_as_the_same_configuration(tmp_path: Path) -> None:
    config = load_config(None, {}, {"server.port": 7443, "data_dir": "/a"})
    again = load_config(_file(tmp_path, effective_file(config)), {}, {})
    assert again.server == config.server
    assert again.memory_path == config.memory_path
    assert again.journal_address == config.journal_address

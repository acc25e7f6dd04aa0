"""The command line teaches, starts quickly, and tells mistakes without a traceback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ultraplane import cli, serve
from ultraplane.config import Config
from ultraplane.config_reader import ConfigError, load_config
from ultraplane.files import DirectoryInUse, DirectoryLock
from ultraplane.run_state import RunState, read_state, state_path, write_state
from ultraplane.status import Status, as_json, bytes_text, read_status, show
from ultraplane.supervisor import Phase, ProcessState

COMMANDS = (
    "up",
    "journal",
    "apiserver",
    "controllers",
    "status",
    "conformance",
    "scaletest",
    "config",
    "version",
)


def _invoke(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    return result.output


def test_help_names_every_command() -> None:
    text = _invoke("--help")
    assert [command for command in (*COMMANDS, "snapshot") if command not in text] == []


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_help_of_a_command_gives_an_example(command: str) -> None:
    text = _invoke(command, "--help")
    assert "Example" in text
    assert f"ultraplane {command}" in text


def test_config_example_is_a_file_to_start_from() -> None:
    assert "#port: 6443" in _invoke("config", "--example")


def test_config_shows_what_is_in_force() -> None:
    result = CliRunner().invoke(
        cli.app, ["config", "--effective"], env={"ULTRAPLANE_SERVER__PORT": "7443"}
    )
    assert "port: 7443" in result.output


def test_mistake_ends_with_a_message_and_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ConfigError("server.prot: unknown key")

    with pytest.raises(SystemExit) as caught:
        cli.run(fail)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "ultraplane: server.prot: unknown key\n"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("ultraplane.cli", {"pydantic", "cryptography", "fastapi", "yaml", "orjson"}),
        ("ultraplane.serve", {"pydantic", "cryptography", "typer", "rich", "yaml"}),
        ("journal.main", {"pydantic", "cryptography", "typer", "rich", "yaml", "fastapi"}),
    ],
)
def test_entry_point_imports_nothing_it_does_not_need(module: str, absent: set[str]) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert absent.intersection(json.loads(answer.stdout)) == set()


def test_status_of_a_cluster_that_is_down_says_why(tmp_path: Path) -> None:
    config = load_config(None, {}, {"data_dir": tmp_path})
    result = CliRunner().invoke(cli.app, ["status", "--data-dir", str(tmp_path)])
    assert "ultraplane up" in str(result.exception)
    (tmp_path / "run").mkdir()
    process = ProcessState("journal", Phase.READY, "unix:/x", pid=1 << 30)
    write_state(state_path(tmp_path), RunState(1 << 30, "127.0.0.1", 1, "/k", (process,)))
    status = read_status(config)
    assert not status.ready
    assert "/readyz" in status.reason
    assert status.processes[0].phase is Phase.STOPPED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"processes": [{}]}'])
def test_a_state_file_that_cannot_be_understood_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)
    assert read_state(path) is None


def test_a_file_that_cannot_be_used_is_named_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.run((tmp_path / "absent").read_bytes)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"ultraplane: {tmp_path}/absent: No such file or directory\n"


def test_a_second_api_server_leaves_the_first_ones_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "serve_api", lambda _path: None)
    monkeypatch.setenv("ULTRAPLANE_MEMORY_DIR", str(tmp_path / "memory"))
    command = ["apiserver", "--data-dir", str(tmp_path / "data"), "--port", "0"]
    assert CliRunner().invoke(cli.app, command).exit_code == 0
    before = (tmp_path / "data" / "kubeconfig").read_bytes()
    with DirectoryLock(tmp_path / "data"):
        result = CliRunner().invoke(cli.app, command)
    assert isinstance(result.exception, DirectoryInUse)
    assert (tmp_path / "data" / "kubeconfig").read_bytes() == before


def test_an_empty_directory_name_is_not_the_present_directory() -> None:
    result = CliRunner().invoke(cli.app, ["up", "--data-dir", ""])
    assert result.exit_code == 2


def _status() -> Status:
    known = {"name": "pods", "revision": 7, "objects": 3, "bytes": 2048, "lag": 0}
    partition = {**known, "ready": True, "failure": ""}
    process = ProcessState("journal", Phase.READY, "unix:/x", pid=42, restarts=1)
    return Status(
        ready=True,
        reason="",
        server="https://127.0.0.1:6443",
        kubeconfig="/k",
        processes=(process,),
        partitions=(partition,),
    )


def test_status_for_programs_is_json() -> None:
    content = json.loads(as_json(_status()))
    assert content["ready"] is True
    assert content["partitions"][0]["revision"] == 7
    assert content["processes"][0] == {
        "name": "journal",
        "state": "ready",
        "pid": 42,
        "restarts": 1,
        "address": "unix:/x",
    }


def test_status_for_people_shows_processes_and_partitions() -> None:
    output = io.StringIO()
    show(_status(), Console(file=output, width=100))
    text = output.getvalue()
    assert "journal" in text
    assert "2.0 KiB" in text


def test_bytes_are_told_in_the_fitting_unit() -> None:
    assert [bytes_text(count) for count in (0, 1023, 1024, 5 << 30, 1 << 60)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "1048576.0 TiB",
    ]


def test_flags_make_up_one_more_server_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Config] = []
    monkeypatch.setattr("ultraplane.up.run_up", lambda config, *_: given.append(config))
    own = ["--data-dir", str(tmp_path / "b")]
    for flags in ([], ["--join", str(tmp_path / "a"), "--journal", "tcp:127.0.0.1:7000"]):
        result = CliRunner().invoke(cli.app, ["up", *own, *flags])
        assert result.exit_code == 0, result.output
    alone, joined = given
    assert (alone.journal.external, alone.join, alone.runs_controllers) == (False, None, True)
    assert (joined.journal.external, joined.journal_address) == (True, "tcp:127.0.0.1:7000")
    assert (joined.join, joined.runs_controllers) == (tmp_path / "a", False)


@pytest.mark.parametrize(
    ("flags", "runs"),
    [
        ([], (3, True, True)),
        (["--nodes", "1000"], (1000, True, True)),
        (["--nodes", "0"], (0, True, False)),
        (["--without", "fleet"], (3, True, False)),
        (["--without", "controllers,fleet"], (3, False, False)),
    ],
)
def test_flags_say_how_many_nodes_there_are_and_what_is_not_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    runs: tuple[int, bool, bool],
) -> None:
    given: list[Config] = []
    monkeypatch.setattr("ultraplane.up.run_up", lambda config, *_: given.append(config))
    result = CliRunner().invoke(cli.app, ["up", "--data-dir", str(tmp_path), *flags])
    assert result.exit_code == 0, result.output
    (config,) = given
    assert (config.fleet.nodes, config.runs_controllers, config.runs_fleet) == runs


def test_a_part_that_there_is_not_cannot_be_left_out(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["up", "--data-dir", str(tmp_path), "--without", "x"])
    assert result.exit_code

"""The table of processes, their order and delays, and the state file."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from journal.main import limits_for
from runtime.clock import SystemClock
from ultraplane.config import Config
from ultraplane.config_reader import load_config
from ultraplane.parts import part_environment, server_url
from ultraplane.pki import locate_pki
from ultraplane.run_state import RunState, read_state, write_state
from ultraplane.server_settings import server_settings
from ultraplane.supervisor import Limits, Phase, ProcessSpec, ProcessState, in_order
from ultraplane.up import PortInUse, free_port, prepare, process_age_s


async def _never() -> str:
    raise AssertionError("nobody asks")


def _spec(name: str, *after: str) -> ProcessSpec:
    return ProcessSpec(name, ("true",), _never, after)


def _config(directory: Path, **server: object) -> Config:
    flags = {f"server.{key}": value for key, value in server.items()}
    memory = directory / "memory"
    return load_config(None, {}, {"data_dir": directory, "memory_dir": memory, **flags})


def test_processes_come_after_what_they_need() -> None:
    specs = [_spec("c", "a", "b"), _spec("b", "a"), _spec("a")]
    assert [spec.name for spec in in_order(specs)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "specs", [[_spec("a", "b"), _spec("b", "a")], [_spec("a", "absent")], [_spec("a"), _spec("a")]]
)
def test_order_that_cannot_be_is_refused(specs: list[ProcessSpec]) -> None:
    with pytest.raises(ValueError, match=r"wait for each other|not unique"):
        in_order(specs)


def test_first_restart_is_at_once_and_further_delays_double_up_to_their_limit() -> None:
    delays = [Limits().delay_s(deaths) for deaths in range(1, 9)]
    assert delays == [0, 1, 2, 4, 8, 10, 10, 10]
    assert Limits().delay_s(1_000_000) == 10


def test_prepared_cluster_has_each_part_s_files(tmp_path: Path) -> None:
    cluster = prepare(_config(tmp_path, port=0), None, SystemClock())
    journal, apiserver, controllers, scheduler, fleet = in_order(cluster.specs)
    assert (journal.name, apiserver.name) == ("journal", "apiserver")
    assert (controllers.name, controllers.after) == ("controllers", ("journal",))
    kubeconfig = tmp_path / "run" / "controllers.kubeconfig"
    assert f"--kubeconfig={kubeconfig}" in controllers.argv
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert (fleet.name, fleet.after) == ("fleet", ("journal",))
    for name in ("fleet.kubeconfig", "fleet.json"):
        assert str(tmp_path / "run" / name) in "".join(fleet.argv)
        assert (tmp_path / "run" / name).stat().st_mode & 0o777 == 0o600
    assert (scheduler.name, scheduler.after) == ("scheduler", ("journal",))
    kubeconfig = tmp_path / "run" / "scheduler.kubeconfig"
    assert f"--kubeconfig={kubeconfig}" in scheduler.argv
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert apiserver.after == ("journal",)
    assert apiserver.address == f"https://127.0.0.1:{cluster.port}"
    assert journal.argv[:4] == (sys.executable, "-P", "-m", "journal.main")
    assert f"--listen=unix:{tmp_path}/journal.sock" in journal.argv
    assert cluster.kubeconfig == tmp_path / "kubeconfig"
    assert (tmp_path / "run" / "apiserver.json").stat().st_mode & 0o777 == 0o600
    token = (tmp_path / "pki" / "admin.token").read_text()
    assert token not in (tmp_path / "run" / "apiserver.json").read_text()
    assert token not in "".join(apiserver.argv + journal.argv)


def test_server_settings_take_own_certificate_over_the_generated(tmp_path: Path) -> None:
    files = {f"tls_{name}_file": tmp_path / f"own.{name}" for name in ("certificate", "key", "ca")}
    config = _config(tmp_path, node_port_range="30100-30200", **files)
    settings = server_settings(config, locate_pki(tmp_path), 1)
    assert settings.tls_certificate_file == tmp_path / "own.certificate"
    assert (settings.node_port_first, settings.node_port_last) == (30_100, 30_200)


def test_wildcard_listener_is_reached_on_loopback(tmp_path: Path) -> None:
    assert server_url(_config(tmp_path, bind="0.0.0.0"), 1) == "https://127.0.0.1:1"
    assert server_url(_config(tmp_path, bind="::"), 1) == "https://[::1]:1"


def test_parts_find_our_code_first() -> None:
    root = str(Path(__file__).resolve().parents[3])
    assert part_environment({})["PYTHONPATH"] == root
    both = part_environment({"PYTHONPATH": "/x", "A": "b"})
    assert both["PYTHONPATH"] == f"{root}{os.pathsep}/x"
    assert both["A"] == "b"


def test_port_in_use_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse, match=f"--port {port + 1}"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
    assert free_port("127.0.0.1", 0) > 0


def test_process_age_is_counted_from_its_start() -> None:
    assert 0 < process_age_s() < 86_400


def _state(pid: int) -> RunState:
    process = ProcessState("journal", Phase.READY, "unix:/x", pid=pid, restarts=2)
    return RunState(pid, "127.0.0.1", 6443, "/k", (process,))


def test_state_of_a_running_supervisor_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path) is None
    write_state(path, _state(os.getpid()))
    assert read_state(path) == _state(os.getpid())


def test_state_left_by_a_killed_supervisor_says_stopped(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    beyond_any_pid = 1 << 30
    write_state(path, _state(beyond_any_pid))
    state = read_state(path)
    assert state is not None
    assert state.processes == (ProcessState("journal", Phase.STOPPED, "unix:/x", restarts=2),)


@pytest.mark.parametrize("size", [1, 3, 4000])
def test_every_segment_size_that_may_be_configured_is_one_the_journal_takes(size: int) -> None:
    configured = Config(journal={"segment_mib": size}).journal.segment_mib  # type: ignore[arg-type]
    assert limits_for(configured).segment_bytes == size << 20


@pytest.mark.parametrize("size", [0, 4001])
def test_segment_size_that_the_journal_does_not_take_is_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        Config(journal={"segment_mib": size})  # type: ignore[arg-type]

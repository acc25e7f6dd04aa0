"""Which cluster `ultraplane top` and `ultraplane console` are about, and what they say of none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultraplane.config import Config
from ultraplane.console_address import console_address
from ultraplane.errors import UserError
from ultraplane.run_state import RunState, state_path, write_state
from ultraplane.top import choose_kubeconfig


def _started(directory: Path, port: int = 7443) -> Config:
    """Return the configuration of a cluster that was started in a directory."""
    (directory / "pki").mkdir()
    (directory / "pki" / "admin.token").write_text("a-/token")
    (directory / "kubeconfig").write_text("{}")
    (directory / "run").mkdir()
    kubeconfig = str(directory / "kubeconfig")
    write_state(state_path(directory), RunState(1, "127.0.0.1", port, kubeconfig, ()))
    return Config(data_dir=directory)


def test_where_no_cluster_is_it_says_how_to_have_one(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    with pytest.raises(UserError, match=r"there is no cluster in .*: ultraplane up.*--kubeconfig"):
        choose_kubeconfig(config, None)
    with pytest.raises(UserError, match=r"there is no cluster in .*: ultraplane up"):
        console_address(config)


def test_the_kubeconfig_that_up_wrote_is_taken_unless_another_is_named(tmp_path: Path) -> None:
    config = _started(tmp_path)
    assert choose_kubeconfig(config, None) == tmp_path / "kubeconfig"
    assert choose_kubeconfig(config, Path("other")) == Path("other")


def test_the_address_is_that_of_the_port_it_got_and_the_token_is_quoted(tmp_path: Path) -> None:
    address = console_address(_started(tmp_path, port=7777))
    assert address == "https://127.0.0.1:7777/console#token=a-%2Ftoken"


def test_a_console_that_is_switched_off_has_no_address(tmp_path: Path) -> None:
    config = _started(tmp_path)
    server = config.server.model_copy(update={"console": False})
    off = config.model_copy(update={"server": server})
    with pytest.raises(UserError, match=r"server\.console is false"):
        console_address(off)

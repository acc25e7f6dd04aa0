"""Becoming one more API server of a cluster: what is copied, what is kept, what is refused."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from ultraplane.config_reader import load_config
from ultraplane.joining import CannotJoin, join_cluster
from ultraplane.parts import process_table
from ultraplane.pki import PkiPlan, ensure_pki

_SHARED = ("ca.crt", "ca.key", "service-account.key", "admin.token")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The data directory of a cluster with checkpoints."""
    directory = tmp_path / "first"
    directory.mkdir(mode=0o700)
    ensure_pki(directory / "pki", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())
    for partition in ("pods", "default"):
        checkpoints = directory / "checkpoints" / partition
        checkpoints.mkdir(parents=True)
        # The older one is of the former format, whose name sorts behind.
        for sequence, suffix in ((5, "mdb"), (17, "ckpt")):
            (checkpoints / f"{sequence:020d}-abc.{suffix}").write_text(f"{partition} at {sequence}")
    return directory


def test_a_joined_server_shares_what_all_must_have_alike(tmp_path: Path, first: Path) -> None:
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    join_cluster(first, second)
    pki = ensure_pki(second / "pki", PkiPlan("127.0.0.2", "10.96.0.0/12"), SystemClock())
    for name in (*_SHARED, "front-proxy-ca.crt", "front-proxy-ca.key"):
        path = second / "pki" / name
        assert path.read_bytes() == (first / "pki" / name).read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    assert pki.server_key.read_bytes() != (first / "pki/apiserver.key").read_bytes()
    # Again: nothing is different.
    before = pki.server_certificate.read_bytes()
    join_cluster(first, second)
    ensure_pki(second / "pki", PkiPlan("127.0.0.2", "10.96.0.0/12"), SystemClock())
    assert pki.server_certificate.read_bytes() == before


def test_servers_that_made_a_front_proxy_ca_each_may_go_on(tmp_path: Path, first: Path) -> None:
    """As those do that have joined before there was one: extensions are told to believe all."""
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    for name in ("front-proxy-ca.crt", "front-proxy-ca.key"):
        (first / "pki" / name).rename(tmp_path / name)
    join_cluster(first, second)
    ensure_pki(second / "pki", PkiPlan("127.0.0.2", "10.96.0.0/12"), SystemClock())
    own = (second / "pki/front-proxy-ca.crt").read_bytes()
    for name in ("front-proxy-ca.crt", "front-proxy-ca.key"):
        (tmp_path / name).rename(first / "pki" / name)
    join_cluster(first, second)
    assert (second / "pki/front-proxy-ca.crt").read_bytes() == own


def test_the_newest_checkpoints_are_copied_once(tmp_path: Path, first: Path) -> None:
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    join_cluster(first, second)
    for partition in ("pods", "default"):
        (copied,) = (second / "checkpoints" / partition).iterdir()
        assert copied.name == f"{17:020d}-abc.ckpt"
        assert copied.read_text() == f"{partition} at 17"
        assert copied.stat().st_mode & 0o777 == 0o600
    (first / "checkpoints/pods" / f"{99:020d}-abc.ckpt").touch()
    join_cluster(first, second)
    assert len(list((second / "checkpoints/pods").iterdir())) == 1


def test_a_server_of_another_cluster_does_not_join(tmp_path: Path, first: Path) -> None:
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    ensure_pki(second / "pki", PkiPlan("127.0.0.1", "10.96.0.0/12"), SystemClock())
    before = {path.name: path.read_bytes() for path in (second / "pki").iterdir()}
    with pytest.raises(CannotJoin, match="different clusters"):
        join_cluster(first, second)
    assert {path.name: path.read_bytes() for path in (second / "pki").iterdir()} == before
    assert not (second / "checkpoints").exists()


def test_who_has_joined_starts_without_the_other(tmp_path: Path, first: Path) -> None:
    second = tmp_path / "second"
    second.mkdir(mode=0o700)
    join_cluster(first, second)
    shutil.rmtree(first)
    join_cluster(first, second)
    (second / "pki/ca.key").unlink()
    with pytest.raises(CannotJoin, match="cannot be read"):
        join_cluster(first, second)


def test_what_cannot_be_read_is_named(tmp_path: Path, first: Path) -> None:
    with pytest.raises(CannotJoin, match=r"absent/pki/ca\.crt cannot be read"):
        join_cluster(tmp_path / "absent", tmp_path / "second")
    with pytest.raises(CannotJoin, match="our own data directory"):
        join_cluster(first, first)
    shutil.rmtree(first / "checkpoints")
    (tmp_path / "second").mkdir(mode=0o700)
    join_cluster(first, tmp_path / "second")


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ({}, ["journal", "apiserver", "controllers", "scheduler", "fleet"]),
        (
            {"supervisor.without": ["scheduler"]},
            ["journal", "apiserver", "controllers", "fleet"],
        ),
        (
            {"journal.address": "unix:/a/s", "journal.external": True},
            ["apiserver", "controllers", "scheduler", "fleet"],
        ),
        ({"supervisor.controllers": False}, ["journal", "apiserver"]),
        ({"supervisor.without": ["fleet"]}, ["journal", "apiserver", "controllers", "scheduler"]),
        ({"supervisor.without": ["controllers", "fleet", "scheduler"]}, ["journal", "apiserver"]),
        ({"fleet.nodes": 0}, ["journal", "apiserver", "controllers", "scheduler"]),
        (
            {"journal.address": "unix:/a/s", "journal.external": True, "join": Path("/a")},
            ["apiserver"],
        ),
        ({"join": Path("/a"), "supervisor.controllers": True}, None),
    ],
)
def test_up_starts_what_is_not_run_by_others(
    tmp_path: Path, first: Path, flags: dict[str, object], parts: list[str] | None
) -> None:
    config = load_config(None, {}, {"data_dir": first, "memory_dir": tmp_path / "m", **flags})
    specs = process_table(config, 6443, ssl.create_default_context())
    names = [spec.name for spec in specs]
    assert names == (parts or ["journal", "apiserver", "controllers", "scheduler", "fleet"])
    # Nobody waits for what is not there.
    assert all(set(spec.after) <= set(names) for spec in specs)

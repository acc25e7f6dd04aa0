"""What `ultraplane up` prepares before it starts anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ultraplane.config import Config
from ultraplane.config_reader import load_config
from ultraplane.up import forget_deleted_cluster


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A configuration of a cluster that ran before: its replica is in memory."""
    memory = tmp_path / "memory"
    memory.mkdir()
    (memory / "replica").touch()
    monkeypatch.setattr(Config, "memory_path", memory)
    loaded = load_config(None, {}, {"data_dir": str(tmp_path / "data")})
    (loaded.data_dir / "pki").mkdir(parents=True)
    return loaded


def test_a_replica_is_kept_from_one_run_to_the_next(config: Config) -> None:
    forget_deleted_cluster(config)
    assert (config.memory_path / "replica").exists()


def test_a_new_cluster_does_not_start_on_the_replica_of_a_deleted_one(config: Config) -> None:
    shutil.rmtree(config.data_dir)
    forget_deleted_cluster(config)
    assert not config.memory_path.exists()


def test_a_configured_memory_directory_is_never_deleted(config: Config) -> None:
    shutil.rmtree(config.data_dir)
    forget_deleted_cluster(config.model_copy(update={"memory_dir": config.memory_path}))
    assert (config.memory_path / "replica").exists()

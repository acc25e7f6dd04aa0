"""The cache of compiled tables: it may be lost or damaged, never wrong."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kube import disk_cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ULTRAPLANE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build() -> dict[str, tuple[int, ...]]:
    return {"a": (1, 2)}


def refuse() -> None:
    raise AssertionError("built twice")


KEY = disk_cache.fingerprint([], "one")


def test_value_is_built_once_per_key() -> None:
    assert disk_cache.load_or_build("t", KEY, build) == build()
    assert disk_cache.load_or_build("t", KEY, refuse) == build()


def test_another_key_builds_again() -> None:
    disk_cache.load_or_build("t", KEY, build)
    assert disk_cache.load_or_build("t", disk_cache.fingerprint([], "two"), lambda: 7) == 7


def test_damaged_entry_is_rebuilt(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk_cache.load_or_build("t", KEY, build)
    entry = folder / "t.bin"
    entry.write_bytes(entry.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        assert disk_cache.load_or_build("t", KEY, build) == build()
    assert "damaged" in caplog.text


def test_unwritable_folder_costs_only_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file stands where the folder should be")
    assert disk_cache.load_or_build("t", KEY, build) == build()
    assert "cannot keep" in caplog.text


def test_no_temporary_files_remain(folder: Path) -> None:
    disk_cache.load_or_build("t", KEY, build)
    assert [path.name for path in folder.iterdir()] == ["t.bin"]


def test_missing_package_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        disk_cache.package_directory("no_such_package")


def test_stranger_s_entry_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_cache.load_or_build("t", KEY, build)
    monkeypatch.setattr(disk_cache.os, "getuid", lambda: 4_000_000)
    assert disk_cache.load_or_build("t", KEY, lambda: 7) == 7

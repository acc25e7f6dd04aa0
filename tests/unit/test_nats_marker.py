"""Tests marked `nats` are never passed over in silence (the rules of tests/conftest.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import pytest

@pytest.mark.nats
def test_needs_nats():
    pass
"""


def _run(directory: Path, ci: str, version: str | None) -> subprocess.CompletedProcess[str]:
    conftest = (Path(__file__).parents[1] / "conftest.py").read_text()
    (directory / "conftest.py").write_text(conftest.replace("/usr/sbin", str(directory)))
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = nats: needs nats-server\n")
    (directory / "test_some.py").write_text(_TESTS)
    if version is not None:
        program = directory / "nats-server"
        program.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
        program.chmod(0o700)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory,
        env={**os.environ, "PATH": "/bin", "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("version", "fault"),
    [(None, "there is no nats-server on PATH"), ("2.8.4", "nats-server is 2.8; 2.9 or newer")],
)
def test_a_missing_or_old_server_is_counted_aloud_and_fails_in_ci(
    tmp_path: Path, version: str | None, fault: str
) -> None:
    result = _run(tmp_path, "", version)
    assert f"1 nats tests were NOT RUN: {fault}" in result.stdout
    assert result.returncode == 0
    result = _run(tmp_path, "true", version)
    assert f"needs nats: {fault}" in result.stdout
    assert result.returncode != 0


def test_a_new_server_is_used(tmp_path: Path) -> None:
    assert "1 passed" in _run(tmp_path, "true", "2.10.1").stdout

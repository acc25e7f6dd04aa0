"""Tests marked `kubectl` are never passed over in silence (the rules of tests/conftest.py)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import pytest

@pytest.mark.kubectl
def test_needs_kubectl():
    pass

def test_needs_nothing():
    pass
"""
_VERSION = '{"clientVersion": {"major": "1", "minor": "%s"}}'


def _run(directory: Path, minor: str, ci: str) -> subprocess.CompletedProcess[str]:
    conftest = Path(__file__).parents[1] / "conftest.py"
    shutil.copy(conftest, directory / "conftest.py")
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = kubectl: needs kubectl\n")
    (directory / "test_some.py").write_text(_TESTS)
    kubectl = directory / "kubectl"
    kubectl.write_text(f"#!/bin/sh\necho '{_VERSION % minor}'\n")
    kubectl.chmod(0o700)
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=directory,
        env={**os.environ, "PATH": path, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("minor", ["28", "31+"])
def test_new_kubectl_is_used(tmp_path: Path, minor: str) -> None:
    result = _run(tmp_path, minor, "true")
    assert "2 passed" in result.stdout
    assert result.returncode == 0


def test_old_kubectl_at_home_is_counted_aloud(tmp_path: Path) -> None:
    result = _run(tmp_path, "20", "")
    assert "1 kubectl tests were NOT RUN: kubectl is 1.20; 1.28 or newer is needed" in result.stdout
    assert result.returncode == 0


def test_old_kubectl_in_ci_fails(tmp_path: Path) -> None:
    result = _run(tmp_path, "20", "true")
    assert "1 passed, 1 error" in result.stdout
    assert result.returncode == 1

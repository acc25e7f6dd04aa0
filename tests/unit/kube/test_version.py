"""The version document: what clients read from it."""

from __future__ import annotations

import re

from kube.builtin_kinds import KUBERNETES_VERSION
from kube.version import VERSION_INFO


def test_version_names_the_release_that_is_followed() -> None:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    assert (VERSION_INFO["major"], VERSION_INFO["minor"]) == (major, minor)
    assert VERSION_INFO["gitVersion"].startswith(f"v{KUBERNETES_VERSION}+")


def test_version_has_every_field_that_upstream_always_writes() -> None:
    assert VERSION_INFO.keys() >= {
        "major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion",
        "compiler", "platform",
    }  # fmt: skip


def test_compiler_does_not_pose_as_go() -> None:
    assert VERSION_INFO["compiler"].startswith("python3.")
    assert VERSION_INFO["goVersion"] == ""


def test_git_version_is_a_semantic_version() -> None:
    assert re.fullmatch(r"v\d+\.\d+\.\d+\+[0-9A-Za-z.-]+", VERSION_INFO["gitVersion"])

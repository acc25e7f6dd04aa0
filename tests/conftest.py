"""What all tests share: the marker `kubectl`, and an account of the tests it kept from running.

Tests so marked need a real kubectl of 1.28 or newer. Where there is none they fail if CI=true, and
elsewhere are skipped, counted, and named in a line at the end that nobody can miss.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess

import pytest

KUBECTL_MINIMUM = (1, 28)


@functools.cache
def kubectl_fault() -> str:
    """Return why there is no fitting kubectl, "" if there is one."""
    program = shutil.which("kubectl")
    if program is None:
        return "there is no kubectl on PATH"
    command = [program, "version", "--client", "--output=json"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30)
        facts = json.loads(answer.stdout)["clientVersion"]
        found = int(facts["major"]), int(facts["minor"].rstrip("+"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        return f"the version of {program} cannot be told: {error}"
    return kubectl_version_fault(found)


def kubectl_version_fault(found: tuple[int, int]) -> str:
    """Return what is wrong with a kubectl of version `found`, "" if nothing."""
    if found >= KUBECTL_MINIMUM:
        return ""
    wanted = ".".join(map(str, KUBECTL_MINIMUM))
    return f"kubectl is {found[0]}.{found[1]}; {wanted} or newer is needed"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, what needs a kubectl that is not there."""
    if item.get_closest_marker("kubectl") is None:
        return
    fault = kubectl_fault()
    if not fault:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs kubectl: {fault}", pytrace=False)
    pytest.skip(f"needs kubectl: {fault}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count aloud what was not run for want of a kubectl."""
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if "needs kubectl: " in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} kubectl tests were NOT RUN: {kubectl_fault()}.")
        terminalreporter.line("Put a newer kubectl on PATH and run `make test` again.")

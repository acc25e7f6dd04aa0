"""What all tests share: markers for programs that tests need, and an account of what was not run.

`kubectl` needs a real kubectl of 1.28 or newer, `nats` a nats-server of 2.9 or newer, `browser` a
Chromium. Where there is none they fail if CI=true, and elsewhere are skipped, counted, and named in
a line at the end that nobody can miss.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess

import hypothesis
import pytest

# How long an example takes is the machine's affair: no test is a timed one.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
KUBECTL_MINIMUM = (1, 28)
NATS_MINIMUM = (2, 9)
# Debian installs nats-server where the PATH of a user does not look.
_NATS_FOLDERS = ("/usr/sbin",)


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


def nats_program() -> str | None:
    """Return where nats-server is, None if there is none."""
    return shutil.which(
        "nats-server", path=os.pathsep.join((os.environ.get("PATH", ""), *_NATS_FOLDERS))
    )


@functools.cache
def nats_fault() -> str:
    """Return why there is no fitting nats-server, "" if there is one."""
    program = nats_program()
    if program is None:
        return "there is no nats-server on PATH"
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, check=True, timeout=30)
        version = answer.stdout.decode().rpartition("v")[2].split(".")
        found = int(version[0]), int(version[1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return f"the version of {program} cannot be told: {error}"
    if found >= NATS_MINIMUM:
        return ""
    wanted = ".".join(map(str, NATS_MINIMUM))
    return f"nats-server is {found[0]}.{found[1]}; {wanted} or newer is needed"


def browser_fault() -> str:
    """Return why there is no browser, "" if there is one."""
    return "" if shutil.which("chromium") else "there is no chromium on PATH"


# What takes minutes begins first, what takes moments fills the end: so no core waits there.
_LONGEST = ("test_conformance.py", "test_scaletest.py", "test_rollouts_counted.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files in an order in which a few processes are done at about the same time."""

    def rank(item: pytest.Item) -> int:
        if item.path.name in _LONGEST:
            return _LONGEST.index(item.path.name)
        return len(_LONGEST) + ("integration" not in item.path.parts)

    items.sort(key=rank)


_NEEDED = {"kubectl": kubectl_fault, "nats": nats_fault, "browser": browser_fault}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail in CI, what needs a program that is not there."""
    for name, find_fault in _NEEDED.items():
        fault = find_fault() if item.get_closest_marker(name) is not None else ""
        if fault and os.environ.get("CI") == "true":
            pytest.fail(f"needs {name}: {fault}", pytrace=False)
        if fault:
            pytest.skip(f"needs {name}: {fault}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count aloud what was not run for want of a program."""
    reports = terminalreporter.stats.get("skipped", [])
    for name, find_fault in _NEEDED.items():
        skipped = [report for report in reports if f"needs {name}: " in str(report.longrepr)]
        if skipped:
            terminalreporter.section("NOT RUN", sep="!", red=True, bold=True)
            terminalreporter.line(f"{len(skipped)} {name} tests were NOT RUN: {find_fault()}.")
            terminalreporter.line("Put a newer one on PATH and run `make test` again.")

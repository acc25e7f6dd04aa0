"""Runs upstream's own e2e.test against the server, and takes its results into the report.

The binary is told to look for no nodes, and which specs to run; it writes JUnit files, which are
read whatever its exit code says: it is not 0 as soon as one spec has failed.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from conformance.results import Outcome, Result
from conformance.specs import Needs, Spec, all_specs, by_key, key

SOURCE: Final = "e2e.test"
LOG_FILE: Final = "e2e.log"
_PREFIX: Final = re.compile(r"^\[It\]\s+")
_JUNIT_BYTES_MAX: Final = 256 << 20
_STOP_S_MAX: Final = 60.0
_ENDED: Final = {"failure": Outcome.FAILED, "error": Outcome.FAILED, "skipped": Outcome.SKIPPED}


class BinaryFailed(Exception):
    """The binary could not be run, or left no results; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Run:
    """How to run it.

    Attributes:
        binary: the file.
        kubeconfig: leads to the server.
        directory: for its log and its JUnit files.
        focus: regular expressions of Go's kind; none for all specs that need no container.
        skip: the same.
        nodes: how many there are. The binary does not run at all if it looks and finds none.
        timeout_s: after which it is stopped.
    """

    binary: Path
    kubeconfig: Path
    directory: Path
    focus: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    nodes: int = 0
    timeout_s: float = 7_200.0


def arguments(run: Run) -> list[str]:
    """Return the command line."""
    focus = run.focus or tuple(focus_of(spec) for spec in chosen(run))
    return [
        str(run.binary),
        f"--kubeconfig={run.kubeconfig}",
        "--provider=skeleton",
        # No nodes, and no system Pods, are waited for.
        "--allowed-not-ready-nodes=-1",
        "--minStartupPods=0",
        "--node-schedulable-timeout=1s",
        f"--num-nodes={run.nodes}",
        "--disable-log-dump=true",
        f"--report-dir={run.directory}",
        "--ginkgo.no-color",
        f"--ginkgo.timeout={run.timeout_s:.0f}s",
        *(f"--ginkgo.focus={pattern}" for pattern in focus),
        *(f"--ginkgo.skip={pattern}" for pattern in run.skip),
    ]


def chosen(run: Run) -> list[Spec]:
    """Return the specs that the binary can be asked for where no container runs."""
    # Where there are nodes, there are controllers.
    needs = {Needs.API, Needs.CONTROLLERS, Needs.NODES} if run.nodes else {Needs.API}
    return [spec for spec in all_specs() if spec.needs in needs]


def focus_of(spec: Spec) -> str:
    """Return a pattern that finds a spec, wherever upstream puts its labels."""
    text = key(spec.name).partition(": ")[2]
    # Only what Go's syntax gives a meaning is escaped; labels may stand between any two words.
    words = [re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", word) for word in text.split()]
    return r"\s+(\[[^\]]*\]\s+)*".join(words) + r"(\s+\[[^\]]*\])*\s*$"


async def run_binary(run: Run) -> list[Result]:
    """Run the binary and return its results.

    Raises:
        BinaryFailed: it cannot be run, or left no results.
    """
    run.directory.mkdir(parents=True, exist_ok=True)
    for old in run.directory.glob("junit_[0-9]*.xml"):
        old.unlink()
    log = run.directory / LOG_FILE
    with log.open("wb") as output:
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments(run), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        except OSError as error:
            raise BinaryFailed(f"{run.binary}: {error.strerror}") from error
        code = await _wait(process, run.timeout_s)
    found = [
        result
        for file in sorted(run.directory.glob("junit_[0-9]*.xml"))
        for result in read_junit(file)
    ]
    if not found:
        raise BinaryFailed(f"{run.binary} ended with code {code} and left no results; see {log}")
    return found


async def _wait(process: asyncio.subprocess.Process, timeout_s: float) -> int:
    try:
        async with asyncio.timeout(timeout_s + _STOP_S_MAX):
            return await process.wait()
    except TimeoutError:
        return -1
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop a binary that still runs: asked first, as it then writes what it has."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_S_MAX):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def read_junit(file: Path) -> list[Result]:
    """Return the results of conformance specs in one of the binary's JUnit files.

    Raises:
        BinaryFailed: the file cannot be read.
    """
    try:
        if file.stat().st_size > _JUNIT_BYTES_MAX:
            raise BinaryFailed(f"{file} has more than {_JUNIT_BYTES_MAX} bytes")
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise BinaryFailed(f"{file}: {error}") from error
    results = []
    for entry in root.iter("testcase"):
        result = _result(entry)
        # Its set-up is told as cases as well, and all that was filtered out as skipped.
        if result is not None and result.outcome is not Outcome.SKIPPED:
            results.append(result)
    return results


def _result(entry: ElementTree.Element) -> Result | None:
    spec = by_key().get(key(_PREFIX.sub("", entry.get("name", ""))))
    if spec is None:
        return None
    outcome, message = Outcome.PASSED, ""
    for child in entry:
        if child.tag in _ENDED:
            outcome = _ENDED[child.tag]
            message = child.get("message", "") or (child.text or "").strip()
    return Result(spec.name, outcome, _seconds(entry), message, source=SOURCE)


def _seconds(entry: ElementTree.Element) -> float:
    try:
        return float(entry.get("time", "0"))
    except ValueError:
        return 0.0


def missing(results: Sequence[Result], run: Run) -> list[str]:
    """Return the specs asked for by name that were not run: the binary is of another release."""
    if run.focus:
        return []
    ran = {key(result.name) for result in results}
    return [spec.name for spec in chosen(run) if key(spec.name) not in ran]

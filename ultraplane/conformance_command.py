"""`ultraplane conformance`: from flags to a server, cases, and reports."""

from __future__ import annotations

import asyncio
import re
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml
from rich.console import Console
from rich.markup import escape

from conformance.api import Api
from conformance.checks import CaseFailed, eventually
from conformance.e2e_binary import BinaryFailed, Run, missing, run_binary
from conformance.registry import Case, all_cases
from conformance.reports import write_reports
from conformance.resource import Resource
from conformance.results import Outcome, Result
from conformance.running import Selection, run_cases
from conformance.stage import Target
from kube.access import AccessError, read_access
from kube.status import StatusError
from ultraplane.conformance_display import Progress, show_table
from ultraplane.errors import UserError
from ultraplane.files import write_private
from ultraplane.own_cluster import own_cluster

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
# History short enough for the spec that waits until a list's token has expired.
_OWN_SETTINGS: Final[dict[str, Any]] = {
    "storage": {"compaction_age_s": 60, "compaction_interval_s": 5}
}

_STAGES_S_MAX: Final = 60.0
_MISSING_IMAGES: Final[dict[str, Any]] = {
    "metadata": {"name": "missing-images"},
    "spec": {
        "step": "Pull",
        "match": {
            "images": [
                "webserver:404",
                "*nonexistent",
                "*non-existent",
                "invalid.registry.k8s.io/*",
            ]
        },
        "failure": {"reason": "ErrImagePull"},
    },
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line.

    Attributes:
        kubeconfig: of the server to test; None for one by `server`, or one of our own.
        server: its URL, instead of a kubeconfig.
        token: with `server`.
        ca_file: with `server`.
        focus: which cases; none for all.
        skip: which not.
        parallel: how many at a time.
        report: where files are written; None for none.
        webhook_host: where the server reaches this machine.
        local: whether cases may stand in for containers.
        binary: upstream's e2e.test, to be run as well; None for not.
        only_binary: whether it alone is run.
    """

    kubeconfig: Path | None = None
    server: str = ""
    token: str = ""
    ca_file: Path | None = None
    focus: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    parallel: int = 8
    report: Path | None = None
    webhook_host: str = ""
    local: bool = True
    binary: Path | None = None
    only_binary: bool = False


def choose(wish: Wish) -> list[Case]:
    """Return the cases that a wish selects.

    Raises:
        UserError: a pattern is none, or nothing is selected.
    """
    if wish.only_binary and wish.binary is None:
        raise UserError("--only-binary is for --e2e-binary FILE")
    selection = Selection(_patterns(wish.focus), _patterns(wish.skip), wish.local)
    cases = selection.choose(all_cases())
    if not cases and wish.binary is None:
        raise UserError("no case is selected; see them all with --list")
    return [] if wish.only_binary else cases


def run(wish: Wish, console: Console) -> bool:
    """Run what a wish selects, show and write the results; return whether none has failed.

    Raises:
        UserError: the server, a pattern or the binary is of no use.
    """
    cases = choose(wish)
    results = asyncio.run(_until_stopped(_run(wish, cases, console)))
    show_table(console, results)
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if failed:
        console.print(f"[red]{len(failed)} failed:[/]")
        for result in failed:
            console.print(f"  {result.name}", markup=False, highlight=False, soft_wrap=True)
    if wish.report is not None:
        write_reports(wish.report, results)
        console.print(f"[dim]Reports:[/] {wish.report}", soft_wrap=True)
    return not failed


async def _until_stopped(work: Coroutine[Any, Any, list[Result]]) -> list[Result]:
    """Return what `work` returns; SIGTERM ends it as Ctrl-C does, so that all is cleaned up.

    Raises:
        UserError: it was stopped.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work
    except asyncio.CancelledError as error:
        raise UserError("stopped before the end") from error


async def _run(wish: Wish, cases: Sequence[Case], console: Console) -> list[Result]:
    async with _kubeconfig(wish, console) as kubeconfig:
        results = await _run_cases(wish, cases, kubeconfig, console) if cases else []
        if wish.binary is not None:
            results += await _run_binary(wish, kubeconfig, console)
    return results


@asynccontextmanager
async def _kubeconfig(wish: Wish, console: Console) -> AsyncIterator[Path]:
    """Give a kubeconfig that leads to the server to be tested."""
    if wish.kubeconfig is not None:
        yield wish.kubeconfig
    elif wish.server:
        with tempfile.TemporaryDirectory(prefix="ultraplane-conformance-") as directory:
            path = Path(directory) / "kubeconfig"
            write_private(path, _written(wish))
            yield path
    else:
        console.print("[dim]Starting a cluster for this run …[/]")
        async with own_cluster(_OWN_SETTINGS) as path:
            if wish.binary is not None:
                await _tell_missing_images(path)
            yield path


async def _tell_missing_images(kubeconfig: Path) -> None:
    """Tell simulated nodes which images upstream's specs of stuck rollouts expect to be nowhere."""
    async with _api(kubeconfig) as api:
        stages = Resource(api, "fleet.ultraplane.dev/v1alpha1", "stages", "Stage")
        made = "stages are served"
        try:
            await eventually(made, lambda: stages.create(_MISSING_IMAGES), within_s=_STAGES_S_MAX)
        except CaseFailed as error:
            raise UserError(f"simulated nodes cannot be told of images: {error}") from error


def _written(wish: Wish) -> bytes:
    cluster: dict[str, str] = {"server": wish.server}
    if wish.ca_file is not None:
        cluster["certificate-authority"] = str(wish.ca_file.absolute())
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tested",
        "clusters": [{"name": "tested", "cluster": cluster}],
        "users": [{"name": "tested", "user": {"token": wish.token}}],
        "contexts": [{"name": "tested", "context": {"cluster": "tested", "user": "tested"}}],
    }
    return yaml.safe_dump(content).encode()


async def _run_cases(
    wish: Wish, cases: Sequence[Case], kubeconfig: Path, console: Console
) -> list[Result]:
    async with _api(kubeconfig) as api:
        await _check_server(api)
        host = urlsplit(api.access.server).hostname or ""
        webhook_host = wish.webhook_host or ("127.0.0.1" if host in _LOOPBACK else "")
        has_nodes = bool((await api.get("/api/v1/nodes"))["items"])
        target = Target(api, kubeconfig, webhook_host, has_nodes)
        with Progress(console, len(cases)) as progress:
            return await run_cases(cases, target, progress, parallel=wish.parallel)


def _api(kubeconfig: Path) -> Api:
    try:
        return Api(read_access(kubeconfig))
    except AccessError as error:
        raise UserError(str(error)) from error


async def _check_server(api: Api) -> None:
    """Demand an answer before the first case asks for one.

    Raises:
        UserError: there is no API server, or it does not let us in.
    """
    try:
        await api.get("/version")
        await api.get("/api/v1/namespaces", limit="1")
    except (CaseFailed, StatusError) as error:
        raise UserError(f"{api.access.server} cannot be tested: {error}") from error


async def _run_binary(wish: Wish, kubeconfig: Path, console: Console) -> list[Result]:
    assert wish.binary is not None
    directory = wish.report or Path(tempfile.gettempdir()) / f"e2e-{secrets.token_hex(4)}"
    nodes = await _count_nodes(kubeconfig)
    run_it = Run(wish.binary, kubeconfig, directory, wish.focus, wish.skip, nodes)
    console.print(f"[dim]Running {wish.binary}; its log is in {directory} …[/]", soft_wrap=True)
    try:
        results = await run_binary(run_it)
    except BinaryFailed as error:
        raise UserError(str(error)) from error
    progress = Progress(console, len(results))
    for result in results:
        progress.show(result)
    show_missing(console, missing(results, run_it))
    return results


def show_missing(console: Console, names: Sequence[str]) -> None:
    """Show which specs the binary does not know: it is of another release."""
    for name in names:
        console.print("[yellow]not run by the binary:[/]", escape(name), soft_wrap=True)


async def _count_nodes(kubeconfig: Path) -> int:
    """Return how many nodes there are, and see that the server can be tested at all."""
    async with _api(kubeconfig) as api:
        await _check_server(api)
        return len((await api.get("/api/v1/nodes"))["items"])


def _patterns(texts: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(text) for text in texts)
    except re.error as error:
        raise UserError(f"{error.pattern!r} is no regular expression: {error}") from error

"""The scheduler as a process: `python -m controllers.scheduler --kubeconfig FILE`.

Logs to stderr and prints nothing. With `--listen unix:/path` it accepts connections there (and
closes them) once its watches are synced and it decides: that is being ready. An API server that is
away is waited for. SIGTERM and SIGINT end it; whatever was under way is taken up again by the next
start, as all state is in the API. With `--leader-elect` several may run, of which one acts.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from controllers.leader_election import ElectionPlan, LeaderElection
from controllers.scheduler.assembly import assemble, find_groups_api
from controllers.scheduler.configuration import (
    Configuration,
    ConfigurationError,
    read_configuration,
)
from kube.access import Access, AccessError, read_access
from kube.client import ApiClient, ClientLimits
from runtime import collection
from runtime.tasks import TaskCrashed, TaskScope

USER_AGENT = "ultraplane-scheduler"
_SOCKET_MASK = 0o177
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        configuration: profiles and the like.
        listen: a Unix socket to accept connections at when ready; an old one is replaced.
        identity: who wants to lead, where several may run; empty: nobody asks.
    """

    configuration: Configuration
    listen: Path | None = None
    identity: str = ""


async def run_scheduler(access: Access, plan: Plan) -> None:
    """Schedule until SIGTERM, SIGINT or cancellation.

    Raises:
        TaskCrashed: a loop failed in a way it is not made for.
        OSError: `plan.listen` can't be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    limits = ClientLimits(connections_max=80)
    async with (
        ApiClient(access, user_agent=USER_AGENT, limits=limits) as client,
        TaskScope("scheduler") as scope,
    ):
        election = None
        if plan.identity:
            election = LeaderElection(client, ElectionPlan(plan.identity, name="kube-scheduler"))
            scope.spawn(_run_elected(election, client, scope, plan), name="election")
        else:
            scope.spawn(_run(client, scope, plan), name="start")
        await ended.wait()
        _log.info("the scheduler is stopping")
        await scope.stop()
        if election is not None:
            await election.release()


async def _run_elected(
    election: LeaderElection, client: ApiClient, scope: TaskScope, plan: Plan
) -> None:
    """Schedule while this process leads; one that waits for that is ready."""
    if plan.listen is not None:
        scope.spawn(_accept_connections(plan.listen), name="readiness")
    await election.acquire()
    scope.spawn(_run(client, scope, replace(plan, listen=None)), name="start")
    await election.keep()


async def _run(client: ApiClient, scope: TaskScope, plan: Plan) -> None:
    collection.look_at_new()
    groups_api = await find_groups_api(client)
    assembled = assemble(client, plan.configuration, groups_api)
    assembled.informers.start(scope)
    await assembled.informers.wait_synced()
    assembled.start(scope)
    _log.info("the scheduler is ready")
    collection.freeze()
    if plan.listen is not None:
        scope.spawn(_accept_connections(plan.listen), name="readiness")


async def _accept_connections(path: Path) -> None:
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - once, at the start
    mask = os.umask(_SOCKET_MASK)
    try:
        server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), path)
    finally:
        os.umask(mask)
    async with server:
        await server.serve_forever()


def _socket(text: str) -> Path:
    kind, _, path = text.partition(":")
    if kind != "unix" or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not unix:/path")
    return Path(path)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="controllers.scheduler", description="Run the scheduler.")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the server")
    parser.add_argument("--listen", type=_socket, help="unix:/path to accept at when ready")
    parser.add_argument("--config", type=Path, help="a KubeSchedulerConfiguration (v1)")
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="a plugin of your own; repeatable",
    )
    parser.add_argument(
        "--leader-elect",
        action="store_true",
        help="act only while holding the lease kube-system/kube-scheduler",
    )
    parser.add_argument(
        "--log-level", default="info", choices=["debug", "info", "warning", "error"]
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scheduler; return the process's exit code."""
    options = _parse(arguments)
    logging.basicConfig(
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        access = read_access(options.kubeconfig)
        configuration = read_configuration(options.config, options.plugin)
        identity = f"{socket.gethostname()}_{uuid.uuid4()}" if options.leader_elect else ""
        uvloop.run(run_scheduler(access, Plan(configuration, options.listen, identity)))
    except (AccessError, ConfigurationError, OSError, ValueError, TaskCrashed) as error:
        _log.critical("the scheduler does not run: %s", error)
        return 1
    return 0

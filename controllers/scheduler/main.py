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
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from controllers.leader_election import ElectionPlan, LeaderElection
from controllers.process import accept_connections, identity, make_parser, start_logging
from controllers.scheduler.assembly import assemble, find_apis
from controllers.scheduler.configuration import (
    Configuration,
    ConfigurationError,
    read_configuration,
)
from controllers.scheduler.figures import SchedulerFigures
from controllers.scheduler.metrics import metrics_address, serve_metrics
from kube.access import Access, AccessError, read_access
from kube.client import ApiClient, ClientLimits
from runtime import collection
from runtime.tasks import TaskCrashed, TaskScope

USER_AGENT = "ultraplane-scheduler"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        configuration: profiles and the like.
        listen: a Unix socket to accept connections at when ready; an old one is replaced.
        identity: who wants to lead, where several may run; empty: nobody asks.
        metrics: host and port on loopback where they are served.
    """

    configuration: Configuration
    listen: Path | None = None
    identity: str = ""
    metrics: tuple[str, int] | None = None


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
            scope.spawn(_run(client, scope, plan, []), name="start")
        await ended.wait()
        _log.info("the scheduler is stopping")
        await scope.stop()
        if election is not None:
            await election.release()


async def _run_elected(
    election: LeaderElection, client: ApiClient, scope: TaskScope, plan: Plan
) -> None:
    """Schedule while this process leads; one that waits for that is ready."""
    told: list[SchedulerFigures] = []
    if plan.listen is not None:
        # One that waits for its turn has nothing to tell yet.
        tell = lambda: told[-1].to_json() if told else b""  # noqa: E731
        scope.spawn(accept_connections(plan.listen, tell), name="readiness")
    await election.acquire()
    scope.spawn(_run(client, scope, replace(plan, listen=None), told), name="start")
    await election.keep()


async def _run(
    client: ApiClient, scope: TaskScope, plan: Plan, told: list[SchedulerFigures]
) -> None:
    collection.look_at_new()
    apis = await find_apis(client)
    assembled = assemble(client, plan.configuration, apis)
    assembled.informers.start(scope)
    await assembled.informers.wait_synced()
    assembled.start(scope)
    _log.info("the scheduler is ready")
    collection.freeze()
    figures = assembled.scheduler.figures
    told.append(figures)
    if plan.listen is not None:
        scope.spawn(accept_connections(plan.listen, figures.to_json), name="readiness")
    if plan.metrics is not None:
        scope.spawn(serve_metrics(plan.metrics, assembled.scheduler.metrics), name="metrics")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("controllers.scheduler", "Run the scheduler.")
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
        "--metrics-address",
        type=metrics_address,
        metavar="HOST:PORT",
        help="serve /metrics and /healthz there, on loopback, without TLS",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scheduler; return the process's exit code."""
    options = _parse(arguments)
    start_logging(options.log_level)
    try:
        access = read_access(options.kubeconfig)
        configuration = read_configuration(options.config, options.plugin)
        who = identity(elects=options.leader_elect)
        uvloop.run(
            run_scheduler(access, Plan(configuration, options.listen, who, options.metrics_address))
        )
    except (AccessError, ConfigurationError, OSError, ValueError, TaskCrashed) as error:
        _log.critical("the scheduler does not run: %s", error)
        return 1
    return 0

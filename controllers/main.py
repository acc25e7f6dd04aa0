"""All controllers as one process: `python -m controllers.main --kubeconfig FILE`.

Logs to stderr and prints nothing. With `--listen unix:/path` it accepts connections there (and
closes them) once the controllers' watches are synced and their workers run: that is being ready;
garbage is collected a little later. An API server that is away is waited for. SIGTERM and SIGINT
end it; whatever is under way is taken up again by the next start, as all state is in the API. With
`--leader-elect` several may run, of which one acts.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import uvloop

from controllers import cluster
from controllers.certificate_authority import CertificateAuthority
from controllers.certificates import read_authority
from controllers.garbage.collector import GarbageCollector
from controllers.identities import Identities
from controllers.jobs import assembly as jobs
from controllers.leader_election import ElectionPlan, LeaderElection
from controllers.leader_workers import assembly as leader_workers
from controllers.network import assembly as network
from controllers.nodes import assembly as nodes
from controllers.nodes.ipam import cidr_sets
from controllers.nodes.options import DEFAULTS as NODE_DEFAULTS
from controllers.nodes.options import NodeOptions, add_arguments, options_of
from controllers.parts import EVERYTHING, Context, Part, choose
from controllers.policy import assembly as policy
from controllers.process import accept_connections, identity, make_parser, start_logging
from controllers.volumes import assembly as volumes
from controllers.workloads import assembly as workloads
from controllers.workqueue import queue_figures
from kube.access import Access, AccessError, read_access
from kube.client import ApiClient
from kube.informers.informer import Informers
from runtime import collection
from runtime.tasks import TaskCrashed, TaskScope

USER_AGENT = "ultraplane-controllers"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        listen: a Unix socket to accept connections at when ready; an old one is replaced.
        authority: what signs certificate requests; None: nothing does.
        separate: whether each controller writes as its own service account.
        identity: who wants to lead, where several such processes may run; empty: nobody asks.
        controllers: which are run, as upstream's --controllers says it.
        nodes: what is set of the controllers of nodes.
    """

    listen: Path | None = None
    authority: CertificateAuthority | None = None
    separate: bool = False
    identity: str = ""
    controllers: tuple[str, ...] = (EVERYTHING,)
    nodes: NodeOptions = NODE_DEFAULTS


async def run_controllers(access: Access, plan: Plan) -> None:
    """Run all controllers until SIGTERM, SIGINT or cancellation.

    Args:
        access: how to reach the API server.
        plan: what is to be run.

    Raises:
        TaskCrashed: a loop failed in a way it is not made for.
        OSError: `plan.listen` can't be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with (
        ApiClient(access, user_agent=USER_AGENT) as client,
        AsyncExitStack() as stack,
        TaskScope("controllers") as scope,
    ):
        election = LeaderElection(client, ElectionPlan(plan.identity)) if plan.identity else None
        if election is None:
            scope.spawn(_run(client, stack, scope, plan), name="start")
        else:
            scope.spawn(_run_elected(election, client, stack, scope, plan), name="election")
        await ended.wait()
        _log.info("controllers are stopping")
        await scope.stop()
        if election is not None:
            await election.release()


async def _run_elected(
    election: LeaderElection,
    client: ApiClient,
    stack: AsyncExitStack,
    scope: TaskScope,
    plan: Plan,
) -> None:
    """Run the controllers while this process leads; one that waits for that is ready."""
    if plan.listen is not None:
        scope.spawn(accept_connections(plan.listen, _figures), name="readiness")
    await election.acquire()
    scope.spawn(_run(client, stack, scope, replace(plan, listen=None)), name="start")
    await election.keep()


def _figures() -> bytes:
    return orjson.dumps(queue_figures())


async def _run(client: ApiClient, stack: AsyncExitStack, scope: TaskScope, plan: Plan) -> None:
    collection.look_at_new()
    informers = Informers(client)
    identities = Identities(client, stack, separate=plan.separate)
    context = Context(client, informers, identities, scope, plan.authority, plan.nodes)
    chosen = choose((*PARTS, GARBAGE), plan.controllers)
    # All watch by the process's own client; what they write, they write as themselves.
    accounts = {account for part in chosen for account in part.accounts}
    await asyncio.gather(*(identities.client(account, scope) for account in sorted(accounts)))
    controllers = [part.make(context) for part in chosen if part is not GARBAGE]
    informers.start(scope)
    await informers.wait_synced()
    for controller in controllers:
        controller.start(scope)
    _log.info("controllers are ready")
    if plan.listen is not None:
        scope.spawn(accept_connections(plan.listen, _figures), name="readiness")
    if GARBAGE in chosen:
        # The watches of all types are many, and who waits for the cluster need not wait for them.
        collector = _make_collector(context)
        collector.start(scope)
        await collector.synced.wait()
        _log.info("garbage is collected")
    collection.freeze()


def _make_collector(context: Context) -> GarbageCollector:
    writer = context.writer("generic-garbage-collector")
    return GarbageCollector(context.client, writer, context.informers)


GARBAGE = Part("garbage-collector-controller", ("generic-garbage-collector",), _make_collector)
PARTS = (
    *cluster.PARTS,
    *workloads.PARTS,
    *leader_workers.PARTS,
    *jobs.PARTS,
    *network.PARTS,
    *policy.PARTS,
    *nodes.PARTS,
    *volumes.PARTS,
)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("controllers.main", "Run the controllers.")
    for name in ("cert", "key"):
        flag = f"--cluster-signing-{name}-file"
        parser.add_argument(flag, type=Path, help="of the CA (PEM) that signs requests")
    parser.add_argument(
        "--leader-elect",
        action="store_true",
        help="act only while holding the lease kube-system/kube-controller-manager",
    )
    parser.add_argument(
        "--use-service-account-credentials",
        action="store_true",
        help="let each controller write as its own service account",
    )
    parser.add_argument(
        "--controllers",
        default=EVERYTHING,
        help="which to run: '*' for all, 'foo' for foo, '-foo' for not foo, with commas between",
    )
    add_arguments(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the controllers; return the process's exit code."""
    options = _parse(arguments)
    start_logging(options.log_level)
    try:
        access = read_access(options.kubeconfig)
        authority = read_authority(
            options.cluster_signing_cert_file, options.cluster_signing_key_file
        )
        separate = options.use_service_account_credentials
        who = identity(elects=options.leader_elect)
        wanted = tuple(options.controllers.split(","))
        choose((*PARTS, GARBAGE), wanted)  # a wrong name is told at once
        of_nodes = options_of(options)
        cidr_sets(of_nodes)  # and so is a range without such parts
        plan = Plan(options.listen, authority, separate, who, wanted, of_nodes)
        uvloop.run(run_controllers(access, plan))
    except (AccessError, OSError, ValueError, TaskCrashed) as error:
        _log.critical("the controllers do not run: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

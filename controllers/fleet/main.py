"""A fleet as one process: `python -m controllers.fleet --kubeconfig FILE --plan FILE`.

Logs to stderr. With `--listen unix:/path` it accepts connections there, and closes them, once it
has its watches and its nodes are being registered. SIGTERM and SIGINT end it; a kill at any moment
leaves nothing behind that the next start does not go on with, as all state is in the API.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from controllers.fleet import nodes as node_paths
from controllers.fleet import pods as pod_paths
from controllers.fleet.disks import Disks
from controllers.fleet.evictions import Evictions
from controllers.fleet.fleet_node import Node
from controllers.fleet.heartbeats import Heartbeats
from controllers.fleet.kubelet import KubeletServer
from controllers.fleet.machines import USER_AGENT, FixedFleet
from controllers.fleet.metrics import announce
from controllers.fleet.narrator import Narrator
from controllers.fleet.nodes import NodeBook
from controllers.fleet.plan import FleetPlan, read_plan
from controllers.fleet.pods import Pods, Surroundings
from controllers.fleet.registration import Registration
from controllers.fleet.stages import StageBook, StageWatch
from controllers.fleet.supplies import Supplies
from controllers.process import accept_connections, make_parser, start_logging
from controllers.recorder import Recorder
from kube.access import Access, AccessError, read_access
from kube.client import ApiClient
from kube.informers.informer import Informers
from kube.informers.reflector import Reflector
from runtime import collection
from runtime.tasks import TaskCrashed, TaskScope

_REGISTRATION_WRITERS: Final = 32
_log = logging.getLogger(__name__)


async def run_fleet(access: Access, plan: FleetPlan, listen: Path | None) -> None:
    """Run a fleet until SIGTERM, SIGINT or cancellation.

    Args:
        access: how to reach the API server.
        plan: what the fleet is.
        listen: a Unix socket to accept connections at when ready.

    Raises:
        TaskCrashed: a loop failed in a way it is not made for.
        OSError: an address can't be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    collection.look_at_new()
    async with (
        ApiClient(access, user_agent=USER_AGENT) as client,
        TaskScope("fleet") as scope,
    ):
        fleet = Fleet(client, plan)
        scope.spawn(fleet.run(scope, listen), name="start")
        await ended.wait()
        _log.info("the fleet is stopping")
        await scope.stop()


class Fleet:
    """The parts of a fleet, put together."""

    def __init__(self, client: ApiClient, plan: FleetPlan) -> None:
        clock = client.clock
        self._client = client
        self._plan = plan
        self._stages = StageBook()
        self._recorder = Recorder(client, "kubelet")
        self._book = NodeBook(plan, clock, self._stages.stages)
        self._beats = Heartbeats(client.access, self._book, plan, clock)
        self._informers = Informers(client)
        self._disks = Disks(client, self._informers, self._book.nodes, plan.storage_class)
        self._supplies = Supplies(client, plan.host, self._book.allocatable)
        around = Surroundings(
            self._book.nodes,
            self._stages.stages,
            plan.host,
            clock,
            Narrator(self._recorder, clock),
            self._disks.mounts,
            self._supplies,
            self._beats.is_behind,
        )
        self._pods = Pods(client.access, around, plan.writes_max)
        self._evictions = Evictions(self._pods, clock)
        self._beating: set[Node] = set()
        self._book.on_node = self._on_node
        self._book.on_dirty = self._beats.report
        self._stages.on_change = self._book.restage

    def _on_node(self, node: Node) -> None:
        if not node.is_alive:
            self._beating.discard(node)
        elif node not in self._beating:
            self._beating.add(node)
            self._beats.add(node)
        self._evictions.on_node(node)
        self._pods.on_node(node)

    async def run(self, scope: TaskScope, listen: Path | None) -> None:
        """Start everything."""
        client, plan, clock = self._client, self._plan, self._client.clock
        turns = self._informers.turns
        self._recorder.start(scope)
        scope.spawn(StageWatch(client, self._stages).run(scope), name="stages")
        if plan.kubelet_port:
            server = KubeletServer(plan, self._pods, self._book, self._supplies, clock)
            server.start(scope)
            scope.spawn(announce(client, plan, server.certificate), name="metrics")
        self._beats.start(scope)
        nodes = Reflector(client, node_paths.PATH, self._book, query=node_paths.QUERY, turns=turns)
        scope.spawn(nodes.run(), name="watch of nodes")
        self._informers.start(scope)
        await nodes.synced.wait()
        # What pods wait for is known before they are.
        await self._informers.wait_synced()
        self._disks.start(scope)
        self._supplies.start(scope)
        self._pods.start(scope)
        pods = Reflector(client, pod_paths.PATH, self._pods, query=pod_paths.QUERY, turns=turns)
        scope.spawn(pods.run(), name="watch of pods")
        scope.spawn(self._evictions.run(), name="evictions")
        await pods.synced.wait()
        registration = Registration(client.access, FixedFleet(plan), self._book, self._beats, clock)
        registration.start(scope, _REGISTRATION_WRITERS)
        _log.info("the fleet is ready")
        if listen is not None:
            scope.spawn(accept_connections(listen), name="readiness")
        await registration.done.wait()
        collection.freeze()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser("controllers.fleet", "Run simulated nodes.")
    parser.add_argument("--plan", type=Path, required=True, help="what the fleet is, in JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a fleet; return the process's exit code."""
    options = _parse(arguments)
    start_logging(options.log_level)
    try:
        access, plan = read_access(options.kubeconfig), read_plan(options.plan)
        uvloop.run(run_fleet(access, plan, options.listen))
    except (AccessError, OSError, ValueError, TaskCrashed) as error:
        _log.critical("the fleet does not run: %s", error)
        return 1
    return 0

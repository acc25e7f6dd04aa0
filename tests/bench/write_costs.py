"""What parts of the server cost a write: `python -m tests.bench.write_costs`.

A server in this process does the same writes with a part of it and without, in turns; the median of
the differences between neighbours is what the part costs. The parts:

    tracking      who manages what (managedFields), the bytes of it included
    fairness      priority and fairness
    negotiation   finding out which encodings are sent and wanted
    dispatch      finding the watchers of an event, 10,000 of which have a node of their own each
    compression   of values, where a type is large (pods from 70,000 on)

Prints a line of JSON for each operation and part: {"operation", "part", "us", "cost_us",
"noise_us"}; the noise is what two rounds of the same state differ by, as an error of that median.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any, Final

import orjson
import uvloop

from apiserver import documents, router
from apiserver.resources import Resource
from apiserver.tracking import Tracker
from apiserver.verbs import answer, post, put
from kube.media import PLAIN_JSON
from storage.partition import Partition
from storage.record import HEADER
from storage.values import Packer
from storage.watch_hub import WatchHub
from storage.watcher import Scope
from tests.bench.in_process import InProcess, in_process
from tests.bench.write_operations import OPERATIONS, Operation, set_up

WATCHERS: Final = 10_000
_TRAINED_PODS: Final = 2_000
_CAPACITY: Final = 1_000
_COMPRESSION: Final = "compression"
_COMPRESSED: Final = {"plain_bytes_max": 1 << 20}
_TRAINED_S_MAX: Final = 30.0
_POLL_S: Final = 0.05
_STATES: Final = ("with", "without")

Part = Callable[[InProcess], AbstractContextManager[None]]


class _Open:
    """A gate that lets all in."""

    def arrive(self, *_: Any) -> None:
        """Limit nothing."""

    def leave(self, *_: Any) -> None:
        """Count nothing."""


@contextmanager
def _swapped(*swaps: tuple[Any, str, Any]) -> Iterator[None]:
    """Have other values as attributes; a mock would cost more than what it stands for."""
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in swaps]
    for owner, name, value in swaps:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def _without_tracking(_server: InProcess) -> AbstractContextManager[None]:
    return _swapped(
        (Resource, "fields_of_new", lambda _self, _obj: b""),
        (Tracker, "updated", lambda *_: []),
    )


def _without_fairness(server: InProcess) -> AbstractContextManager[None]:
    return _swapped((server.router, "_gate", _Open()))


def _without_negotiation(_server: InProcess) -> AbstractContextManager[None]:
    def json(*_: Any) -> str:
        return documents.JSON

    return _swapped(
        (answer, "media_of", lambda _exchange: PLAIN_JSON),
        (router, "negotiate", lambda _accept: PLAIN_JSON),
        (documents, "media_type_of", json),
        (post, "check_readable", json),
        (put, "check_readable", json),
    )


def _without_dispatch(_server: InProcess) -> AbstractContextManager[None]:
    def publish(self: WatchHub, _events: Any, revision: int, compact_revision: int) -> None:
        self.revision, self.compact_revision = revision, compact_revision

    return _swapped((WatchHub, "publish", publish))


def _without_compression(_server: InProcess) -> AbstractContextManager[None]:
    def pack(_self: Packer, head: tuple[int, int, int, int], meta: bytes, body: bytes) -> bytes:
        return b"".join((HEADER.pack(*head, len(meta)), meta, body))

    return _swapped((Packer, "pack", pack))


PARTS: Final[dict[str, Part]] = {
    "tracking": _without_tracking,
    "fairness": _without_fairness,
    "negotiation": _without_negotiation,
    "dispatch": _without_dispatch,
    "compression": _without_compression,
}


@asynccontextmanager
async def _prepared(server: InProcess, part: str) -> AsyncIterator[None]:
    """Have what a part works on, while it is measured."""
    store = server.api._server.store
    watchers = []
    if part == "dispatch":
        revision = store.current_revision("pods")
        for number in range(WATCHERS):
            scope = Scope("pods", field=("spec.nodeName", f"node-{number}"))
            watchers.append(store.watch(scope, from_revision=revision, capacity=_CAPACITY))
    if part == "compression":
        await server.send(OPERATIONS["create Pod"].requests(_TRAINED_PODS, "trained"))
        partition = store.partition_of("pods")
        assert isinstance(partition, Partition)
        async with asyncio.timeout(_TRAINED_S_MAX):
            while not partition.environment.values.packers:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(_POLL_S)
    try:
        yield
    finally:
        for watcher in watchers:
            watcher.close()


def _is_about(part: str, operation: str) -> bool:
    """Tell whether a part has anything to do with an operation."""
    return part not in {"dispatch", "compression"} or "Pod" in operation


async def _measure(
    server: InProcess, name: str, operation: Operation, part: str, given: argparse.Namespace
) -> dict[str, Any]:
    """Return what a part costs an operation."""
    spent: dict[str, list[float]] = {state: [] for state in _STATES}
    async with _prepared(server, part):
        for turn in range(given.rounds + 1):
            for state in _STATES:
                with PARTS[part](server) if state == "without" else nullcontext():
                    await operation.prepare(server, given.requests, f"{part}-{state}")
                    requests = operation.requests(given.requests, f"{part}-{state}")
                    gc.collect()
                    used_us = await server.send(requests)
                if turn:  # the first of each state makes what others find
                    spent[state].append(used_us)
    pairs = zip(spent["with"], spent["without"], strict=True)
    differences = [with_it - without for with_it, without in pairs]
    same = [after - before for before, after in zip(spent["with"], spent["with"][1:], strict=False)]
    spread_us = statistics.median(map(abs, same)) * 1.4826 if same else math.nan
    return {
        "operation": name,
        "part": part,
        "us": min(spent["with"]),
        "cost_us": statistics.median(differences),
        "noise_us": 1.2533 * spread_us / math.sqrt(len(differences)),
    }


async def _run(given: argparse.Namespace) -> None:
    parts = given.part or list(PARTS)
    # What is compressed once stays so: a server of its own.
    for chosen, settings in (
        ([part for part in parts if part != _COMPRESSION], {}),
        ([part for part in parts if part == _COMPRESSION], {"storage": _COMPRESSED}),
    ):
        if chosen:
            async with in_process(**settings) as server:
                await _measure_all(server, chosen, given)


async def _measure_all(server: InProcess, parts: list[str], given: argparse.Namespace) -> None:
    await set_up(server)
    gc.collect()
    gc.freeze()
    gc.disable()  # between rounds it runs, and what it costs falls into some rounds only
    for name, operation in OPERATIONS.items():
        for part in parts:
            if _is_about(part, name):
                found = await _measure(server, name, operation, part, given)
                sys.stdout.write(orjson.dumps(found).decode() + "\n")
                sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.write_costs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=11, help="of each state")
    parser.add_argument("--requests", type=int, default=500, help="in each round")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="repeatable")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""Watches: order, selectors, and going on from a revision."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from conformance.checks import same
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from conformance.watching import Watch
from kube.json_types import JsonObject
from runtime.tasks import TaskScope

_LABEL: Final = "watch-this-configmap"
_SILENCE_S: Final = 2.0
_WATCHES: Final = 100
_STEP: Final = "mutation"


def _labelled(name: str, value: str) -> JsonObject:
    return {"metadata": {"name": name, "labels": {_LABEL: value}}}


async def _mutate(maps: Resource, name: str, value: str) -> JsonObject:
    def change(obj: JsonObject) -> None:
        obj.setdefault("data", {})[_STEP] = value

    return await maps.update(name, change)


def _at(value: str) -> Callable[[JsonObject], bool]:
    """Return what tells whether an object is at a step of its changes, "" before the first."""
    return lambda obj: bool((obj.get("data") or {}).get(_STEP, "") == value)


def _relabel(value: str) -> Callable[[JsonObject], None]:
    def change(obj: JsonObject) -> None:
        obj["metadata"]["labels"][_LABEL] = value

    return change


@case(
    "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on "
    "configmaps [Conformance]"
)
async def observe_notifications(stage: Stage) -> None:
    """Three watches, of label A, of label B and of both, each hear what is theirs."""
    maps = stage.config_maps
    both = f"{_LABEL} in (A,B)"
    async with AsyncExitStack() as stack:
        watch_a = await stack.enter_async_context(maps.watch(labelSelector=f"{_LABEL}=A"))
        watch_b = await stack.enter_async_context(maps.watch(labelSelector=f"{_LABEL}=B"))
        watch_ab = await stack.enter_async_context(maps.watch(labelSelector=both))

        async def told(kind: str, value: str, mine: Watch, other: Watch) -> None:
            await mine.expect(kind, _at(value))
            await watch_ab.expect(kind, _at(value))
            await other.nothing(within_s=0.3)

        await maps.create(_labelled("watch-a", "A"))
        await told("ADDED", "", watch_a, watch_b)
        await _mutate(maps, "watch-a", "1")
        await told("MODIFIED", "1", watch_a, watch_b)
        await _mutate(maps, "watch-a", "2")
        await told("MODIFIED", "2", watch_a, watch_b)
        await maps.delete("watch-a")
        await told("DELETED", "2", watch_a, watch_b)
        await maps.create(_labelled("watch-b", "B"))
        await told("ADDED", "", watch_b, watch_a)
        await maps.delete("watch-b")
        await told("DELETED", "", watch_b, watch_a)


@case(
    "[sig-api-machinery] Watchers should be able to start watching from a specific resource "
    "version [Conformance]"
)
async def start_from_revision(stage: Stage) -> None:
    """A watch from a past revision tells what came after it, and nothing from before."""
    maps = stage.config_maps
    await maps.create(_labelled("from-revision", "from-revision"))
    first = await _mutate(maps, "from-revision", "1")
    await _mutate(maps, "from-revision", "2")
    await maps.delete("from-revision")
    revision = first["metadata"]["resourceVersion"]
    selector = f"{_LABEL}=from-revision"
    async with maps.watch(labelSelector=selector, resourceVersion=revision) as watch:
        await watch.expect("MODIFIED", _at("2"))
        await watch.expect("DELETED", _at("2"))


@case(
    "[sig-api-machinery] Watchers should be able to restart watching from the last resource "
    "version observed by the previous watch [Conformance]"
)
async def restart_watch(stage: Stage) -> None:
    """What happened while no watch was open is told by the next."""
    maps = stage.config_maps
    selector = f"{_LABEL}=closed-and-restarted"
    async with maps.watch(labelSelector=selector) as watch:
        await maps.create(_labelled("closed-and-restarted", "closed-and-restarted"))
        await _mutate(maps, "closed-and-restarted", "1")
        await watch.expect("ADDED")
        last = await watch.expect("MODIFIED", _at("1"))
    await _mutate(maps, "closed-and-restarted", "2")
    revision = last["metadata"]["resourceVersion"]
    async with maps.watch(labelSelector=selector, resourceVersion=revision) as watch:
        await maps.delete("closed-and-restarted")
        await watch.expect("MODIFIED", _at("2"))
        await watch.expect("DELETED", _at("2"))


@case(
    "[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the "
    "requirements of the selector [Conformance]"
)
async def label_changed(stage: Stage) -> None:
    """An object that no longer matches is told as deleted, and as added when it does again."""
    maps = stage.config_maps
    selector = f"{_LABEL}=label-changed-and-restored"
    async with maps.watch(labelSelector=selector) as watch:
        await maps.create(_labelled("label-changed", "label-changed-and-restored"))
        await _mutate(maps, "label-changed", "1")
        await maps.update("label-changed", _relabel("wrong-value"))
        await watch.expect("ADDED")
        await watch.expect("MODIFIED", _at("1"))
        await watch.expect("DELETED", _at("1"))
        await _mutate(maps, "label-changed", "2")
        await watch.nothing(within_s=_SILENCE_S)
        await maps.update("label-changed", _relabel("label-changed-and-restored"))
        await _mutate(maps, "label-changed", "3")
        await maps.delete("label-changed")
        await watch.expect("ADDED", _at("2"))
        await watch.expect("MODIFIED", _at("3"))
        await watch.expect("DELETED", _at("3"))


@case(
    "[sig-api-machinery] Watchers should receive events on concurrent watches in same order "
    "[Conformance]"
)
async def same_order(stage: Stage) -> None:
    """Watches begun at each event's revision tell all that follows in the same order."""
    maps = stage.config_maps
    start = (await maps.fetch_list())["metadata"]["resourceVersion"]
    stopped = asyncio.Event()
    async with TaskScope("producer") as scope, AsyncExitStack() as stack:
        scope.spawn(_produce(maps, stopped), name="events")
        first = await stack.enter_async_context(maps.watch(resourceVersion=start))
        watches: list[Watch] = []
        try:
            revision = start
            for _number in range(_WATCHES):
                watches.append(
                    await stack.enter_async_context(maps.watch(resourceVersion=revision))
                )
                expected = await first.next()
                for watch in watches:
                    seen = await watch.next()
                    same((seen.type, seen.name), (expected.type, expected.name), "the event")
                    same(seen.revision, expected.revision, "the event's revision")
                revision = expected.revision
        finally:
            stopped.set()


async def _produce(maps: Resource, stopped: asyncio.Event) -> None:
    """Create, update and delete ConfigMaps at random until it is enough."""
    living: list[str] = []
    number = 0
    while not stopped.is_set():
        choice = random.random()
        if choice < 0.4 or not living:
            number += 1
            living.append(f"cm-{number}")
            await maps.create({"metadata": {"name": living[-1]}})
        elif choice < 0.7:
            await _mutate(maps, random.choice(living), str(number))
        else:
            await maps.delete(living.pop(random.randrange(len(living))))
        await asyncio.sleep(0.01)

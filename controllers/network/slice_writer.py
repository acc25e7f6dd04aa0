"""Writes what was planned for slices, and tells which of the watch's news nobody expected.

Creates come before updates, and updates before deletes, so that no endpoint is missing in between;
within each a few are under way at once. What would be deleted takes the place of what would be
created, where both have the same owner and family.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

import orjson

from controllers.network.backends import TRIGGER_TIME
from controllers.network.slice_tracker import SliceTracker
from controllers.network.slices import MANAGED_BY, SERVICE_NAME, Plan, name_of
from controllers.workloads.claims import Kind
from controllers.workloads.pod_control import has_cause
from kube import times
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.informers.informer import Delta
from kube.json_types import JsonObject
from kube.status import StatusError

SLICE: Final = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
_AT_ONCE: Final = 8


def service_key(piece: JsonObject) -> str | None:
    """Return the key of the Service that a slice names, None if it names none."""
    metadata = piece["metadata"]
    name = (metadata.get("labels") or {}).get(SERVICE_NAME)
    return f"{metadata['namespace']}/{name}" if name else None


def _manager(piece: JsonObject) -> str:
    manager: str = (piece["metadata"].get("labels") or {}).get(MANAGED_BY, "")
    return manager


class SliceWriter:
    """See the module's head."""

    def __init__(self, client: ApiClient, tracker: SliceTracker) -> None:
        self._client = client
        self._tracker = tracker

    def surprised(self, delta: Delta, manager: str) -> tuple[str, ...]:
        """Return the services to look at after a change of a slice.

        Args:
            delta: what the watch told.
            manager: who we are.
        """
        piece = delta.object
        key = service_key(piece)
        is_ours = _manager(piece) == manager
        if delta.change is Change.DELETED:
            return (key,) if key and is_ours and self._tracker.saw_deletion(key, piece) else ()
        before = orjson.loads(delta.before) if delta.before else None
        if before is not None:
            was = service_key(before)
            if was != key:
                return tuple(one for one in (key, was) if one)
            if key and is_ours != (_manager(before) == manager):
                return (key,)
        return (key,) if key and is_ours and self._tracker.is_news(key, piece) else ()

    async def write(self, key: str, owner: JsonObject, plan: Plan, since_s: int) -> None:
        """Write what differs.

        Args:
            key: whose slices they are.
            owner: the same, decoded.
            plan: what is to be written; changed in place.
            since_s: since when the slices should have been so, 0: unknown.

        Raises:
            StatusError, Unreachable: the server refused, or is away; what was written is noted.
        """
        _recycle(plan, owner["metadata"]["uid"])
        path = SLICE.path(f"{key.partition('/')[0]}/")
        if "deletionTimestamp" not in owner["metadata"]:
            creates = [self._create(key, path, piece, since_s) for piece in plan.create]
            try:
                await _together(creates)
            except StatusError as error:
                if has_cause(error, "NamespaceTerminating"):
                    return
                raise
        await _together(
            [self._update(key, path + name, one, since_s) for name, one in plan.update.items()]
        )
        await _together([self._delete(key, path + name, one) for name, one in plan.delete.items()])

    async def _create(self, key: str, path: str, piece: JsonObject, since_s: int) -> None:
        _note(piece, since_s)
        made = await self._client.request("POST", path.rstrip("/"), piece)
        self._tracker.wrote(key, made)

    async def _update(self, key: str, path: str, piece: JsonObject, since_s: int) -> None:
        _note(piece, since_s)
        self._tracker.wrote(key, await self._client.request("PUT", path, piece))

    async def _delete(self, key: str, path: str, piece: JsonObject) -> None:
        try:
            await self._client.request("DELETE", path)
        except StatusError as error:
            if error.code != 404:
                raise
            return
        self._tracker.deleted(key, piece)


def _note(piece: JsonObject, since_s: int) -> None:
    notes = dict(piece["metadata"].get("annotations") or {})
    notes.pop(TRIGGER_TIME, None)
    if since_s:
        notes[TRIGGER_TIME] = times.format_seconds(since_s)
    if notes:
        piece["metadata"]["annotations"] = notes
    else:
        piece["metadata"].pop("annotations", None)


def _recycle(plan: Plan, owner_uid: str) -> None:
    """Update what would be deleted instead of creating another."""
    for name, old in list(plan.delete.items()):
        if not plan.create:
            return
        new = plan.create[-1]
        owners = old["metadata"].get("ownerReferences") or ()
        if old["addressType"] != new["addressType"] or not any(
            one["uid"] == owner_uid for one in owners
        ):
            continue
        plan.create.pop()
        metadata = {**new["metadata"], "name": name_of(old)}
        for field in ("uid", "resourceVersion"):
            metadata[field] = old["metadata"][field]
        metadata.pop("generateName", None)
        plan.update[name] = {**new, "metadata": metadata}
        del plan.delete[name]


async def _together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all, few at a time, to the end; raise the first failure."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def run(one: Coroutine[Any, Any, None]) -> None:
        async with gate:
            await one

    outcomes = await asyncio.gather(*(run(one) for one in work), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome

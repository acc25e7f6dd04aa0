"""Finishes the deletion of namespaces: empties them, then lets them go.

    Terminating -> pass over all collections -> nothing was there -> finalize -> gone
                    ^   | something was                (only GRACE_S after first seen)
                    +---+ conditions say what is left; again, at growing intervals

Invariants:
    - A namespace is let go only after a pass that found nothing in any collection, over
      collections asked for after its deletion began, and begun `GRACE_S` after we saw that: a
      create that the server had let in just before has landed by then.
    - All that must survive is in the API: a restart begins with a full pass.
What one pass does is in controllers/namespace_content.py, what conditions say in
controllers/namespace_conditions.py.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

from controllers.discovery import Collection, Collections, Discovery
from controllers.namespace_conditions import Report, merge_conditions
from controllers.namespace_content import ContentPass
from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube import times
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

FINALIZER: Final = "kubernetes"
GRACE_S: Final = 0.5
_WORKERS: Final = 4
_RECHECK: Final = Backoff(first_s=0.25, most_s=5.0)
_WRITE_ATTEMPTS: Final = 5
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far the deletion of one namespace is.

    Attributes:
        uid: of the namespace.
        seen_s: when we first saw it Terminating, monotonic.
        passes: how many found something.
        narrowed: the collections that the last pass found something in; all others were empty,
            and nothing can be created any more. None: look at all.
    """

    uid: str
    seen_s: float
    passes: int = 0
    narrowed: list[Collection] | None = field(default=None)


class NamespaceController:
    """See the module's head."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._discovery = Discovery(client)
        self._queue: WorkQueue[str] = WorkQueue(_RECHECK)
        self._progress: dict[str, _Progress] = {}

    def start(self, scope: TaskScope) -> None:
        """Start the workers in `scope`; `observe` feeds them."""
        for number in range(_WORKERS):
            worker = run_worker(self._queue, self.reconcile)
            scope.spawn(worker, name=f"namespace deletion {number}")

    def observe(self, change: Change, namespace: JsonObject) -> None:
        """Take note of a namespace's change."""
        name = namespace["metadata"]["name"]
        if change is Change.DELETED:
            self._progress.pop(name, None)
        # One that is under way has its own times to be looked at; its changes are our writes.
        elif is_ours_to_end(namespace) and name not in self._progress:
            self._progress_of(namespace)
            self._queue.add(name)

    async def reconcile(self, name: str) -> float | None:
        """Bring a namespace nearer to its end; return in how many seconds to look again."""
        try:
            namespace = await self._client.request("GET", _path(name))
            if not is_ours_to_end(namespace):
                self._progress.pop(name, None)
                return None
            return await self._advance(name, namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            self._progress.pop(name, None)
            return None

    async def _advance(self, name: str, namespace: JsonObject) -> float | None:
        progress = self._progress_of(namespace)
        now_s = self._client.clock.monotonic_s()
        collections = await self._discovery.collections(progress.seen_s)
        narrowed = progress.narrowed
        content = ContentPass(self._client, name)
        await content.run(collections.emptied() if narrowed is None else narrowed)
        content.report.discovery_failure = discovery_failure(collections)
        namespace = await self._write_conditions(namespace, content.report)
        if not content.found and not content.report.discovery_failure:
            early_s = progress.seen_s + GRACE_S - now_s
            if narrowed is None and early_s <= 0:
                await self._finalize(namespace)
                return None
            progress.narrowed = None
            return max(0.0, early_s)
        progress.passes += 1
        progress.narrowed = content.found or None
        if content.report.is_clean:
            # All of it went at once: what is left is the pass that finds nothing.
            progress.narrowed = None
            return max(0.0, progress.seen_s + GRACE_S - self._client.clock.monotonic_s())
        return _RECHECK.delay_s(progress.passes)

    def _progress_of(self, namespace: JsonObject) -> _Progress:
        """Return the progress with this namespace, begun now unless there was some."""
        name, uid = namespace["metadata"]["name"], namespace["metadata"]["uid"]
        progress = self._progress.get(name)
        if progress is None or progress.uid != uid:
            progress = _Progress(uid, self._client.clock.monotonic_s())
            self._progress[name] = progress
        return progress

    async def _write_conditions(self, namespace: JsonObject, report: Report) -> JsonObject:
        """Set the conditions if they changed; return the namespace as it is then."""
        for attempt in range(_WRITE_ATTEMPTS):
            status = namespace.setdefault("status", {})
            now = times.format_seconds(int(self._client.clock.now_s()))
            conditions = merge_conditions(status.get("conditions") or (), report, now)
            if conditions is None:
                break
            status["conditions"] = conditions
            path = _path(namespace["metadata"]["name"])
            try:
                return await self._client.request("PUT", f"{path}/status", namespace)
            except StatusError as error:
                if error.reason != "Conflict" or attempt + 1 == _WRITE_ATTEMPTS:
                    raise
            namespace = await self._same(namespace)
        return namespace

    async def _finalize(self, namespace: JsonObject) -> None:
        """Remove our finalizer; the server deletes the namespace when it was the last."""
        for attempt in range(_WRITE_ATTEMPTS):
            spec = namespace.setdefault("spec", {})
            spec["finalizers"] = [n for n in spec.get("finalizers") or () if n != FINALIZER]
            name = namespace["metadata"]["name"]
            try:
                await self._client.request("PUT", f"{_path(name)}/finalize", namespace)
            except StatusError as error:
                if error.reason != "Conflict" or attempt + 1 == _WRITE_ATTEMPTS:
                    raise
            else:
                _log.info("namespace %s is empty and let go", name)
                self._progress.pop(name, None)
                return
            namespace = await self._same(namespace)

    async def _same(self, namespace: JsonObject) -> JsonObject:
        """Return the namespace read anew.

        Raises:
            StatusError: 404, also when there is another one of that name by now.
        """
        metadata = namespace["metadata"]
        latest = await self._client.request("GET", _path(metadata["name"]))
        if latest["metadata"]["uid"] != metadata["uid"]:
            raise StatusError(404, "NotFound", f"namespace {metadata['name']} was replaced")
        return latest


def is_ours_to_end(namespace: JsonObject) -> bool:
    """Return whether a namespace is being deleted and still waits for us."""
    finalizers = namespace.get("spec", {}).get("finalizers") or ()
    return bool(namespace["metadata"].get("deletionTimestamp")) and FINALIZER in finalizers


def discovery_failure(collections: Collections) -> str:
    """Return what to say about group versions that did not answer, "" if all did."""
    failing = collections.failing
    if not failing:
        return ""
    which = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in failing)
    return (
        f"Discovery failed for some groups, {len(failing)} failing: "
        f"unable to retrieve the complete list of server APIs: {which}"
    )


def _path(name: str) -> str:
    return f"/api/v1/namespaces/{name}"

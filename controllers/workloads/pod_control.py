"""Making and deleting pods for owners, many at a time.

Creates begin slowly: one, then two, four and so on, as long as all succeed. Where every one would
be refused, as by a quota, that spares the server hundreds of requests and users as many events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from controllers.recorder import Recorder
from controllers.workloads.claims import Kind, pod_path
from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError

_PREFIX_MAX: Final = 253 - 1
_AT_ONCE_MAX: Final = 32
Failure = StatusError | Unreachable
T = TypeVar("T")


def has_cause(error: Exception, reason: str) -> bool:
    """Tell whether a refusal names a cause."""
    if not isinstance(error, StatusError):
        return False
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == reason for cause in causes)


async def at_once(items: Sequence[T], do: Callable[[T], Awaitable[None]]) -> list[Failure]:
    """Do something with each, a few at a time; return what refusals and lost answers there were."""
    failures: list[Failure] = []
    rest = iter(items)

    async def work() -> None:
        for item in rest:
            try:
                await do(item)
            except (StatusError, Unreachable) as error:
                failures.append(error)

    # More would only wait for a connection, and starting them all holds the event loop.
    workers = (work() for _ in range(min(len(items), _AT_ONCE_MAX)))
    for outcome in await asyncio.gather(*workers, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
    return failures


async def slow_start(
    items: Sequence[T], do: Callable[[T], Awaitable[None]], initial: int = 1
) -> tuple[int, Failure | None]:
    """Do something with each, in batches that double; stop after one in which any failed.

    Returns:
        With how many it succeeded, and the first failure.
    """
    at, batch = 0, min(len(items), initial)
    while batch > 0:
        failures = await at_once(items[at : at + batch], do)
        at += batch
        if failures:
            return at - len(failures), failures[0]
        batch = min(2 * batch, len(items) - at)
    return at, None


def reference_of(kind: Kind, obj: JsonObject) -> JsonObject:
    """Return an object as events refer to it."""
    metadata = obj["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata.get("resourceVersion", ""),
    }


class PodControl:
    """Creates and deletes pods in the name of owners of a kind, and tells of it by events."""

    def __init__(self, client: ApiClient, recorder: Recorder, kind: Kind) -> None:
        self._client = client
        self._recorder = recorder
        self._kind = kind

    async def create(self, owner: JsonObject, pod: JsonObject) -> JsonObject:
        """Create a pod.

        Raises:
            StatusError, Unreachable: it was not, as far as is known.
        """
        namespace = owner["metadata"]["namespace"]
        about = reference_of(self._kind, owner)
        try:
            made = await self._client.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
        except (StatusError, Unreachable) as error:
            if not has_cause(error, "NamespaceTerminating"):
                self._recorder.warn(about, "FailedCreate", f"Error creating: {error}")
            raise
        name = made["metadata"]["name"]
        self._recorder.note(about, "SuccessfulCreate", f"Created pod: {name}")
        return made

    async def delete(self, owner: JsonObject, key: str) -> None:
        """Delete a pod.

        Raises:
            StatusError, Unreachable: it was not, or was gone already (404).
        """
        about = reference_of(self._kind, owner)
        try:
            await self._client.request("DELETE", pod_path(key))
        except (StatusError, Unreachable) as error:
            if not (isinstance(error, StatusError) and error.code == 404):
                self._recorder.warn(about, "FailedDelete", f"Error deleting: {error}")
            raise
        name = key.partition("/")[2]
        self._recorder.note(about, "SuccessfulDelete", f"Deleted pod: {name}")


def pod_from_template(kind: Kind, owner: JsonObject, template: JsonObject) -> JsonObject:
    """Return a new pod by an owner's template (GetPodFromTemplate); its name is generated."""
    metadata = template.get("metadata") or {}
    made: JsonObject = {"ownerReferences": [kind.controls(owner)]}
    for name in ("labels", "annotations", "finalizers"):
        if metadata.get(name):
            made[name] = metadata[name]
    made["generateName"] = _prefix(owner["metadata"]["name"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template["spec"]}


def _prefix(name: str) -> str:
    # A name with the dash would not be one if it is as long as names may be.
    return f"{name}-" if len(name) <= _PREFIX_MAX else name

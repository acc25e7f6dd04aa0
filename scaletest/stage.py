"""What a phase works with: the server, the plan, what is known, and ways to wait for a fact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from kube.client import ApiClient, Unreachable
from kube.json_types import JsonObject
from kube.status import StatusError
from scaletest import manifests
from scaletest.load import Errors, Load, Write
from scaletest.plan import Plan
from scaletest.samples import PhaseRecord, Record
from scaletest.watching import Nodes

_LOOKS_PER_S_MAX: Final = 10.0
_LOOK_S_MAX: Final = 2.0
_LOOK_NODES: Final = 50_000
_REQUEST_S_MAX: Final = 60.0


class PhaseFailed(Exception):
    """A phase cannot be done, for the reason given; what it has done so far stays."""


@dataclass(slots=True)
class Stage:
    """See the module's head.

    Attributes:
        plan: sizes.
        client: of the server.
        nodes: those of the run.
        errors: of our own requests.
        record: of the run; its last sample says how large things are.
    """

    plan: Plan
    client: ApiClient
    nodes: Nodes
    errors: Errors
    record: Record

    def now_s(self) -> float:
        """Return the time, monotonic."""
        return self.client.clock.monotonic_s()

    async def create(self, path: str, obj: JsonObject) -> JsonObject:
        """Create an object; one that is there already is as good.

        Raises:
            PhaseFailed: the server refused.
        """
        try:
            return await self.client.request("POST", path, obj, timeout_s=_REQUEST_S_MAX)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return obj
            self.errors.add(f"POST {path}: {error.code} {error}")
            raise PhaseFailed(f"POST {path}: {error.code} {error}") from error
        except Unreachable as error:
            self.errors.add(f"POST {path}: {error}")
            raise PhaseFailed(str(error)) from error

    async def namespace(self, name: str) -> None:
        """Have a namespace."""
        await self.create("/api/v1/namespaces", manifests.namespace(name))

    async def get(self, path: str, **query: str) -> JsonObject | None:
        """Return an object or a list; None: there is none, or no answer came this time."""
        try:
            return await self.client.request("GET", path, query=query, timeout_s=_REQUEST_S_MAX)
        except StatusError as error:
            if error.code != 404:
                self.errors.add(f"GET {path}: {error.code} {error}")
        except Unreachable as error:
            self.errors.add(f"GET {path}: {error}")
        return None

    async def delete(self, path: str) -> None:
        """Delete an object, its dependents after it; one that is not there is as good."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        try:
            await self.client.request("DELETE", path, options, timeout_s=_REQUEST_S_MAX)
        except StatusError as error:
            if error.code != 404:
                self.errors.add(f"DELETE {path}: {error.code} {error}")
        except Unreachable as error:
            self.errors.add(f"DELETE {path}: {error}")

    async def send(self, writes: Iterator[Write], phase: PhaseRecord, connections: int) -> int:
        """Send many writes; return how many were carried out."""

        def note(done: int) -> None:
            phase.done = done

        load = Load(self.client.access, self.client.clock, self.errors, connections)
        return await load.send(writes, note)

    async def until(
        self, phase: PhaseRecord, total: int, look: Callable[[], Awaitable[int]]
    ) -> float:
        """Look until `look` returns `total`; return how long that took, in seconds."""
        began_s = self.now_s()
        phase.done, phase.total = 0, total
        while True:
            phase.done = await look()
            if phase.done >= total:
                return self.now_s() - began_s
            await self.client.clock.sleep(self._look_s())

    async def until_empty(self, phase: PhaseRecord, namespace: str) -> float:
        """Wait until a namespace has no pods; return how long that took, in seconds."""
        began_s = self.now_s()
        phase.done = phase.total = 0
        while True:
            found = await self.get(f"/api/v1/namespaces/{namespace}/pods", limit="1")
            if found is not None:
                left = len(found["items"]) + found["metadata"].get("remainingItemCount", 0)
                phase.total = max(phase.total, left)
                phase.done = phase.total - left
                if not left:
                    return self.now_s() - began_s
            await self.client.clock.sleep(self._look_s())

    def _look_s(self) -> float:
        """Return the pause between two looks: a small run's times are short."""
        return min(_LOOK_S_MAX, max(1 / _LOOKS_PER_S_MAX, self.plan.nodes / _LOOK_NODES))

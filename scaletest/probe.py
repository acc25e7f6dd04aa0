"""A client of its own that asks all the while what others ask, and takes the time.

The server's histograms say how long it took over requests; this says how long they took for a
client, connection and waiting included. Every other second it makes a pod as well and times its way
to a node and to Ready, as ClusterLoader2's latency pods are: with a higher priority than the
run's workloads, so that it is the scheduler that is timed, and not the length of its queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final

from kube.client import ApiClient, Patch, Unreachable
from kube.informers.changes import Told
from kube.status import StatusError
from scaletest import manifests
from scaletest.load import Errors
from scaletest.watching import condition_of

SPACE: Final = "scaletest-probe"
PODS: Final = f"/api/v1/namespaces/{SPACE}/pods"
_MAPS: Final = f"/api/v1/namespaces/{SPACE}/configmaps"
_PAUSE_S: Final = 0.25
_POD_PAUSE_S: Final = 2.0
_POD_S_MAX: Final = 120.0
_TIMES_MAX: Final = 500_000
_REQUEST_S_MAX: Final = 60.0
_PAGE: Final = "500"


class PodSteps:
    """Notes when probing pods have a node and are Ready; a sink of a reflector."""

    def __init__(self) -> None:
        self._placed: dict[str, asyncio.Event] = {}
        self._ready: dict[str, asyncio.Event] = {}

    def expect(self, name: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Return what is set when a pod has a node, and when it is Ready."""
        placed = self._placed[name] = asyncio.Event()
        ready = self._ready[name] = asyncio.Event()
        return placed, ready

    def forget(self, name: str) -> None:
        """Expect nothing of a pod any more."""
        self._placed.pop(name, None)
        self._ready.pop(name, None)

    def begin(self) -> None:
        """See Sink."""

    def take(self, events: Sequence[Told]) -> None:
        """See Sink."""
        for told in events:
            name = told.object["metadata"]["name"]
            if name in self._placed and told.object["spec"].get("nodeName"):
                self._placed[name].set()
            if name in self._ready and condition_of(told.object, "Ready") == "True":
                self._ready[name].set()

    def sweep(self) -> Iterator[None]:
        """See Sink."""
        yield


class Probe:
    """See the module's head.

    Args of the constructor:
        client: of the server.
        times_s: where latencies go, by operation.
        errors: where failures are counted.

    Attributes:
        steps: the sink of a watch of the probe's pods.
    """

    def __init__(self, client: ApiClient, times_s: dict[str, list[float]], errors: Errors) -> None:
        self.steps = PodSteps()
        self._client = client
        self._times_s = times_s
        self._errors = errors

    async def run_requests(self) -> None:
        """Ask for as long as it runs; its namespace is there."""
        number = 0
        while True:
            number += 1
            await self._round(f"probe-{number}")
            await self._client.clock.sleep(_PAUSE_S)

    async def run_pods(self) -> None:
        """Make a pod now and then for as long as it runs."""
        number = 0
        while True:
            number += 1
            await self._time_pod(f"probe-{number}")
            await self._client.clock.sleep(_POD_PAUSE_S)

    async def list_all(self, path: str, what: str) -> None:
        """Read a whole collection, however large; its bytes are let go by."""
        await self._timed(what, self._client.skim(path, {}, timeout_s=_REQUEST_S_MAX))

    async def _round(self, name: str) -> None:
        obj: Any = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"a": "1"},
        }
        patch = Patch({"data": {"a": "2"}})
        await self._timed("create", self._ask("POST", _MAPS, obj))
        await self._timed("get", self._ask("GET", f"{_MAPS}/{name}"))
        await self._timed("patch", self._ask("PATCH", f"{_MAPS}/{name}", patch))
        await self._timed("list a namespace", self._ask("GET", _MAPS))
        await self._timed("list 500 nodes", self._page("/api/v1/nodes"))
        await self._timed("list 500 pods", self._page("/api/v1/pods"))
        await self._timed("delete", self._ask("DELETE", f"{_MAPS}/{name}"))

    def _ask(self, method: str, path: str, body: Any = None) -> Awaitable[Any]:
        return self._client.request(method, path, body, timeout_s=_REQUEST_S_MAX)

    def _page(self, path: str) -> Awaitable[Any]:
        return self._client.skim(path, {"limit": _PAGE}, timeout_s=_REQUEST_S_MAX)

    async def _timed(self, what: str, asking: Awaitable[Any]) -> bool:
        began_s = self._client.clock.monotonic_s()
        try:
            await asking
        except (StatusError, Unreachable) as error:
            self._errors.add(f"probe, {what}: {error}")
            return False
        self._note(what, began_s)
        return True

    def _note(self, what: str, began_s: float) -> None:
        times_s = self._times_s.setdefault(what, [])
        if len(times_s) < _TIMES_MAX:
            times_s.append(self._client.clock.monotonic_s() - began_s)

    async def _time_pod(self, name: str) -> None:
        placed, ready = self.steps.expect(name)
        began_s = self._client.clock.monotonic_s()
        try:
            if not await self._timed(
                "create a pod", self._ask("POST", PODS, manifests.probe_pod(name, SPACE))
            ):
                return
            async with asyncio.timeout(_POD_S_MAX):
                await placed.wait()
                self._note("pod has a node", began_s)
                await ready.wait()
                self._note("pod is ready", began_s)
        except TimeoutError:
            self._errors.add(f"probe: a pod is not ready after {_POD_S_MAX:g} s")
        finally:
            self.steps.forget(name)
        await self._timed("delete a pod", self._ask("DELETE", f"{PODS}/{name}"))

"""The writes of which it is measured what parts of the server cost them: as requests."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from tests.bench import objects
from tests.bench.in_process import InProcess, request

_NAMESPACE: Final = "bench"
_CORE: Final = f"/api/v1/namespaces/{_NAMESPACE}"
_LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{_NAMESPACE}/leases"
_JSON: Final = {"Content_Type": "application/json", "User_Agent": "bench/1.0"}
_MERGE: Final = {"Content_Type": "application/merge-patch+json", "User_Agent": "bench/1.0"}
_STRATEGIC: Final = {
    "Content_Type": "application/strategic-merge-patch+json",
    "User_Agent": "kubelet/1.37",
}
_TIME: Final = "2026-01-01T00:00:00Z"
_counter: Final = itertools.count()


class Operation(Protocol):
    """A kind of write."""

    async def prepare(self, server: InProcess, count: int, state: str) -> None:
        """Make what `requests` of the same state are about."""
        ...

    def requests(self, count: int, state: str) -> list[bytes]:
        """Return new requests."""
        ...


async def set_up(server: InProcess) -> None:
    """Make the namespace in which all is written, and what pods in it need."""
    await server.send([request("POST", "/api/v1/namespaces", _named(_NAMESPACE), **_JSON)])
    await server.send([request("POST", f"{_CORE}/serviceaccounts", _named("default"), **_JSON)])


def _named(name: str) -> bytes:
    return orjson.dumps({"metadata": {"name": name}})


@dataclass(frozen=True, slots=True)
class _Create:
    """Creates objects of one template."""

    plural: str
    body: bytes

    async def prepare(self, server: InProcess, count: int, state: str) -> None:
        """Need nothing."""

    def requests(self, count: int, state: str) -> list[bytes]:
        """Return creates, each of another name."""
        run = f"{next(_counter)}"
        bodies = (
            self.body.replace(objects.NAME.encode(), f"c{run}-{number}".encode())
            for number in range(count)
        )
        return [request("POST", f"{_CORE}/{self.plural}", body, **_JSON) for body in bodies]


@dataclass(slots=True)
class _Patch:
    """Patches ConfigMaps that are there."""

    made: set[str] = field(default_factory=set)

    async def prepare(self, server: InProcess, count: int, state: str) -> None:
        """Make them, once for each state."""
        if state in self.made:
            return
        self.made.add(state)
        bodies = (objects.config_map(f"{state}-{number}") for number in range(count))
        path = f"{_CORE}/configmaps"
        await server.send([request("POST", path, body, **_JSON) for body in bodies])

    def requests(self, count: int, state: str) -> list[bytes]:
        """Return merge patches of a value."""
        body = orjson.dumps({"data": {"counter": f"{next(_counter)}"}})
        paths = (f"{_CORE}/configmaps/{state}-{number}" for number in range(count))
        return [request("PATCH", path, body, **_MERGE) for path in paths]


@dataclass(slots=True)
class _Renew:
    """Renews Leases as kubelets do: a PUT of the last answer with another time."""

    revisions: dict[str, str] = field(default_factory=dict)

    async def prepare(self, server: InProcess, count: int, state: str) -> None:
        """Make them, or look at which revision they are."""
        names = [f"{state}-{number}" for number in range(count)]
        if names[0] not in self.revisions:
            bodies = (objects.lease(name, "", _micro(0)) for name in names)
            await server.send([request("POST", _LEASES, body, **_JSON) for body in bodies])
        gets = [request("GET", f"{_LEASES}/{name}", **_JSON) for name in names]
        for name, body in zip(names, await server.answers(gets), strict=True):
            self.revisions[name] = orjson.loads(body)["metadata"]["resourceVersion"]

    def requests(self, count: int, state: str) -> list[bytes]:
        """Return a renewal of each."""
        second = next(_counter)
        found = []
        for number in range(count):
            name = f"{state}-{number}"
            body = objects.lease(name, self.revisions[name], _micro(second, number))
            found.append(request("PUT", f"{_LEASES}/{name}", body, **_JSON))
        return found


def _micro(second: int, number: int = 0) -> str:
    minutes, seconds = divmod(second, 60)
    return f"2026-01-01T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}.{number:06d}Z"


@dataclass(slots=True)
class _FirstStatus:
    """Says of pods that were just created that they run, as a kubelet does."""

    names: list[str] = field(default_factory=list)

    async def prepare(self, server: InProcess, count: int, state: str) -> None:
        """Make the pods anew."""
        run = f"s{next(_counter)}"
        self.names = [f"{run}-{number}" for number in range(count)]
        path = f"{_CORE}/pods"
        bodies = (objects.pod(name) for name in self.names)
        await server.send([request("POST", path, body, **_JSON) for body in bodies])

    def requests(self, count: int, state: str) -> list[bytes]:
        """Return their first statuses."""
        body = orjson.dumps({"status": _running()})
        paths = (f"{_CORE}/pods/{name}/status" for name in self.names)
        return [request("PATCH", path, body, **_STRATEGIC) for path in paths]


def _running() -> dict[str, Any]:
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": _TIME}
            for kind in kinds
        ],
        "hostIP": "10.0.0.1",
        "hostIPs": [{"ip": "10.0.0.1"}],
        "podIP": "10.1.0.1",
        "podIPs": [{"ip": "10.1.0.1"}],
        "startTime": _TIME,
        "containerStatuses": [
            {
                "name": name,
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": "registry.example/web:1",
                "imageID": "registry.example/web@sha256:0",
                "containerID": f"containerd://{name}",
                "state": {"running": {"startedAt": _TIME}},
            }
            for name in ("web", "proxy")
        ],
    }


OPERATIONS: Final[dict[str, Operation]] = {
    "create ConfigMap": _Create("configmaps", objects.config_map()),
    "create Pod": _Create("pods", objects.pod()),
    "merge-patch ConfigMap": _Patch(),
    "renew Lease": _Renew(),
    "first status of Pod": _FirstStatus(),
}

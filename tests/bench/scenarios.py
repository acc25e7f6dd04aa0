"""What is done to a server, and how it is measured. Each scenario makes its own objects.

CPU is that of the server's processes from before to after a run, so a server must do nothing else
meanwhile. Scenarios leave their objects; `Scene.clean` deletes their namespace.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tests.bench import objects, wrk
from tests.bench.endpoint import Endpoint, Refused
from tests.bench.figures import (
    CREATE_RATIO_MIN,
    EVENTS,
    GET_RATIO_MIN,
    LIST_MB_S_MIN,
    LISTED_PODS,
    WATCH_US_MAX,
    WATCHERS,
    Figure,
)
from tests.bench.server import Server

CONNECTIONS: Final = 64
POOL: Final = 256  # objects that patches and renewals go round; well above CONNECTIONS
_LISTS: Final = 5
_SETTLE_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class Scene:
    """What scenarios need.

    Attributes:
        server: what is measured.
        bare: a bare uvicorn, None to measure without comparison.
        directory: for files that load scripts read.
        seconds: how long each load lasts.
        run: part of all names, so that runs do not meet.
        listed_pods: how many pods long lists have at least.
    """

    server: Server
    bare: Server | None
    directory: Path
    seconds: int
    run: str
    listed_pods: int = 0

    @property
    def namespace(self) -> str:
        """The namespace in which everything happens."""
        return f"bench-{self.run}"

    def path(self, resource: str, api: str = "/api/v1") -> str:
        """Return the path of a collection in the namespace."""
        return f"{api}/namespaces/{self.namespace}/{resource}"

    def set_up(self) -> None:
        """Create the namespace and what pods in it need."""
        objects.create_namespace(self.server.endpoint, self.namespace)

    def clean(self) -> None:
        """Delete the namespace, and with it all objects."""
        self.server.endpoint.request("DELETE", f"/api/v1/namespaces/{self.namespace}")

    def body_file(self, name: str, body: bytes) -> str:
        """Keep a body where a load script finds it."""
        path = self.directory / name
        path.write_bytes(body)
        return str(path)


def load(
    scene: Scene,
    what: str,
    path: str,
    script: str,
    *,
    options: dict[str, str] | None = None,
    bare_path: str = "",
    ratio_min: float | None = None,
    connections: int = CONNECTIONS,
) -> Figure:
    """Measure one kind of request, and the same bytes on bare uvicorn if `bare_path` is given."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    before = meter.cpu_us()
    found = wrk.run(
        endpoint.url + path,
        script,
        connections=connections,
        seconds=scene.seconds,
        token=endpoint.token,
        options=options,
    )
    spent = meter.spent_us(before)
    bare_rate = None
    if scene.bare and bare_path:
        bare = wrk.run(
            scene.bare.endpoint.url + bare_path,
            script,
            connections=connections,
            seconds=scene.seconds,
            options=options,
        )
        bare_rate = bare.per_second
    return Figure(
        what,
        found.per_second,
        p50_us=found.p50_us,
        p99_us=found.p99_us,
        cpu_us={name: used / found.requests for name, used in spent.items()},
        bare_rate=bare_rate,
        ratio_min=ratio_min,
    )


def creates(scene: Scene) -> list[Figure]:
    """Measure creates of ConfigMaps and Pods, by many clients and by one."""
    figures = []
    for what, resource, body in (
        ("ConfigMap 1 KB", "configmaps", objects.config_map()),
        ("Pod 2.6 KB", "pods", objects.pod()),
    ):
        file = scene.body_file(resource, body)
        for connections, suffix in ((CONNECTIONS, ""), (1, ", alone")):
            figures.append(
                load(
                    scene,
                    f"create {what}{suffix}",
                    scene.path(resource),
                    "create.lua",
                    options={"body": file, "prefix": f"c{connections}"},
                    bare_path="/",
                    ratio_min=None if suffix else CREATE_RATIO_MIN,
                    connections=connections,
                )
            )
    return figures


def gets(scene: Scene) -> list[Figure]:
    """Measure consistent gets of one ConfigMap and one Pod."""
    figures = []
    for what, resource, body in (
        ("ConfigMap 1 KB", "configmaps", objects.config_map("read")),
        ("Pod 2.6 KB", "pods", objects.pod("read")),
    ):
        scene.server.endpoint.create(scene.path(resource), body)
        # Bare uvicorn answers with the very bytes that this server does.
        path = f"{scene.path(resource)}/read"
        scene.body_file(f"bare-{resource}", scene.server.endpoint.request("GET", path))
        for connections, suffix in ((CONNECTIONS, ""), (1, ", alone")):
            figures.append(
                load(
                    scene,
                    f"get {what}{suffix}",
                    path,
                    "report.lua",
                    bare_path=f"/bare-{resource}",
                    ratio_min=None if suffix else GET_RATIO_MIN,
                    connections=connections,
                )
            )
    return figures


def patches(scene: Scene) -> list[Figure]:
    """Measure merge patches over a pool of ConfigMaps."""
    collection = scene.path("configmaps")
    bodies = (objects.config_map(f"patched-{number}") for number in range(POOL))
    scene.server.endpoint.create_all(collection, bodies)
    options = {"prefix": f"{collection}/patched-", "pool": str(POOL)}
    return [
        load(
            scene,
            f"merge-patch ConfigMap{suffix}",
            collection,
            "patch.lua",
            options=options,
            connections=connections,
        )
        for connections, suffix in ((CONNECTIONS, ""), (1, ", alone"))
    ]


def renewals(scene: Scene) -> list[Figure]:
    """Measure lease renewals as kubelets make them: PUTs with the last resourceVersion."""
    collection = scene.path("leases", "/apis/coordination.k8s.io/v1")
    start = "2026-01-01T00:00:00.000000Z"
    bodies = [objects.lease(f"node-{number}", "", start) for number in range(POOL)]
    answers = map(orjson.loads, scene.server.endpoint.create_all(collection, bodies))
    revisions = {a["metadata"]["name"]: a["metadata"]["resourceVersion"] for a in answers}
    options = {"path": f"{collection}/", "body": scene.body_file("lease", objects.lease())}
    figures = []
    for connections, suffix in ((CONNECTIONS, ""), (1, ", alone")):
        lines = "".join(f"{name} {revision}\n" for name, revision in revisions.items())
        options["leases"] = scene.body_file("leases", lines.encode())
        figure = load(
            scene,
            f"renew Lease{suffix}",
            collection,
            "lease.lua",
            options=options,
            connections=connections,
        )
        figures.append(figure)
        # wrk leaves without its last answers: let the server finish what it still has in hand.
        time.sleep(_SETTLE_S)
        listed = orjson.loads(scene.server.endpoint.request("GET", collection))["items"]
        revisions = {a["metadata"]["name"]: a["metadata"]["resourceVersion"] for a in listed}
    return figures


def lists(scene: Scene) -> list[Figure]:
    """Measure lists of 10,000 Pods of 2.6 KB, one at a time."""
    endpoint, meter = scene.server.endpoint, scene.server.meter
    bodies = (objects.pod(f"listed-{number:05d}") for number in range(LISTED_PODS))
    endpoint.create_all(scene.path("pods"), bodies)
    # Other scenarios' pods are in the namespace too: only those of this one are counted upon.
    listed = orjson.loads(endpoint.request("GET", scene.path("pods")))["items"]
    before = meter.cpu_us()
    times_s, size_bytes = [], 0
    for _ in range(_LISTS):
        start_s = time.monotonic()
        size_bytes = endpoint.download(scene.path("pods"), _accept)
        times_s.append(time.monotonic() - start_s)
    spent = meter.spent_us(before)
    typical_s = statistics.median(times_s)
    # Scaled to 10,000 pods, whatever other scenarios left.
    scale = LISTED_PODS / len(listed)
    rate = size_bytes / typical_s / 1e6
    return [
        Figure(
            "list 10,000 Pods",
            rate,
            "MB/s",
            p50_us=typical_s * 1e6 * scale,
            p99_us=max(times_s) * 1e6 * scale,
            cpu_us={name: used / _LISTS * scale for name, used in spent.items()},
            target=f"≥ {LIST_MB_S_MIN:.0f} MB/s",
            is_met=rate >= LIST_MB_S_MIN,
        )
    ]


def _accept(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise Refused(f"list refused: {head[:300]!r}")


def watches(scene: Scene) -> list[Figure]:
    """Measure what a watch event costs per client that it is delivered to.

    The same writes are made without any watch first, and their CPU time is taken off.
    """
    endpoint, meter = scene.server.endpoint, scene.server.meter
    collection = scene.path("configmaps")
    before = meter.cpu_us()
    endpoint.create_all(collection, _events("unwatched"))
    time.sleep(_SETTLE_S)
    writes = meter.spent_us(before)
    listed = orjson.loads(endpoint.request("GET", f"{collection}?limit=1"))
    query = f"?watch=1&resourceVersion={listed['metadata']['resourceVersion']}"
    with subprocess.Popen(
        watch_command(endpoint, collection + query), stdout=subprocess.PIPE, text=True
    ) as clients:
        assert clients.stdout is not None
        if clients.stdout.readline().strip() != "ready":
            raise Refused("watches were not answered; see above")
        before = meter.cpu_us()
        start_s = time.monotonic()
        endpoint.create_all(collection, _events("watched"))
        result: dict[str, Any] = orjson.loads(clients.stdout.readline())
        spent = meter.spent_us(before)
    delivered = result["delivered"]
    if delivered < WATCHERS * EVENTS:
        raise Refused(f"only {delivered} of {WATCHERS * EVENTS} watch events were delivered")
    took_s = result["finished_s"] - start_s
    cpu = {name: max(0.0, used - writes[name]) / delivered for name, used in spent.items()}
    return [
        Figure(
            "watch 100 x 1,000",
            delivered / took_s,
            "events/s",
            cpu_us=cpu,
            target=f"≤ {WATCH_US_MAX:.0f} µs CPU",
            is_met=sum(cpu.values()) <= WATCH_US_MAX if cpu else None,
        )
    ]


def _events(prefix: str) -> list[bytes]:
    return [objects.config_map(f"{prefix}-{number}") for number in range(EVENTS)]


def watch_command(endpoint: Endpoint, path: str) -> list[str]:
    """Return the command that runs watch clients."""
    return [
        *(sys.executable, "-m", "tests.bench.watch_load", "--url", endpoint.url, "--path", path),
        *("--token", endpoint.token, "--ca", endpoint.ca_file),
        *("--watchers", str(WATCHERS), "--events", str(EVENTS)),
    ]


def memory(scene: Scene) -> list[Figure]:
    """Report the server's resident memory as it is now."""
    if not scene.server.meter.pids:
        return []
    return [Figure("memory afterwards", scene.server.meter.resident_bytes() / 1e6, "MB")]

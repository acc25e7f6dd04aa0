"""What only a node can answer, for all nodes of the fleet at one address: logs, exec, attach,
port-forward, and, for whom the API server vouches, metrics.k8s.io.

Only the API server may ask: by a client certificate of system:masters, or that of the front proxy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from controllers.fleet import metrics
from controllers.fleet.container_logs import Options, follow, log_of
from controllers.fleet.containers import Container, State
from controllers.fleet.exec_sessions import Kit, attach, run_command
from controllers.fleet.nodes import NodeBook
from controllers.fleet.plan import FleetPlan
from controllers.fleet.pod_life import Pod
from controllers.fleet.pods import Pods
from controllers.fleet.sessions import forward_ports
from controllers.fleet.supplies import Supplies
from controllers.fleet.web import Request, Web, serving_context
from kube import times
from runtime.clock import Clock
from runtime.tasks import TaskScope

_MASTERS: Final = "system:masters"
_TEXT: Final = "text/plain"
_PART_BYTES: Final = 32 << 10


class KubeletServer:
    """See the module's head.

    Attributes:
        certificate: by which clients know it (PEM).
    """

    def __init__(
        self, plan: FleetPlan, pods: Pods, book: NodeBook, supplies: Supplies, clock: Clock
    ) -> None:
        self._plan = plan
        self._pods: Mapping[str, Pod] = pods.pods
        self._clock = clock
        self._kit = Kit(clock, supplies.scene, pods.exit, OrderedDict())
        self._metrics = metrics.Metrics(pods.pods, book, clock)
        names = [plan.host, "localhost", *metrics.SERVICE_NAMES]
        self._tls = serving_context(names, [plan.client_ca, plan.proxy_ca], clock)
        self.certificate = self._tls.certificate
        self._web = Web(self._handle)

    def start(self, scope: TaskScope) -> None:
        """Serve from now on."""
        plan = self._plan
        scope.spawn(
            self._web.serve(plan.host, plan.kubelet_port, self._tls.context), name="kubelet"
        )

    async def _handle(self, request: Request) -> None:
        path = request.path
        if path == "/healthz":
            await request.answer(200, b"ok", _TEXT)
        elif path.startswith("/apis"):
            await self._metrics.handle(request)
        elif _MASTERS not in request.subject("organizationName"):
            await request.answer(403, b"Forbidden", _TEXT)
        else:
            await self._handle_node(request)

    async def _handle_node(self, request: Request) -> None:
        kind, _, rest = request.path.strip("/").partition("/")
        words = rest.split("/")
        count = 2 if kind == "portForward" else 3
        known = ("containerLogs", "exec", "attach", "portForward")
        if kind not in known or len(words) != count:
            await request.answer(404, b"404 page not found\n", _TEXT)
            return
        pod = self._pods.get("/".join(words[:2]))
        if pod is None:
            await request.answer(404, f'pods "{words[1]}" not found\n'.encode(), _TEXT)
        elif kind == "portForward":
            await forward_ports(request, pod)
        else:
            await self._handle_container(request, kind, pod, words[2])

    async def _handle_container(self, request: Request, kind: str, pod: Pod, name: str) -> None:
        one = next((one for one in pod.everyone if one.shape.name == name), None)
        if one is None:
            text = f'container "{name}" not found in pod "{pod.key.partition("/")[2]}"\n'
            await request.answer(404, text.encode(), _TEXT)
        elif kind == "containerLogs":
            await self._log(request, pod, one)
        elif one.state is not State.RUNNING:
            await request.answer(404, f'container "{name}" is not running\n'.encode(), _TEXT)
        else:
            serve = attach if kind == "attach" else run_command
            await serve(request, pod, one, self._kit)

    async def _log(self, request: Request, pod: Pod, one: Container) -> None:
        previous = request.value("previous") == "true"
        name, pod_name = one.shape.name, pod.key.partition("/")[2]
        if previous and (one.ended is None or (one.state is State.EXITED and not one.restarts)):
            text = f'previous terminated container "{name}" in pod "{pod_name}" not found'
            await request.answer(400, text.encode(), _TEXT)
            return
        if not one.has_run:
            text = f'container "{name}" in pod "{pod_name}" is waiting to start: ContainerCreating'
            await request.answer(400, text.encode(), _TEXT)
            return
        try:
            options = _options(request, self._clock.now_s())
        except ValueError as error:
            await request.answer(400, str(error).encode(), _TEXT)
            return
        await self._tell_log(request, pod, one, options)

    async def _tell_log(self, request: Request, pod: Pod, one: Container, options: Options) -> None:
        previous = request.value("previous") == "true"
        log = log_of(pod, one, previous=previous)
        await request.begin(_TEXT)
        part = bytearray()
        async for line in log.first(self._clock.now_s(), options):
            part += line
            if len(part) >= _PART_BYTES:
                await request.chunk(bytes(part))
                part.clear()
        if part:
            await request.chunk(bytes(part))
        if request.value("follow") == "true" and not previous:
            async for line in follow(log, pod, one, self._clock, options):
                if request.reader.at_eof():
                    return
                if line:
                    await request.chunk(line)
        await request.chunk(b"")


def _options(request: Request, now_s: float) -> Options:
    """Return what is asked for.

    Raises:
        ValueError: it is no number or time.
    """
    tail, limit = request.value("tailLines"), request.value("limitBytes")
    since_s = 0.0
    if seconds := request.value("sinceSeconds"):
        since_s = now_s - int(seconds)
    elif since := request.value("sinceTime"):
        since_s = float(times.epoch_seconds(since))
    return Options(
        int(tail) if tail else None,
        since_s,
        int(limit) if limit else None,
        request.value("timestamps") == "true",
    )

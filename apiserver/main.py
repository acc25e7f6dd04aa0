"""The API server's process: store, router and listeners, until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import ssl
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import uvicorn
import uvloop
from uvicorn.server import Server as HttpServer

from apiserver import assembly
from apiserver.admission.facts import ANNOUNCED
from apiserver.aggregation.parts import Aggregation
from apiserver.app import add_dumps, make_app
from apiserver.audit.log import AuditLog
from apiserver.audit.router import AuditingRouter
from apiserver.authorization.authorizers import Authorizers
from apiserver.bootstrap import bootstrap
from apiserver.console.parts import Console, figures_of
from apiserver.custom.definition import DEFINITIONS
from apiserver.custom.documents import Documents
from apiserver.custom.parts import make_custom
from apiserver.fairness.parts import make_fairness
from apiserver.identity import IdentityLease
from apiserver.issuer_documents import add_issuer_documents
from apiserver.metrics_merge import render_merged
from apiserver.oidc.issuers import Issuers
from apiserver.peers import Peers
from apiserver.protocol import ApiProtocol
from apiserver.proxying.kubelets import Kubelets
from apiserver.proxying.wire import Backends
from apiserver.rbac.authorizer import RbacAuthorizer
from apiserver.rbac.index import STORAGES
from apiserver.rbac.reconcile import reconcile_policy
from apiserver.readiness import make_health
from apiserver.router import Router
from apiserver.server import Server
from apiserver.settings import ServerSettings
from apiserver.verbs.node_parts import NodeParts
from apiserver.verbs.reviews import Reviews
from apiserver.webhooks.plugins import ADMISSION_STORAGES
from journal.connect import make_journal
from kube.status import StatusError
from runtime.clock import SystemClock
from runtime.tasks import TaskCrashed, TaskScope

_log: Final = logging.getLogger(__name__)
_RETRY_S: Final = 0.2
_GRACE_S: Final = 5
_UNHEARD_S_MAX: Final = 5.0
_BACKLOG: Final = 4096
_LOCAL: Final = "127.0.0.1"


class _Listeners(HttpServer):
    """uvicorn's server with our listeners; it ends open watches before it waits for requests.

    A worker listens once it can serve: until then its connections are better off with its siblings.
    One that has to wait for long listens all the same, to say so.

    Attributes:
        can_serve: to be set.
        listens: set by itself.
    """

    def __init__(self, config: uvicorn.Config, server: Server) -> None:
        super().__init__(config)
        self._server = server
        self._loop = asyncio.get_running_loop()
        self.can_serve = asyncio.Event()
        self.listens = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Open the listener with TLS, and where it is wanted one without, on loopback.

        uvicorn's own gives half a TLS handshake 60 s, and us no say in that.
        """
        settings = self._server.settings
        if settings.workers > 1:
            with suppress(TimeoutError):
                async with asyncio.timeout(_UNHEARD_S_MAX):
                    await self.can_serve.wait()
        try:
            servers = [await self._listen(settings.bind, settings.port, self.config.ssl)]
            if settings.plain_http_port is not None:
                servers.append(await self._listen(_LOCAL, settings.plain_http_port))
            if settings.near_socket is not None:
                servers.append(await self._listen_near(settings.near_socket))
        except OSError as error:
            _log.critical("cannot listen: %s", error)
            sys.exit(1)
        await super().startup(sockets=[])
        self.servers.extend(servers)
        self.listens.set()

    def end(self) -> None:
        """End serving, or the wait for it."""
        self.should_exit = True
        self.can_serve.set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Be not ready for a while, so that nobody is sent here any more, then stop.

        Whoever says it twice does not want to wait.
        """
        delay_s = self._server.settings.shutdown_delay_s
        if delay_s and not self._server.is_ending:
            self._server.is_ending = True
            _log.info("stopping in %g s", delay_s)
            self._loop.call_soon_threadsafe(
                self._loop.call_later, delay_s, self.handle_exit, sig, frame
            )
            return
        self._server.is_ending = True
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self.can_serve.set)

    async def _listen(
        self, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: ApiProtocol(self.config, self.server_state, {}, loop),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=self._server.settings.read_timeout_s if tls else None,
            backlog=_BACKLOG,
            # The kernel spreads connections over the workers that listen there.
            reuse_port=self._server.settings.workers > 1,
        )

    async def _listen_near(self, path: Path) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(
            lambda: ApiProtocol(self.config, self.server_state, {}, loop),
            sock=_bound(path),
            backlog=_BACKLOG,
        )

    async def shutdown(self, sockets: Any = None) -> None:
        for end in tuple(self._server.shutting_down):
            end()
        await super().shutdown(sockets)


def _bound(path: Path) -> socket.socket:
    """Return a Unix socket that nobody but this user can connect to."""
    path.unlink(missing_ok=True)  # a server that was killed has left it
    near = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        near.bind(str(path))
    finally:
        os.umask(before)
    return near


def run(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT; log and exit 1 if the start is refused."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ApiServer(settings).serve())


class _ApiServer:
    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._journal = make_journal(
            settings.journal_address,
            settings.journal_nats,
            clock=self._clock,
            on_crash=self._on_crash,
        )
        self._catalog = assembly.make_catalog(settings)
        self._sealers = assembly.make_sealers(settings, self._clock)
        options = assembly.store_options(settings, self._catalog, self._sealers)
        self._store = assembly.make_store(
            settings, options, self._journal, self._clock, self._on_crash
        )
        self._watch = assembly.make_watch(settings, self._store, self._journal, self._clock)
        self._server = assembly.make_server(
            settings, self._store, self._catalog, self._watch, self._clock
        )
        self._custom = make_custom(self._server)
        self._fairness = make_fairness(self._server)
        self._backends = Backends(self._server.simulated)
        documents = Documents(self._custom.served, f"{settings.bind}:{settings.port}")
        self._aggregation = Aggregation(self._server, documents, self._backends)
        self._custom.served.when_changed.append(self._aggregation.keeper.wake)
        figures = figures_of(self._server, self._fairness.flows)
        self._peers = Peers(settings, self._server.metrics.export, figures, self._store.wait_for)
        self._console: Console | None = None
        if settings.console:
            self._console = Console(self._server, self._peers, self._status)
        self._issuers: Issuers | None = None
        self._authorizers: Authorizers | None = None
        self._audit_log: AuditLog | None = None
        self._is_bootstrapped = False
        self._has_crashed = False
        self._http: _Listeners | None = None

    async def serve(self) -> None:
        """Serve until told to stop."""
        self._http = http = _Listeners(self._http_config(), self._server)
        await self._journal.start()
        try:
            async with TaskScope("apiserver") as scope:
                background = [
                    scope.spawn(self._open_store(), name="open store"),
                    scope.spawn(self._watch.run(), name="space"),
                    scope.spawn(self._watch.run_journal(), name="journal's counters"),
                ]
                for name, kept in (("issuers", self._issuers), ("authorizers", self._authorizers)):
                    if kept is not None:
                        background.append(scope.spawn(kept.run(), name=name))
                if self._audit_log is not None:
                    background.append(scope.spawn(self._audit_log.run(), name="audit log"))
                await http.serve()
                for task in background:
                    task.cancel()
        finally:
            self._backends.close()
            self._peers.stop()
            await self._server.webhooks.close()
            for plugin in self._server.admission.plugins:
                await plugin.close()
            await self._custom.close()
            await self._store.stop()
            await self._journal.close()
        if self._has_crashed or not http.started:
            sys.exit(1)

    def _on_crash(self, crash: TaskCrashed) -> None:
        """End, to be started again: without its journal client this process can only wait.

        Nor can a worker whose mapped replica does not move on, while its siblings' do.
        """
        _log.critical("%s", crash)
        self._has_crashed = True
        if self._http is not None:
            self._http.end()

    async def _open_store(self) -> None:
        """Recover the replica, complete a fresh cluster, and keep what is to be kept of it.

        /readyz fails until the cluster is complete.
        """
        await assembly.open_store(self._store, self._clock)
        # Before anybody asks: to read a thousand definitions takes a second.
        self._custom.served.settle()
        while True:
            try:
                await bootstrap(self._server)
                await reconcile_policy(self._server)
                await self._aggregation.keeper.start()
                await self._fairness.keeper.ensure()
                break
            except StatusError as error:
                if error.code < 500:
                    raise
                _log.warning("waiting to complete the cluster: %s", error.message)
                await self._clock.sleep(_RETRY_S)
        self._is_bootstrapped = True
        if self._settings.workers > 1:
            assert self._http is not None
            self._http.can_serve.set()
            await self._http.listens.wait()
            await self._peers.start()
            shared = (*STORAGES, *ANNOUNCED, *ADMISSION_STORAGES, DEFINITIONS)
            self._server.announced.update(dict.fromkeys(shared, self._peers.all_reach))
        self._custom.listen()
        # What the start has made lives as long as the process: nothing to look for in there.
        gc.collect()
        gc.freeze()
        # A look at 10,000 new objects takes 1 ms, at the 50,000 that five of those left over 10 ms.
        # One at all there are would take half a second where 10,000 watches are open, so it comes
        # rarely: what lives long must not end in circles (ApiProtocol.forget).
        gc.set_threshold(10_000, 5, 100)
        _log.info("ready at https://%s:%d", self._settings.bind, self._settings.port)
        async with TaskScope("keepers") as scope:
            scope.spawn(self._aggregation.keeper.run(), name="aggregation")
            scope.spawn(self._fairness.keeper.run(), name="fairness")
            scope.spawn(self._custom.run(), name="custom types")
            if self._settings.worker_index <= 1:  # of several workers the first
                scope.spawn(IdentityLease(self._server).run(), name="identity")
            if self._console is not None:
                scope.spawn(self._console.follower.run(), name="console")
            await scope.wait()

    def _http_config(self) -> uvicorn.Config:
        settings = self._settings
        ApiProtocol.connections_max = settings.connections_max
        ApiProtocol.read_timeout_s = settings.read_timeout_s
        ApiProtocol.write_timeout_s = settings.write_timeout_s
        return uvicorn.Config(
            self._make_router(),
            interface="asgi3",
            http=ApiProtocol,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=180,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=str(settings.tls_certificate_file),
            ssl_keyfile=str(settings.tls_key_file),
            ssl_ca_certs=str(settings.client_ca_file),
            ssl_cert_reqs=ssl.CERT_OPTIONAL,
        )

    def _make_router(self) -> Router:
        settings = self._settings
        rbac = RbacAuthorizer(self._store)
        self._authorizers = assembly.make_authorizers(self._server, rbac)
        authorizer = self._authorizers.authorizer
        authentication = assembly.make_authentication(
            settings, self._store, self._clock, authorizer
        )
        authenticator, tokens, self._issuers, figures = authentication
        self._server.metrics.gauges.append(figures.collect)
        reviews = Reviews(authenticator, authorizer, rbac)
        node_parts = NodeParts(Kubelets(settings.kubelet), self._backends)
        verbs = assembly.make_verbs(reviews, tokens, node_parts)
        address = f"{settings.bind}:{settings.port}"
        checks = {}
        if self._sealers is not None:
            self._server.metrics.gauges.append(self._sealers.collect)
            if self._sealers.kms:
                checks["kms-providers"] = self._sealers.unhealthy
        app = make_app(
            self._aggregation.discovery,
            self._aggregation.openapi,
            self._render_metrics,
            make_health(self._server, self._watch, lambda: self._is_bootstrapped, checks),
            self._status,
            self._clock,
        )
        add_issuer_documents(app, tokens.keys, tokens.issuer, address)
        if self._fairness.dumps is not None:
            add_dumps(app, self._fairness.dumps)
        parts = (self._server, authenticator, authorizer, verbs, app, self._fairness.gate)
        audit = assembly.make_audit(settings, authorizer, self._clock)
        router: Router
        if audit is None:
            router = Router(*parts)
        else:
            router = AuditingRouter(*parts)
            router.auditor, self._audit_log = audit
        router.extensions = self._aggregation.extensions
        if self._console is not None:
            self._console.open(authenticator, authorizer)
            router.console = self._console
        return router

    def _status(self) -> dict[str, Any]:
        return assembly.cluster_status(self._store, self._watch)

    async def _render_metrics(self) -> bytes:
        if self._settings.workers == 1:
            return self._server.metrics.render()
        gathered = await self._peers.gather()
        return await asyncio.to_thread(render_merged, gathered)

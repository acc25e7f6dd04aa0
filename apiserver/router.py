"""The raw ASGI router in front of the FastAPI app: finds the verb of a request and runs it.

Every request, also one for the FastAPI app behind, is authenticated and authorized here. What is
for a resource touches no framework: path, verb and handler are found by dictionary look-ups.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from apiserver.aggregation.extensions import Delegated, Extensions
from apiserver.authn import Authenticator, NotYet
from apiserver.authz import Attributes, Authorizer
from apiserver.console.live import LIVE_PATH
from apiserver.console.pages import PREFIX as CONSOLE
from apiserver.console.pages import Page
from apiserver.console.parts import Console
from apiserver.errors import from_storage_error
from apiserver.exchange import ClientGone, Exchange, Receive, Scope, Send
from apiserver.fairness.gate import LONG_RUNNING, Gate, Refused, Ticket
from apiserver.fairness.requests import WAITING
from apiserver.known_paths import KnownPaths
from apiserver.path_answers import App, PathAnswers
from apiserver.plans import Plan, Plans
from apiserver.refusals import impossible_name, no_method, status_of, turn_away, unexpected
from apiserver.resources import Target
from apiserver.server import Server
from apiserver.verb_table import PROXY, Handler, Verbs
from apiserver.verbs.answer import respond_error
from kube import status as st
from kube.field import quote
from kube.go_durations import parse_go_duration
from kube.media import negotiate
from storage.errors import StorageError

_access: Final = logging.getLogger("apiserver.access")
READ_VERBS: Final = frozenset({"get", "list", "watch"})
_SHORT_READS: Final = frozenset({"get", "list"})
_TIMED: Final = frozenset({"list", "deletecollection"})
_NO_NAMES: Final = frozenset({".", ".."})


class Router:
    """The ASGI application that uvicorn calls."""

    _exchange: Callable[[Scope, Receive, Send, int], Exchange] = Exchange
    extensions: Extensions | None = None
    console: Console | None = None

    def __init__(
        self,
        server: Server,
        authenticator: Authenticator,
        authorizer: Authorizer,
        verbs: Verbs,
        behind: App,
        gate: Gate,
    ) -> None:
        self._server = server
        self._authenticate = authenticator.authenticate
        self._authenticate_later = authenticator.authenticate_later
        self._authorizer = authorizer
        self._plans = Plans(server.catalog, verbs, server.metrics)
        self._gate = gate
        self._body_bytes_max = server.settings.body_bytes_max
        self._request_timeout_s = server.settings.request_timeout_s
        self._log_access = server.settings.access_log
        self._known = KnownPaths(server.catalog)
        self._paths = PathAnswers(self._known, behind)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        assert scope["type"] == "http", "neither lifespan nor websockets are switched on"
        exchange = self._exchange(scope, receive, send, self._body_bytes_max)
        path = exchange.path
        plan = None
        if path.startswith("/api"):
            try:
                plan = self._plans.find(exchange)
            except st.StatusError as error:
                return self._fail(exchange, error)
        extensions = self.extensions
        if extensions is not None and (plan is None or extensions.shadows):
            try:
                found = extensions.find(exchange)
            except st.StatusError as error:
                return self._fail(exchange, error)
            if found is not None:
                return self._serve_extension(exchange, found)
        if plan is not None:
            return self._serve_resource(exchange, plan)
        if self._known.may_be_custom(path):
            return self._serve_unknown(exchange, scope, receive, send)
        page = self._page(path)
        if page is not None:
            return self._serve_page(exchange, page)
        return self._serve_path(exchange, scope, receive, send)

    async def _serve_resource(self, exchange: Exchange, plan: Plan) -> None:
        server, metrics = self._server, self._server.metrics
        target, verb, _, attributes, series = plan
        ticket: Ticket | None = None
        started_s = server.clock.monotonic_s()
        # Neither where it is a watch, or a session, which may last for hours.
        is_read, is_write = verb in _SHORT_READS, verb not in READ_VERBS
        if target.subresource and target.subresource in LONG_RUNNING:
            is_read = is_write = False
        metrics.inflight_read += is_read
        metrics.inflight_write += is_write
        exchange.asked = attributes
        try:
            try:
                exchange.user = self._authenticate(exchange)
            except NotYet as cause:
                exchange.user = await self._authenticate_later(exchange, cause)
            # Whatever is wrong with a limit is told before anybody waits.
            limit_s = self._request_timeout_s
            has_limit = verb in _TIMED
            if exchange.scope["query_string"] and target.subresource not in LONG_RUNNING:
                has_limit = True
                limit_s = self._limit_s(exchange, verb)
            ticket = self._gate.arrive(exchange, attributes, target.resource.storage, started_s)
            if ticket is not None and ticket.phase is WAITING:
                await self._gate.wait(ticket, limit_s)
            handler = self._admit(exchange, plan) or await self._admit_later(exchange, plan)
            if target.resource.deprecation:
                exchange.warn(target.resource.deprecation)
            if has_limit:
                await self._run_in_time(handler, exchange, target, verb, started_s + limit_s)
            else:
                await handler(server, exchange, target)
        except Exception as error:  # noqa: BLE001 (nothing may pass as a hang or a bare 500)
            await self._explain(exchange, target, error)
        finally:
            metrics.inflight_read -= is_read
            metrics.inflight_write -= is_write
            now_s = server.clock.monotonic_s()
            if ticket is not None:
                self._gate.leave(ticket, started_s, now_s)
            taken_s = now_s - started_s
            series.observe(exchange.code, taken_s)
            if self._log_access:
                self._log_request(exchange, verb, taken_s)

    async def _admit_later(self, exchange: Exchange, plan: Plan) -> Handler:
        """Return what serves the request, once somebody was asked whether its user may make it.

        Raises:
            StatusError: as `_admit`.
        """
        await self._authorizer.ask(exchange.user, plan.attributes)
        return self._serving(exchange, plan)

    def _admit(self, exchange: Exchange, plan: Plan) -> Handler | None:
        """Return what serves the request, if its user may make it; None: somebody must be asked.

        Raises:
            StatusError: 403; 404 or 405, it has no such verb; 400, no object can have this name;
                406, a write whose answer the client could not read: it must hear so before
                anything is written.
        """
        if not self._authorizer.check(exchange.user, plan.attributes):
            return None
        return self._serving(exchange, plan)

    @staticmethod
    def _serving(exchange: Exchange, plan: Plan) -> Handler:
        target, verb, handler, _, _ = plan
        if handler is None or (exchange.method == "HEAD" and target.subresource != PROXY):
            raise no_method(exchange, target, verb)
        if "%" in target.name or target.name in _NO_NAMES:
            raise impossible_name(target.name)
        if verb not in READ_VERBS and _is_answered_with_an_object(target):
            exchange.media = negotiate(exchange.accept)
        return handler

    async def _run_in_time(
        self,
        handler: Handler,
        exchange: Exchange,
        target: Target,
        verb: str,
        end_s: float,
    ) -> None:
        """Run a handler within a limit, if it is not short by itself or the client sets one.

        The limit stands from the request's arrival: what it has waited for its turn counts.
        """
        if verb == "watch" or ("timeout" not in exchange.query and verb not in _TIMED):
            await handler(self._server, exchange, target)
            return
        left_s = max(0.0, end_s - self._server.clock.monotonic_s())
        try:
            async with asyncio.timeout(left_s):
                await handler(self._server, exchange, target)
        except TimeoutError as error:
            text = "request did not complete within the allotted timeout"
            raise st.timeout(text) from error

    def _limit_s(self, exchange: Exchange, verb: str) -> float:
        """Return how long a request may take: the server's limit, or a shorter one of its own.

        It is settled before the request may be put into a queue, which only `Gate.wait` leaves.

        Raises:
            StatusError: 400, what it names is no duration.
        """
        limit_s = self._request_timeout_s
        if not exchange.scope["query_string"] or verb == "watch":
            return limit_s
        wanted = exchange.query.get("timeout")
        if wanted is None:
            return limit_s
        wanted_s = _wanted_limit_s(wanted[0])
        return wanted_s if 0 < wanted_s < limit_s else limit_s

    def _page(self, path: str) -> Page | None:
        if self.console is None or not path.startswith(CONSOLE):
            return None
        return self.console.page(path)

    async def _serve_page(self, exchange: Exchange, page: Page) -> None:
        """Serve what is the same for everybody, whoever asks."""
        try:
            await page.answer(exchange)
        except st.StatusError as error:
            await self._fail(exchange, error)

    async def _serve_path(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        attributes = Attributes(exchange.method.lower(), path=exchange.path)
        if self.console is not None and exchange.path == LIVE_PATH:
            live = self.console.live
            await self._serve_admitted(exchange, attributes, lambda: live(exchange))
            return
        await self._serve_admitted(
            exchange,
            attributes,
            lambda: self._paths.answer(self.extensions, exchange, scope, receive, send),
        )

    async def _serve_extension(self, exchange: Exchange, found: Delegated) -> None:
        assert self.extensions is not None
        asked, ending = found.attributes, self._server.shutting_down
        if asked.verb == "watch":
            ending.add(exchange.abort)  # it has no end by itself
        serve = self.extensions.serve
        try:
            if asked.verb == "watch" or asked.subresource in LONG_RUNNING:
                await self._serve_admitted(exchange, asked, lambda: serve(exchange, found))
            else:
                await self._serve_admitted(
                    exchange, asked, lambda: self._in_time(exchange, serve(exchange, found))
                )
        finally:
            ending.discard(exchange.abort)

    async def _in_time(self, exchange: Exchange, serving: Awaitable[None]) -> None:
        """Have another server answer within the limit that ours have.

        Raises:
            StatusError: 504, it has not.
        """
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await serving
        except TimeoutError as error:
            if exchange.code:
                exchange.abort()
                raise ClientGone from error
            text = "request did not complete within the allotted timeout"
            raise st.timeout(text) from error

    async def _serve_admitted(
        self, exchange: Exchange, attributes: Attributes, serve: Callable[[], Awaitable[None]]
    ) -> None:
        """Serve what is for none of our types, if its user may ask for that."""
        clock = self._server.clock
        ticket: Ticket | None = None
        started_s = clock.monotonic_s()
        exchange.asked = attributes
        try:
            try:
                exchange.user = self._authenticate(exchange)
            except NotYet as cause:
                exchange.user = await self._authenticate_later(exchange, cause)
            limit_s = self._request_timeout_s
            if not attributes.resource:
                limit_s = self._limit_s(exchange, "")
            ticket = self._gate.arrive(exchange, attributes, "", started_s)
            if ticket is not None and ticket.phase is WAITING:
                await self._gate.wait(ticket, limit_s)
            if not self._authorizer.check(exchange.user, attributes):
                await self._authorizer.ask(exchange.user, attributes)
            if ticket is not None and (attributes.verb == "watch" or attributes.path == LIVE_PATH):
                # It lasts, and what it costs is another server's, or next to nothing.
                leaving, ticket = ticket, None
                self._gate.leave(leaving, started_s, clock.monotonic_s())
            await serve()
        except st.StatusError as error:
            await self._fail(exchange, error)
        except Refused as refusal:
            await turn_away(exchange, refusal)
        except ClientGone:
            pass  # nobody is left to be answered
        finally:
            if ticket is not None:
                self._gate.leave(ticket, started_s, clock.monotonic_s())

    async def _serve_unknown(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a path once it is certain that no definition has made it one of resources.

        Whoever saw a definition established at another server may ask here at once.
        """
        custom = self._server.catalog.custom
        assert custom is not None, "a path may be custom only where there are custom types"
        try:
            plan = self._plans.find(exchange) if await custom.refresh() else None
        except st.StatusError as error:
            await self._fail(exchange, error)
            return
        except StorageError as error:
            await self._fail(exchange, from_storage_error(error))
            return
        if plan is not None:
            await self._serve_resource(exchange, plan)
        else:
            await self._serve_path(exchange, scope, receive, send)

    async def _explain(self, exchange: Exchange, target: Target, error: Exception) -> None:
        """Tell a client why it gets nothing else."""
        match error:
            case st.StatusError() | StorageError():
                await self._fail(exchange, status_of(error, target))
            case Refused():
                await turn_away(exchange, error)
            case ClientGone():
                pass  # nobody is left to be answered
            case _:
                await self._fail(exchange, unexpected(exchange, error))

    async def _fail(self, exchange: Exchange, error: st.StatusError) -> None:
        if exchange.code:
            exchange.abort()
            return
        await respond_error(exchange, error)

    @staticmethod
    def _log_request(exchange: Exchange, verb: str, taken_s: float) -> None:
        user = quote(exchange.user.name) if exchange.user is not None else ""
        _access.info(
            "verb=%s method=%s path=%s user=%s code=%d bytes=%d ms=%.2f",
            verb,
            exchange.method,
            quote(exchange.path),
            user,
            exchange.code,
            exchange.sent_bytes,
            taken_s * 1000,
        )


def _wanted_limit_s(text: str) -> float:
    """Return the time limit that a client names, 0 for none.

    Raises:
        StatusError: 400, it is no duration.
    """
    if not text:
        return 0.0
    try:
        return parse_go_duration(text)
    except ValueError as error:
        raise st.bad_request(f"invalid timeout specified in the request URL - {error}") from error


def _is_answered_with_an_object(target: Target) -> bool:
    """Tell it from what only passes bytes on, which has options for a body at most."""
    if not target.subresource:
        return True
    info = target.subresource_info
    return info is not None and bool(info.schema_name)

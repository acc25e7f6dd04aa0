"""The router of a server that audits: each of its requests is on record from user to answer."""

from __future__ import annotations

from typing import Any, cast

from apiserver.aggregation.extensions import Delegated
from apiserver.audit.auditor import Auditor
from apiserver.audit.exchange import AuditedExchange
from apiserver.authz import Attributes
from apiserver.exchange import Exchange, Receive, Scope, Send
from apiserver.plans import Plan
from apiserver.router import Router


class AuditingRouter(Router):
    """See the module's head; `auditor` has to be set."""

    auditor: Auditor
    _exchange = AuditedExchange

    async def _serve_resource(self, exchange: Exchange, plan: Plan) -> None:
        await self._on_record(exchange, plan.attributes, super()._serve_resource(exchange, plan))

    async def _serve_path(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        asked = Attributes(exchange.method.lower(), path=exchange.path)
        serving = super()._serve_path(exchange, scope, receive, send)
        await self._on_record(exchange, asked, serving)

    async def _serve_extension(self, exchange: Exchange, found: Delegated) -> None:
        serving = super()._serve_extension(exchange, found)
        await self._on_record(exchange, found.attributes, serving)

    async def _on_record(self, exchange: Exchange, asked: Attributes, serving: Any) -> None:
        audited = cast("AuditedExchange", exchange)
        audited.asked, audited.when_known = asked, self.auditor.begin
        try:
            await serving
        finally:
            self.auditor.end(audited)

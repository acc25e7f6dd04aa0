"""Paths that name no resource of ours: discovery, documents, health, and what is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from apiserver.aggregation.extensions import DOCUMENTS, Extensions
from apiserver.exchange import Exchange, Receive, Scope, Send
from apiserver.known_paths import KnownPaths
from kube import status as st

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_PAGE_NOT_FOUND: Final = b"404 page not found\n"


class PathAnswers:
    """Answers requests for such paths.

    Args of the constructor:
        known: which groups and versions there are.
        behind: the application with all that is no resource.
    """

    def __init__(self, known: KnownPaths, behind: App) -> None:
        self._known = known
        self._behind = behind

    async def answer(
        self,
        extensions: Extensions | None,
        exchange: Exchange,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request, whose user may ask for it.

        Raises:
            StatusError: 404, there is nothing of the kind.
        """
        path = exchange.path
        if extensions is not None and path.startswith(DOCUMENTS):
            found = extensions.find_document(path)
            if found is not None:
                await extensions.serve(exchange, found)
                return
        if path.startswith(("/apis/", "/api/")) and not self._is_discovery(extensions, path):
            if path.startswith("/api/") or self._known.is_served(path.split("/")[2]):
                raise st.nothing_there()
            await exchange.respond(404, _PAGE_NOT_FOUND, b"text/plain; charset=utf-8")
        else:
            await self._behind(scope, receive, exchange.naming_flow(send))

    def _is_discovery(self, extensions: Extensions | None, path: str) -> bool:
        parts = path.strip("/").split("/")
        if len(parts) == 2 and extensions is not None and extensions.has_group(parts[1]):
            return True
        return self._known.is_discovery(path)

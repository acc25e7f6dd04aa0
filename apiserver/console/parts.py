"""The console put together: the router is given one, or none where it is switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.authn import Authenticator
from apiserver.authz import Authorizer
from apiserver.console.figures import Figures, Sources, worker_figures
from apiserver.console.follower import Follower
from apiserver.console.live import Live
from apiserver.console.pages import Page, load_pages
from apiserver.exchange import Exchange
from apiserver.fairness.flows import Flows
from apiserver.peers import Peers
from apiserver.server import Server


class Console:
    """What is below /console.

    Attributes:
        follower: to be run.
    """

    def __init__(self, server: Server, peers: Peers, status: Callable[[], dict[str, Any]]) -> None:
        self.follower = Follower(server.store, server.clock)
        self._server = server
        settings = server.settings
        sources = Sources(
            peers.gather_figures, status, settings.scheduler_socket, settings.controllers_socket
        )
        self._figures = Figures(sources, server.clock)
        self._pages = load_pages()
        self._live: Live | None = None

    def open(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        """Serve the stream to whom these let in."""
        server = self._server
        self._live = Live(
            self.follower, self._figures, authenticator, authorizer, server.shutting_down
        )

    def page(self, path: str) -> Page | None:
        """Return what anybody may have at a path, None for all that is not there."""
        return self._pages.get(path)

    async def live(self, exchange: Exchange) -> None:
        """Serve the stream; raises as `Live.serve`."""
        assert self._live is not None, "opened before anybody is served"
        await self._live.serve(exchange)


def figures_of(server: Server, flows: Flows) -> Callable[[], bytes]:
    """Return what tells this worker's figures."""
    return lambda: worker_figures(server.metrics, flows)

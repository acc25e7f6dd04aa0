"""Those who are asked now, as a file says that may change while the server runs.

As upstream: another file counts once it is whole and right, and webhooks begin to remember anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from apiserver.authn import User
from apiserver.authorization.config import (
    AuthorizerSpec,
    parse_configuration,
)
from apiserver.authorization.webhook import AuthorizationWebhook
from apiserver.authz import ALLOWED, Attributes, Authorizer, Decision, Judge
from apiserver.config_reader import ConfigurationUseless
from apiserver.watched_file import WatchedFile
from kube.access import AccessError
from runtime.clock import Clock

_LAST_ANSWERS_S: Final = 35.0
"""After so long nobody waits for an answer of a webhook that is asked no more."""
_EVERYTHING_IS_FORBIDDEN: Final = Decision(allowed=False, reason="Everything is forbidden.")
_log: Final = logging.getLogger(__name__)


class _AlwaysAllow:
    def decide(self, _user: User, _asked: Attributes) -> Decision:
        return ALLOWED


class _AlwaysDeny:
    def decide(self, _user: User, _asked: Attributes) -> Decision:
        return _EVERYTHING_IS_FORBIDDEN


class Authorizers:
    """Makes those who are asked; `run` keeps them up.

    Attributes:
        authorizer: asks them.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        file: Path | None,
        local: Mapping[str, Judge],
        clock: Clock,
    ) -> None:
        """Begin with a configuration.

        Args:
            document: as decoded.
            file: where it came from, and is looked for anew; None: from elsewhere.
            local: those who are here, by the types that name them.
            clock: for what webhooks said.

        Raises:
            ConfigurationUseless, AccessError: the document is wrong.
        """
        self._document = document
        self._file = file
        self._local: dict[str, Judge] = {
            "AlwaysAllow": _AlwaysAllow(),
            "AlwaysDeny": _AlwaysDeny(),
            **local,
        }
        self._clock = clock
        self._judges = self._made(parse_configuration(document))
        self.authorizer = Authorizer(self._judges)

    async def run(self) -> None:
        """Be ready to ask, and follow the file, until cancelled."""
        opened = await _open(self._judges)
        retired: list[tuple[float, AsyncExitStack]] = []
        try:
            if self._file is None:
                await asyncio.Event().wait()
                return
            async for document in WatchedFile(self._file, self._document, self._clock).changes():
                try:
                    judges = self._made(parse_configuration(document))
                except (ConfigurationUseless, AccessError) as error:
                    _log.error("%s is not taken on: %s", self._file, error)
                    continue
                retired.append((self._clock.monotonic_s() + _LAST_ANSWERS_S, opened))
                opened = await _open(judges)
                self.authorizer.use(judges)
                _log.info("%s is taken on: %d authorizers", self._file, len(judges))
                while retired and retired[0][0] < self._clock.monotonic_s():
                    await retired.pop(0)[1].aclose()
        finally:
            for stack in (*(one for _, one in retired), opened):
                await stack.aclose()

    def _made(self, specs: Sequence[AuthorizerSpec]) -> list[Judge]:
        found: list[Judge] = []
        for spec in specs:
            if spec.webhook is None:
                found.append(self._local[spec.type])
            else:
                found.append(AuthorizationWebhook(spec.name, spec.webhook, self._clock))
        return found


async def _open(judges: Sequence[Judge]) -> AsyncExitStack:
    stack = AsyncExitStack()
    for judge in judges:
        if isinstance(judge, AuthorizationWebhook):
            await stack.enter_async_context(judge)
    return stack

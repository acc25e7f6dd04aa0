"""The issuers that are trusted now, as a file says that may change while the server runs.

As upstream: what the file says of issuers counts once it is whole and right, and the keys of new
issuers were asked for; what it says of anonymous requests counts from the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from apiserver.authn import Found
from apiserver.config_reader import ConfigurationUseless
from apiserver.oidc.config import parse_configuration
from apiserver.oidc.issuer import Issuer
from apiserver.oidc.keys import Fetch, IssuerKeys, fetch
from apiserver.oidc.tokens import OidcTokens
from apiserver.watched_file import WatchedFile
from runtime.clock import Clock
from runtime.tasks import TaskScope

_KEYS_S_MAX: Final = 15.0
_log: Final = logging.getLogger(__name__)


class Issuers:
    """Judges tokens of all issuers that are trusted; `run` keeps them up."""

    def __init__(
        self,
        document: Mapping[str, Any],
        file: Path | None,
        audiences: tuple[str, ...],
        clock: Clock,
        fetch_url: Fetch = fetch,
    ) -> None:
        """Trust the issuers of a configuration.

        Args:
            document: as decoded; {}: none.
            file: where it came from, and is looked for anew; None: from elsewhere.
            audiences: for whom tokens of this server are; they are nobody else's issuers.
            clock: for expiry.
            fetch_url: gets issuers' keys.

        Raises:
            ConfigurationUseless: the document is wrong.
        """
        self._file = file
        self._document = document
        self._audiences = audiences
        self._clock = clock
        self._fetch = fetch_url
        issuers: list[Issuer] = []
        self.anonymous = None
        if document:
            issuers, self.anonymous = parse_configuration(document, audiences)
        self._judges = self._made(issuers)
        self._tasks: list[asyncio.Task[None]] = []

    def check(self, token: str, audiences: Sequence[str]) -> Found | None:
        """See TokenJudge."""
        for judge in self._judges:
            found = judge.check(token, audiences)
            if found is not None:
                return found
        return None

    async def run(self) -> None:
        """Keep keys, and follow the file, until cancelled."""
        async with TaskScope("issuers") as scope:
            self._tasks = self._started(scope, self._judges)
            if self._file is not None:
                scope.spawn(self._follow(scope, self._file), name="authentication configuration")
            await scope.wait()

    async def _follow(self, scope: TaskScope, file: Path) -> None:
        async for document in WatchedFile(file, self._document, self._clock).changes():
            try:
                judges = self._made(parse_configuration(document, self._audiences)[0])
            except ConfigurationUseless as error:
                _log.error("%s is not taken on: %s", file, error)
                continue
            tasks = self._started(scope, judges)
            # Tokens of an issuer that stays are to be known without a gap.
            with suppress(TimeoutError):
                async with asyncio.timeout(_KEYS_S_MAX):
                    for judge in judges:
                        await judge.keys.tried.wait()
            self._judges = judges
            for task in self._tasks:
                task.cancel()
            self._tasks = tasks
            _log.info("%s is taken on: %d issuers", file, len(judges))

    def _made(self, issuers: Sequence[Issuer]) -> list[OidcTokens]:
        clock = self._clock
        return [
            OidcTokens(issuer, IssuerKeys(issuer, clock, self._fetch), self._audiences, clock)
            for issuer in issuers
        ]

    @staticmethod
    def _started(scope: TaskScope, judges: Sequence[OidcTokens]) -> list[asyncio.Task[None]]:
        return [scope.spawn(judge.keys.run(), name="issuer's keys") for judge in judges]

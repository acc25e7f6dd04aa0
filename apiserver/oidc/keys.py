"""An issuer's keys: fetched from it at the start, and again when a token names one unknown.

One fetch at a time, a bounded one, and never more than one in `PAUSE_S`, however many tokens with
invented keys come. While the issuer is away, the keys that were fetched last go on to count.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, Final

import jwt
import orjson

from apiserver.oidc.issuer import Issuer
from runtime.clock import Clock

_log: Final = logging.getLogger(__name__)
PAUSE_S: Final = 10.0
RENEW_S: Final = 3600.0
_FETCH_S_MAX: Final = 10.0
_DOCUMENT_BYTES_MAX: Final = 1 << 20
Fetch = Callable[[str, str], bytes]
"""Returns what is at a URL, by a blocking call; the second are authorities (PEM), "" the system's.

Raises OSError or ValueError."""


def fetch(url: str, authorities: str) -> bytes:
    """See Fetch."""
    context = ssl.create_default_context(cadata=authorities or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    with opener.open(url, timeout=_FETCH_S_MAX) as answer:
        content: bytes = answer.read(_DOCUMENT_BYTES_MAX + 1)
    if len(content) > _DOCUMENT_BYTES_MAX:
        raise ValueError(f"{url} answers with more than {_DOCUMENT_BYTES_MAX} bytes")
    return content


class IssuerKeys:
    """The keys of one issuer.

    Attributes:
        tried: set once they were asked for, with or without success.
    """

    def __init__(self, issuer: Issuer, clock: Clock, fetch_url: Fetch = fetch) -> None:
        self._issuer = issuer
        self._clock = clock
        self._fetch = fetch_url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetching: asyncio.Future[None] | None = None
        self._wanted = asyncio.Event()
        self._next_s = 0.0
        self.tried = asyncio.Event()

    def find(self, kid: str | None) -> jwt.PyJWK | None:
        """Return a key by name; without a name the only one there is."""
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def renewal(self) -> Awaitable[None] | None:
        """Ask for the keys to be fetched again; return what to wait for, None: not so soon."""
        if self._fetching is not None:
            return asyncio.shield(self._fetching)
        if self._clock.monotonic_s() < self._next_s:
            return None
        self._fetching = asyncio.get_running_loop().create_future()
        self._wanted.set()
        return asyncio.shield(self._fetching)

    async def run(self) -> None:
        """Fetch keys when they are due or asked for, until cancelled."""
        while True:
            pause_s = PAUSE_S
            try:
                self._keys = await asyncio.to_thread(self._load)
                pause_s = RENEW_S
            except (OSError, ValueError, jwt.PyJWTError) as error:
                _log.warning("keys of %s cannot be fetched: %s", self._issuer.url, error)
            self._next_s = self._clock.monotonic_s() + PAUSE_S
            waiting, self._fetching = self._fetching, None
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
            self._wanted.clear()
            self.tried.set()
            await self._wait(pause_s)

    async def _wait(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._wanted.wait()
        except TimeoutError:
            pass

    def _load(self) -> dict[str, jwt.PyJWK]:
        issuer = self._issuer
        url = issuer.discovery_url or f"{issuer.url.rstrip('/')}/.well-known/openid-configuration"
        configuration = self._document(url)
        if configuration.get("issuer") != issuer.url:
            raise ValueError(f"{url} is of issuer {configuration.get('issuer')!r}")
        location = configuration.get("jwks_uri")
        if not isinstance(location, str) or not location.startswith("https://"):
            raise ValueError(f"{url} names no place of keys")
        keys: dict[str, jwt.PyJWK] = {}
        for number, described in enumerate(self._document(location).get("keys") or ()):
            if not isinstance(described, dict) or described.get("use", "sig") != "sig":
                continue
            try:
                keys[str(described.get("kid", number))] = jwt.PyJWK(described)
            except jwt.PyJWTError as error:
                _log.info("a key of %s is of no use: %s", issuer.url, error)
        return keys

    def _document(self, url: str) -> dict[str, Any]:
        document = orjson.loads(self._fetch(url, self._issuer.authorities))
        if not isinstance(document, dict):
            raise ValueError(f"{url} is no JSON object")  # noqa: TRY004 (what came is wrong)
        return document

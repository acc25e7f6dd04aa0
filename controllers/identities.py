"""Each controller as somebody of its own: the service account that upstream gives it.

The process itself is `system:kube-controller-manager`, which may watch everything, and make service
accounts of kube-system and tokens for them. What a controller writes, it writes with the token of
its account, so roles say what each may do. Tokens are renewed when four fifths of their time have
passed, and at once when the server does not know one any more.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import ssl
from contextlib import AsyncExitStack
from typing import Final

from kube import times
from kube.client import ApiClient, Unreachable
from kube.status import StatusError
from runtime.tasks import TaskScope

NAMESPACE: Final = "kube-system"
_ACCOUNTS: Final = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
_LIFETIME_S: Final = 3600
_USED: Final = 0.8
_LEAST_S: Final = 60.0
"""Between two renewals, however wrong one of the clocks is."""
_FEW: Final = 6
_log = logging.getLogger(__name__)


class AccountToken:
    """The token of a service account, kept valid by `run`.

    Attributes:
        ready: set once there is one.
    """

    def __init__(self, client: ApiClient, account: str) -> None:
        self.ready = asyncio.Event()
        self._client = client
        self._account = account
        self._token = ""
        self._is_refused = asyncio.Event()

    @property
    def token(self) -> str:
        """The token that is valid now."""
        return self._token

    def refused(self) -> None:
        """Have it renewed."""
        self._is_refused.set()

    async def run(self) -> None:
        """Get a token, and another one in time, until cancelled."""
        client, failures = self._client, 0
        while True:
            try:
                left_s = await self.renew()
            except (StatusError, Unreachable) as error:
                failures += 1
                pause_s = client.pause_s(failures)
                # While the server starts it knows no roles yet, and refuses all.
                level = logging.INFO if failures < _FEW else logging.WARNING
                text = "no token for %s, again in %.2f s: %s"
                _log.log(level, text, self._account, pause_s, error)
                await client.clock.sleep(pause_s)
                continue
            failures = 0
            self.ready.set()
            self._is_refused.clear()
            try:
                async with asyncio.timeout(max(_LEAST_S, left_s * _USED)):
                    await self._is_refused.wait()
            except TimeoutError:
                continue
            # A server that refuses each new token is not asked for one all the time.
            await client.clock.sleep(client.pause_s(5))

    async def renew(self) -> float:
        """Get a new token, and the account if there is none; return for how long it is good.

        Raises:
            StatusError, Unreachable: there is none.
        """
        asked = {"spec": {"expirationSeconds": _LIFETIME_S}}
        path = f"{_ACCOUNTS}/{self._account}/token"
        try:
            answer = await self._client.request("POST", path, asked)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._make_account()
            answer = await self._client.request("POST", path, asked)
        status = answer["status"]
        self._token = status["token"]
        return times.epoch_seconds(status["expirationTimestamp"]) - self._client.clock.now_s()

    async def _make_account(self) -> None:
        try:
            await self._client.request("POST", _ACCOUNTS, {"metadata": {"name": self._account}})
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise


class Identities:
    """Clients by the names of controllers, made when they are asked for.

    Args of the constructor:
        client: the process's own.
        stack: closes what is made.
        separate: whether controllers are themselves; if not, all are the process.
    """

    def __init__(self, client: ApiClient, stack: AsyncExitStack, *, separate: bool) -> None:
        self._client = client
        self._stack = stack
        self._separate = separate
        self._made: dict[str, ApiClient] = {}

    def known(self, account: str) -> ApiClient:
        """Return a client that was made.

        Raises:
            KeyError: it was not.
        """
        return self._made[account]

    async def client(self, account: str, scope: TaskScope) -> ApiClient:
        """Return a client that is a controller's service account, once it has a token."""
        made = self._client if not self._separate else await self._make(account, scope)
        self._made[account] = made
        return made

    async def _make(self, account: str, scope: TaskScope) -> ApiClient:
        token = AccountToken(self._client, account)
        scope.spawn(token.run(), name=f"token of {account}")
        await token.ready.wait()
        own = self._client.access
        # Without the process's certificate, which would count before any token.
        tls = ssl.create_default_context(cadata=own.ca or None) if own.tls is not None else None
        access = dataclasses.replace(own, tls=tls, token="")
        client = ApiClient(
            access,
            user_agent=f"ultraplane-controllers/{account}",
            clock=self._client.clock,
            limits=self._client.limits,
            credential=token,
        )
        return await self._stack.enter_async_context(client)

"""Requests of a case to the server under test, as plain as they can be.

Unlike `kube.client`, which our own parts live by, nothing is hidden here: any header and media
type may be sent, whatever is answered is returned or raised, and only "too many requests" is
tried again, as every upstream client does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final

import aiohttp
import orjson

from conformance.checks import CaseFailed
from conformance.watching import Watch
from kube.access import Access
from kube.client import JSON, retry_after_s, status_error
from kube.json_types import JsonObject
from kube.status import StatusError

REQUEST_S_MAX: Final = 60.0
_CONNECT_S_MAX: Final = 10.0
# One spec alone has 100 watches open, and each is a connection of its own.
_CONNECTIONS_MAX: Final = 1_000
_BUFFER_BYTES: Final = 4 << 20
_RETRIES_MAX: Final = 10
_PAUSE_S_MAX: Final = 2.0
_TEXT_MAX: Final = 500

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status.

    Attributes:
        code: HTTP status code.
        body: as received.
        headers: names in lower case.
    """

    code: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body, decoded.

        Raises:
            CaseFailed: it is no JSON.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise CaseFailed(f"the answer is no JSON: {self.body[:_TEXT_MAX]!r}") from error


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: of HTTP.
        path: on the server.
        body: None for none; bytes are sent as they are, all else as JSON.
        query: parameters.
        content_type: of the body.
        headers: more of them, any name as often as wanted; `Accept` among them replaces JSON.
    """

    method: str
    path: str
    body: Any = None
    query: Query = field(default_factory=dict)
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()


class Api:
    """The server under test, asked as one user; use as `async with Api(access) as api`."""

    def __init__(self, access: Access, *, headers: Query | None = None) -> None:
        self.access = access
        self._headers = {"Accept": JSON, "Accept-Encoding": "identity", **(headers or {})}
        if access.token:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        # "ssl" with True means the default checks; it is not looked at for http.
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, ssl=self.access.tls or True)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=_BUFFER_BYTES)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def as_user(self, headers: Query, *, token: str | None = None) -> Api:
        """Return the same server, asked with more headers or another token, on the same session."""
        access = self.access if token is None else replace(self.access, token=token)
        other = Api(access, headers={**self._without_token(), **headers})
        other._session = self._session
        return other

    async def send(self, call: Call) -> Answer:
        """Send a request and return the answer, whatever it says.

        Raises:
            CaseFailed: no answer came.
        """
        try:
            async with asyncio.timeout(REQUEST_S_MAX), self._open(call) as answer:
                body = await answer.read()
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, body, headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise CaseFailed(f"{call.method} {call.path}: no answer: {reason}") from error

    async def call(self, call: Call) -> JsonObject:
        """Send a request and return the decoded answer.

        Raises:
            StatusError: the server refused.
            CaseFailed: no answer came, or not in JSON.
        """
        retries = 0
        while True:
            answer = await self.send(call)
            if answer.code < 400:
                decoded: JsonObject = answer.json
                return decoded
            error = _refusal(answer)
            pause_s = retry_after_s(error)
            if pause_s is None or retries == _RETRIES_MAX:
                raise error
            retries += 1
            await asyncio.sleep(min(pause_s, _PAUSE_S_MAX))

    async def get(self, path: str, **query: str) -> JsonObject:
        """Send a GET and return the decoded answer."""
        return await self.call(Call("GET", path, query=query))

    @asynccontextmanager
    async def watch(self, path: str, query: Query) -> AsyncIterator[Watch]:
        """Begin a watch of a collection.

        Raises:
            StatusError: the server refused.
        """
        call = Call("GET", path, query={**query, "watch": "true"})
        async with self._open(call) as answer:
            if answer.status >= 400:
                body = await answer.read()
                raise _refusal(Answer(answer.status, body, {}))
            yield Watch(answer.content, f"the watch of {path}")

    def _without_token(self) -> dict[str, str]:
        return {name: value for name, value in self._headers.items() if name != "Authorization"}

    def _open(self, call: Call) -> Any:
        assert self._session is not None, "the API is used outside of its `async with`"
        data = call.body
        replaced = {name for name, _value in call.headers}
        own = [(name, value) for name, value in self._headers.items() if name not in replaced]
        headers = [*own, *call.headers]
        if data is not None:
            data = data if isinstance(data, bytes) else orjson.dumps(data)
            headers.append(("Content-Type", call.content_type))
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S_MAX)
        return self._session.request(
            call.method,
            self.access.server + call.path,
            params=dict(call.query),
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
        )


def _refusal(answer: Answer) -> StatusError:
    again = answer.headers.get("retry-after")
    headers = [] if again is None else [(b"retry-after", again.encode())]
    try:
        status = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status_error(status, answer.code, headers)
    text = answer.body[:_TEXT_MAX].decode(errors="replace").strip()
    return StatusError(answer.code, "", text, headers=headers)

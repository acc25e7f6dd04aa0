"""The HTTP client of the project: requests to a Kubernetes API, with limits everywhere.

- Every request ends within its time limit, retries and their pauses included.
- A refusal that says when to come back (429 or 503 with Retry-After) is retried, as is a server
  that nobody listens at: in both cases nothing was done. Whatever else goes wrong in transport is
  `Unreachable`: the request may have been carried out, and only the caller knows what that means.
- Answers other than success are `kube.status.StatusError`.
Watching is built on this in kube/informers; where the server is and who asks in kube/access.py.
Reads and watches go by aiohttp. Small writes, which are most of what controllers do, go by
connections of a cheaper kind (kube/pipe.py, kube/pipe_pool.py); both ways end alike.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import aiohttp
import orjson

from kube.access import Access
from kube.json_types import JsonObject
from kube.pipe import NOBODY, PROBES, Answer, NobodyListens
from kube.pipe import Unreachable as Unreachable  # noqa: PLC0414 - those who ask catch it from here
from kube.pipe_pool import PipePool
from kube.status import StatusError
from runtime.clock import Clock, SystemClock

JSON: Final = "application/json"
BARE_JSON: Final = "application/json;managedFields=omit"
"""Without managedFields, where a server can do that in a watch; others know no such parameter."""
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
AGGREGATED_DISCOVERY: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_RETRIED_CODES: Final = frozenset({429, 503})
_ERROR_TEXT_MAX: Final = 500
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_NEEDS_ENCODING: Final = re.compile(r"[^A-Za-z0-9\-._~/:@!$&'()*+,;=?%]")
_PATH_SAFE: Final = "/:@!$&'()*+,;=?%~"

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Patch:
    """The body of a PATCH: a document, and how it is to be merged (its media type)."""

    document: JsonObject
    media_type: str = MERGE_PATCH


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How long and how often, in seconds unless named otherwise.

    Attributes:
        request_timeout_s: of a request with its retries, where the caller names no other.
        connect_timeout_s: of one attempt to connect.
        retries_max: after the first attempt.
        pause_s_min: before the first retry; doubles, unless the server says how long.
        pause_s_max: also the most that a server's Retry-After is heeded.
        connections_max: open at once for reads, and for writes; more requests wait for one.
        streams_max: open at once beside them; more streams wait for one.
        line_bytes_max: of a watch event.
    """

    request_timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    retries_max: int = 8
    pause_s_min: float = 0.05
    pause_s_max: float = 5.0
    connections_max: int = 64
    streams_max: int = 1024
    line_bytes_max: int = 64 << 20


class Credential(Protocol):
    """A bearer token that changes."""

    @property
    def token(self) -> str:
        """The token that is valid now."""
        ...

    def refused(self) -> None:
        """Take note that the server does not know it."""
        ...


class ApiClient:
    """Requests to one API server as one user; use as `async with ApiClient(access) as client`.

    Args of the constructor:
        access: where the server is, and as whom it is asked.
        user_agent: what this program is called.
        clock: for pauses and time limits.
        limits: how long and how often.
        credential: a token that changes, in place of the access's.
    """

    def __init__(
        self,
        access: Access,
        *,
        user_agent: str = "ultraplane",
        clock: Clock | None = None,
        limits: ClientLimits | None = None,
        credential: Credential | None = None,
    ) -> None:
        self._credential = credential
        self.access = access
        self.clock = clock or SystemClock()
        self.limits = limits or ClientLimits()
        # Bodies are not compressed: clients of ours are near, and time counts more than bytes.
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        if access.token and credential is None:
            self._headers["Authorization"] = f"Bearer {access.token}"
        self._pipes: PipePool | None = None
        self._session: aiohttp.ClientSession | None = None
        # Streams last: where they took the connections of requests, no request would get one.
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ApiClient:
        self._session = self._new_session(self.limits.connections_max)
        self._streams = self._new_session(self.limits.streams_max)
        self._pipes = PipePool(
            self._writing_access(),
            self._headers["User-Agent"],
            self.limits.connect_timeout_s,
            self.limits.connections_max,
        )
        return self

    def _writing_access(self) -> Access:
        """Return the access without a token that changes: it is said with each request."""
        return self.access if self._credential is None else replace(self.access, token="")

    def _new_session(self, connections_max: int) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self.access.socket:
            connector = aiohttp.UnixConnector(self.access.socket, limit=connections_max)
        else:
            # "ssl" with True means the default checks; it is not looked at for http.
            connector = aiohttp.TCPConnector(
                limit=connections_max, ssl=self.access.tls or True, socket_factory=_probed_socket
            )
        return aiohttp.ClientSession(
            connector=connector, headers=self._headers, auto_decompress=False
        )

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        for session in (self._session, self._streams):
            if session is not None:
                await session.close()
        self._session = self._streams = None
        if self._pipes is not None:
            self._pipes.close()
            self._pipes = None

    async def request(
        self,
        method: str,
        path: str,
        body: JsonObject | Patch | None = None,
        *,
        query: Query | None = None,
        accept: str = JSON,
        timeout_s: float | None = None,
    ) -> JsonObject:
        """Send one request and return the decoded answer.

        Raises:
            StatusError: the server refused.
            Unreachable: no answer within the limit; the request may have been carried out.
        """
        headers = {"Accept": accept}
        data = None
        if isinstance(body, Patch):
            data = orjson.dumps(body.document)
            headers["Content-Type"] = body.media_type
        elif body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = JSON
        return await self._answer_to(
            _Call(method, path, dict(query or {}), headers, data), timeout_s
        )

    async def send(
        self, method: str, path: str, body: JsonObject, *, timeout_s: float | None = None
    ) -> None:
        """Send one request whose answer nobody reads: however long it is, it is let go by.

        Raises:
            StatusError, Unreachable: as `request`.
        """
        headers = {"Accept": JSON, "Content-Type": JSON}
        call = _Call(method, path, {}, headers, orjson.dumps(body), is_read=False)
        await self._answer_to(call, timeout_s)

    async def skim(self, path: str, query: Query, *, timeout_s: float | None = None) -> int:
        """GET an answer of any length and let it go by; return how many bytes it had.

        Raises:
            StatusError, Unreachable: as `request`.
        """
        call = _Call("GET", path, dict(query), {"Accept": JSON}, None, is_read=False)
        return int((await self._answer_to(call, timeout_s))["bytes"])

    @asynccontextmanager
    async def stream(
        self, path: str, query: Query, *, read_timeout_s: float, accept: str = JSON
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """GET an endless answer; gives lists of its lines, as many as there are at a time.

        Args:
            path: what to get.
            query: its parameters.
            read_timeout_s: silence for longer than this is taken for a lost connection.
            accept: in which form.

        Raises:
            StatusError: the server refused.
            Unreachable: the connection could not be made, or broke.
        """
        call = _Call("GET", path, dict(query), {"Accept": accept}, None)
        timeout = aiohttp.ClientTimeout(
            sock_connect=self.limits.connect_timeout_s, sock_read=read_timeout_s
        )
        try:
            async with self._send(self._streams, call, timeout) as answer:
                if answer.status >= 400:
                    again = answer.headers.get("Retry-After")
                    raise self._refusal(answer.status, again, await answer.read())
                yield _lines(answer, self.limits.line_bytes_max)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"GET {path}: {_reason(error)}") from error

    def pause_s(self, failures: int) -> float:
        """Return how long to wait after this many failures in a row: doubling, with jitter."""
        limits = self.limits
        full_s: float = min(limits.pause_s_max, limits.pause_s_min * 2 ** min(failures - 1, 30))
        jitter: float = random.uniform(0.5, 1.0)
        return full_s * jitter

    async def _answer_to(self, call: _Call, timeout_s: float | None) -> JsonObject:
        limit_s = self.limits.request_timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._attempt_until_answered(call)
        except TimeoutError as error:
            where = f"{call.method} {call.path}"
            raise Unreachable(f"{where}: no answer within {limit_s:g} s") from error

    async def _attempt_until_answered(self, call: _Call) -> JsonObject:
        failures = 0
        while True:
            try:
                return await self._attempt(call)
            except StatusError as error:
                failures += 1
                asked_s = retry_after_s(error)
                if asked_s is None or failures > self.limits.retries_max:
                    raise
                pause_s = min(asked_s, self.limits.pause_s_max) or self.pause_s(failures)
            except (aiohttp.ClientConnectorError, NobodyListens) as error:
                failures += 1
                if not _nobody_listens(error) or failures > self.limits.retries_max:
                    raise Unreachable(f"{call.method} {call.path}: {_reason(error)}") from error
                pause_s = self.pause_s(failures)
            except (aiohttp.ClientError, OSError, Unreachable) as error:
                raise Unreachable(f"{call.method} {call.path}: {_reason(error)}") from error
            await self.clock.sleep(pause_s)

    async def _attempt(self, call: _Call) -> JsonObject:
        if call.is_small_write:
            answer = await self._write(call)
            return {} if not call.is_read else _decoded(answer.body)
        timeout = aiohttp.ClientTimeout(sock_connect=self.limits.connect_timeout_s)
        async with self._send(self._session, call, timeout) as answer:
            if not call.is_read and answer.status < 400:
                size = 0
                async for part in answer.content.iter_any():
                    size += len(part)
                return {"bytes": size}
            content = await answer.read()
            if answer.status >= 400:
                raise self._refusal(answer.status, answer.headers.get("Retry-After"), content)
            return _decoded(content)

    async def _write(self, call: _Call) -> Answer:
        """Send what is small and return its answer, by a pipe.

        Raises:
            StatusError, Unreachable: as `request`.
        """
        pipes = self._pipes
        assert pipes is not None, "the client is used outside of its `async with`"
        more = f"Accept: {call.headers['Accept']}\r\nAccept-Encoding: identity\r\n"
        if self._credential is not None:
            more += f"Authorization: Bearer {self._credential.token}\r\n"
        media_type = call.headers.get("Content-Type", "")
        answer = await pipes.request(call.method, call.target, call.data or b"", media_type, more)
        if answer.code >= 400:
            again = None if answer.retry_after_s < 0 else f"{answer.retry_after_s:.0f}"
            raise self._refusal(answer.code, again, answer.body)
        return answer

    def _send(
        self, session: aiohttp.ClientSession | None, call: _Call, timeout: aiohttp.ClientTimeout
    ) -> Any:
        assert session is not None, "the client is used outside of its `async with`"
        headers = call.headers
        if self._credential is not None:
            headers = {**headers, "Authorization": f"Bearer {self._credential.token}"}
        return session.request(
            call.method,
            self.access.server + call.path,
            params=call.query,
            headers=headers,
            data=call.data,
            timeout=timeout,
            allow_redirects=False,
        )

    def _refusal(self, code: int, again: str | None, content: bytes) -> StatusError:
        error = _refusal(code, again, content)
        if error.code == 401 and self._credential is not None:
            self._credential.refused()
        return error


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    data: bytes | None
    is_read: bool = True

    @property
    def is_small_write(self) -> bool:
        """Whether a pipe will do: the answer is an object, not a collection of any length."""
        return self.method in _WRITES and (self.is_read or self.method == "POST")

    @property
    def target(self) -> str:
        """Path and query, encoded."""
        path = self.path
        if _NEEDS_ENCODING.search(path):
            path = quote(path, safe=_PATH_SAFE)
        return f"{path}?{urlencode(self.query, quote_via=quote)}" if self.query else path


def _decoded(content: bytes) -> JsonObject:
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise aiohttp.ClientPayloadError(f"the answer is no JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise aiohttp.ClientPayloadError("the answer is no JSON object")
    return decoded


def _probed_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket that fails within a minute when the other machine is gone.

    A watch may have nothing to tell for longer than that, and must not wait for nobody.
    """
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    for level, option, value in PROBES:
        made.setsockopt(level, option, value)
    return made


def retry_after_s(error: StatusError) -> float | None:
    """Return how long a server asks to wait before a retry; None when it does not ask for one."""
    if error.code not in _RETRIED_CODES:
        return None
    for name, value in error.headers:
        if name == b"retry-after" and value.isdigit():
            return float(value)
    return None


def _refusal(code: int, again: str | None, content: bytes) -> StatusError:
    headers = [] if again is None else [(b"retry-after", again.encode())]
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        text = content[:_ERROR_TEXT_MAX].decode(errors="replace").strip()
        return StatusError(code, "", text or f"answer {code}", headers=headers)
    return status_error(status, code, headers)


def status_error(
    status: JsonObject, code: int = 500, headers: list[tuple[bytes, bytes]] | None = None
) -> StatusError:
    """Return the error that a received Status object tells of, keeping all it says."""
    error = StatusError(
        int(status.get("code") or code),
        str(status.get("reason", "")),
        str(status.get("message", "")),
        headers=headers or (),
    )
    error.status |= status
    return error


async def _lines(answer: aiohttp.ClientResponse, bytes_max: int) -> AsyncIterator[list[bytes]]:
    rest = bytearray()
    async for chunk in answer.content.iter_any():
        end = chunk.rfind(b"\n")
        if end < 0:
            rest += chunk
        else:
            lines = chunk[:end].split(b"\n")
            if rest:
                lines[0] = bytes(rest) + lines[0]
                rest.clear()
            rest += chunk[end + 1 :]
            yield lines
        if len(rest) > bytes_max:
            raise aiohttp.ClientPayloadError(f"a line is longer than {bytes_max} bytes")


def _nobody_listens(error: aiohttp.ClientConnectorError | NobodyListens) -> bool:
    return isinstance(error, NobodyListens) or isinstance(error.os_error, NOBODY)


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__

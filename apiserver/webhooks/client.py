"""The HTTPS client for webhooks: one POST and its answer, within limits, told as Go's client would.

Every call ends within its time, an answer has a bound, redirects are not followed (they would lead
whoever configures a webhook to where only this server may go), and connections are kept for a
while and shared by calls with the same target and authorities. A slow webhook holds nothing but
connections of its own. Who says that it is to be tried again later (429 or 5xx with Retry-After)
is, as long as there is time.
"""

from __future__ import annotations

import asyncio
import errno
import math
import re
import ssl
from contextlib import suppress
from typing import Any, Final

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler

from apiserver.simulated import NOTHING_SIMULATED, SimulatedNetworks
from apiserver.webhooks.resolver import ServiceResolver, Unresolved
from apiserver.webhooks.target import Target
from kube.client import status_error
from kube.foreign_status import unexpected_answer
from kube.json_types import JsonObject
from kube.status import StatusError
from kube.version import VERSION_INFO
from storage.store_view import StoreView

ANSWER_BYTES_MAX: Final = 16 << 20
"""A patch of a whole object of 3 MiB has room, and so has a list that is converted."""
_CONNECTIONS_MAX: Final = 1024
_CONNECTIONS_OF_ONE_MAX: Final = 128
_KEPT_IDLE_S: Final = 30.0
_RETRIES_MAX: Final = 10
_TEXT_MAX: Final = 2048
_ADDRESS: Final = re.compile(r"\('([^']+)', (\d+)")
_HEADERS: Final = {
    "User-Agent": f"kube-apiserver/{VERSION_INFO['gitVersion']}",
    "Accept": "application/json, */*",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_TIMED_OUT: Final = "context deadline exceeded"
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})
"""OpenSSL's codes of chains that end in nobody known."""
_OUT_OF_TIME: Final = frozenset({9, 10})


class CallFailed(Exception):
    """No usable answer; the text is what upstream's client says. Contrast a webhook that denies.

    Attributes:
        status: what the other end said, if it was a refusal; None where there was no answer.
    """

    def __init__(self, text: str, status: StatusError | None = None) -> None:
        super().__init__(text)
        self.status = status


class _Connector(aiohttp.TCPConnector):
    """Cuts connections whose answer was not waited for.

    The other end, which may have stopped answering at all, would otherwise be given half a minute
    for its part of TLS's farewell, and would hold as many sockets as calls it had missed.
    """

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if should_close:
            protocol.abort()
        super()._release(key, protocol, should_close=should_close)


class WebhookClient:
    """Calls webhooks; `close` it when the server stops. A server without webhooks opens nothing."""

    def __init__(self, store: StoreView, simulated: SimulatedNetworks = NOTHING_SIMULATED) -> None:
        self._store = store
        self._simulated = simulated
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def close(self) -> None:
        """Close all connections; calls fail from now on."""
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        target: Target,
        review: bytes,
        *,
        timeout_s: float,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> JsonObject:
        """POST a review and return the decoded answer.

        Args:
            target: whom to ask.
            review: JSON.
            timeout_s: for all of it; told to the webhook in whole seconds, rounded up.
            answer_bytes_max: a longer answer is a failure.

        Raises:
            CallFailed: there was no answer that can be read, or a refusal.
            BadTarget: the authorities are none.
        """
        url = f"{target.url}?timeout={math.ceil(timeout_s)}s"
        context = target.context()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._attempts(url, context, review, answer_bytes_max)
        except TimeoutError as error:
            raise CallFailed(f'Post "{url}": {_TIMED_OUT}') from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CallFailed(f'Post "{url}": {_reason(error)}') from error

    async def _attempts(
        self, url: str, context: ssl.SSLContext, review: bytes, bytes_max: int
    ) -> JsonObject:
        for retries in range(_RETRIES_MAX + 1):
            async with self._opened().post(
                url, data=review, ssl=context, headers=_HEADERS, allow_redirects=False
            ) as answer:
                again_s = _retry_after_s(answer)
                if again_s is None or retries == _RETRIES_MAX:
                    content = await _read(answer, bytes_max)
                    return _decode(answer, content)
            await asyncio.sleep(again_s)
        raise AssertionError("the last attempt returns or raises")

    def _opened(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise aiohttp.ClientError("the server is stopping")
        if self._session is None:
            connector = _Connector(
                resolver=ServiceResolver(self._store, self._simulated),
                use_dns_cache=False,
                limit=_CONNECTIONS_MAX,
                limit_per_host=_CONNECTIONS_OF_ONE_MAX,
                keepalive_timeout=_KEPT_IDLE_S,
            )
            # Time is limited by each call.
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._session


def _retry_after_s(answer: aiohttp.ClientResponse) -> float | None:
    if answer.status != 429 and answer.status < 500:
        return None
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 6 else None


async def _read(answer: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    left = bytes_max
    async for part in answer.content.iter_any():
        left -= len(part)
        if left < 0:
            # Leaving with the answer unread closes the connection.
            raise ValueError(f"the answer is longer than {bytes_max} bytes")
        parts.append(part)
    return b"".join(parts)


def _decode(answer: aiohttp.ClientResponse, content: bytes) -> JsonObject:
    code = answer.status
    decoded: Any = None
    fault = ""
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        fault = str(error)
    if not 200 <= code <= 206:
        raise _refusal(answer, content, decoded)
    if not content:
        kind = answer.headers.get("Content-Type", "")
        raise CallFailed(f"0-length response with status code: {code} and content type: {kind}")
    if not isinstance(decoded, dict):
        fault = fault or "the answer is no object"
        raise CallFailed(f"couldn't get version/kind; json parse error: {fault}")
    if decoded.get("kind") == "Status" and decoded.get("status") == "Failure":
        raise _status_failure(decoded, code)
    return decoded


def _refusal(answer: aiohttp.ClientResponse, content: bytes, decoded: Any) -> CallFailed:
    if isinstance(decoded, dict) and decoded.get("kind") == "Status":
        return _status_failure(decoded, answer.status)
    kind = answer.headers.get("Content-Type", "")
    text = "unknown"
    if not kind or kind.startswith("text/"):
        text = content[:_TEXT_MAX].decode(errors="replace").strip()
    error = unexpected_answer(answer.status, text)
    return CallFailed(error.message, error)


def _status_failure(status: JsonObject, code: int) -> CallFailed:
    with suppress(TypeError, ValueError):
        error = status_error(status, code)
        return CallFailed(str(error.status.get("message", "")), error)
    error = unexpected_answer(code, "unknown")
    return CallFailed(error.message, error)


def _reason(error: BaseException) -> str:  # noqa: C901 (one case a kind of failure)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_reason(error.certificate_error)
        case aiohttp.ClientConnectorDNSError():
            if isinstance(error.os_error, Unresolved):
                return str(error.os_error)
            return f"dial tcp: lookup {error.host}: no such host"
        case aiohttp.ClientConnectorSSLError():
            cause = error.os_error
            if isinstance(cause, ssl.SSLError) and "VERSION" in (cause.reason or ""):
                return "http: server gave HTTP response to HTTPS client"
            return f"tls: {cause}"
        case aiohttp.ClientConnectorError():
            return _dial_reason(error)
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case aiohttp.ClientPayloadError():
            return "unexpected EOF"
        case aiohttp.ClientOSError():
            return f"read tcp: {_errno_text(error)}"
        case aiohttp.ClientResponseError():
            return f"net/http: HTTP/1.x transport connection broken: {error.message}"
        case _:
            return str(error) or type(error).__name__


def _certificate_reason(error: Exception) -> str:
    head = "tls: failed to verify certificate: x509:"
    if not isinstance(error, ssl.SSLCertVerificationError):
        return f"{head} {error}"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"{head} certificate signed by unknown authority"
    if error.verify_code in _OUT_OF_TIME:
        return f"{head} certificate has expired or is not yet valid: {error.verify_message}"
    return f"{head} {error.verify_message}"


def _dial_reason(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    found = _ADDRESS.search(str(cause))
    host, port = found.groups() if found else (error.host, str(error.port))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"dial tcp {where}: connect: {_errno_text(cause)}"


def _errno_text(error: OSError) -> str:
    match error.errno:
        case errno.ECONNREFUSED:
            return "connection refused"
        case errno.ECONNRESET:
            return "connection reset by peer"
        case errno.EHOSTUNREACH:
            return "no route to host"
        case errno.ENETUNREACH:
            return "network is unreachable"
        case _:
            return str(error.strerror or error)

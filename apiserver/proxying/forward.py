"""One request passed on to a backend: its headers, its body and the answer, as they come.

As upstream's upgrade-aware proxy. Both directions stream, in memory that does not grow with what
they carry. A client that goes ends the backend's work, and a backend that breaks off has the
client's connection cut: an answer that is not whole must not look as if it were.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from apiserver.exchange import ClientGone, Exchange
from apiserver.proxying.rewriting import HTML_BYTES_MAX, Rewriting
from apiserver.proxying.takeover import TakenOver, close_soon, keep_alive, pump, until_one_ends
from apiserver.proxying.wire import Address, BackendConnection, BackendFailed, Backends, Head
from kube import status as st
from kube.foreign_status import foreign_answer
from runtime.tasks import TaskScope

Header = tuple[bytes, bytes]
_BODY_IDLE_S_MAX: Final = 300.0
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS: Final = frozenset({b"authorization", b"expect", b"host", b"x-forwarded-for"})
"""Of a request: what was said to us, or what we say ourselves."""
_IDENTITY: Final = (b"x-remote-", b"impersonate-")
_NOT_FOR_READERS: Final = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
    }
)
_BAD_NAME: Final = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAFE: Final = frozenset({"GET", "HEAD"})
_REFUSAL_BYTES_MAX: Final = 50_000
_LOG_HEADERS: Final = (
    (b"content-type", b"text/plain"),
    (b"cache-control", b"no-cache, private"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """Where a request goes, and as what.

    Attributes:
        address: of the backend.
        target: path and query, as they are sent.
        headers: that it gets besides the client's own.
        host: the Host header; None: the client's.
        method: None: the client's.
        without: headers of the client that begin so stay here; b"": none do.
        rewriting: how the answer is rewritten; None: not at all, CORS headers included.
    """

    address: Address
    target: bytes
    headers: Sequence[Header] = ()
    host: bytes | None = None
    method: bytes | None = None
    without: bytes = b""
    rewriting: Rewriting | None = None


def is_upgrade(exchange: Exchange) -> bool:
    """Tell whether the client wants to speak something else on its connection."""
    connection = exchange.connection
    return connection is not None and connection.is_upgrade


def first_header(exchange: Exchange, name: bytes) -> bytes:
    """Return the first value of a request's header, b"" if there is none."""
    return next((value for key, value in exchange.scope["headers"] if key == name), b"")


async def pass_on(exchange: Exchange, backends: Backends, onward: Onward) -> None:
    """Pass a request on, and its answer back.

    Raises:
        BackendFailed: there is no answer; nothing was sent to the client.
        ClientGone: it has gone.
    """
    client = exchange.connection
    has_body = _has_body(exchange)
    idle = None
    if not has_body and exchange.method in _SAFE:
        idle = backends.idle(onward.address)
    connection = idle or await backends.dial(onward.address)
    forget = client.when_gone(connection.abort) if client is not None else None
    try:
        async with TaskScope("request's body") as scope:
            try:
                head = await _ask(exchange, connection, onward, scope if has_body else None)
            except BackendFailed:
                if idle is None:
                    raise
                # It was about to close it: nobody has seen the request.
                if forget is not None:
                    forget()
                connection.abort()
                connection = await backends.dial(onward.address)
                forget = client.when_gone(connection.abort) if client is not None else None
                head = await _ask(exchange, connection, onward, None)
            await _answer(exchange, connection, head, onward.rewriting)
            if scope.running:
                connection.abort()  # what is left of the body would be the next request
            await scope.stop()
    except BackendFailed as error:
        exchange.check_client()
        if exchange.code == 0:
            raise
        exchange.abort()
        raise ClientGone from error
    except BaseException:
        connection.abort()
        raise
    finally:
        if forget is not None:
            forget()
        backends.release(connection)


class LogOutlet(Protocol):
    """What a log is written to."""

    async def start_as(self, code: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """See Exchange."""
        ...

    async def write(self, chunk: bytes) -> None:
        """See Exchange."""
        ...

    async def finish(self) -> None:
        """See Exchange."""
        ...


async def pass_log_on(
    exchange: Exchange, backends: Backends, onward: Onward, pod: str, outlet: LogOutlet
) -> None:
    """Ask a kubelet for a log, as the server itself, and pass it on as plain text.

    Args:
        exchange: the request.
        backends: where kubelets are.
        onward: what is asked, of whom.
        pod: whose log it is.
        outlet: where it goes; the exchange, or a websocket.

    Raises:
        StatusError: what the kubelet has refused. BackendFailed, ClientGone: as `pass_on`.
    """
    connection = await backends.dial(onward.address)
    client = exchange.connection
    forget = client.when_gone(connection.abort) if client is not None else None
    try:
        head = [
            b"GET %b HTTP/1.1" % onward.target,
            b"Host: " + onward.address.authority.encode(),
            b"User-Agent: kube-apiserver",
            b"Accept-Encoding: identity",
        ]
        await connection.send(b"GET", b"\r\n".join([*head, b"", b""]))
        answer = await connection.head()
        if not 200 <= answer.code <= 206:
            text = (await connection.body(_REFUSAL_BYTES_MAX)).decode("utf-8", "replace")
            raise _refusal_of(answer.code, pod, text)
        await outlet.start_as(200, _LOG_HEADERS)
        async for chunk in connection.chunks():
            await outlet.write(chunk)
        await outlet.finish()
    except BackendFailed as error:
        exchange.check_client()
        if exchange.code == 0:
            raise
        exchange.abort()
        raise ClientGone from error
    finally:
        if forget is not None:
            forget()
        backends.release(connection)


def _refusal_of(code: int, pod: str, text: str) -> st.StatusError:
    """Return what a client is told of a kubelet's refusal."""
    if code == 500:
        return st.internal_error(text)
    if code == 400:
        return st.bad_request(text)
    if 300 <= code < 400:
        raise BackendFailed("redirects forbidden")
    return foreign_answer(code, "", "pods/log", pod, text)


async def _ask(
    exchange: Exchange, connection: BackendConnection, onward: Onward, scope: TaskScope | None
) -> Head:
    """Send a request, its body meanwhile, and return the head of the answer."""
    await connection.send(_method(exchange, onward), request_head(exchange, onward))
    if scope is not None:
        if exchange.connection is not None:
            exchange.connection.let_body_take_time()
        scope.spawn(_send_body(exchange, connection), name="body")
    return await connection.head()


async def _send_body(exchange: Exchange, connection: BackendConnection) -> None:
    """Send the body as it comes; what fails, those who wait for the answer hear of."""
    is_chunked = not first_header(exchange, b"content-length")
    parts = exchange.body_parts()
    try:
        while True:
            async with asyncio.timeout(_BODY_IDLE_S_MAX):
                part = await anext(parts, b"")
            if not part:
                break
            await connection.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
        if is_chunked:
            await connection.write(b"0\r\n\r\n")
    except (ClientGone, TimeoutError):
        connection.abort()
    except BackendFailed:
        pass  # it may have answered before it closed


async def _answer(
    exchange: Exchange, connection: BackendConnection, head: Head, rewriting: Rewriting | None
) -> None:
    if not 200 <= head.code <= 599:
        raise BackendFailed(f"malformed HTTP status code {head.code}")
    headers = answer_headers(head, rewriting)
    if rewriting is not None and _is_html(head) and exchange.method != "HEAD":
        await _answer_page(exchange, connection, head, rewriting, headers)
        return
    await exchange.start_as(head.code, headers)
    async for chunk in connection.chunks():
        await exchange.write(chunk)
    await exchange.finish()


async def _answer_page(
    exchange: Exchange,
    connection: BackendConnection,
    head: Head,
    rewriting: Rewriting,
    headers: list[Header],
) -> None:
    """Answer with HTML: rewritten, if it is short enough to be held."""
    parts, length = [], 0
    chunks = connection.chunks()
    async for chunk in chunks:
        parts.append(chunk)
        length += len(chunk)
        if length > HTML_BYTES_MAX:
            break
    body = b"".join(parts)
    if length <= HTML_BYTES_MAX:
        encoding = head.value(b"content-encoding")
        page = await asyncio.to_thread(rewriting.html, body, encoding)
        body = body if page is None else page
        headers = [one for one in headers if one[0] != b"content-length"]
        if exchange.method != "HEAD" and head.code not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
    await exchange.start_as(head.code, headers)
    await exchange.write(body)
    if length > HTML_BYTES_MAX:
        async for chunk in chunks:
            await exchange.write(chunk)
    await exchange.finish()


async def pass_upgrade_on(exchange: Exchange, backends: Backends, onward: Onward) -> None:
    """Pass a request for an upgrade on; if it is granted, both sides' bytes until one ends.

    Raises:
        BackendFailed: the backend has not answered; the client hears it otherwise.
        ClientGone: it has gone.
    """
    connection, head = await open_upgrade(exchange, backends, onward)
    assert exchange.connection is not None
    if connection.upgraded is None:
        await refuse_upgrade(exchange, connection, head)
        return
    client = TakenOver(exchange.connection)
    exchange.code = head.code
    lines = [b"HTTP/1.1 %d %b" % (head.code, head.reason)]
    lines += [b"%b: %b" % header for header in head.headers]
    try:
        client.writer.write(b"\r\n".join([*lines, b"", b""]) + connection.upgraded)
        await until_one_ends(
            pump(client.reader, connection.writer), pump(connection.reader, client.writer)
        )
    finally:
        client.close()
        close_soon(connection.writer)


async def open_upgrade(
    exchange: Exchange, backends: Backends, onward: Onward
) -> tuple[BackendConnection, Head]:
    """Ask a backend for an upgrade; return its connection, and how its answer begins.

    Raises:
        BackendFailed, ClientGone: as `pass_upgrade_on`.
    """
    client = exchange.connection
    assert client is not None, "an upgrade has a connection to be upgraded"
    try:
        connection = await backends.dial(onward.address)
    except BackendFailed as error:
        exchange.check_client()
        raise BackendFailed(f"error dialing backend: {error}") from error
    forget = client.when_gone(connection.abort)
    keep_alive(connection.writer)
    try:
        await connection.send(
            _method(exchange, onward), request_head(exchange, onward, upgrade=True)
        )
        head = await connection.head()
        exchange.check_client()
        if head.code < 400 and connection.upgraded is None:
            raise BackendFailed(f"invalid upgrade response: status code {head.code}")
    except BaseException:
        connection.abort()
        exchange.check_client()
        raise
    finally:
        forget()
    return connection, head


async def refuse_upgrade(exchange: Exchange, connection: BackendConnection, head: Head) -> None:
    """Pass on why the backend grants none, and end its connection."""
    try:
        await _answer(exchange, connection, head, None)
    except BackendFailed as error:
        if exchange.code == 0:
            raise
        exchange.abort()
        raise ClientGone from error
    finally:
        connection.abort()


def request_head(exchange: Exchange, onward: Onward, *, upgrade: bool = False) -> bytes:
    """Return the head of a request to a backend."""
    headers = exchange.scope["headers"]
    dropped = _HOP_BY_HOP | _OURS | _listed(headers)
    added = {name.lower() for name, _ in onward.headers}
    host = onward.host if onward.host is not None else first_header(exchange, b"host")
    lines = [
        b"%b %b HTTP/1.1" % (_method(exchange, onward), onward.target),
        b"Host: " + (host or onward.address.authority.encode()),
    ]
    begins = (*_IDENTITY, onward.without) if onward.without else _IDENTITY
    lines += [
        b"%b: %b" % (name, value)
        for name, value in headers
        if name not in dropped and name not in added and not name.startswith(begins)
    ]
    forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
    if client := exchange.scope.get("client"):
        forwarded.append(str(client[0]).encode())
    if forwarded:
        lines.append(b"X-Forwarded-For: " + b", ".join(forwarded))
    lines += [b"%b: %b" % header for header in onward.headers]
    if upgrade:
        lines.append(b"Connection: Upgrade")
        if b"upgrade" not in added:
            lines.append(b"Upgrade: " + first_header(exchange, b"upgrade"))
    elif _has_body(exchange) and not first_header(exchange, b"content-length"):
        lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([*lines, b"", b""])


def answer_headers(head: Head, rewriting: Rewriting | None) -> list[Header]:
    """Return the headers of an answer for the client."""
    dropped = _HOP_BY_HOP | _listed(head.headers)
    if rewriting is not None:
        dropped |= _NOT_FOR_READERS
    if head.code in (204, 304):
        dropped |= {b"content-length"}  # there is no body that it could be the length of
    found = [(b"cache-control", b"no-cache, private")]
    for name, value in head.headers:
        key = name.lower()
        if key in dropped or _BAD_NAME.search(name) or _BAD_VALUE.search(value):
            continue
        if key == b"location" and rewriting is not None:
            location = rewriting.url(value.decode("latin-1"))
            found.append((key, location.encode("latin-1", "replace")))
        else:
            found.append((key, value))
    return found


def _listed(headers: Sequence[Header]) -> frozenset[bytes]:
    """Return the headers that Connection headers name: they end here as well."""
    return frozenset(
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    )


def _method(exchange: Exchange, onward: Onward) -> bytes:
    return onward.method or exchange.method.encode()


def _has_body(exchange: Exchange) -> bool:
    length = first_header(exchange, b"content-length")
    return (length not in (b"", b"0")) or bool(first_header(exchange, b"transfer-encoding"))


def _is_html(head: Head) -> bool:
    kind = head.value(b"content-type").split(b";", 1)[0].strip()
    return kind == b"text/html" and not head.value(b"location")

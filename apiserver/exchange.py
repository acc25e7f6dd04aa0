"""One request and its answer: what the verbs see of HTTP.

An `Exchange` wraps an ASGI call. Headers are picked once, the query is parsed once for each
distinct text, the body is read up to a limit, and answers are written whole or as a stream.
Under our own protocol class (apiserver.protocol) whole answers take its short cut; under any other
ASGI server they go through `send`.
"""

from __future__ import annotations

import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    MutableMapping,
    Sequence,
)
from typing import Any, Final, Protocol, TypeAlias

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from apiserver import cycle as cycles
from apiserver import protocol
from apiserver.aside import LARGE_BYTES
from apiserver.compression import (
    GZIP_BYTES_MIN,
    GZIP_HEADERS,
    accepts_gzip,
    gzip_batch,
    gzip_whole,
)
from apiserver.query import Query as Query  # noqa: PLC0414 - verbs take it from here
from apiserver.query import parse_query
from apiserver.warning_headers import warning_headers
from kube import status as st
from kube.media import MediaType
from kube.text_cache import LARGE_BODY_BYTES, note_large_body

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON_TYPE: Final = b"application/json"
DISCARDED_BYTES_MAX: Final = 16 << 20
"""So much of a body over the limit is read and dropped: most clients look for an answer only when
they have sent all, and would find a reset connection in place of the 413."""
_NO_QUERY: Final[Query] = {}
_HEADERS: Final = frozenset(
    {b"accept", b"content-type", b"authorization", b"user-agent", b"accept-encoding"}
)
_CACHE_HEAD: Final = b"cache-control: no-cache, private\r\n"


class ClientGone(Exception):
    """The client closed the connection before its request was whole: there is nobody to answer."""


class Caller(Protocol):
    """On whose behalf a verb runs: a request, or the server itself."""

    user: Any
    user_agent: bytes

    @property
    def is_large(self) -> bool:
        """Whether the object is so large that others must not wait while it is looked at."""
        ...

    def warn(self, text: str) -> None:
        """Take a warning for the client."""
        ...

    def annotate(self, key: str, value: str) -> None:
        """Take an annotation for the request's audit events."""
        ...


class Exchange:
    """A request being answered.

    Attributes:
        method, path: of the request; the path is percent-decoded.
        accept, content_type, authorization, user_agent, accept_encoding: header values or b"";
            of several with one name the first counts, as in Go, but Accepts are joined.
        impersonation: Impersonate-… headers, names shortened by that, in their order.
        user: who asks, set by authentication.
        asker: who asks in the name of `user`, None where that is the same.
        media: what its Accept asks for, once that was looked at.
        asked: what for, as authorization sees it; None before that is known.
        impersonating: the attempt to ask in somebody else's name, None where there is none.
        is_large: whether the body that was read is (apiserver.aside).
        warnings: texts for Warning headers, in order, without repeats.
        annotations: for the request's audit events.
        gzips_parts: whether each part of a streamed answer is compressed by itself.
        flow_head: header lines of every answer that name its flow (apiserver.fairness).
        when_settled: told once a watch has sent what it begins with.
        code: status code once an answer has started, else 0.
        sent_bytes: body bytes written so far.
    """

    __slots__ = (
        "_query",
        "_receive",
        "_send",
        "accept",
        "accept_encoding",
        "annotations",
        "asked",
        "asker",
        "authorization",
        "body_bytes_max",
        "code",
        "content_type",
        "flow_head",
        "gzips_parts",
        "headers",
        "impersonating",
        "impersonation",
        "is_large",
        "media",
        "method",
        "path",
        "scope",
        "sent_bytes",
        "user",
        "user_agent",
        "warnings",
        "when_settled",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, body_bytes_max: int) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.body_bytes_max = body_bytes_max
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self._query: Query | None = None
        self.accept = self.content_type = self.authorization = b""
        self.user_agent = self.accept_encoding = b""
        self.user: Any = None
        self.asker: Any = None
        self.media: MediaType | None = None
        self.asked: Any = None
        self.impersonating: Any = None
        self.is_large = self.gzips_parts = False
        self.impersonation: Sequence[tuple[bytes, bytes]] = ()
        self.warnings: list[str] = []
        self.annotations: dict[str, str] | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.flow_head = b""
        self.when_settled: Callable[[], None] | None = None
        self.code = 0
        self.sent_bytes = 0
        for name, value in scope["headers"]:
            if name not in _HEADERS and not name.startswith(b"impersonate-"):
                continue
            if name == b"accept":
                self.accept = self.accept + b"," + value if self.accept else value
            elif name == b"content-type":
                self.content_type = self.content_type or value
            elif name == b"authorization":
                self.authorization = self.authorization or value
            elif name == b"user-agent":
                self.user_agent = value
            elif name == b"accept-encoding":
                self.accept_encoding = self.accept_encoding or value
            else:
                self.impersonation = [*self.impersonation, (name[12:], value)]

    @property
    def query(self) -> Query:
        """The query's values by name."""
        if self._query is None:
            raw = self.scope["query_string"]
            self._query = parse_query(raw) if raw else _NO_QUERY
        return self._query

    def parameter(self, name: str) -> str:
        """Return the first value of a query parameter, "" if it is not given."""
        values = self.query.get(name)
        return values[0] if values else ""

    @property
    def connection(self) -> protocol.ApiProtocol | None:
        """Our protocol object, None under another ASGI server."""
        extensions = self.scope.get("extensions")
        found: protocol.ApiProtocol | None = (
            extensions.get(protocol.PROTOCOL_KEY) if extensions else None
        )
        return found

    def check_client(self) -> None:
        """Go on only if there is somebody to answer: long work that writes nothing asks at times.

        Raises:
            ClientGone: there is not.
        """
        connection = self.connection
        if connection is not None and connection.is_lost:
            raise ClientGone

    def body_at_hand(self) -> bytes | None:
        """Return the whole body if it has come already; None: `body` waits for it.

        Raises:
            StatusError: 413 when it is over the limit.
        """
        cycle = getattr(self._receive, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle):
            return None
        whole = cycles.whole_body(cycle)
        if whole is not None:
            if len(whole) > self.body_bytes_max:
                raise self._too_large()
            if len(whole) > LARGE_BODY_BYTES:
                self._note_large(len(whole))
        return whole

    async def body(self) -> bytes:
        """Read the whole body.

        Raises:
            StatusError: 413 when it is over the limit; little of the rest is read.
            ClientGone: the connection closed before the body was whole.
        """
        whole = self.body_at_hand()
        if whole is not None:
            return whole
        body = await self._body_in_parts()
        if len(body) > LARGE_BODY_BYTES:
            self._note_large(len(body))
        return body

    def _note_large(self, length: int) -> None:
        note_large_body(length)
        self.is_large = length > LARGE_BYTES

    async def _body_in_parts(self) -> bytes:
        message = await self._receive()
        if message["type"] != "http.request":
            raise ClientGone
        body: bytes = message["body"]
        if not message.get("more_body"):
            if len(body) > self.body_bytes_max:
                raise self._too_large()
            return body
        chunks = [body]
        total = len(body)
        while message.get("more_body"):
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            total += len(message["body"])
            if total <= self.body_bytes_max:
                chunks.append(message["body"])
            elif total > self.body_bytes_max + DISCARDED_BYTES_MAX:
                break
        if total > self.body_bytes_max:
            raise self._too_large()
        return b"".join(chunks)

    async def body_parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, however long it is.

        Raises:
            ClientGone: the connection closed before the body was whole.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGone
            more = message.get("more_body", False)
            if message["body"]:
                yield message["body"]

    def _too_large(self) -> st.StatusError:
        # What is left of the body would be read as the next request: close after the answer.
        self.headers.append((b"connection", b"close"))
        return st.too_large(f"limit is {self.body_bytes_max}")

    def warn(self, text: str) -> None:
        """Add a Warning header to the answer, once for each text."""
        if text not in self.warnings:
            self.warnings.append(text)

    def annotate(self, key: str, value: str) -> None:
        """Add an annotation to the request's audit events; what is there already stays."""
        if self.annotations is None:
            self.annotations = {}
        self.annotations.setdefault(key, value)

    def settled(self) -> None:
        """Say that what follows comes as it happens: a watch has sent what it begins with."""
        told, self.when_settled = self.when_settled, None
        if told is not None:
            told()

    def naming_flow(self, send: Send) -> Send:
        """Return a `send` for an app behind that adds the headers that name the flow."""
        added = self._flow_headers()

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        return sending

    def _flow_headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.flow_head.split(b"\r\n")[:-1]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def _extra_headers(self) -> list[tuple[bytes, bytes]]:
        self.headers.extend(warning_headers(self.warnings))
        return self.headers

    async def respond(
        self, code: int, body: bytes, content_type: bytes = JSON_TYPE, end: bytes = b""
    ) -> None:
        """Write a whole answer, `body` and then `end`; compressed if it is large."""
        size_bytes = len(body) + len(end)
        if size_bytes > GZIP_BYTES_MIN and accepts_gzip(self.accept_encoding):
            body, end = await gzip_whole(body + end), b""
            self.headers.extend(GZIP_HEADERS)
            size_bytes = len(body)
        # Not before: a time limit may end the compression, and then another answer is due.
        self.code, self.sent_bytes = code, size_bytes
        cycle = getattr(self._send, "__self__", None)
        extra: Sequence[tuple[bytes, bytes]] = ()
        head = b"content-type: %b\r\n%b%b" % (content_type, _CACHE_HEAD, self.flow_head)
        closing = False
        if self.warnings or self.headers:
            extra = self._extra_headers()
            closing = any(name == b"connection" for name, _ in extra)
            head += b"".join([b"%b: %b\r\n" % header for header in extra])
        if (
            isinstance(cycle, RequestResponseCycle)
            and not closing
            and cycles.respond(cycle, code, head, body, end)
        ):
            return
        headers = [
            (b"content-type", content_type),
            (b"cache-control", b"no-cache, private"),
            (b"content-length", b"%d" % self.sent_bytes),
            *self._flow_headers(),
            *extra,
        ]
        await self._send({"type": "http.response.start", "status": code, "headers": headers})
        await self._send({"type": "http.response.body", "body": body + end})

    async def respond_empty(self) -> None:
        """Write an answer without content (204)."""
        self.code = 204
        headers = self._flow_headers()
        if self.warnings or self.headers:
            headers += self._extra_headers()
        await self._send({"type": "http.response.start", "status": 204, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    async def start(self, code: int, content_type: bytes, *, gzips_parts: bool = False) -> None:
        """Begin a streamed answer; with `gzips_parts` compressed, if the client takes that.

        Each part is compressed by itself then, so that a reader has all of it when it has come;
        what was framed before has to be already.
        """
        if gzips_parts and accepts_gzip(self.accept_encoding):
            self.gzips_parts = True
            self.headers.extend(GZIP_HEADERS)
        headers = [(b"content-type", content_type), (b"cache-control", b"no-cache, private")]
        await self.start_as(code, headers)

    async def start_as(self, code: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin a streamed answer with headers that somebody else has made.

        Its length, if it is among them, must be that of what follows.
        """
        self.code = code
        sent = [*headers, *self._flow_headers()]
        if self.warnings or self.headers:
            sent += self._extra_headers()
        cycle = getattr(self._send, "__self__", None)
        if (
            self.scope["http_version"] == "1.0"
            and isinstance(cycle, RequestResponseCycle)
            and not any(name == b"content-length" for name, _ in headers)
        ):
            # No chunks there: the end of the connection is the end of the answer.
            cycle.chunked_encoding = False
            cycle.expected_content_length = sys.maxsize
        await self._send({"type": "http.response.start", "status": code, "headers": sent})

    async def write(self, chunk: bytes) -> None:
        """Write a part of a streamed answer, waiting while the client is slow.

        Raises:
            ClientGone: the client has gone, or its connection was cut as it took nothing.
        """
        if chunk:
            part = gzip_batch(chunk) if self.gzips_parts else chunk
            await self.write_framed(cycles.frame(part))

    async def write_framed(self, framed: bytes) -> None:
        """Write a part of a streamed answer that was framed before (`cycle.frame`).

        Many watches that send the same share the bytes.

        Raises:
            ClientGone: as `write`.
        """
        if self.takes_more:
            self.write_at_once(framed)
        else:
            await self._write_slowly(cycles.unframe(framed))

    @property
    def takes_more(self) -> bool:
        """Whether a part of a streamed answer can be written without waiting for the client."""
        cycle = getattr(self._send, "__self__", None)
        return isinstance(cycle, RequestResponseCycle) and cycles.takes_framed(cycle)

    def write_at_once(self, framed: bytes) -> None:
        """Write as `write_framed`, when `takes_more` says so."""
        self.sent_bytes += len(framed)
        self._send.__self__.transport.write(framed)  # type: ignore[attr-defined]

    async def _write_slowly(self, chunk: bytes) -> None:
        self.sent_bytes += len(chunk)
        message = {"type": "http.response.body", "body": chunk, "more_body": True}
        cycle = getattr(self._send, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle):
            await self._send(message)
            return
        await self._send(message)
        if cycle.disconnected:
            raise ClientGone

    async def end_with(self, body: bytes) -> None:
        """Write all of an answer that was begun with its length, and end it."""
        self.sent_bytes += len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def finish(self) -> None:
        """End a streamed answer."""
        cycle = getattr(self._send, "__self__", None)
        if isinstance(cycle, RequestResponseCycle) and not cycle.chunked_encoding:
            cycle.expected_content_length = 0
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Cut the connection: the only way to say that a streamed answer is not whole.

        What is buffered is dropped: a client that does not read would keep it in memory.
        """
        connection = self.connection
        if connection is not None:
            connection.cut()

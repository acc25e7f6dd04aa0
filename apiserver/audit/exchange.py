"""A request on record: an Exchange that keeps what it reads and writes, for the auditor."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from apiserver.exchange import JSON_TYPE, Exchange, Receive, Scope, Send


class AuditedExchange(Exchange):
    """See the module's head.

    Attributes:
        record: what the auditor knows of it, None before its user is known.
        request_body, response_body: as they went over the wire; None where there was none, or it
            came in parts.
        answer_code: of an answer that an app behind has given.
        when_known: told when its user is known.
        when_started: told when a streamed answer begins.
    """

    __slots__ = (
        "_user",
        "answer_code",
        "record",
        "request_body",
        "response_body",
        "when_known",
        "when_started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, body_bytes_max: int) -> None:
        self.when_known: Callable[[AuditedExchange], None] | None = None
        super().__init__(scope, receive, send, body_bytes_max)
        self.record: Any = None
        self.request_body: bytes | None = None
        self.response_body: bytes | None = None
        self.answer_code = 0
        self.when_started: Callable[[], None] | None = None

    @property
    def user(self) -> Any:
        """See Exchange."""
        return self._user

    @user.setter
    def user(self, user: Any) -> None:
        self._user = user
        if user is not None and self.when_known is not None:
            self.when_known(self)

    def body_at_hand(self) -> bytes | None:
        """See Exchange."""
        self.request_body = super().body_at_hand()
        return self.request_body

    async def body(self) -> bytes:
        """See Exchange."""
        self.request_body = await super().body()
        return self.request_body

    async def respond(
        self, code: int, body: bytes, content_type: bytes = JSON_TYPE, end: bytes = b""
    ) -> None:
        """See Exchange."""
        if content_type.startswith(JSON_TYPE):
            self.response_body = body + end
        await super().respond(code, body, content_type, end)

    async def start_as(self, code: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """See Exchange."""
        await super().start_as(code, headers)
        if self.when_started is not None:
            self.when_started()

    def naming_flow(self, send: Send) -> Send:
        """See Exchange."""
        sending = super().naming_flow(send)

        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.answer_code = message["status"]
            await sending(message)

        return noting

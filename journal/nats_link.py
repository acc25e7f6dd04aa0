"""One connection to one NATS server: publishing without waiting, answers, and JetStream's API.

Publishes are queued and sent by one task in their order. Their answers come to one subscription and
are handed on by number. A link is never mended: when it is lost, the engine makes another, to the
next server, and sends again what is unanswered.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from journal.errors import JournalError

_log = logging.getLogger(__name__)

CONNECT_SECONDS_MAX: Final = 5
CLOSE_SECONDS_MAX: Final = 1.0
API_SECONDS_MAX: Final = 2.0
PING_SECONDS: Final = 2
_NOT_FOUND: Final = 404
OnAnswer = Callable[[int, Msg], None]
OnMessage = Callable[[Msg], Awaitable[None]]


class Unreachable(Exception):
    """Nobody answers, or nobody can now: to be tried again."""


class ApiRefusal(JournalError):
    """JetStream has refused a request.

    Attributes:
        status: as of HTTP.
        reason: JetStream's own number.
    """

    def __init__(self, status: int, reason: int, text: str) -> None:
        super().__init__(f"JetStream answers {status}: {text} ({reason})")
        self.status = status
        self.reason = reason


class _NkeyClient(Client):
    """Knows its public key without the package that nats-py would read a seed with."""

    def __init__(self, public_nkey: str | None) -> None:
        super().__init__()
        self._public_nkey = public_nkey


class NatsLink:
    """A connection; `lost` is done, with the reason, when it is of no more use."""

    def __init__(self, client: Client, on_answer: OnAnswer) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.max_payload_bytes = 0
        self.place = ""
        self._problem = ""
        self._client = client
        self._on_answer = on_answer
        self._inbox = ""
        self._outgoing: deque[tuple[str, bytes, int, dict[str, str]]] = deque()
        self._wake = asyncio.Event()

    @classmethod
    async def connect(cls, arguments: dict[str, Any], on_answer: OnAnswer) -> NatsLink:
        """Connect.

        Args:
            arguments: those of nats-py, and `public_nkey`.
            on_answer: hears of each answer to a publish, with its number.

        Raises:
            Unreachable: there is no connection.
        """
        client = _NkeyClient(arguments.pop("public_nkey", None))
        link = cls(client, on_answer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await client.connect(
                    name="ultraplane",
                    allow_reconnect=False,
                    # Without these it would try a server that is not there again and again.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=CONNECT_SECONDS_MAX,
                    ping_interval=PING_SECONDS,
                    error_cb=link._on_error,
                    closed_cb=link._on_closed,
                    **arguments,
                )
                link._inbox = client.new_inbox()
                await client.subscribe(f"{link._inbox}.*", cb=link._on_reply)
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            await link.close()
            raise Unreachable(link._problem or str(error) or type(error).__name__) from error
        except BaseException:
            await link.close()
            raise
        link.max_payload_bytes = client.max_payload
        found = client.connected_url
        link.place = f"{found.hostname}:{found.port}" if found is not None else "?"
        return link

    async def run_writer(self) -> None:
        """Send what is published, in its order, until the link is lost."""
        outgoing, publish = self._outgoing, self._client.publish
        while not self.lost.done():
            stay_cancelled()
            await self._wake.wait()
            self._wake.clear()
            while outgoing:
                subject, payload, number, headers = outgoing.popleft()
                try:
                    reply = f"{self._inbox}.{number}" if number else ""
                    await publish(subject, payload, reply, headers)
                except (nats.errors.Error, OSError) as error:
                    self.lose(str(error))
                    return

    def publish(self, subject: str, payload: bytes, number: int, headers: dict[str, str]) -> None:
        """Send a message whose answer comes with `number`, 0: none is wanted.

        Whoever calls bounds what is unsent.
        """
        self._outgoing.append((subject, payload, number, headers))
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """Whether all that was published has been handed to the connection."""
        return not self._outgoing

    async def api(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return JetStream's answer to a request of its API.

        Raises:
            ApiRefusal: it is refused. Unreachable: nobody answers.
        """
        return await self._ask(f"$JS.API.{subject}", orjson.dumps(body))

    async def store(self, subject: str, payload: bytes) -> int:
        """Publish one message outside the queue; return its JetStream sequence once it is stored.

        Raises:
            ApiRefusal: it is refused. Unreachable: nobody answers.
        """
        return int((await self._ask(subject, payload))["seq"])

    async def _ask(self, subject: str, payload: bytes) -> dict[str, Any]:
        try:
            answer = await self._client.request(subject, payload, timeout=API_SECONDS_MAX)
            stay_cancelled()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            stay_cancelled()
            raise Unreachable(f"{subject}: {error or 'no answer'}") from error
        try:
            found: dict[str, Any] = orjson.loads(answer.data)
        except orjson.JSONDecodeError as error:
            raise Unreachable(f"{subject}: not an answer of JetStream") from error
        refusal = found.get("error")
        if refusal is not None:
            status, text = refusal.get("code", 0), refusal.get("description", "")
            if status == 503:
                raise Unreachable(f"{subject}: {text}")
            raise ApiRefusal(status, refusal.get("err_code", 0), text)
        return found

    async def subscribe(self, on_message: OnMessage) -> tuple[str, Subscription]:
        """Return a new inbox, and the subscription to it.

        Raises:
            Unreachable: the link is lost.
        """
        inbox = self._client.new_inbox()
        try:
            subscription = await self._client.subscribe(inbox, cb=on_message)
        except (nats.errors.Error, OSError) as error:
            stay_cancelled()
            raise Unreachable(str(error)) from error
        return inbox, subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription, if the link still lives."""
        try:
            await subscription.unsubscribe()
        except (nats.errors.Error, OSError) as error:
            _log.debug("unsubscribing: %s", error)

    async def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Send a message of core NATS.

        Raises:
            Unreachable: the link is lost.
        """
        try:
            await self._client.publish(subject, payload, reply)
            stay_cancelled()
        except (nats.errors.Error, OSError) as error:
            stay_cancelled()
            raise Unreachable(str(error)) from error

    def lose(self, reason: str) -> None:
        """Give the link up."""
        if not self.lost.done():
            self.lost.set_result(reason)
            self._wake.set()

    async def close(self) -> None:
        """Hang up."""
        self.lose("closed")
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._client.close()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            _log.debug("closing the connection to NATS: %s", error)

    async def _on_reply(self, message: Msg) -> None:
        number = message.subject.rpartition(".")[2]
        if number.isdigit():
            self._on_answer(int(number), message)

    async def _on_error(self, error: Exception) -> None:
        if self.place:
            _log.warning("NATS at %s: %s", self.place, error)
        else:
            self._problem = str(error)

    async def _on_closed(self) -> None:
        self.lose(str(self._client.last_error or "hung up"))


def stay_cancelled() -> None:
    """Raise a cancellation that nats-py has swallowed (its flushes do), or made an error of."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def is_missing(error: ApiRefusal) -> bool:
    """Whether what was asked for does not exist."""
    return error.status == _NOT_FOUND

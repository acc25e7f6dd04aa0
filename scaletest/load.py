"""Many small writes at once: as many connections as are told, each with one request at a time.

A write whose answer is lost may have been carried out; it is sent again, and that it is there (or
gone) already is then no error. What the server refuses for the moment (429, 503) is sent again
after the pause it asks for. Everything else is an error, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from kube.access import Access
from kube.client import JSON, Unreachable
from kube.pipe import Answer, Pipe
from runtime.clock import Clock
from runtime.tasks import TaskScope

USER_AGENT: Final = "scaletest/ultraplane"
_ATTEMPTS_MAX: Final = 8
_PAUSE_S: Final = 0.2
_PAUSE_S_MAX: Final = 5.0
_AGAIN: Final = frozenset({429, 503})
_FINE: Final = {"POST": frozenset({409}), "DELETE": frozenset({404})}
_TEXT_MAX: Final = 200


class Write(NamedTuple):
    """One request."""

    method: str
    path: str
    body: bytes = b""


class Errors:
    """What went wrong, by what it was, and how often: a run of hours must not keep each.

    Attributes:
        counts: how often, by text; at most KINDS_MAX texts, the rest under "others".
        deliberate: refusals of the kind that asks to come again (429); no errors.
    """

    KINDS_MAX: Final = 50

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.deliberate = 0

    def add(self, text: str) -> None:
        """Count one."""
        if text not in self.counts and len(self.counts) >= self.KINDS_MAX:
            text = "others"
        self.counts[text] += 1

    @property
    def total(self) -> int:
        """How many there were."""
        return self.counts.total()


class Load:
    """See the module's head.

    Args of the constructor:
        access: how to reach the server.
        clock: for pauses.
        errors: where failures are counted.
        connections: how many write at once.
    """

    def __init__(self, access: Access, clock: Clock, errors: Errors, connections: int) -> None:
        self._access = access
        self._clock = clock
        self._errors = errors
        self._connections = connections

    async def send(self, writes: Iterator[Write], on_done: Callable[[int], None]) -> int:
        """Send all; return how many were carried out.

        Args:
            writes: is asked for the next one when a connection is free.
            on_done: is told how many are done, after each.
        """
        done = 0

        async def run() -> None:
            nonlocal done
            pipe = Pipe(self._access, USER_AGENT)
            try:
                for write in writes:
                    if await self._send(pipe, write):
                        done += 1
                        on_done(done)
            finally:
                pipe.close()

        async with TaskScope("load") as scope:
            for number in range(self._connections):
                scope.spawn(run(), name=f"connection {number}")
        return done

    async def _send(self, pipe: Pipe, write: Write) -> bool:
        fault, pause_s = "", _PAUSE_S
        for _ in range(_ATTEMPTS_MAX):
            try:
                answer = await pipe.request(write.method, write.path, write.body, JSON)
            except Unreachable as error:
                fault = f"{write.method}: {error}"
            else:
                if answer.code < 400 or answer.code in _FINE.get(write.method, ()):
                    return True
                fault = _fault(write, answer)
                if answer.code not in _AGAIN:
                    break
                self._errors.deliberate += answer.code == 429
                pause_s = max(pause_s, min(answer.retry_after_s, _PAUSE_S_MAX))
            await self._clock.sleep(pause_s)
            pause_s = min(_PAUSE_S_MAX, pause_s * 2)
        self._errors.add(fault)
        return False


def _fault(write: Write, answer: Answer) -> str:
    # Names differ from object to object: what they have in common says more than a thousand lines.
    kind = write.path.rstrip("/").rpartition("/")[2] if write.method == "POST" else write.path
    text = answer.body[:_TEXT_MAX].decode(errors="replace")
    return f"{write.method} {kind}: {answer.code} {text}"

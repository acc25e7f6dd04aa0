"""What simulated containers log: what their commands print, or else a line when they start, one
every ten seconds, and one at their end.

A log follows from the container and its time alone, so none is kept: it is made when it is read.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from controllers.fleet.containers import Container, State
from controllers.fleet.pod_life import Pod
from controllers.fleet.scripts import Process, Script
from kube import times
from runtime.clock import Clock

BEAT_S: Final = 10.0
LINES_MAX: Final = 10_000
"""What is older has been rotated away."""
_BYTES_MAX: Final = 4 << 20
_ROUNDS_MAX: Final = 1000
"""Of a loop that repeats itself at most so many rounds are run to show what they print."""
_STEPS: Final = 300
_FOLLOW_S: Final = 1.0
_FOLLOW_S_MIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class Options:
    """What of a log is asked for; None: all."""

    tail: int | None = None
    since_s: float = 0.0
    limit_bytes: int | None = None
    has_times: bool = False


class Log(Protocol):
    """What a run of a container has logged."""

    def first(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """Yield what there is of what is asked for."""
        ...

    def more(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """Yield what has been added since."""
        ...

    def next_s(self, now_s: float) -> float:
        """Return when more is added, at the earliest; infinite: never."""
        ...

    def end(self, one: Container) -> None:
        """Take note that the run has ended."""
        ...


def log_of(pod: Pod, one: Container, *, previous: bool = False) -> Log:
    """Return the log of a container's run, or of that before."""
    span = _span(one, previous=previous)
    if one.script is not None:
        return ScriptLog(one.script, span)
    return BeatLog(pod, one, span)


class Span(NamedTuple):
    """A run of a container: when it began and ended (infinite: it has not), how, and its number."""

    started_s: float
    ended_s: float
    code: int | None
    number: int


def _span(one: Container, *, previous: bool) -> Span:
    ended = one.ended
    if ended is None or (one.state is State.RUNNING and not previous):
        return Span(one.started_s, math.inf, None, one.restarts)
    return Span(ended.started_s, ended.finished_s, ended.code, ended.number)


async def follow(
    log: Log, pod: Pod, one: Container, clock: Clock, options: Options
) -> AsyncIterator[bytes]:
    """Yield lines as they are written until the container ends, and now and then an empty one."""
    number = one.restarts
    while not pod.is_gone:
        is_over = one.state is not State.RUNNING or one.restarts != number
        if is_over:
            log.end(one)
        now_s = clock.now_s()
        async for line in log.more(now_s, options):
            yield line
        if is_over:
            return
        # Whoever reads can see whether its client is still there.
        yield b""
        await clock.sleep(min(_FOLLOW_S, max(_FOLLOW_S_MIN, log.next_s(now_s) - now_s)))


def _ended(span: Span, one: Container) -> Span:
    """Return a run's span with its end, if that is still known."""
    found = _span(one, previous=True)
    return found if found.number == span.number else span


def _stamped(at_s: float, text: bytes) -> bytes:
    return f"{times.format_micros(int(at_s * 1e6))[:-1]}000Z ".encode() + text


def _chosen(lines: list[tuple[float, bytes]], options: Options) -> Iterator[bytes]:
    """Yield of all lines those that are asked for."""
    if options.since_s:
        lines = [one for one in lines if one[0] >= options.since_s]
    if options.tail is not None:
        lines = lines[-options.tail :] if options.tail else []
    left = options.limit_bytes
    for at_s, text in lines:
        line = _stamped(at_s, text) if options.has_times else text
        if left is not None:
            line = line[:left]
            left -= len(line)
        yield line
        if left == 0:
            return


class ScriptLog:
    """What a container's command prints."""

    def __init__(self, script: Script, span: Span) -> None:
        self._span = span
        self._lines: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._partial = b""
        self._process: Process = script.process(span.started_s, self._take)

    async def first(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """See Log."""
        for line in _chosen(await self._new(now_s), options):
            yield line

    async def more(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """See Log."""
        for at_s, text in await self._new(now_s):
            yield _stamped(at_s, text) if options.has_times else text

    def next_s(self, now_s: float) -> float:
        """See Log."""
        return max(now_s, min(self._span.started_s + self._process.next_s, self._span.ended_s))

    def end(self, one: Container) -> None:
        """See Log."""
        self._span = _ended(self._span, one)

    def _take(self, data: bytes) -> None:
        *whole, self._partial = (self._partial + data).split(b"\n")
        at_s = self._span.started_s + self._process.machine.elapsed_s
        for text in whole:
            self._add(at_s, text + b"\n")

    def _add(self, at_s: float, text: bytes) -> None:
        self._lines.append((at_s, text))
        self._size += len(text)
        while self._size > _BYTES_MAX or len(self._lines) > LINES_MAX:
            self._size -= len(self._lines.popleft()[1])

    async def _new(self, now_s: float) -> list[tuple[float, bytes]]:
        """Follow the command up to now; return the lines it has printed since the last time."""
        span, process = self._span, self._process
        until_s = min(now_s, span.ended_s) - span.started_s
        was_known = not process.unknown
        is_there = process.advance(until_s, _STEPS, _ROUNDS_MAX)
        while not is_there:
            await asyncio.sleep(0)
            is_there = process.advance(until_s, _STEPS, _ROUNDS_MAX)
        at_s = span.started_s + process.machine.elapsed_s
        if self._partial:
            self._add(at_s, self._partial)
            self._partial = b""
        if process.unknown and was_known:
            text = f"{process.unknown}: this is not simulated, and the container runs on\n"
            self._add(at_s, text.encode())
        found = list(self._lines)
        self._lines.clear()
        self._size = 0
        return found


class BeatLog:
    """A log of which each line follows from its number."""

    def __init__(self, pod: Pod, one: Container, span: Span) -> None:
        self._span = span
        self._message = pod.life.message
        self._image = one.shape.image
        self._head = f"{one.shape.name} of {pod.key}, run {span.number}"
        self._told = 0

    async def first(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """See Log."""
        count = self._count(now_s)
        first = max(0, count - LINES_MAX)
        if options.since_s > self._span.started_s:
            first = max(first, math.ceil((options.since_s - self._span.started_s) / BEAT_S))
        if options.tail is not None:
            first = max(first, count - options.tail)
        self._told = count
        for line in _chosen([self._line(one, now_s) for one in range(first, count)], options):
            yield line

    async def more(self, now_s: float, options: Options) -> AsyncIterator[bytes]:
        """See Log."""
        told, self._told = self._told, self._count(now_s)
        for number in range(told, self._told):
            at_s, text = self._line(number, now_s)
            yield _stamped(at_s, text) if options.has_times else text

    def next_s(self, now_s: float) -> float:
        """See Log."""
        beats = int(max(0.0, now_s - self._span.started_s) // BEAT_S) + 1
        return min(self._span.started_s + beats * BEAT_S, self._span.ended_s)

    def end(self, one: Container) -> None:
        """See Log."""
        self._span = _ended(self._span, one)

    def _count(self, now_s: float) -> int:
        last_s = min(now_s, self._span.ended_s)
        beats = int(max(0.0, last_s - self._span.started_s) // BEAT_S) + 1
        return beats + (self._span.code is not None)

    def _line(self, number: int, now_s: float) -> tuple[float, bytes]:
        """Return a line by its number, and when it is written."""
        code, at_s = self._span.code, self._span.started_s + number * BEAT_S
        if code is not None and number == self._count(now_s) - 1:
            at_s = self._span.ended_s
            text = f"{self._head}: exits with code {code} {self._message}".rstrip()
        elif number == 0:
            text = f"{self._head}: started from {self._image}"
        else:
            text = f"{self._head}: alive for {number * BEAT_S:.0f} s"
        return at_s, f"{text}\n".encode()

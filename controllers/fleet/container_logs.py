"""What simulated containers log: a line when they start, one every ten seconds, one at their end.

A line follows from the container and its time alone, so any part of a log can be made at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controllers.fleet.containers import Container, State
from controllers.fleet.pod_life import Pod
from kube import times

BEAT_S: Final = 10.0
LINES_MAX: Final = 10_000
"""What is older has been rotated away."""


@dataclass(frozen=True, slots=True)
class Options:
    """What of a log is asked for; None: all."""

    tail: int | None = None
    since_s: float = 0.0
    limit_bytes: int | None = None
    has_times: bool = False


class Run:
    """One run of a container.

    Attributes:
        started_s: when it began.
        ended_s: when it ended; infinite: it has not.
    """

    def __init__(self, pod: Pod, one: Container, *, previous: bool = False) -> None:
        ended = one.ended
        lives = one.state is State.RUNNING and not previous
        self._code = None if lives or ended is None else ended.code
        self._message = pod.life.message
        self._image = one.shape.image
        number = one.restarts if lives or ended is None else ended.number
        self._head = f"{one.shape.name} of {pod.key}, run {number}"
        self.started_s = one.started_s if lives or ended is None else ended.started_s
        self.ended_s = math.inf if lives or ended is None else ended.finished_s

    def lines(self, now_s: float, options: Options) -> Iterator[bytes]:
        """Yield the lines there are, as they are asked for."""
        count = self._count(now_s)
        first = max(0, count - LINES_MAX)
        if options.since_s > self.started_s:
            first = max(first, math.ceil((options.since_s - self.started_s) / BEAT_S))
        if options.tail is not None:
            first = max(first, count - options.tail)
        left = options.limit_bytes
        for number in range(first, count):
            line = self.line(number, now_s, has_times=options.has_times)
            if left is not None:
                line = line[:left]
                left -= len(line)
            yield line
            if left == 0:
                return

    def _count(self, now_s: float) -> int:
        last_s = min(now_s, self.ended_s)
        beats = int(max(0.0, last_s - self.started_s) // BEAT_S) + 1
        return beats + (self._code is not None)

    def line(self, number: int, now_s: float, *, has_times: bool) -> bytes:
        """Return a line by its number."""
        at_s = self.started_s + number * BEAT_S
        if self._code is not None and number == self._count(now_s) - 1:
            at_s = self.ended_s
            text = f"{self._head}: exits with code {self._code} {self._message}".rstrip()
        elif number == 0:
            text = f"{self._head}: started from {self._image}"
        else:
            text = f"{self._head}: alive for {number * BEAT_S:.0f} s"
        if has_times:
            text = f"{times.format_micros(int(at_s * 1e6))[:-1]}000Z {text}"
        return f"{text}\n".encode()

    def next_s(self, now_s: float) -> float:
        """Return when the next line is written."""
        beats = int(max(0.0, now_s - self.started_s) // BEAT_S) + 1
        return min(self.started_s + beats * BEAT_S, self.ended_s)

    def count(self, now_s: float) -> int:
        """Return how many lines there are."""
        return self._count(now_s)

"""Where all threads of a round put what they see, and where the campaign waits for more of it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from tests.faults.history import Listing, Observed, Stream, Write
from tests.integration.kill_model import Key
from tests.integration.linearizability import Answer, Request

GOES_ON_S: Final = 60.0
"""Whatever has happened, within this a write is acknowledged again."""
_REFUSALS: Final = (429, 503, 504, 507)


class Stalled(Exception):
    """Nothing is acknowledged any more though no fault is there any more."""


class Recorder:
    """What a round observes. Any thread may call anything."""

    def __init__(self) -> None:
        self.observed = Observed()
        self.codes: Counter[int] = Counter()
        self.reads = 0
        self._heard = threading.Condition()
        self._acknowledged = 0

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return self._acknowledged

    def add(self, request: Request, write: Write | None) -> None:
        """Note a request; and what its answer told, if it is a write."""
        with self._heard:
            self.observed.requests.append(request)
            if write is None:
                self.reads += 1
                return
            self.observed.writes.append(write)
            if request.answer is Answer.DONE:
                self._acknowledged += 1
                self._heard.notify_all()

    def add_listing(self, listing: Listing) -> None:
        """Note a list."""
        with self._heard:
            self.reads += 1
            self.observed.listings.append(listing)

    def add_stream(self, stream: Stream) -> None:
        """Note a watch request that has just been answered."""
        with self._heard:
            self.observed.streams.append(stream)

    def show(self, key: Key, mark: str, revision: int) -> None:
        """Note that an object was shown with a revision: always the same."""
        with self._heard:
            known = self.observed.shown.setdefault((key, mark), revision)
        if known != revision:
            self.fault(f"{key} {mark} was shown at {known} and at {revision}")

    def fault(self, text: str) -> None:
        """Note what is wrong at first sight."""
        with self._heard:
            self.observed.faults.append(text)

    def count(self, code: int, content: Any) -> None:
        """Count an answer (0: lost); a failure must be one that says what to do."""
        with self._heard:
            self.codes[code] += 1
        if code >= 500 or code == 429:
            clear = (
                code in _REFUSALS
                and isinstance(content, dict)
                and content.get("kind") == "Status"
                and content.get("message")
            )
            if not clear:
                self.fault(f"an answer of {code} that says nothing to its client: {content}")

    def refusals(self) -> int:
        """Return how many requests were told that the server can't just now."""
        with self._heard:
            return sum(self.codes[code] for code in _REFUSALS)

    def wait_acknowledged(self, count: int) -> None:
        """Return when `count` further writes are acknowledged.

        Raises:
            Stalled: they are not.
        """
        with self._heard:
            goal = self._acknowledged + count
            if not self._heard.wait_for(lambda: self._acknowledged >= goal, GOES_ON_S):
                raise Stalled(f"in {GOES_ON_S:g} s not {count} writes were acknowledged")

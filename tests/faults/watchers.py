"""Watchers that go from server to server, each time from the last revision they know of.

Each watch request is a `Stream`; what they must be like together is watch_checks.py's subject.
"""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from tests.faults.history import Stream
from tests.faults.objects import collection, mark_of
from tests.faults.recorder import Recorder
from tests.integration.cluster import Cluster
from tests.integration.kill_model import Change, Key
from tests.integration.kill_traffic import Link

SENTINEL: Final = "sentinel"
_PAUSE_S: Final = 0.03
_EVENTS_A_STREAM: Final = 60
_TIMEOUT_S: Final = 5
_TRANSIENT: Final = (429, 500, 503, 504)


class Watcher(threading.Thread):
    """Follows a type and a selection until it sees the sentinel.

    Attributes:
        streams: its watch requests that were answered, in order.
        bookmarks: how many it saw.
    """

    def __init__(
        self, clusters: Sequence[Cluster], recorder: Recorder, origin: Stream, *, moves: bool = True
    ) -> None:
        super().__init__(name=origin.watcher, daemon=True)
        self.streams: list[Stream] = []
        self.bookmarks = 0
        self._origin = origin
        self._recorder = recorder
        self._links = itertools.cycle([Link(cluster) for cluster in clusters])
        self._events_max = _EVENTS_A_STREAM if moves else 1_000_000
        self._finished = threading.Event()

    def run(self) -> None:
        try:
            while not self._finished.is_set():
                link = next(self._links)
                if link.connect():
                    with suppress(OSError, http.client.HTTPException):
                        self._follow(link)
                    link.close()
                else:
                    self._finished.wait(_PAUSE_S)
        except Exception as error:  # noqa: BLE001
            # A thread's end must not pass unnoticed.
            self._recorder.fault(f"{self.name} ended: {error!r}")

    def give_up(self) -> None:
        """End at the next break, whatever was seen."""
        self._finished.set()

    @property
    def _known(self) -> int:
        return self.streams[-1].end if self.streams else self._origin.start

    def _follow(self, link: Link) -> None:
        origin, start = self._origin, self._known
        tier = f",tier%3D{origin.tier}" if origin.tier else ""
        query = (
            f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={_TIMEOUT_S}"
            f"&labelSelector=load%3Dyes{tier}&resourceVersion={start}"
        )
        answer = link.open("GET", collection(origin.resource, "") + query)
        if answer is None:
            return
        if answer.status != 200:
            self._refused(answer)
            return
        stream = Stream(origin.resource, origin.tier, start, self.name)
        self.streams.append(stream)
        self._recorder.add_stream(stream)
        for line in itertools.islice(_lines(answer), self._events_max):
            if not self._take(stream, orjson.loads(line)):
                break

    def _refused(self, answer: http.client.HTTPResponse) -> None:
        body = answer.read()
        content = orjson.loads(body) if body.startswith(b"{") else body
        self._recorder.count(answer.status, content)
        if answer.status not in _TRANSIENT:
            self._recorder.fault(f"{self.name} from {self._known}: {answer.status} {content!r}")
            self._finished.set()
        self._finished.wait(_PAUSE_S)

    def _take(self, stream: Stream, event: Any) -> bool:
        """Note an event; return whether the stream is worth reading on."""
        if event["type"] == "ERROR":
            self._recorder.fault(f"{self.name} from {self._known}: {event['object']}")
            self._finished.set()
            return False
        content = event["object"]
        metadata = content["metadata"]
        revision = int(metadata["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self.bookmarks += 1
            nothing = Key(stream.resource, "", "")
            stream.events.append(Change("BOOKMARK", nothing, revision, "", ""))
            return True
        key = Key(stream.resource, metadata["namespace"], metadata["name"])
        stream.events.append(
            Change(event["type"], key, revision, mark_of(content), metadata["uid"])
        )
        if key.name == SENTINEL:
            self._finished.set()
        return not self._finished.is_set()


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield whole lines; one that is cut off by a break is not an event."""
    while (line := answer.readline()).endswith(b"\n"):
        yield line

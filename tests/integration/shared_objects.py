"""Clients that share a few objects, over one or several API servers, and write down what they saw.

`Recorder` gathers requests for tests/integration/linearizability.py; `Client` makes them, each at a
server chosen anew, so that what one server acknowledged is asked of another; `RoamingWatch` follows
a type over all servers, from one to the next by the last resourceVersion. Any number of clusters
may be given: one with several workers is one of them.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from tests.integration.cluster import Cluster
from tests.integration.kill_model import Change, Key
from tests.integration.kill_traffic import SENTINEL, Link, collection, new_object
from tests.integration.linearizability import Answer, Kind, Request, State

_PAUSE_S: Final = 0.02
_EVENTS_A_STREAM: Final = 25
_SELECTED: Final = "labelSelector=load%3Dyes"
_MERGE_KINDS: Final = (Kind.CREATE, Kind.READ, Kind.UPDATE, Kind.PATCH, Kind.DELETE)
_WEIGHTS: Final = (2, 4, 3, 2, 1)
_ANSWERS: Final = {404: Answer.ABSENT, 409: Answer.CONFLICT}


class Recorder:
    """All requests of all clients, and a way to wait for more of them."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.revisions: dict[tuple[Key, str], int] = {}
        """The resourceVersion that each write was shown with; always the same."""
        self.faults: list[str] = []
        self._heard = threading.Condition()
        self._answered = 0

    def add(self, request: Request) -> None:
        """Note a request."""
        with self._heard:
            self.requests.append(request)
            if not request.is_lost:
                self._answered += 1
                self._heard.notify_all()

    def see(self, key: Key, mark: str, revision: int) -> None:
        """Note the resourceVersion with which a write was shown."""
        with self._heard:
            known = self.revisions.setdefault((key, mark), revision)
        if known != revision:
            self.faults.append(f"{key} {mark} has revisions {known} and {revision}")

    def wait_more(self, count: int, timeout_s: float) -> None:
        """Return when `count` further requests are answered."""
        with self._heard:
            goal = self._answered + count
            goes_on = self._heard.wait_for(lambda: self._answered >= goal, timeout_s)
            assert goes_on, "requests are not answered any more"


class Client(threading.Thread):
    """Makes requests to shared objects until told to stop."""

    def __init__(
        self,
        name: str,
        clusters: Sequence[Cluster],
        keys: Sequence[Key],
        recorder: Recorder,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=name)
        self._links = [Link(cluster) for cluster in clusters]
        self._keys = keys
        self._recorder = recorder
        self._stop_asked = stop
        self._random = random.Random(name)
        self._numbers = itertools.count(1)
        self._known: dict[Key, tuple[str, int]] = {}
        """Mark and resourceVersion last seen of an object, perhaps long ago."""

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                link = self._random.choice(self._links)
                if not link.connect():
                    self._stop_asked.wait(_PAUSE_S)
                elif self._random.random() < 0.1:
                    self._list(link)
                else:
                    self._step(link, self._random.choice(self._keys))
        finally:
            for link in self._links:
                link.close()

    def _step(self, link: Link, key: Key) -> None:
        (kind,) = self._random.choices(_MERGE_KINDS, _WEIGHTS)
        known = self._known.get(key)
        if kind is Kind.UPDATE and known is None:
            kind = Kind.READ
        expected: State = None
        if known and (kind is Kind.UPDATE or (kind is Kind.DELETE and self._random.random() < 0.5)):
            expected = known[0]
        mark = f"{self.name}-{next(self._numbers)}"
        method, path, body = _request(kind, key, mark, known[1] if known and expected else 0)
        called_s = time.monotonic()
        code, content = link.call(method, path, body)
        answered_s = time.monotonic()
        answer = _answer_of(kind, code, content)
        if answer is None:
            return
        found: State = mark
        if kind is Kind.READ:
            # "Not found" is what it saw, not a refusal.
            found = None
            if answer is Answer.DONE:
                found = self._see(key, content)
            elif answer is Answer.ABSENT:
                answer = Answer.DONE
        elif kind is Kind.DELETE:
            found = None
        elif answer is Answer.DONE:
            self._see(key, content)
        until_s = float("inf") if answer is Answer.LOST else answered_s
        self._recorder.add(
            Request(key, kind, answer, found, called_s, until_s, expected, self.name)
        )
        if answer is Answer.LOST:
            self._stop_asked.wait(_PAUSE_S)

    def _list(self, link: Link) -> None:
        """Read all objects of a type at once: each is there as it was at one moment."""
        resource = self._random.choice(self._keys).resource
        namespace = self._keys[0].namespace
        called_s = time.monotonic()
        code, content = link.call("GET", f"{collection(resource, namespace)}?{_SELECTED}")
        answered_s = time.monotonic()
        if code != 200:
            assert code in (0, 500, 503, 504), (code, content)
            return
        items = {item["metadata"]["name"]: item for item in content["items"]}
        for key in self._keys:
            if key.resource == resource:
                item = items.get(key.name)
                mark = None if item is None else self._see(key, item)
                request = Request(key, Kind.READ, Answer.DONE, mark, called_s, answered_s)
                self._recorder.add(request)

    def _see(self, key: Key, content: Any) -> str:
        metadata = content["metadata"]
        mark: str = metadata["annotations"]["mark"]
        revision = int(metadata["resourceVersion"])
        self._known[key] = (mark, revision)
        self._recorder.see(key, mark, revision)
        return mark


def _request(kind: Kind, key: Key, mark: str, revision: int) -> tuple[str, str, Any]:
    """Return method, path and body of a request, conditional on a revision unless that is 0."""
    path = collection(key.resource, key.namespace)
    named = f"{path}/{key.name}"
    match kind:
        case Kind.CREATE:
            return "POST", path, new_object(key, mark)
        case Kind.READ:
            return "GET", named, None
        case Kind.UPDATE:
            body = new_object(key, mark)
            body["metadata"]["resourceVersion"] = str(revision)
            return "PUT", named, body
        case Kind.PATCH:
            return "PATCH", named, {"metadata": {"annotations": {"mark": mark}}}
        case Kind.DELETE:
            options = {"preconditions": {"resourceVersion": str(revision)}} if revision else None
            return "DELETE", named, options


def _answer_of(kind: Kind, code: int, content: Any) -> Answer | None:
    """Return what an answer says, None if it says nothing.

    Raises:
        AssertionError: it is one that correct requests must not get.
    """
    if 200 <= code < 300:
        return Answer.DONE
    if kind is Kind.CREATE and code == 409:
        return Answer.EXISTS
    if kind is Kind.PATCH and code == 409:
        return None  # others were quicker again and again
    if code in _ANSWERS:
        return _ANSWERS[code]
    assert code in (0, 500, 503, 504), (code, content)
    return Answer.LOST


class RoamingWatch(threading.Thread):
    """Follows a type until it sees the sentinel, at another server after each break.

    Attributes:
        seen: every event, in order.
        bookmarked: set when a bookmark was seen: where a watch may be resumed.
        streams: how many watches it took.
        faults: what must not happen: an ERROR event, a refusal, an event from before a bookmark.
    """

    def __init__(
        self, clusters: Sequence[Cluster], resource: str, revision: int, *, timeout_s: int = 3
    ) -> None:
        super().__init__(name=f"roaming watch of {resource}")
        self.seen: list[Change] = []
        self.bookmarked = threading.Event()
        self.streams = 0
        self.faults: list[str] = []
        self._resource = resource
        self._revision = revision
        self._timeout_s = timeout_s
        self._links = itertools.cycle([Link(cluster) for cluster in clusters])
        self._finished = threading.Event()

    def run(self) -> None:
        while not self._finished.is_set() and not self.faults:
            link = next(self._links)
            if link.connect():
                with suppress(OSError):
                    self._follow(link)
                link.close()
            else:
                self._finished.wait(_PAUSE_S)

    def give_up(self) -> None:
        """End at the next break, whatever was seen."""
        self._finished.set()

    def _follow(self, link: Link) -> None:
        options = f"allowWatchBookmarks=true&timeoutSeconds={self._timeout_s}&{_SELECTED}"
        path = collection(self._resource, "")
        answer = link.open("GET", f"{path}?watch=1&{options}&resourceVersion={self._revision}")
        if answer is None:
            return
        if answer.status != 200:
            if answer.status not in (500, 503):
                self.faults.append(f"{self.name} from {self._revision}: {answer.read()!r}")
            self._finished.wait(_PAUSE_S)
            return
        self.streams += 1
        for _ in range(_EVENTS_A_STREAM):
            line = answer.readline()
            if not line.endswith(b"\n"):
                break
            self._take(orjson.loads(line))
            if self._finished.is_set() or self.faults:
                break

    def _take(self, event: Any) -> None:
        if event["type"] == "ERROR":
            self.faults.append(f"{self.name} from {self._revision}: {event['object']}")
            return
        metadata = event["object"]["metadata"]
        revision = int(metadata["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self.bookmarked.set()
            if revision < self._revision:
                self.faults.append(f"{self.name}: bookmark {revision} after {self._revision}")
            self._revision = revision
            return
        if revision <= self._revision:
            self.faults.append(f"{self.name}: event {revision} after {self._revision}")
        self._revision = revision
        key = Key(self._resource, metadata["namespace"], metadata["name"])
        mark = metadata["annotations"]["mark"]
        self.seen.append(Change(event["type"], key, revision, mark, metadata["uid"]))
        if key.name == SENTINEL:
            self._finished.set()

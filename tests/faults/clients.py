"""Clients that share a few objects, over all servers, and note every request and answer.

Each request goes to a server chosen anew, so that what one acknowledged is asked of another. All
choices follow from a client's name and the seed, and from what it is answered.
"""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.faults.history import TIERS, Listing, Write
from tests.faults.objects import RESOURCES, collection, mark_of, new_object
from tests.faults.recorder import Recorder
from tests.integration.cluster import Cluster
from tests.integration.kill_model import Key
from tests.integration.kill_traffic import Link
from tests.integration.linearizability import Answer, Kind, Request, State

_PAUSE_S: Final = 0.01
_DOWN_PAUSE_S: Final = 0.03
_WEIGHTS: Final = {Kind.CREATE: 3, Kind.READ: 4, Kind.UPDATE: 3, Kind.PATCH: 3, Kind.DELETE: 1}
_LIST_PART: Final = 0.12


@dataclass(frozen=True, slots=True)
class Scope:
    """What the clients of a round work on, and until when."""

    clusters: Sequence[Cluster]
    namespace: str
    names: Sequence[str]
    recorder: Recorder
    stop: threading.Event

    @property
    def keys(self) -> list[Key]:
        """All objects there may be."""
        return [Key(r, self.namespace, name) for r in RESOURCES for name in self.names]


class Client(threading.Thread):
    """Makes requests to shared objects until told to stop."""

    def __init__(self, name: str, scope: Scope, seed: str) -> None:
        super().__init__(name=name, daemon=True)
        self._links = [Link(cluster) for cluster in scope.clusters]
        self._scope = scope
        self._keys = scope.keys
        self._random = random.Random(f"{seed}/{name}")
        self._numbers = itertools.count(1)
        self._known: dict[Key, tuple[str, int]] = {}
        """Mark and resourceVersion last seen of an object, perhaps long ago."""

    def run(self) -> None:
        stop = self._scope.stop
        try:
            while not stop.is_set():
                link = self._random.choice(self._links)
                if not link.connect():
                    stop.wait(_DOWN_PAUSE_S)
                    continue
                if self._random.random() < _LIST_PART:
                    self._list(link)
                else:
                    self._step(link, self._random.choice(self._keys))
                stop.wait(_PAUSE_S)
        except Exception as error:  # noqa: BLE001
            # A thread's end must not pass unnoticed.
            self._scope.recorder.fault(f"{self.name} ended: {error!r}")
        finally:
            for link in self._links:
                link.close()

    def _step(self, link: Link, key: Key) -> None:
        (kind,) = self._random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        known = self._known.get(key)
        if kind is Kind.UPDATE and known is None:
            kind = Kind.READ
        elif kind is Kind.CREATE and known and self._random.random() < 0.8:
            kind = Kind.PATCH  # it is probably there
        expected, revision = None, 0
        if known and (kind is Kind.UPDATE or (kind is Kind.DELETE and self._random.random() < 0.5)):
            expected, revision = known
        mark = f"{self.name}-{next(self._numbers)}{self._random.choice(TIERS)}"
        method, path, body = _request(kind, key, mark, revision)
        called_s = time.monotonic()
        code, content = link.call(method, path, body)
        answered_s = time.monotonic()
        self._scope.recorder.count(code, content)
        answer = _answer_of(kind, code)
        if answer is None:
            if code >= 400 and code not in (409, 429):
                self._scope.recorder.fault(f"{method} {path} {body}: {code} {content}")
            return
        if answer is Answer.LOST:
            answered_s = math.inf
        found, told, uid = self._take(kind, key, answer, mark, content)
        if kind is Kind.READ and answer is Answer.ABSENT:
            # "Not found" is what it saw, not a refusal.
            answer = Answer.DONE
        request = Request(key, kind, answer, found, called_s, answered_s, expected, self.name)
        write = None if kind is Kind.READ else Write(request, told, uid)
        self._scope.recorder.add(request, write)

    def _take(
        self, kind: Kind, key: Key, answer: Answer, mark: str, content: Any
    ) -> tuple[State, int, str]:
        """Return what was found or written, at which revision, and of a delete the uid."""
        if kind is Kind.DELETE:
            return None, 0, _uid_of(content) if answer is Answer.DONE else ""
        if answer is not Answer.DONE:
            if answer is Answer.ABSENT:
                self._known.pop(key, None)
            return (None if kind is Kind.READ else mark), 0, ""
        found, revision = self._see(key, content)
        if kind is not Kind.READ and found != mark:
            self._scope.recorder.fault(f"{self.name} wrote {mark}, and is shown {found}")
        return found, revision, ""

    def _list(self, link: Link) -> None:
        """Read all objects of a type at once, as they are now or as the server has them."""
        resource = self._random.choice(RESOURCES)
        tier = self._random.choice(("", *TIERS))
        consistent = self._random.random() < 0.6
        query = f"?labelSelector=load%3Dyes{f',tier%3D{tier}' if tier else ''}"
        path = collection(resource, self._scope.namespace) + query
        called_s = time.monotonic()
        code, content = link.call("GET", path if consistent else f"{path}&resourceVersion=0")
        answered_s = time.monotonic()
        self._scope.recorder.count(code, content)
        if code != 200:
            return
        items = {}
        for item in content["items"]:
            key = Key(resource, self._scope.namespace, item["metadata"]["name"])
            items[key] = (int(item["metadata"]["resourceVersion"]), mark_of(item))
            if consistent:
                self._see(key, item)
        revision = int(content["metadata"]["resourceVersion"])
        self._scope.recorder.add_listing(
            Listing(resource, tier, consistent, revision, items, called_s, answered_s)
        )
        if consistent and not tier:
            for key in self._keys:
                if key.resource == resource:
                    mark = items[key][1] if key in items else None
                    read = Request(key, Kind.READ, Answer.DONE, mark, called_s, answered_s)
                    self._scope.recorder.add(read, None)

    def _see(self, key: Key, content: Any) -> tuple[str, int]:
        mark, revision = mark_of(content), int(content["metadata"]["resourceVersion"])
        self._known[key] = (mark, revision)
        self._scope.recorder.show(key, mark, revision)
        return mark, revision


def _request(kind: Kind, key: Key, mark: str, revision: int) -> tuple[str, str, Any]:
    """Return method, path and body of a request, conditional on a revision unless that is 0."""
    path = collection(key.resource, key.namespace)
    named = f"{path}/{key.name}"
    whole = new_object(key, mark)
    match kind:
        case Kind.CREATE:
            return "POST", path, whole
        case Kind.READ:
            return "GET", named, None
        case Kind.UPDATE:
            metadata = {**whole["metadata"], "resourceVersion": str(revision)}
            if key.resource in ("pods", "services"):
                # They are completed when they are made: to put a bare one would undo that.
                return "PATCH", named, {"metadata": metadata}
            return "PUT", named, {**whole, "metadata": metadata}
        case Kind.PATCH:
            changed = {name: whole["metadata"][name] for name in ("labels", "annotations")}
            return "PATCH", named, {"metadata": changed}
        case Kind.DELETE:
            options = {"preconditions": {"resourceVersion": str(revision)}} if revision else None
            return "DELETE", named, options


def _answer_of(kind: Kind, code: int) -> Answer | None:
    """Return what an answer says, None if it says nothing of what became of the request."""
    if 200 <= code < 300:
        return Answer.DONE
    if code == 404:
        return Answer.ABSENT
    if code == 409 and kind is Kind.CREATE:
        return Answer.EXISTS
    if code == 409 and kind is not Kind.PATCH:
        return Answer.CONFLICT
    # A patch without a condition that others overtook again and again was not applied.
    return Answer.LOST if code == 0 or code >= 500 else None


def _uid_of(content: Any) -> str:
    """Return what a delete's answer says it has deleted: a Status or the object."""
    if content["kind"] == "Status":
        return str(content.get("details", {}).get("uid", ""))
    return str(content["metadata"]["uid"])

"""Load for the kill test: writers that note every request and its answer, watchers that resume.

All over plain HTTP with keep-alive connections, which break when the server is killed. A request
whose connection breaks after it may have been sent is "maybe"; one for which no connection could be
made was not sent, and is not noted.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.integration.cluster import HOST, Cluster
from tests.integration.kill_model import Attempt, Change, Key, Op, Outcome, Read

GROUPS: Final = {
    "configmaps": "/api/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "pods": "/api/v1",
}
"""One type each of the partitions default, leases and pods."""
SENTINEL: Final = "sentinel"
_SPECS: Final[dict[str, dict[str, Any]]] = {
    "configmaps": {},
    "leases": {"spec": {"holderIdentity": "h"}},
    "pods": {"spec": {"containers": [{"name": "c", "image": "i"}]}},
}
_KINDS: Final = {"configmaps": "ConfigMap", "leases": "Lease", "pods": "Pod"}
_LABEL: Final = "load"
_TIMEOUT_S: Final = 40.0
_PAUSE_S: Final = 0.02
_KEYS_OWNED: Final = 6
_KEYS_SHARED: Final = 2
_numbers = itertools.count(1)


def collection(resource: str, namespace: str) -> str:
    """Return the path of a type's objects, in one namespace or ("") in all."""
    space = f"/namespaces/{namespace}" if namespace else ""
    return f"{GROUPS[resource]}{space}/{resource}"


class Link:
    """One keep-alive connection at a time, made anew after it broke."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._http: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None

    def connect(self) -> bool:
        """Return whether there is a connection now."""
        if self._http is None:
            made = http.client.HTTPConnection(HOST, self._cluster.plain_port, timeout=_TIMEOUT_S)
            try:
                made.connect()
            except OSError:
                made.close()
                return False
            self._http = made
        return True

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
            self._answer = None
        if self._http is not None:
            self._http.close()
            self._http = None

    def open(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse | None:
        """Send a request; return its answer, whose body is unread, None if that was lost."""
        assert self._http is not None
        headers = {"Authorization": f"Bearer {self._cluster.token}"}
        if body is not None:
            merge = method == "PATCH"
            headers["Content-Type"] = (
                "application/merge-patch+json" if merge else "application/json"
            )
        try:
            self._http.request(method, path, orjson.dumps(body) if body else None, headers)
            self._answer = self._http.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            return None
        return self._answer

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; return code and body, (0, None) if the answer was lost."""
        answer = self.open(method, path, body)
        if answer is None:
            return 0, None
        try:
            content = orjson.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return 0, None
        return answer.status, content


@dataclass
class Record:
    """What the writers have noted, and a way to wait for more of it."""

    attempts: list[Attempt] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)
    done: int = 0

    def add(self, attempt: Attempt) -> None:
        """Note a write."""
        with self.heard:
            self.attempts.append(attempt)
            if attempt.outcome is Outcome.DONE:
                self.done += 1
                self.heard.notify_all()

    def wait_more(self, count: int, timeout_s: float) -> None:
        """Return when `count` further writes are acknowledged."""
        with self.heard:
            goal = self.done + count
            assert self.heard.wait_for(lambda: self.done >= goal, timeout_s), "writes do not go on"


@dataclass(slots=True)
class _Known:
    """What a writer believes of an object."""

    revision: int = 0
    uid: str = ""
    certain: bool = False


class Writer(threading.Thread):
    """Creates, updates, deletes and reads objects, some of its own and some shared, until told."""

    def __init__(
        self,
        number: int,
        cluster: Cluster,
        record: Record,
        namespaces: list[str],
        chance: random.Random,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"writer {number}")
        self._number = number
        self._link = Link(cluster)
        self._record = record
        self._random = chance
        self._stop_asked = stop
        resource = sorted(GROUPS)[number % len(GROUPS)]
        self._floor: dict[Key, int] = {}
        names = [f"own-{number}-{index}" for index in range(_KEYS_OWNED)]
        names += [f"shared-{index}" for index in range(_KEYS_SHARED)]
        self._known = {
            Key(resource, space, name): _Known() for space in namespaces for name in names
        }

    def run(self) -> None:
        keys = list(self._known)
        try:
            while not self._stop_asked.is_set():
                if self._link.connect():
                    self._step(self._random.choice(keys))
                else:
                    self._stop_asked.wait(_PAUSE_S)
        finally:
            self._link.close()

    def _step(self, key: Key) -> None:
        known = self._known[key]
        if not known.certain or self._random.random() < 0.1:
            self._read(key, known)
        elif not known.uid:
            self._write(key, known, Op.CREATE)
        else:
            self._write(key, known, Op.UPDATE if self._random.random() < 0.7 else Op.DELETE)

    def _read(self, key: Key, known: _Known) -> None:
        floor = self._floor.get(key, 0)
        code, body = self._link.call("GET", f"{collection(key.resource, key.namespace)}/{key.name}")
        if code == 200:
            metadata = body["metadata"]
            known.revision, known.uid = int(metadata["resourceVersion"]), metadata["uid"]
        elif code == 404:
            known.revision, known.uid = 0, ""
        known.certain = code in (200, 404)
        if known.certain:
            self._record.reads.append(Read(key, floor, known.revision))
        else:
            assert code in (0, 500, 503, 504), body
            self._stop_asked.wait(_PAUSE_S)

    def _write(self, key: Key, known: _Known, op: Op) -> None:
        path = collection(key.resource, key.namespace)
        mark = known.uid if op is Op.DELETE else f"m{next(_numbers)}"
        expected = known.revision if op is Op.UPDATE else 0
        if op is Op.CREATE:
            code, body = self._link.call("POST", path, new_object(key, mark))
        elif op is Op.UPDATE:
            # A pod is completed at its creation: a bare one would undo that, and be refused.
            body = {"metadata": {"annotations": {"mark": mark}}}
            method = "PATCH"
            if key.resource != "pods":
                body, method = new_object(key, mark), "PUT"
            body["metadata"]["resourceVersion"] = str(expected)
            code, body = self._link.call(method, f"{path}/{key.name}", body)
        else:
            options = {"preconditions": {"uid": known.uid}}
            code, body = self._link.call("DELETE", f"{path}/{key.name}", options)
        outcome = outcome_of(code, body)
        revision = 0
        if outcome is Outcome.DONE and op is not Op.DELETE:
            revision = int(body["metadata"]["resourceVersion"])
            known.revision, known.uid = revision, body["metadata"]["uid"]
            self._floor[key] = revision
        elif outcome is Outcome.DONE:
            known.revision, known.uid = 0, ""
        else:
            known.certain = False
        self._record.add(Attempt(key, op, mark, self._number, outcome, revision, expected, code))


def new_object(key: Key, mark: str) -> dict[str, Any]:
    """Return an object that carries a mark."""
    metadata = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": {_LABEL: "yes"},
        "annotations": {"mark": mark},
    }
    return {
        "apiVersion": GROUPS[key.resource].removeprefix("/apis/").removeprefix("/api/"),
        "kind": _KINDS[key.resource],
        "metadata": metadata,
        **_SPECS[key.resource],
    }


def outcome_of(code: int, body: Any) -> Outcome:
    """Return what an answer says of a write.

    Raises:
        AssertionError: it is one that correct requests must not get.
    """
    if 200 <= code < 300:
        return Outcome.DONE
    if code in (404, 409):
        return Outcome.REFUSED
    assert code in (0, 500, 503, 504), (code, body)
    return Outcome.MAYBE


class Watch(threading.Thread):
    """Follows a type from a revision until it sees the sentinel, resuming after each break.

    Attributes:
        seen: every event, in order.
        resumed: how often it went on from the last resourceVersion it saw.
        faults: what must not happen: an ERROR event, a refusal such as 410.
    """

    def __init__(self, cluster: Cluster, resource: str, namespace: str, revision: int) -> None:
        super().__init__(name=f"watch of {resource} in {namespace or 'all'}")
        self.resource = resource
        self.namespace = namespace
        self.seen: list[Change] = []
        self.resumed = -1
        self.faults: list[str] = []
        self._revision = revision
        self._link = Link(cluster)
        self._finished = threading.Event()

    def run(self) -> None:
        while not self._finished.is_set() and not self.faults:
            if not self._link.connect():
                self._finished.wait(_PAUSE_S)
                continue
            self._follow()
        self._link.close()

    def give_up(self) -> None:
        """End at the next break, whatever was seen."""
        self._finished.set()

    def _follow(self) -> None:
        path = collection(self.resource, self.namespace)
        query = f"?watch=1&labelSelector={_LABEL}%3Dyes&resourceVersion={self._revision}"
        answer = self._link.open("GET", path + query)
        if answer is None:
            return
        if answer.status != 200:
            text = answer.read().decode()
            if answer.status not in (500, 503):
                self.faults.append(f"{self.name} from {self._revision}: {answer.status} {text}")
            self._finished.wait(_PAUSE_S)
            return
        self.resumed += 1
        for line in _lines(answer):
            self._take(orjson.loads(line))
            if self._finished.is_set() or self.faults:
                break
        self._link.close()

    def _take(self, event: Any) -> None:
        if event["type"] == "ERROR":
            self.faults.append(f"{self.name} from {self._revision}: {event['object']}")
            return
        metadata = event["object"]["metadata"]
        key = Key(self.resource, metadata["namespace"], metadata["name"])
        self._revision = int(metadata["resourceVersion"])
        mark = metadata["annotations"]["mark"]
        self.seen.append(Change(event["type"], key, self._revision, mark, metadata["uid"]))
        if key.name == SENTINEL:
            self._finished.set()


def _lines(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield whole lines until the stream ends or breaks."""
    while True:
        try:
            line = answer.readline()
        except (OSError, http.client.HTTPException):
            return
        # A line cut off by a break is not an event.
        if not line.endswith(b"\n"):
            return
        yield line

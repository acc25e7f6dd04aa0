"""One object through its whole life over HTTP, and what of it was lost on the way.

`Life.lead` creates an object, reads it back, updates, patches, lists and deletes it. It returns how
that went; it judges refusals by a list of reasons for which upstream refuses objects too.
"""

from __future__ import annotations

import base64
import http.client
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from kube import quantity
from kube.times import TimeError, parse_micro_time, parse_time
from tests.integration.cluster import HOST, Answer, Cluster

MARK: Final = "round-trip"
_SERVER_OWNED: Final = frozenset(
    {
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
UPSTREAM_REFUSES_TOO: Final = {
    "a fragment, to be completed by kustomize": "Required value",
    "an object off another server": "resourceVersion should not be set on objects to be created",
    "a template, whose placeholder is no certificate": "illegal base64 data",
    "a name that is none": "a lowercase RFC 1123",
    "a reference to a volume that is not there": "volumeMounts[",
    "an address of another cluster's range": "failed to allocate IP",
    "neither backend nor rules": "either `defaultBackend` or `rules` must be specified",
    "a name of another of the same objects": "already exists",
    "an account that is not there": "error looking up service account ",
    "a priority class that is not there": "no PriorityClass with name ",
    "a priority that no class gives": "the integer value of priority (",
    "a runtime class that is not there": "pod rejected: RuntimeClass ",
}
"""Why upstream refuses real manifests, and what the refusal says: each was looked at by eye."""
_ADDED_TO: Final = ("tolerations", "volumes", "volumeMounts", "finalizers", "taints")
"""Lists to whose ends admission adds."""
_STATUS_FOLLOWS: Final = frozenset({"apiservices", "flowschemas"})
"""Types whose objects get a status by the server itself, soon after they were made."""
_PATIENCE_S: Final = 10.0
_UNKNOWN: Final = re.compile(r'unknown field \\"(.+?)\\"')


class Wire:
    """A kept-alive connection with the token."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=40)
        self._authorization = f"Bearer {cluster.token}"
        self.sent = 0

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Answer:
        """Send one request."""
        headers = {"Authorization": self._authorization, "Content-Type": content_type}
        data = None if body is None else orjson.dumps(body)
        self._connection.request(method, path, data, headers)
        self.sent += 1
        answer = self._connection.getresponse()
        warnings = answer.headers.get_all("Warning") or []
        return Answer(answer.status, answer.read(), {"Warning": "\n".join(warnings)})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass(frozen=True)
class Place:
    """Where objects of a kind are: the path of their version, their plural, their scope."""

    root: str
    plural: str
    namespaced: bool

    def path(self, namespace: str) -> str:
        """Return the path of the collection."""
        middle = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{self.root}{middle}/{self.plural}"


def places_of(wire: Wire) -> dict[tuple[str, str], Place]:
    """Return the places of all kinds that take all verbs, by apiVersion and kind."""
    roots = {"v1": "/api/v1"}
    for group in wire.call("GET", "/apis").json["groups"]:
        for version in group["versions"]:
            roots[version["groupVersion"]] = f"/apis/{version['groupVersion']}"
    return {
        (api_version, kind["kind"]): Place(root, kind["name"], kind["namespaced"])
        for api_version, root in roots.items()
        for kind in wire.call("GET", root).json["resources"]
        if "/" not in kind["name"] and "update" in kind["verbs"]
    }


@dataclass
class Life:
    """The life of one object.

    Attributes:
        sent: the object as its author wrote it.
        refusal: the message with which its creation was refused, "" if it was not.
        faults: what went otherwise than it should have.
    """

    wire: Wire
    place: Place
    sent: dict[str, Any]
    namespace: str
    refusal: str = ""
    faults: list[str] = field(default_factory=list)

    def lead(self) -> None:
        """Create the object and take it through all the verbs."""
        path = self.place.path(self.namespace)
        created = self.wire.call("POST", path, self.sent)
        if created.code != 201:
            self._judge(created)
            return
        name = created.json["metadata"]["name"]
        one = f"{path}/{name}"
        read = self.wire.call("GET", one)
        self._expect(read, 200, "get")
        obj = read.json
        if self.place.plural in _STATUS_FOLLOWS:
            obj = self._with_status(one)
        elif read.json != created.json:
            self.faults.append(f"create answered {created.body!r}, get {read.body!r}")
        dropped = set(_UNKNOWN.findall(created.headers["Warning"]))
        self.faults += (
            f"lost {where}"
            for where in lost(completed(self.sent, self.place), read.json)
            if where not in dropped
        )
        self._update(one, obj)
        self._patch(one)
        self._list(path, one)
        self._delete(one)

    def _with_status(self, one: str) -> dict[str, Any]:
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            obj: dict[str, Any] = self.wire.call("GET", one).json
            if (obj.get("status") or {}).get("conditions"):
                return obj
            assert time.monotonic() < deadline_s, "no status came"
            time.sleep(0.02)

    def _judge(self, answer: Answer) -> None:
        self.refusal = answer.json["message"]
        status = answer.json
        shape = (status["kind"], status["apiVersion"], status["status"], status["code"])
        if shape != ("Status", "v1", "Failure", answer.code) or not 400 <= answer.code < 500:
            self.faults.append(f"refused by {answer.code} {answer.body!r}")
        if not any(text in self.refusal for text in UPSTREAM_REFUSES_TOO.values()):
            self.faults.append(f"refused without a known reason: {self.refusal}")

    def _expect(self, answer: Answer, code: int, verb: str) -> bool:
        if answer.code == code:
            return True
        self.faults.append(f"{verb}: {answer.code} {answer.body!r}")
        return False

    def _update(self, one: str, obj: dict[str, Any]) -> None:
        obj["metadata"].setdefault("labels", {})[MARK] = "yes"
        updated = self.wire.call("PUT", one, obj)
        if self._expect(updated, 200, "update"):
            got = updated.json
            version = got["metadata"].pop("resourceVersion")
            if version == obj["metadata"].pop("resourceVersion"):
                self.faults.append("an update left the resourceVersion as it was")
            for key in ("generation", "managedFields"):
                obj["metadata"].pop(key, 0)
                got["metadata"].pop(key, 0)
            if got != obj:
                self.faults.append(f"update: sent {orjson.dumps(obj)!r} got {updated.body!r}")

    def _patch(self, one: str) -> None:
        body = {"metadata": {"annotations": {MARK: "patched"}}}
        for media in ("merge-patch", "strategic-merge-patch"):
            patched = self.wire.call("PATCH", one, body, f"application/{media}+json")
            if self._expect(patched, 200, media):
                assert patched.json["metadata"]["annotations"][MARK] == "patched"
        test = [{"op": "test", "path": f"/metadata/annotations/{MARK}", "value": "patched"}]
        tested = self.wire.call("PATCH", one, test, "application/json-patch+json")
        self._expect(tested, 200, "json-patch")

    def _list(self, path: str, one: str) -> None:
        query = urlencode({"labelSelector": f"{MARK}=yes"})
        listed = self.wire.call("GET", f"{path}?{query}")
        obj = self.wire.call("GET", one).json
        del obj["kind"], obj["apiVersion"]
        if self._expect(listed, 200, "list") and listed.json["items"] != [obj]:
            self.faults.append(f"list: {listed.body!r} instead of {orjson.dumps(obj)!r}")

    def _delete(self, one: str) -> None:
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        self._expect(self.wire.call("DELETE", one, options), 200, "delete")
        left = self.wire.call("GET", one)
        if left.code == 200:
            release(self.wire, one, left.json)
            left = self.wire.call("GET", one)
        self._expect(left, 404, "get of what is deleted")


def release(wire: Wire, one: str, obj: dict[str, Any]) -> None:
    """Take the finalizers off an object that is being deleted, as their owners would."""
    assert obj["metadata"]["deletionTimestamp"]
    if obj["kind"] == "Namespace":
        obj["spec"] = {}
        assert wire.call("PUT", f"{one}/finalize", obj).code == 200
    if obj["metadata"].get("finalizers"):
        gone = {"metadata": {"finalizers": None}}
        answer = wire.call("PATCH", one, gone, "application/merge-patch+json")
        assert answer.code in (200, 404), answer.json  # their owners may have been quicker


def completed(sent: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return what is to be found again of an object: without what only the server may say."""
    obj = {key: value for key, value in sent.items() if key != "status"}
    metadata = obj.get("metadata") or {}
    obj["metadata"] = {
        key: value
        for key, value in metadata.items()
        if key not in _SERVER_OWNED and (place.namespaced or key != "namespace")
    }
    if place.plural == "secrets" and (plain := obj.pop("stringData", None)):
        coded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **coded}
    return obj


def lost(sent: Any, got: Any, where: str = "") -> Iterator[str]:
    """Yield the paths of all that was sent and did not come back."""
    if _is_empty(sent):
        return
    if isinstance(sent, dict) and isinstance(got, dict):
        for key, value in sent.items():
            inner = f"{where}.{key}" if where else key
            yield from lost(value, got.get(key), inner)
    elif isinstance(sent, list) and isinstance(got, list) and _is_whole(sent, got, where):
        for index, value in enumerate(sent):
            yield from lost(value, got[index], f"{where}[{index}]")
    elif sent != got and not _means_the_same(sent, got):
        yield where


def _is_whole(sent: list[Any], got: list[Any], where: str) -> bool:
    if where.endswith(_ADDED_TO):
        return len(sent) <= len(got)
    return len(sent) == len(got)


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(inner) for inner in value.values())
    return value is None or value in ("", [], 0, False)


def _means_the_same(sent: Any, got: Any) -> bool:
    """Tell whether two scalars differ in spelling only: quantities, times."""
    if not isinstance(got, str):
        return False
    if quantity_of(sent) is not None and quantity_of(sent) == quantity_of(got):
        return True
    for parse in (parse_time, parse_micro_time):
        try:
            return parse(str(sent)) == parse(got)
        except TimeError:
            continue
    return False


def quantity_of(value: Any) -> quantity.Quantity | None:
    """Return a value as a quantity, None if it is none."""
    try:
        return quantity.parse(str(value))
    except quantity.QuantityError:
        return None

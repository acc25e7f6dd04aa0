"""Short forms for tests of the API's rules: collections, objects, Status answers, watches."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from tests.integration.cluster import HOST, Answer, Cluster

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
UNKNOWN_UID = "00000000-0000-0000-0000-000000000000"
Json = dict[str, Any]


@dataclass(frozen=True)
class Collection:
    """The objects of one type in one namespace (or of the cluster).

    Attributes:
        path: of the collection, with its version and namespace.
    """

    cluster: Cluster
    path: str

    def create(self, obj: Json, query: str = "", **more: Any) -> Answer:
        """POST an object."""
        return self.cluster.call("POST", self.path + query, obj, **more)

    def made(self, obj: Json) -> Any:
        """POST an object that must be taken, and return it."""
        answer = self.create(obj)
        assert answer.code == 201, answer.body
        return answer.json

    def get(self, name: str, query: str = "", **more: Any) -> Answer:
        """GET one object (or a part of it: "name/part")."""
        return self.cluster.call("GET", f"{self.path}/{name}{query}", **more)

    def list(self, query: str = "", **more: Any) -> Answer:
        """GET the collection."""
        return self.cluster.call("GET", self.path + query, **more)

    def names(self, query: str = "") -> list[str]:
        """Return the names of what a list shows."""
        answer = self.list(query)
        assert answer.code == 200, answer.body
        return [item["metadata"]["name"] for item in answer.json["items"]]

    def put(self, name: str, obj: Json, query: str = "", **more: Any) -> Answer:
        """PUT one object, or a part of it."""
        return self.cluster.call("PUT", f"{self.path}/{name}{query}", obj, **more)

    def patch(self, name: str, body: Any, query: str = "", content_type: str = MERGE) -> Answer:
        """PATCH one object, or a part of it."""
        where = f"{self.path}/{name}{query}"
        return self.cluster.call("PATCH", where, body, content_type=content_type)

    def delete(self, name: str = "", options: Json | None = None, query: str = "") -> Answer:
        """DELETE one object, or without a name the collection."""
        where = f"{self.path}/{name}" if name else self.path
        return self.cluster.call("DELETE", where + query, options)


def collection(cluster: Cluster, namespace: str, plural: str, version: str = "v1") -> Collection:
    """Return a collection; cluster-scoped with namespace ""."""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    middle = f"/namespaces/{namespace}" if namespace else ""
    return Collection(cluster, f"{root}{middle}/{plural}")


def named(name: str, **more: Any) -> Json:
    """Return an object of that name."""
    return {"metadata": {"name": name}, **more}


def labelled(name: str, labels: dict[str, str], **more: Any) -> Json:
    """Return an object of that name with labels."""
    return {"metadata": {"name": name, "labels": labels}, **more}


def pod(name: str, node: str = "", **labels: str) -> Json:
    """Return a pod of one container, on a node if one is named."""
    spec: Json = {"containers": [{"name": "main", "image": "example.com/main:1"}]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def deployment(name: str, replicas: int = 1) -> Json:
    """Return a deployment of pods labelled app=<name>."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod(name)["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def check_status(answer: Answer, code: int, reason: str, message: str) -> Any:
    """Check that an answer is a whole Status with just that message; return its details."""
    status = answer.json
    assert (answer.code, status["message"]) == (code, message)
    expected = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "code": code,
    }
    assert {key: status.get(key) for key in expected} == expected
    assert "metadata" in status
    return status.get("details", {})


class Watch:
    """An open watch, read event by event."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.code = answer.status
        self.content_type = answer.headers["Content-Type"]
        self._answer = answer

    def next(self) -> Any:
        """Return the next event.

        Raises:
            AssertionError: the stream has ended.
        """
        line = self._answer.readline()
        assert line, "the watch has ended"
        return orjson.loads(line)

    def take(self, count: int) -> list[tuple[str, str]]:
        """Return type and name of so many events."""
        events = [self.next() for _ in range(count)]
        return [(one["type"], one["object"]["metadata"].get("name", "")) for one in events]

    def rest(self) -> list[Any]:
        """Return all events until the server ends the stream."""
        return [orjson.loads(line) for line in self._answer.read().splitlines()]


@contextmanager
def watching(
    collected: Collection, query: str = "", accept: str = "application/json"
) -> Iterator[Watch]:
    """Watch a collection until the block ends."""
    cluster = collected.cluster
    connection = http.client.HTTPConnection(HOST, cluster.plain_port, timeout=20)
    headers = {"Authorization": f"Bearer {cluster.token}", "Accept": accept}
    connection.request("GET", f"{collected.path}?watch=true{query}", headers=headers)
    try:
        with connection.getresponse() as answer:
            yield Watch(answer)
    finally:
        connection.close()

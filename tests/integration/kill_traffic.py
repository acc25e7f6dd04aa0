"""What clients of kill tests share: objects that carry marks, and connections that break.

All over plain HTTP with keep-alive connections, which break when the server is killed.
"""

from __future__ import annotations

import http.client
from typing import Any, Final

import orjson

from tests.integration.cluster import HOST, Cluster
from tests.integration.kill_model import Key

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

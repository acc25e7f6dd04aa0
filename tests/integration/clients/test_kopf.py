"""A real operator, written with kopf, lives on this API as on any other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cluster import Cluster

_OPERATOR = Path(__file__).with_name("kopf_operator.py")
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_MERGE = "application/merge-patch+json"
_WAIT_S_MAX = 30.0
_CRD = {
    "metadata": {"name": "kopfexamples.kopf.dev"},
    "spec": {
        "scope": "Namespaced",
        "group": "kopf.dev",
        "names": {
            "kind": "KopfExample",
            "plural": "kopfexamples",
            "singular": "kopfexample",
            "shortNames": ["kex"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def _until(what: str, found: Callable[[], Any]) -> Any:
    """Return what `found` finds, once it does."""
    until_s = time.monotonic() + _WAIT_S_MAX
    while time.monotonic() < until_s:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"in {_WAIT_S_MAX:g} s there was no {what}")


class Examples:
    """The KopfExamples of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.path = f"/apis/kopf.dev/v1/namespaces/{namespace}/kopfexamples"
        self._maps = f"/api/v1/namespaces/{namespace}/configmaps"

    def create(self, name: str, **spec: Any) -> None:
        """Create one."""
        made = {
            "apiVersion": "kopf.dev/v1",
            "kind": "KopfExample",
            "metadata": {"name": name},
            "spec": spec,
        }
        answer = self._cluster.call("POST", self.path, made)
        assert answer.code == 201, answer.body

    def get(self, name: str) -> Any:
        """Return one, None if there is none."""
        answer = self._cluster.call("GET", f"{self.path}/{name}")
        return answer.json if answer.code == 200 else None

    def patch(self, name: str, **spec: Any) -> None:
        """Change one's spec."""
        answer = self._cluster.call(
            "PATCH", f"{self.path}/{name}", {"spec": spec}, content_type=_MERGE
        )
        assert answer.code == 200, answer.body

    def delete(self, name: str) -> None:
        """Ask for one to be deleted."""
        answer = self._cluster.call("DELETE", f"{self.path}/{name}")
        assert answer.code in (200, 202), answer.body

    def config_map(self, name: str) -> Any:
        """Return a ConfigMap, None if there is none."""
        answer = self._cluster.call("GET", f"{self._maps}/{name}")
        return answer.json if answer.code == 200 else None

    def events(self) -> list[str]:
        """Return the reasons of the namespace's events."""
        path = self._maps.replace("configmaps", "events")
        return [event["reason"] for event in self._cluster.call("GET", path).json["items"]]


@pytest.fixture
def examples(cluster: Cluster, namespace: str) -> Examples:
    """The type, installed, and a namespace for its objects."""
    answer = cluster.call("POST", _CRDS, _CRD)
    assert answer.code in (201, 409), answer.body
    found = Examples(cluster, namespace)
    _until("served type", lambda: cluster.call("GET", found.path).code == 200)
    return found


@contextmanager
def _operator(cluster: Cluster, namespace: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator on a namespace until the block ends."""
    command = [sys.executable, "-m", "kopf", "run", "--standalone", f"--namespace={namespace}"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*command, str(_OPERATOR)], stdout=file, stderr=file, env=environment
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def test_an_operator_creates_follows_and_cleans_up(
    cluster: Cluster, namespace: str, examples: Examples, tmp_path: Path
) -> None:
    with _operator(cluster, namespace, tmp_path / "log"):
        examples.create("one", duration=1)
        child = _until("child", lambda: examples.config_map("one-child"))
        assert child["data"] == {"duration": "1"}
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("KopfExample", "one")
        _until("result", lambda: (examples.get("one").get("status") or {}).get("create_fn"))
        made = examples.get("one")
        assert made["status"]["create_fn"] == {"child": "one-child"}
        assert made["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        examples.patch("one", duration=2)
        _until("change", lambda: examples.config_map("one-child")["data"] == {"duration": "2"})
        _until("event", lambda: "Logging" in examples.events())
        examples.delete("one")
        _until("last word", lambda: examples.config_map("one-was-here"))
        _until("end", lambda: examples.get("one") is None)
        # The garbage collector takes what it owned.
        _until("end of the child", lambda: examples.config_map("one-child") is None)


def test_an_operator_that_was_killed_goes_on_where_it_was(
    cluster: Cluster, namespace: str, examples: Examples, tmp_path: Path
) -> None:
    with _operator(cluster, namespace, tmp_path / "log") as first:
        examples.create("one", duration=1)
        _until("result", lambda: (examples.get("one").get("status") or {}).get("create_fn"))
        first.kill()
        first.wait()
    examples.patch("one", duration=5)
    with _operator(cluster, namespace, tmp_path / "log"):
        _until("resumption", lambda: "resumed" in examples.get("one")["metadata"].get("labels", {}))
        _until("change", lambda: examples.config_map("one-child")["data"] == {"duration": "5"})
        examples.delete("one")
        _until("end", lambda: examples.get("one") is None)


def test_a_timer_counts_in_the_status(
    cluster: Cluster, namespace: str, examples: Examples, tmp_path: Path
) -> None:
    with _operator(cluster, namespace, tmp_path / "log"):
        examples.create("one", ticks=True)
        _until("third tick", lambda: (examples.get("one").get("status") or {}).get("ticks", 0) >= 3)
        examples.delete("one")
        _until("end", lambda: examples.get("one") is None)

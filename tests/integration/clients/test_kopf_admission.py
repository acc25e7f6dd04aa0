"""An operator's admission handlers, which kopf serves and registers, count for its objects."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.api_calls import Collection, collection, named
from tests.integration.cluster import Cluster
from tests.integration.definitions import OPEN, definition, install, remove, version
from tests.integration.webhook_server import certificates

_OPERATOR = Path(__file__).with_name("kopf_admission.py")
_WAIT_S_MAX = 30.0
_CONFIGURATIONS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")


def _until(what: str, found: Callable[[], Any]) -> None:
    until_s = time.monotonic() + _WAIT_S_MAX
    while not found():
        assert time.monotonic() < until_s, f"in {_WAIT_S_MAX:g} s there was no {what}"
        time.sleep(0.05)


@pytest.fixture
def examples(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Collection]:
    """Objects of a type whose operator runs, and has registered its handlers."""
    schema = {"type": "object", "properties": {"spec": OPEN, "status": OPEN}}
    names = {"plural": "kopfexamples", "kind": "KopfExample"}
    name = "kopfexamples.kopf.dev"
    if cluster.call("GET", f"/apis/kopf.dev/v1/{names['plural']}").code == 404:
        install(cluster, definition("kopf.dev", "KopfExample", version(schema=schema), names=names))
    _, authority = certificates(tmp_path, ())
    (tmp_path / "ca.pem").write_bytes(authority)
    command = [sys.executable, "-m", "kopf", "run", "--standalone", f"--namespace={namespace}"]
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "KOPF_TEST_CERTIFICATES": str(tmp_path),
    }
    with (tmp_path / "log").open("ab") as file:
        process = subprocess.Popen(
            [*command, str(_OPERATOR)], stdout=file, stderr=file, env=environment
        )
    configurations = [
        collection(cluster, "", plural, "admissionregistration.k8s.io/v1")
        for plural in _CONFIGURATIONS
    ]
    try:
        for known in configurations:
            _until("configuration", lambda known=known: _is_complete(known))
        yield collection(cluster, namespace, "kopfexamples", "kopf.dev/v1")
    finally:
        process.terminate()
        process.wait(30)
        for known in configurations:
            known.delete("kopf.dev")
        remove(cluster, name)


def _is_complete(configurations: Collection) -> bool:
    answer = configurations.get("kopf.dev")
    return answer.code == 200 and bool(answer.json.get("webhooks"))


def test_an_operators_handlers_refuse_warn_and_complete(examples: Collection) -> None:
    made = examples.create({**named("a"), "spec": {"duration": 5}})
    assert made.code == 201, made.body
    assert made.json["spec"] == {"duration": 5, "unit": "seconds"}
    refused = examples.create({**named("b"), "spec": {"duration": 500}})
    assert refused.code == 418, refused.body
    assert "500 is too long" in refused.json["message"]
    warned = examples.create({**named("c"), "spec": {}})
    assert warned.code == 201
    assert "it lasts no time" in warned.headers["warning"]
    assert examples.patch("a", {"spec": {"duration": 101}}).code == 418
    assert examples.names() == ["a", "c"]

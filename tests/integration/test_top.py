"""`ultraplane top` and `console` as processes: on a terminal, without one, where nobody is."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.cluster import ROOT, Cluster, free_port

_S_MAX = 30.0
_COMMAND = (sys.executable, "-m", "ultraplane.cli")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [*_COMMAND, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_S_MAX,
    )


def test_once_tells_programs_all_there_is(cluster: Cluster) -> None:
    told = run("top", "--data-dir", str(cluster.directory), "--once", "-o", "json")
    assert told.returncode == 0, told.stderr
    view = json.loads(told.stdout)
    assert view["nodes"]["complete"] is True
    assert view["pods"]["complete"] is True
    assert {one["name"] for one in view["partitions"]} >= {"pods", "nodes"}
    assert view["scheduler"] is None  # this cluster runs none
    assert view["lag_s"] >= 0


def test_without_a_terminal_it_writes_plain_lines(cluster: Cluster) -> None:
    command = [*_COMMAND, "top", "--kubeconfig", str(cluster.kubeconfig)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
    finally:
        process.kill()
        process.communicate()
    for text in lines:
        assert "requests/s" in text
        assert "\x1b" not in text


def test_on_a_terminal_it_draws_until_q(cluster: Cluster) -> None:
    parent, child = pty.openpty()
    command = [*_COMMAND, "top", "--data-dir", str(cluster.directory)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=child, stdout=child, stderr=child, env=environment
    )
    os.close(child)
    try:
        seen = _read_until(parent, b"sorts verbs (by rate)")
        os.write(parent, b"s")
        seen += _read_until(parent, b"sorts verbs (by p99)")
        os.write(parent, b"q")
        assert process.wait(_S_MAX) == 0
        assert b"requests/s" in seen
    finally:
        process.kill()
        process.wait()
        os.close(parent)


def _read_until(descriptor: int, wanted: bytes) -> bytes:
    seen, deadline_s = b"", time.monotonic() + _S_MAX
    while wanted not in seen:
        left_s = deadline_s - time.monotonic()
        assert left_s > 0, seen
        if select.select([descriptor], [], [], left_s)[0]:
            seen += os.read(descriptor, 65536)
    return seen


def test_a_server_that_does_not_answer_is_named(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    port = free_port()
    kubeconfig.write_text(cluster.kubeconfig.read_text().replace(str(cluster.port), str(port)))
    told = run("top", "--kubeconfig", str(kubeconfig), "--once")
    assert told.returncode == 1
    assert f"no API server answers at https://127.0.0.1:{port}" in told.stderr
    assert "ultraplane status" in told.stderr


def test_who_may_not_see_it_is_told_what_is_needed(cluster: Cluster, tmp_path: Path) -> None:
    account = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = cluster.call("POST", account, {"spec": {}}).json["status"]["token"]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": cluster.plain_url}}],
                "users": [{"name": "u", "user": {"token": token}}],
            }
        )
    )
    told = run("top", "--kubeconfig", str(kubeconfig), "--once")
    assert told.returncode == 1
    assert "needs `get` on /console/api/live" in told.stderr


def test_the_consoles_address_has_the_admins_token_behind_the_hash(cluster: Cluster) -> None:
    told = run("console", "--data-dir", str(cluster.directory))
    assert told.returncode == 0, told.stderr
    address, _, fragment = told.stdout.strip().partition("#")
    assert address == f"{cluster.url}/console"
    token = fragment.removeprefix("token=")
    headers = {"Authorization": f"Bearer {token}"}
    user = cluster.call(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        headers=headers,
    )
    assert user.json["status"]["userInfo"]["username"] == "kubernetes-admin"

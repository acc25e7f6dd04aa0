"""`ultraplane up` as people use it: ready, reachable by both ways of its kubeconfig, gone again."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "ultraplane.cli"]


@contextmanager
def _cluster(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A cluster on a free port, ready; killed at the end unless it was stopped."""
    arguments = ["up", "--port", "0", "--data-dir", str(directory)]
    environment = {**os.environ, "ULTRAPLANE_MEMORY_DIR": f"{directory}/memory"}
    with subprocess.Popen(
        _COMMAND + arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            seen = []
            for line in process.stdout:
                seen.append(line)
                if "Press Ctrl-C" in line:
                    break
            assert "Ready in" in "".join(seen), seen
            yield process
        finally:
            process.kill()


def _end(process: subprocess.Popen[str]) -> str:
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    return output


def _status(directory: Path) -> dict[str, Any]:
    command = [*_COMMAND, "status", "--data-dir", str(directory), "-o", "json"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    content: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == (0 if content["ready"] else 1)
    return content


def _kubeconfig(directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((directory / "kubeconfig").read_text())
    return content


def _get(config: dict[str, Any], context: ssl.SSLContext, token: str | None = None) -> int:
    server = config["clusters"][0]["cluster"]["server"]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    request = urllib.request.Request(f"{server}/api/v1/namespaces", headers=headers)
    try:
        with opener.open(request, timeout=10) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_both_ways_of_the_kubeconfig_lead_in_and_none_leads_nowhere(tmp_path: Path) -> None:
    with _cluster(tmp_path) as process:
        config = _kubeconfig(tmp_path)
        authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        certificate, bearer = (user["user"] for user in config["users"])

        plain = ssl.create_default_context(cadata=authority.decode())
        assert _get(config, plain, bearer["token"]) == 200
        assert _get(config, plain, "wrong") == 401
        assert _get(config, plain) in (401, 403)

        pair = tmp_path / "pair.pem"
        pair.write_bytes(
            base64.b64decode(certificate["client-certificate-data"])
            + base64.b64decode(certificate["client-key-data"])
        )
        mutual = ssl.create_default_context(cadata=authority.decode())
        mutual.load_cert_chain(pair)
        assert _get(config, mutual) == 200
        _end(process)


def test_everything_written_is_private_and_nothing_logged_is_secret(tmp_path: Path) -> None:
    with _cluster(tmp_path) as process:
        files = [path for path in tmp_path.rglob("*") if path.is_file() or path.is_socket()]
        open_to_others = [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
        # The replica lies in a directory that only its owner can enter.
        assert [path for path in open_to_others if tmp_path / "memory" not in path.parents] == []
        output = _end(process)
        token = (tmp_path / "pki" / "admin.token").read_text()
        logs = [path.read_text() for path in (tmp_path / "logs").iterdir()]
        assert token not in output + "".join(logs)


def test_status_tells_what_runs_and_ctrl_c_stops_it_in_order(tmp_path: Path) -> None:
    with _cluster(tmp_path) as process:
        status = _status(tmp_path)
        assert status["ready"] is True
        assert [part["name"] for part in status["processes"]] == [
            "journal",
            "apiserver",
            "controllers",
            "scheduler",
            "fleet",
        ]
        assert {part["state"] for part in status["processes"]} == {"ready"}
        output = _end(process)
        assert output.index("apiserver    stopped") < output.index("journal      stopped")
    assert _status(tmp_path)["ready"] is False


def test_killed_up_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    with _cluster(tmp_path) as process:
        pids = [part["pid"] for part in _status(tmp_path)["processes"]]
        descriptors = [os.pidfd_open(pid) for pid in pids]
        process.kill()
        for descriptor in descriptors:
            ended, _, _ = select.select([descriptor], [], [], 10)
            os.close(descriptor)
            assert ended
    with _cluster(tmp_path) as process:
        assert _status(tmp_path)["ready"] is True
        _end(process)


def test_second_up_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with _cluster(tmp_path) as process:
        command = [*_COMMAND, "up", "--port", "0", "--data-dir", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "is in use by another `ultraplane up` or" in second.stderr
        assert _status(tmp_path)["ready"] is True
        _end(process)


def test_closing_the_terminal_stops_a_cluster_in_order(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [*_COMMAND, "up", "--port", "0", "--data-dir", str(tmp_path)]
    environment = {**os.environ, "ULTRAPLANE_MEMORY_DIR": f"{tmp_path}/memory"}
    # The tests themselves may run under nohup, which `up` would inherit and heed.
    heeded = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=theirs)
    finally:
        signal.signal(signal.SIGHUP, heeded)
    with process:
        os.close(theirs)
        seen = b""
        while b"Press Ctrl-C" not in seen:
            seen += os.read(ours, 4096)
        os.close(ours)
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert _status(tmp_path)["ready"] is False

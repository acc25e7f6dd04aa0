"""Encryption at rest with real processes: what is on the disk, rotation of keys, and refusals."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.cluster import ROOT, Cluster, run_cluster, stop
from tests.integration.encrypted import (
    aesgcm,
    checkpoints,
    config,
    create_secret,
    digests,
    files_holding,
    read_secret,
    wait_for_checkpoints,
    write_config,
)
from tests.integration.snapshot_calls import snapshot

pytestmark = pytest.mark.slow
IDENTITY = {"identity": {}}


def needles(text: str) -> list[bytes]:
    """Return a text as it may be on a disk: as it is, and in base64."""
    return [text.encode(), base64.b64encode(text.encode())]


def assert_nowhere(cluster: Cluster, text: str) -> None:
    """Look into journal and checkpoints, and everything else in the data directory."""
    for needle in needles(text):
        assert files_holding(cluster.directory, needle) == []


def read_logs(directory: Path) -> str:
    """Return what the API server has logged, in all its starts."""
    told = ""
    for path in sorted(directory.glob("apiserver*")):
        with suppress(FileNotFoundError):
            told += path.read_text()
    return told


@pytest.mark.parametrize("workers", [1, 2])
def test_no_byte_of_a_secret_is_on_the_disk(tmp_path: Path, workers: int) -> None:
    canary, label = secrets.token_hex(30), secrets.token_hex(15)
    file = write_config(tmp_path / "encryption.yaml", [aesgcm("one", keys={})], ["secrets"])
    settings = {**config(file), "server": {"workers": workers}}
    with run_cluster(tmp_path, settings) as cluster:
        create_secret(cluster, "seen", canary, label)
        plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c-" + label}}
        path = "/api/v1/namespaces/default/configmaps"
        assert cluster.call("POST", path, {**plain, "data": {"plain": label[::-1]}}).code == 201
        wait_for_checkpoints(cluster, canary)
        told = cluster.call("GET", "/metrics").body.decode()
        counted = (
            'transformation_operations_total{resource="secrets",status="OK",'
            'transformation_type="to_storage",transformer_prefix="k8s:enc:aesgcm:v1:"}'
        )
        assert f"apiserver_storage_{counted}" in told, told
        cluster.kill("storage" if workers > 1 else "apiserver")
        cluster.wait_ready()
        cluster.kill("journal")
        cluster.wait_ready()
        assert read_secret(cluster, "seen") == canary
        assert_nowhere(cluster, canary)
        # What is not to be encrypted is there: we look at the right place.
        journal = cluster.directory / "journal"
        assert files_holding(journal, label[::-1].encode())
        found = files_holding(cluster.directory, label.encode())
        assert found
        assert all(path.is_relative_to(journal) for path in found)
        assert b"aesgcm:v1:one" in checkpoints(cluster)[-1].read_bytes()


def test_what_was_encrypted_is_read_from_log_and_checkpoint_by_a_machine_started_anew(
    tmp_path: Path,
) -> None:
    kek = tmp_path / "kek"
    kek.touch(mode=0o600)
    kek.write_text(f"kek-1 {base64.b64encode(secrets.token_bytes(32)).decode()}\n")
    kms = {"kms": {"apiVersion": "v2", "name": "local", "endpoint": f"file://{kek}"}}
    file = write_config(tmp_path / "encryption.yaml", [kms], ["*.*"])
    with run_cluster(tmp_path, config(file)) as cluster:
        create_secret(cluster, "early", "early text")
        wait_for_checkpoints(cluster, "more")
        create_secret(cluster, "late", "late text")
        assert cluster.call("GET", "/readyz/kms-providers").body == b"ok"
        assert_nowhere(cluster, "late text")
    with run_cluster(tmp_path, config(file)) as cluster:
        assert read_secret(cluster, "early") == "early text"
        assert read_secret(cluster, "late") == "late text"


def test_a_key_is_rotated_without_losing_anything(tmp_path: Path) -> None:
    keys: dict[str, str] = {}
    path = tmp_path / "encryption.yaml"
    write_config(path, [IDENTITY], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        create_secret(cluster, "from-before", "text 0")
        assert files_holding(cluster.directory, needles("text 0")[1])
    write_config(path, [aesgcm("old", keys=keys), IDENTITY], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        assert read_secret(cluster, "from-before") == "text 0"
        create_secret(cluster, "of-old", "text 1")
        wait_for_checkpoints(cluster, "more")
    # What was in the clear is no longer needed to start: identity may go. Then the new key comes.
    write_config(path, [aesgcm("old", "new", keys=keys)], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        assert read_secret(cluster, "of-old") == "text 1"
    write_config(path, [aesgcm("new", "old", keys=keys)], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        # Nothing has to be written anew: checkpoints hold all there is.
        wait_for_checkpoints(cluster, "more")
    write_config(path, [aesgcm("new", keys=keys)], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        assert read_secret(cluster, "from-before") == "text 0"
        assert read_secret(cluster, "of-old") == "text 1"


@pytest.mark.parametrize("changed", ["removed", "another of the same name", "no encryption"])
def test_a_start_without_the_key_is_refused_and_changes_nothing(
    tmp_path: Path, changed: str
) -> None:
    keys: dict[str, str] = {}
    path = write_config(tmp_path / "encryption.yaml", [aesgcm("gone", keys=keys)], ["secrets"])
    with run_cluster(tmp_path, config(path)) as cluster:
        create_secret(cluster, "kept", "the text")
        wait_for_checkpoints(cluster, "more")
        create_secret(cluster, "in-the-log", "the text")
    before = digests(tmp_path / "data")
    assert before
    other = tmp_path / "other.yaml"
    if changed == "removed":
        write_config(other, [aesgcm("other", keys={})], ["secrets"])
    else:
        write_config(other, [aesgcm("gone", keys={})], ["secrets"])
    flags = [] if changed == "no encryption" else [f"--encryption-provider-config={other}"]
    logs = tmp_path / "data" / "logs"
    for path_of_log in logs.glob("apiserver*"):
        path_of_log.unlink()
    command = [sys.executable, "-m", "ultraplane.cli", "up", "--port=0"]
    process = subprocess.Popen(
        [*command, f"--data-dir={tmp_path / 'data'}", *flags],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        env={**os.environ, "ULTRAPLANE_MEMORY_DIR": str(tmp_path / "memory")},
    )
    try:
        deadline_s = time.monotonic() + 30
        # A part that is started again has its log renamed.
        while "SealBroken" not in (told := read_logs(logs)):
            assert time.monotonic() < deadline_s, told
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        stop(process)
    assert "sealed with aesgcm key 'gone'" in told
    assert f"{tmp_path / 'data' / 'checkpoints'}/" in told
    assert digests(tmp_path / "data") == before
    with run_cluster(tmp_path, config(path)) as cluster:
        assert read_secret(cluster, "kept") == "the text"
        assert read_secret(cluster, "in-the-log") == "the text"


def test_a_running_cluster_is_saved_encrypted_and_restored_with_its_keys_alone(
    tmp_path: Path,
) -> None:
    canary, path, new = secrets.token_hex(30), tmp_path / "a.snap", tmp_path / "new"
    new.mkdir()
    file = write_config(tmp_path / "encryption.yaml", [aesgcm("one", keys={})], ["secrets"])
    keys = ("--encryption-provider-config", file)
    with run_cluster(tmp_path, config(file)) as cluster:
        create_secret(cluster, "saved", canary)
        snapshot("save", path, "--data-dir", cluster.directory)
    for needle in needles(canary):
        assert needle not in path.read_bytes()
    assert "it is sealed with aesgcm key 'one'" in snapshot("verify", path, code=1)
    assert "intact" in snapshot("verify", path, *keys)
    snapshot("restore", path, "--data-dir", new / "data", *keys)
    with run_cluster(new, config(file)) as cluster:
        assert read_secret(cluster, "saved") == canary
        assert_nowhere(cluster, canary)

"""What the tests of encryption at rest share: configurations, secrets, and looks at the disk."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.integration.cluster import Cluster

SECRETS = "/api/v1/namespaces/default/secrets"
WAIT_S_MAX = 20.0


def aesgcm(*names: str, keys: dict[str, str]) -> dict[str, Any]:
    """Return a provider with the keys of these names; new ones are made in `keys`."""
    for name in names:
        keys.setdefault(name, base64.b64encode(secrets.token_bytes(32)).decode())
    return {"aesgcm": {"keys": [{"name": name, "secret": keys[name]} for name in names]}}


def write_config(path: Path, providers: Sequence[Any], resources: Sequence[str]) -> Path:
    """Write an EncryptionConfiguration of one rule."""
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))
    return path


def config(path: Path | None, **storage: Any) -> dict[str, Any]:
    """Return a cluster's settings: encrypted by the file, checkpoints all the time."""
    encryption = {} if path is None else {"encryption_provider_config": str(path)}
    return {"storage": {"checkpoint_interval_s": 1, **encryption, **storage}}


def create_secret(cluster: Cluster, name: str, text: str, labels: str = "none") -> None:
    """Create a Secret with `text` in it."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"canary": labels}},
        "data": {"text": base64.b64encode(text.encode()).decode()},
    }
    answer = cluster.call("POST", SECRETS, body)
    assert answer.code == 201, answer.body


def read_secret(cluster: Cluster, name: str) -> str:
    """Return the text of a Secret."""
    answer = cluster.call("GET", f"{SECRETS}/{name}")
    assert answer.code == 200, answer.body
    return base64.b64decode(answer.json["data"]["text"]).decode()


def checkpoints(cluster: Cluster) -> list[Path]:
    """Return the checkpoints of the partition that Secrets are in, oldest first."""
    found = (cluster.directory / "checkpoints" / "default").glob("*-*.*")
    return sorted(path for path in found if path.suffix != ".tmp")


def wait_for_checkpoints(cluster: Cluster, text: str) -> None:
    """Write until both checkpoints are newer than now."""
    newest = checkpoints(cluster)[-1:]
    deadline_s = time.monotonic() + WAIT_S_MAX
    number = 0
    while len(found := checkpoints(cluster)) < 2 or found[0] <= (newest or [Path()])[0]:
        assert time.monotonic() < deadline_s, cluster.logs()
        number += 1
        create_secret(cluster, f"more-{secrets.token_hex(6)}", text)
        time.sleep(0.2)


def files_holding(directory: Path, needle: bytes) -> list[Path]:
    """Return the files below a directory that hold some bytes."""
    return [
        path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and needle in path.read_bytes()
    ]


def digests(directory: Path) -> dict[str, str]:
    """Return what log and checkpoints hold, by file."""
    paths = [*(directory / "journal").rglob("*.log"), *(directory / "checkpoints").rglob("*.*")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}

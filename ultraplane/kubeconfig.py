"""Kubeconfigs, written whole, 0600: the one that lets people in, and those of our own parts.

People's has two ways in: context "ultraplane" with the admin's client certificate (the current
one), "ultraplane-token" with the bearer token. It is never written over somebody else's.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, Final

import yaml

from kube.access import SOCKET_EXTENSION
from ultraplane.errors import UserError
from ultraplane.files import write_private
from ultraplane.pki import Pki

CLUSTER: Final = "ultraplane"
_ADMIN: Final = "ultraplane-admin"
_TOKEN: Final = "ultraplane-token"
_OURS: Final = {
    "clusters": {CLUSTER},
    "contexts": {CLUSTER, _TOKEN},
    "users": {_ADMIN, _TOKEN},
}


class NotOurs(UserError):
    """The file names other clusters or users, so it is somebody's own; it was left as it is."""


def write_kubeconfig(path: Path, *, server: str, ca_file: Path, pki: Pki) -> None:
    """Write the kubeconfig of the cluster at URL `server` to `path`.

    Raises:
        NotOurs: there is a file already that was not written by us.
    """
    _refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _config(server, ca_file)
    _add_user(content, CLUSTER, _ADMIN, _pair(pki.admin_certificate, pki.admin_key))
    token = {"token": pki.admin_token.read_text()}
    _add_user(content, _TOKEN, _TOKEN, token)
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def write_part_kubeconfig(
    path: Path, part: str, *, server: str, ca_file: Path, pki: Pki, near: str | None
) -> None:
    """Write the kubeconfig of controllers, scheduler or fleet to `path`, which is ours.

    Args:
        path: where.
        part: which of them.
        server: URL of the API server.
        ca_file: whom to believe that it is the server.
        pki: what the part shows of itself.
        near: the Unix socket at which the API server is without TLS; None: there is none.
    """
    user, certificate, key, token = {
        "controllers": (
            "system:kube-controller-manager",
            pki.controllers_certificate,
            pki.controllers_key,
            pki.controllers_token,
        ),
        "scheduler": (
            "system:kube-scheduler",
            pki.scheduler_certificate,
            pki.scheduler_key,
            pki.scheduler_token,
        ),
        "fleet": ("ultraplane-fleet", pki.fleet_certificate, pki.fleet_key, pki.fleet_token),
    }[part]
    content = _config(server, ca_file)
    credential = _pair(certificate, key)
    if near is not None:
        extension = {"name": SOCKET_EXTENSION, "extension": {"path": near.removeprefix("unix:")}}
        content["clusters"][0]["cluster"]["extensions"] = [extension]
        credential = {"token": token.read_text()}
    _add_user(content, CLUSTER, user, credential)
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def _config(server: str, ca_file: Path) -> dict[str, Any]:
    cluster = {"server": server, "certificate-authority-data": _data(ca_file)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CLUSTER,
        "clusters": [{"name": CLUSTER, "cluster": cluster}],
        "users": [],
        "contexts": [],
    }


def _add_user(content: dict[str, Any], context: str, user: str, credential: dict[str, str]) -> None:
    content["users"].append({"name": user, "user": credential})
    content["contexts"].append({"name": context, "context": {"cluster": CLUSTER, "user": user}})


def _pair(certificate: Path, key: Path) -> dict[str, str]:
    return {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _refuse_foreign(path: Path) -> None:
    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        return
    except yaml.YAMLError:
        content = "unreadable"
    if content is None:
        return
    if isinstance(content, dict) and all(
        isinstance(entries := content.get(kind) or [], list)
        and all(isinstance(entry, dict) and entry.get("name") in names for entry in entries)
        for kind, names in _OURS.items()
    ):
        return
    raise NotOurs(
        f"{path} holds other clusters or users and is left alone. Give another file, and use both: "
        f"export KUBECONFIG={path}:OTHER"
    )

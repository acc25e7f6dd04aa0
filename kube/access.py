"""How to reach an API server, and as whom, read from a kubeconfig.

Files named in a kubeconfig are relative to it, as for kubectl. Certificates given inline are
written out for a moment, into a private file, as the TLS library reads client certificates from
files only. What can't be used is refused here, before the first request.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from kube.json_types import JsonObject

SOCKET_EXTENSION: Final = "ultraplane.dev/socket"
"""Of a kubeconfig's cluster: {"path": P}, a Unix socket that only its owner can connect to. What
runs on the server's machine is spared TLS, a fifth of what a small write costs both."""


class AccessError(Exception):
    """The kubeconfig can't be used, for the reason given; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one API server.

    Attributes:
        server: URL without a slash at its end.
        tls: trust and client certificate; None for http.
        ca: the server's CA certificates in PEM, empty when none are named.
        token: bearer token, empty for none.
        socket: of the server on this machine, without TLS, as a path; empty: it is reached by URL.
    """

    server: str
    tls: ssl.SSLContext | None = None
    ca: str = ""
    token: str = field(default="", repr=False)
    socket: str = ""


def read_access(path: Path) -> Access:
    """Return the access that a kubeconfig's current context gives.

    Raises:
        AccessError: the file is missing, malformed or names what is not there.
    """
    try:
        content = yaml.safe_load(path.read_bytes())
        if not isinstance(content, dict):
            raise AccessError("it is no kubeconfig")
        context = _named(content, "context", str(content.get("current-context", "")))
        cluster = _named(content, "cluster", str(context.get("cluster", "")))
        user = _named(content, "user", str(context.get("user", "")))
        return _access(path.parent, cluster, user)
    except (AccessError, OSError, yaml.YAMLError, ssl.SSLError, binascii.Error) as error:
        raise AccessError(f"kubeconfig {path}: {error}") from error


def _named(content: JsonObject, kind: str, name: str) -> JsonObject:
    entries = content.get(f"{kind}s")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("name") == name:
            value: Any = entry.get(kind)
            if isinstance(value, dict):
                return value
    raise AccessError(f"there is no {kind} {name!r}")


def _access(directory: Path, cluster: JsonObject, user: JsonObject) -> Access:
    server = str(cluster.get("server", "")).rstrip("/")
    token_file = user.get("tokenFile")
    token = (directory / token_file).read_text().strip() if token_file else user.get("token", "")
    if server.startswith("http://"):
        return Access(server, token=str(token))
    if not server.startswith("https://"):
        raise AccessError(f"server {server!r} is no http or https URL")
    ca = _content(directory, cluster, "certificate-authority")
    if (path := _socket_of(cluster)) and token:
        return Access("http://localhost", None, ca.decode(), str(token), path)
    context = ssl.create_default_context(cadata=ca.decode() or None)
    certificate = _content(directory, user, "client-certificate")
    if certificate:
        _load_client(context, certificate, _content(directory, user, "client-key"))
    return Access(server, context, ca.decode(), str(token))


def _socket_of(cluster: JsonObject) -> str:
    for one in cluster.get("extensions") or ():
        if isinstance(one, dict) and one.get("name") == SOCKET_EXTENSION:
            content = one.get("extension")
            if not isinstance(content, dict) or not content.get("path"):
                raise AccessError(f"extension {SOCKET_EXTENSION} of its cluster has no path")
            return str(content["path"])
    return ""


def _content(directory: Path, section: JsonObject, key: str) -> bytes:
    """Return what a pair of settings gives: `key` names a file, `key`-data is the content."""
    if data := section.get(f"{key}-data"):
        return base64.b64decode(str(data))
    if name := section.get(key):
        return (directory / str(name)).read_bytes()
    return b""


def _load_client(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # Made 0600; in memory where the machine has such a place.
    memory = Path("/dev/shm")
    with tempfile.NamedTemporaryFile(dir=memory if memory.is_dir() else None) as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)

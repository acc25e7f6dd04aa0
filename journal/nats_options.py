"""Where the NATS servers are, who we are to them, and how the journal's streams are made.

Secrets come from files or from the address; `public_address` is the address without them, for logs
and answers. Files are read at each attempt to connect, so that they can be replaced.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from journal.engine import KEY_WINDOW, Limits
from journal.nats_fold import MARK_EVERY
from journal.nats_keys import Signer, read_credentials

SCHEMES: Final = ("nats://", "tls://")
DEFAULT_PORT: Final = 4222


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """How to reach NATS, and what the journal's streams are like.

    Attributes:
        prefix: of the names of streams and subjects; clusters that share servers need their own.
        replicas: of each stream: 1, 3 or 5.
        stream_bytes_max: of each stream; 0 leaves it to the account's limits.
        user, password_file, token_file, nkey_seed_file, credentials_file: who we are.
        tls_ca_file: whom to trust. tls_certificate_file, tls_key_file: our own certificate.
        hold_seconds: a replica that is silent for so long no longer keeps the log.
        key_window, mark_every, note_every: alike for all who use the streams.
    """

    prefix: str = "ultraplane"
    replicas: int = 1
    stream_bytes_max: int = 0
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    nkey_seed_file: Path | None = None
    credentials_file: Path | None = None
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    hold_seconds: float = Limits().hold_seconds
    key_window: int = KEY_WINDOW
    mark_every: int = MARK_EVERY
    note_every: int = 32_768
    """How many messages may come until the state is noted again."""


def options_from_json(content: Mapping[str, Any]) -> NatsOptions:
    """Return options from what `options_to_json` made."""
    values: dict[str, Any] = dict(content)
    for name, value in content.items():
        if name.endswith("_file") and value is not None:
            values[name] = Path(value)
    return NatsOptions(**values)


def options_to_json(options: NatsOptions) -> dict[str, Any]:
    """Return options as a JSON object; it holds paths of secrets, no secrets."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(options).items()
    }


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    port: int
    user: str = ""
    password: str = ""


def is_nats_address(address: str) -> bool:
    """Whether an address names NATS servers."""
    return address.startswith(SCHEMES)


def parse_servers(address: str) -> list[_Server]:
    """Read `nats://[user:password@]host[:port][,host[:port]...]`; `tls://` demands TLS.

    A user without a password is a token, as everywhere in NATS.

    Raises:
        ValueError: it is not that.
    """
    if not is_nats_address(address):
        raise ValueError("a NATS address begins with nats:// or tls://")
    rest = address.split("://", 1)[1].rstrip("/")
    servers: list[_Server] = []
    who = ("", "")
    for part in rest.split(","):
        credentials, at, place = part.rpartition("://")[2].rpartition("@")
        if at:
            user, _, password = credentials.partition(":")
            who = (unquote(user), unquote(password))
        host, port = _host_and_port(place)
        servers.append(_Server(host, port, *who))
    return servers


def _host_and_port(place: str) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not bracket or colon not in ("", ":"):
            raise ValueError("a host is not host, host:port or [address]:port")
    else:
        host, _, port = place.partition(":")
    if not host or any(character in host for character in "/ ?#"):
        raise ValueError("a host is not host, host:port or [address]:port")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("a port is not a number up to 65535")
    return host, int(port or DEFAULT_PORT)


def public_address(address: str) -> str:
    """Return an address as it may be shown: without user, password or token."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    return scheme + separator + ",".join(part.rpartition("@")[2] for part in rest.split(","))


def connect_arguments(address: str, options: NatsOptions, attempt: int) -> dict[str, Any]:
    """Return what NatsLink.connect is told for the attempt that has this number; reads files.

    Raises:
        OSError, ValueError: a file can't be read, or holds something else.
    """
    servers = parse_servers(address)
    server = servers[attempt % len(servers)]
    context = _tls(address, options)
    scheme = "tls" if context is not None else "nats"
    host = f"[{server.host}]" if ":" in server.host else server.host
    arguments: dict[str, Any] = {"servers": [f"{scheme}://{host}:{server.port}"], "tls": context}
    if context is not None:
        arguments["tls_hostname"] = server.host
    if server.user and server.password:
        arguments |= {"user": server.user, "password": server.password}
    elif server.user:
        arguments["token"] = server.user
    arguments |= _credentials(options)
    return arguments


def _credentials(options: NatsOptions) -> Mapping[str, Any]:
    if options.credentials_file is not None:
        jwt, signer = read_credentials(options.credentials_file.read_text())
        return {"user_jwt_cb": lambda: jwt, "signature_cb": signer.sign}
    if options.nkey_seed_file is not None:
        signer = Signer(options.nkey_seed_file.read_text())
        return {"public_nkey": signer.public, "signature_cb": signer.sign}
    if options.token_file is not None:
        return {"token": options.token_file.read_text().strip()}
    if options.user is not None and options.password_file is not None:
        return {"user": options.user, "password": options.password_file.read_text().strip()}
    return {}


def _tls(address: str, options: NatsOptions) -> ssl.SSLContext | None:
    if options.tls_ca_file is None and not address.startswith("tls://"):
        return None
    context = ssl.create_default_context(cafile=options.tls_ca_file)
    if options.tls_certificate_file is not None:
        context.load_cert_chain(options.tls_certificate_file, options.tls_key_file)
    return context

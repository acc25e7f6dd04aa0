"""A webhook for tests: HTTPS on loopback, under an authority of its own, with answers to order."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
Json = dict[str, Any]
Respond = Callable[[Json], Json]
"""Makes the response (but for its uid) from a request."""


@dataclass
class Reply:
    """An answer that is no review: what a broken webhook says."""

    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Hook:
    """What a path does.

    Attributes:
        respond: makes the response; a Reply is sent as it is.
        reviews: what was asked, in order.
        paths: with the parameters of each call.
        released: while it is not set, nobody is answered.
    """

    respond: Callable[[Json], Any]
    reviews: list[Json] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        """Answer nobody until `release`."""
        self.released.clear()
        self.asked.clear()

    def release(self) -> None:
        """Answer those who wait, and who comes."""
        self.released.set()

    @property
    def requests(self) -> list[Json]:
        """The requests within the reviews."""
        return [review["request"] for review in self.reviews]


class WebhookServer:
    """A running server.

    Attributes:
        port: where it listens.
        ca_bundle: what a clientConfig needs, base64.
        connections: how many were made.
    """

    def __init__(self, port: int, ca_bundle: str) -> None:
        self.port = port
        self.ca_bundle = ca_bundle
        self.hooks: dict[str, Hook] = {}
        self.connections = 0

    def hook(self, path: str, respond: Callable[[Json], Any]) -> Hook:
        """Serve a path."""
        hook = self.hooks[path] = Hook(respond)
        hook.release()
        return hook

    def config(self, path: str) -> Json:
        """Return a clientConfig for a path."""
        return {"url": f"https://{HOST}:{self.port}{path}", "caBundle": self.ca_bundle}


def allow(**more: Any) -> Respond:
    """Return what allows everything."""
    return lambda _request: {"allowed": True, **more}


def deny(**status: Any) -> Respond:
    """Return what denies everything."""
    return lambda _request: {"allowed": False, **({"status": status} if status else {})}


def patch(*operations: Json) -> Respond:
    """Return what patches everything."""
    encoded = base64.b64encode(orjson.dumps(list(operations))).decode()
    return lambda _request: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def _handler(known: Callable[[], WebhookServer]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            known().connections += 1

        def do_GET(self) -> None:
            self._send(Reply(405))

        def do_POST(self) -> None:
            review = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook = known().hooks.get(self.path.partition("?")[0])
            if hook is None:
                self._send(Reply(404))
                return
            hook.paths.append(self.path)
            hook.reviews.append(review)
            hook.asked.set()
            hook.released.wait(60)
            answer = hook.respond(review.get("request") or review)
            self._send(answer if isinstance(answer, Reply) else _reviewed(review, answer))

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.code)
            headers = {"Content-Type": "application/json", **reply.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def run_webhooks(
    directory: Path, names: Sequence[str] = (), *, with_tls: bool = True
) -> Iterator[WebhookServer]:
    """Run a server whose certificate is for loopback and `names`."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_arguments: Any) -> None:
            """Clients go away in the middle of things here."""

    listener = Quiet((HOST, 0), _handler(lambda: server))
    bundle = ""
    if with_tls:
        chain, authority = certificates(directory, names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        listener.socket = context.wrap_socket(
            listener.socket, server_side=True, do_handshake_on_connect=False
        )
        bundle = base64.b64encode(authority).decode()
    server = WebhookServer(listener.server_address[1], bundle)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        for hook in server.hooks.values():
            hook.release()
        listener.shutdown()
        listener.server_close()
        thread.join(timeout=10)


def _reviewed(review: Json, response: Json) -> Reply:
    answer = {
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], **response},
    }
    return Reply(body=orjson.dumps(answer))


def certificates(directory: Path, names: Sequence[str]) -> tuple[Path, bytes]:
    """Return a file of the server's key and certificate, and the authority that signed it."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhooks' test authority")])
    ca = _builder(ca_name, ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(HOST))]
    alternatives += [x509.DNSName(name) for name in names]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webhook")])
    leaf = _builder(subject, ca_name, key.public_key()).add_extension(
        x509.SubjectAlternativeName(alternatives), critical=False
    )
    file = directory / "webhook.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + leaf.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    authority = ca.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return file, authority


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=24))
    )

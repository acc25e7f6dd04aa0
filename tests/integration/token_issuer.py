"""An OpenID issuer for tests: discovery and keys over TLS, and tokens to order."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
CLIENT = "ultraplane-test"


class TokenIssuer:
    """A running issuer.

    Attributes:
        url: its name.
        authority: the certificate (PEM) of its server, which signed itself.
    """

    def __init__(self, url: str, authority: Path) -> None:
        self.url = url
        self.authority = authority
        self._number = 0
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on, and tell of no other."""
        self._number += 1
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, **claims: Any) -> str:
        """Return a token that holds for an hour."""
        return self._signed(self._key, claims)

    def forged(self, **claims: Any) -> str:
        """Return a token that names the issuer's key and was signed by another."""
        return self._signed(rsa.generate_private_key(public_exponent=65537, key_size=2048), claims)

    def _signed(self, key: rsa.RSAPrivateKey, claims: dict[str, Any]) -> str:
        base = {"iss": self.url, "aud": CLIENT, "exp": int(time.time()) + 3600, "sub": "1"}
        return jwt.encode({**base, **claims}, key, "RS256", headers={"kid": str(self._number)})

    def document(self, path: str) -> Any:
        """Return what is at a path, None if nothing is."""
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            key = jwt.get_algorithm_by_name("RS256").to_jwk(self._key.public_key(), as_dict=True)
            return {"keys": [{**key, "kid": str(self._number), "use": "sig", "alg": "RS256"}]}
        return None


@contextmanager
def run_issuer(directory: Path) -> Iterator[TokenIssuer]:
    """Run an issuer until the block ends."""
    certificate, key = _self_signed(directory)
    issuers: list[TokenIssuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document = issuers[0].document(self.path)
            self.send_response(404 if document is None else 200)
            self.end_headers()
            self.wfile.write(orjson.dumps(document))

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    issuers.append(TokenIssuer(f"https://{HOST}:{server.server_address[1]}", certificate))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuers[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)


def _self_signed(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address(HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "issuer.crt", directory / "issuer.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths

"""Just enough of HTTP/1.1 over TLS to be a kubelet: one request a connection, answers in chunks.

Who asks is told by the client certificate, which must be of one of the CAs given.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.clock import Clock

HEAD_BYTES_MAX: Final = 64 << 10
_HEAD_S: Final = 10.0
_DAYS: Final = 3650
CONNECTIONS_MAX: Final = 1024
_REASONS: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
_log = logging.getLogger(__name__)


class Request:
    """One request, and its connection.

    Attributes:
        query: the values of each parameter.
        headers: by names in small letters.
    """

    def __init__(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, target, _ = first.split(" ", 2)
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)
        pairs = (line.partition(":") for line in lines if line)
        self.headers = {name.strip().lower(): text.strip() for name, _, text in pairs}
        self.reader = reader
        self.writer = writer

    def value(self, name: str) -> str:
        """Return a parameter, "" if it is not there."""
        return self.query.get(name, [""])[0]

    def subject(self, name: str) -> list[str]:
        """Return what the client's certificate says of its subject, such as organizationName."""
        return self._names("subject", name)

    def issuer(self, name: str) -> list[str]:
        """Return what it says of its issuer."""
        return self._names("issuer", name)

    def _names(self, whose: str, name: str) -> list[str]:
        certificate: Any = self.writer.get_extra_info("peercert") or {}
        return [value for part in certificate.get(whose, ()) for key, value in part if key == name]

    async def answer(self, code: int, body: bytes, kind: str = "application/json") -> None:
        """Answer at once."""
        head = f"HTTP/1.1 {code} {_REASONS.get(code, 'Error')}\r\nContent-Type: {kind}\r\n"
        head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        await self.send(head.encode() + body)

    async def begin(self, kind: str) -> None:
        """Begin an answer in chunks."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
        await self.send(f"{head}Connection: close\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """Send a part of it; an empty one ends it."""
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def send(self, data: bytes) -> None:
        """Send bytes, as fast as they are taken."""
        self.writer.write(data)
        await self.writer.drain()


Handler = Callable[[Request], Awaitable[None]]


class Web:
    """The server: `serve` gives each request to a handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._count = 0

    async def serve(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Serve until cancelled.

        Raises:
            OSError: the address can't be had.
        """
        server = await asyncio.start_server(
            self._connected, host, port, ssl=context, limit=HEAD_BYTES_MAX
        )
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        try:
            if self._count <= CONNECTIONS_MAX:
                await self._one(reader, writer)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            _log.debug("a connection ends: %r", error)
        except Exception:  # noqa: BLE001 - one request must not end the fleet
            _log.exception("a request could not be answered")
        finally:
            self._count -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        await self._handler(Request(head[:-4], reader, writer))


def serving_context(names: Sequence[str], authorities: Sequence[str], clock: Clock) -> ServingTls:
    """Return how to serve with a certificate made now, which signs itself.

    Args:
        names: host names and addresses that it is for.
        authorities: files of the CAs (PEM) whose certificates clients must show.
        clock: when now is.

    Raises:
        OSError, ssl.SSLError: an authority can't be read.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.fromtimestamp(clock.now_s(), datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ultraplane-fleet")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    memory = Path("/dev/shm")
    with tempfile.NamedTemporaryFile(dir=memory if memory.is_dir() else None) as file:
        file.write(pem + secret)
        file.flush()
        context.load_cert_chain(file.name)
    context.verify_mode = ssl.CERT_REQUIRED
    for path in authorities:
        context.load_verify_locations(path)
    return ServingTls(context, pem)


class ServingTls:
    """How to serve, and the certificate (PEM) by which clients know it."""

    def __init__(self, context: ssl.SSLContext, certificate: bytes) -> None:
        self.context = context
        self.certificate = certificate


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)

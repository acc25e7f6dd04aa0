"""Real TLS servers on loopback that stand in for kubelets and extension API servers.

Each runs an event loop in a thread of its own, speaks HTTP/1.1 by hand, so that a test may have it
do what no library would, and notes what it was asked.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
_WAIT_S = 20.0


@dataclass
class Request:
    """A request as a backend has got it; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client: str = ""

    @property
    def path(self) -> str:
        """Its path, without the query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """Return all values of a header."""
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """Return the first value of a header, "" if there is none."""
        return next(iter(self.values(name)), "")

    async def body(self) -> bytes:
        """Return the body, by its length or its chunks."""
        if self.value("transfer-encoding"):
            parts = []
            while size := int(await self.reader.readline(), 16):
                parts.append(await self.reader.readexactly(size))
                await self.reader.readline()
            await self.reader.readline()
            return b"".join(parts)
        return await self.reader.readexactly(int(self.value("content-length") or 0))

    async def send(self, *parts: bytes) -> None:
        """Write something."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def answer(
        self, code: int, body: bytes, kind: str = "application/json", *more: str
    ) -> None:
        """Write a whole answer."""
        lines = [f"HTTP/1.1 {code} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *more, "", ""]).encode()
        await self.send(head, b"" if self.method == "HEAD" else body)

    async def begin(self, code: int, *headers: str) -> None:
        """Write the head of an answer in chunks."""
        lines = [f"HTTP/1.1 {code} X", "Transfer-Encoding: chunked", *headers, "", ""]
        await self.send("\r\n".join(lines).encode())

    async def chunk(self, data: bytes) -> None:
        """Write a chunk; an empty one is the last."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))


Handler = Callable[[Request], Awaitable[None]]


@dataclass
class Backend:
    """A running server.

    Attributes:
        port: where it listens.
        authority: its certificate, PEM: it has signed it itself.
        requests: what it was asked, in order.
        handler: what answers; may be exchanged at any time.
    """

    port: int
    authority: bytes
    handler: Handler
    requests: list[Request] = field(default_factory=list)
    noted: threading.Event = field(default_factory=threading.Event)
    loop: asyncio.AbstractEventLoop | None = None
    connections: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def last(self) -> Request:
        """The last request."""
        return self.requests[-1]

    def cut(self) -> None:
        """Reset all its connections, as if it had been killed."""
        assert self.loop is not None
        done = threading.Event()

        def abort() -> None:
            for writer in list(self.connections):
                writer.transport.abort()
            done.set()

        self.loop.call_soon_threadsafe(abort)
        assert done.wait(_WAIT_S)


def self_signed(directory: Path, names: Sequence[str]) -> tuple[Path, Path]:
    """Make a certificate that signs itself; return it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "backend")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(HOST))]
    alternatives += [x509.DNSName(one) for one in names]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "backend.crt", directory / "backend.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_path, key_path


@contextmanager
def running_backend(
    directory: Path,
    handler: Handler,
    *,
    names: Sequence[str] = (),
    client_ca: Path | None = None,
    host: str = HOST,
    tls: bool = True,
) -> Iterator[Backend]:
    """Run a server until the block ends.

    Args:
        directory: for its certificate.
        handler: what answers each request.
        names: DNS names of its certificate, besides the address.
        client_ca: whose client certificates it asks for.
        host: where to listen.
        tls: whether with TLS.
    """
    directory.mkdir(exist_ok=True)
    certificate, key = self_signed(directory, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    backend = Backend(0, certificate.read_bytes(), handler)
    ready = threading.Event()
    stop: list[asyncio.Event] = []

    async def serve() -> None:
        backend.loop = asyncio.get_running_loop()
        stop.append(asyncio.Event())
        server = await asyncio.start_server(
            lambda reader, writer: _serve_one(backend, reader, writer),
            host,
            0,
            ssl=context if tls else None,
        )
        backend.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop[0].wait()
        server.close()
        for _ in range(3):  # one may still be shaking hands
            for writer in list(backend.connections):
                writer.transport.abort()
            await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(_WAIT_S)
    try:
        yield backend
    finally:
        assert backend.loop is not None
        backend.loop.call_soon_threadsafe(stop[0].set)
        thread.join(_WAIT_S)


async def _serve_one(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    backend.connections.add(writer)
    certificate = writer.get_extra_info("peercert") or {}
    subject = [value for part in certificate.get("subject", ()) for _, value in part]
    with suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
        while line := await reader.readline():
            method, target, _ = line.decode().split(" ", 2)
            headers = []
            while (raw := await reader.readline()) not in (b"\r\n", b""):
                name, _, value = raw.decode("latin-1").partition(":")
                headers.append((name.lower(), value.strip()))
            request = Request(method, target, headers, reader, writer, "/".join(subject))
            backend.requests.append(request)
            backend.noted.set()
            await backend.handler(request)
    backend.connections.discard(writer)
    writer.close()

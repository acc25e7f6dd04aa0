"""The console's files: the same for everybody, without a word about any cluster.

They are answered to whoever asks, as a browser that opens a page has no token to show yet; what is
shown in them comes from requests with the token of whoever looks. Files are found by their whole
path in a table made at the start, so no path leads anywhere else.

The policy lets the page run its own files and nothing else: no inline script, nothing from
elsewhere, no form that sends anything, no frame around it.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from apiserver.compression import accepts_gzip
from apiserver.exchange import Exchange
from kube import status as st

PREFIX: Final = "/console"
_TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_GZIP_LEVEL: Final = 9
_GZIP_WINDOW: Final = 31


@dataclass(frozen=True, slots=True)
class Page:
    """A file."""

    content_type: bytes
    body: bytes
    packed: bytes
    tag: bytes

    async def answer(self, exchange: Exchange) -> None:
        """Answer a GET or HEAD with it."""
        if exchange.method not in ("GET", "HEAD"):
            raise st.wrong_method()
        headers = [
            (b"content-type", self.content_type),
            (b"cache-control", b"no-cache"),
            (b"etag", self.tag),
            (b"vary", b"accept-encoding"),
            *_HEADERS,
        ]
        sent = dict(exchange.scope["headers"])
        if sent.get(b"if-none-match") == self.tag:
            await exchange.start_as(304, headers)
            await exchange.finish()
            return
        body = self.body
        if accepts_gzip(exchange.accept_encoding):
            body = self.packed
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", b"%d" % len(body)))
        await exchange.start_as(200, headers)
        await exchange.end_with(body if exchange.method == "GET" else b"")


def load_pages() -> dict[str, Page]:
    """Return all files by path; that of the page itself has two."""
    pages = {}
    for entry in files("apiserver.console").joinpath("static").iterdir():
        kind = entry.name.rpartition(".")[2]
        if kind not in _TYPES:
            continue
        body = entry.read_bytes()
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        packed = packer.compress(body) + packer.flush()
        tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        pages[f"{PREFIX}/{entry.name}"] = Page(_TYPES[kind], body, packed, tag)
    pages[PREFIX] = pages[f"{PREFIX}/"] = pages.pop(f"{PREFIX}/index.html")
    return pages

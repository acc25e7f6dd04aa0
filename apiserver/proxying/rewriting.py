"""What a proxied page says of itself, put in terms of where its reader found it.

As upstream's proxy transport: Location headers, and the URLs in HTML's attributes, that lead to the
backend get the prefix under which the API server passes on to it. All else stays byte for byte.
"""

from __future__ import annotations

import zlib
from html.parser import HTMLParser
from itertools import accumulate
from posixpath import normpath
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

HTML_BYTES_MAX: Final = 2 << 20
"""A longer page goes as it is: it would have to be whole in memory, and be looked through."""
_ATTRIBUTES: Final[dict[str, frozenset[str]]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}
_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "'": "&#39;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "\r": "&#13;"}
)
_PATH_SAFE: Final = "/$&+,:;=@~"
"""What Go leaves as it is in a path, besides letters, digits, `-`, `_` and `.`."""


def encode_path(path: str) -> str:
    """Return a decoded path as it is written in a URL."""
    return quote(path, safe=_PATH_SAFE)


def join_path(first: str, second: str) -> str:
    """Return two paths joined and cleaned as Go's path.Join does it; "" if both are empty."""
    parts = [part for part in (first, second) if part]
    if not parts:
        return ""
    cleaned = normpath("/".join(parts))
    # POSIX lets two slashes at the front stand.
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


class Rewriting(NamedTuple):
    """How one request's answer is rewritten.

    Attributes:
        scheme, host: that rewritten URLs get, "" to leave them relative.
        prefix: that their paths get, decoded.
        backend: `host:port` of the backend.
        requested: the Host header that the backend was sent.
    """

    scheme: str
    host: str
    prefix: str
    backend: str
    requested: str

    def url(self, text: str) -> str:
        """Return a URL as the reader has to follow it."""
        try:
            parts = urlsplit(text)
        except ValueError:
            return text
        elsewhere = parts.netloc not in ("", self.backend, self.requested)
        if elsewhere or not parts.path.startswith("/"):
            return text
        scheme, host = self.scheme, self.host
        if parts.netloc == self.requested and not (scheme or host):
            scheme, host = parts.scheme, parts.netloc
        path = unquote(parts.path)
        if not path.startswith(self.prefix):
            joined = join_path(self.prefix, path)
            path = joined + "/" if path.endswith("/") and not joined.endswith("/") else joined
        return urlunsplit((scheme, host, encode_path(path), parts.query, parts.fragment))

    def html(self, body: bytes, encoding: bytes) -> bytes | None:
        """Return a page with its URLs rewritten, None to leave it as it is.

        Args:
            body: the whole page, in its content encoding.
            encoding: the Content-Encoding: gzip, deflate or none.
        """
        match encoding:
            case b"":
                plain: bytes | None = body
            case b"gzip":
                plain = _unpack(body, zlib.MAX_WBITS | 16)
            case b"deflate":
                plain = _unpack(body, -zlib.MAX_WBITS)
            case _:
                return None
        if plain is None:
            return None
        text = plain.decode("utf-8", "surrogateescape")
        page = _Page(self, text)
        try:
            page.feed(text)
            page.close()
        except (AssertionError, ValueError):
            return None  # what no HTML parser can read is nobody's page
        rewritten = page.result().encode("utf-8", "surrogateescape")
        if not encoding:
            return rewritten
        packer = zlib.compressobj(
            wbits=zlib.MAX_WBITS | 16 if encoding == b"gzip" else -zlib.MAX_WBITS
        )
        return packer.compress(rewritten) + packer.flush()


class _Page(HTMLParser):
    """Finds the tags to be replaced; where they stand is kept, as the rest must not change."""

    def __init__(self, rewriting: Rewriting, text: str) -> None:
        super().__init__(convert_charrefs=False)
        self._url = rewriting.url
        self._text = text
        self._lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        self._replaced: list[tuple[int, int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag whose URLs change."""
        wanted = _ATTRIBUTES.get(tag, frozenset())
        changed = [
            (name, self._url(value) if name in wanted and value is not None else value)
            for name, value in attrs
        ]
        if changed == attrs:
            return
        raw = self.get_starttag_text() or ""
        end = "/>" if raw.endswith("/>") else ">"
        shown = "".join(
            f" {name}" if value is None else f' {name}="{value.translate(_ESCAPES)}"'
            for name, value in changed
        )
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        self._replaced.append((start, start + len(raw), f"<{tag}{shown}{end}"))

    def result(self) -> str:
        """Return the page."""
        parts: list[str] = []
        at = 0
        for start, end, text in self._replaced:
            parts += (self._text[at:start], text)
            at = end
        return "".join([*parts, self._text[at:]])


def _unpack(body: bytes, window_bits: int) -> bytes | None:
    """Return what is packed, None if it is damaged or too long."""
    unpacker = zlib.decompressobj(window_bits)
    try:
        plain = unpacker.decompress(body, HTML_BYTES_MAX)
    except zlib.error:
        return None
    return plain if unpacker.eof else None

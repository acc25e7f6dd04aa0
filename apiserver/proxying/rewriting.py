"""What a proxied page says of itself, put in terms of where its reader found it.

As upstream's proxy transport: Location headers, and the URLs in HTML's attributes, that lead to the
backend get the prefix under which the API server passes on to it. All else stays byte for byte.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from html import unescape
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
_TAG: Final = re.compile(r"<([a-zA-Z][^\s/>]{0,63})(?=[\s/>])")
_SPACE: Final = re.compile(r"[\s/]*")
_NAME: Final = re.compile(r"=?[^\s=>/]*")
_EQUALS: Final = re.compile(r"\s*=\s*")
_BARE: Final = re.compile(r"[^\s>]*")
_RAW: Final = {
    tag: re.compile(f"</{tag}(?=[\\s/>])", re.IGNORECASE)
    for tag in ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
"""Elements whose content is no markup."""
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
        rewritten = _rewritten(text, self.url).encode("utf-8", "surrogateescape")
        if not encoding:
            return rewritten
        packer = zlib.compressobj(
            wbits=zlib.MAX_WBITS | 16 if encoding == b"gzip" else -zlib.MAX_WBITS
        )
        return packer.compress(rewritten) + packer.flush()


def _rewritten(text: str, url: Callable[[str], str]) -> str:
    """Return a page with its URLs replaced.

    Each character is looked at once or twice, whatever is opened and never closed: what stands
    behind such a thing belongs to it, and is left as it is.
    """
    parts: list[str] = []
    copied = at = 0
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
            at = end + 3
            if end < 0:
                break
            continue
        opened = _TAG.match(text, at)
        if opened is None:
            at += 1
            continue
        tag = opened[1].lower()
        attributes, end, is_closed = _attributes(text, opened.end())
        if end < 0:
            break
        wanted = _ATTRIBUTES.get(tag, frozenset())
        changed = [
            (name, url(value) if name in wanted and value is not None else value)
            for name, value in attributes
        ]
        if changed != attributes:
            shown = "".join(
                f" {name}" if value is None else f' {name}="{value.translate(_ESCAPES)}"'
                for name, value in changed
            )
            parts += (text[copied:at], f"<{tag}{shown}{'/>' if is_closed else '>'}")
            copied = end
        at = end
        if tag in _RAW:
            closing = _RAW[tag].search(text, at)
            if closing is None:
                break
            at = closing.start()
    return "".join([*parts, text[copied:]])


def _attributes(text: str, at: int) -> tuple[list[tuple[str, str | None]], int, bool]:
    """Return a tag's attributes, where it ends (-1: nowhere), and whether by a slash."""
    found: list[tuple[str, str | None]] = []
    while True:
        at = _match(_SPACE, text, at).end()
        if at >= len(text):
            return found, -1, False
        if text[at] == ">":
            return found, at + 1, text[at - 1] == "/"
        name = _match(_NAME, text, at)
        at = name.end()
        value: str | None = None
        if (equals := _EQUALS.match(text, at)) is not None:
            at = equals.end()
            quotes = text[at : at + 1]
            if quotes in ("'", '"') and quotes:
                end = text.find(quotes, at + 1)
                if end < 0:
                    return found, -1, False
                value, at = text[at + 1 : end], end + 1
            else:
                bare = _match(_BARE, text, at)
                value, at = bare[0], bare.end()
        found.append((name[0].lower(), None if value is None else unescape(value)))


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    """Match a pattern that matches anywhere, be it nothing."""
    match = pattern.match(text, at)
    assert match is not None
    return match


def _unpack(body: bytes, window_bits: int) -> bytes | None:
    """Return what is packed, None if it is damaged or too long."""
    unpacker = zlib.decompressobj(window_bits)
    try:
        plain = unpacker.decompress(body, HTML_BYTES_MAX)
    except zlib.error:
        return None
    return plain if unpacker.eof else None

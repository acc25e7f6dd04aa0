"""URLs, taken apart as Go's net/url does, and the functions on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_plus, unquote_to_bytes

from kube.cel.errors import CelError
from kube.cel.overloads import Declarations
from kube.cel.types import opaque, type_of
from kube.cel.values import Opaque, traversal

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL | re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_BAD_HOST: Final = re.compile(r"""[^A-Za-z0-9._~!$&'()*+,;=:\[\]<>"\u0080-\U0010ffff%-]""")
_PORT: Final = re.compile(r"(?::[0-9]*)?", re.ASCII)
_VALID_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@\[\]/-]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True)
class Url(Opaque):
    """A parsed URL; `host` has the port with it, `path` is as it was written."""

    type_name = "kubernetes.URL"
    scheme: str
    host: str
    path: str
    query: str

    def __len__(self) -> int:
        return len(self.scheme) + len(self.host) + len(self.path) + len(self.query)


def parse_url(text: str, *, request: bool) -> Url:
    """Take a URL apart; with `request`, it must be absolute.

    Raises:
        ValueError: it is none; the message is Go's.
    """
    if _CONTROL.search(text):
        raise ValueError("net/url: invalid control character in URL")
    if not text and request:
        raise ValueError("empty url")
    if text[:1] == ":":
        raise ValueError("missing protocol scheme")
    match = _SCHEME.fullmatch(text)
    scheme, rest = (match[1].lower(), match[2]) if match else ("", text)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, "", "", query)
        if request and rest != "*":
            raise ValueError("invalid URI for request")
        if ":" in rest.partition("/")[0]:
            raise ValueError("first path segment in URL cannot contain colon")
    host = ""
    if rest.startswith("//") and (scheme or (not request and not rest.startswith("///"))):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path
        host = _host(host.rpartition("@")[2])
    _check_escapes(rest)
    return Url(scheme, host, rest, query)


def _host(host: str) -> str:
    if host.startswith("["):
        closing = host.rfind("]")
        if closing < 0:
            raise ValueError("missing ']' in host")
        port = host[closing + 1 :]
    else:
        port = host[host.rfind(":") :] if ":" in host else ""
    if not _PORT.fullmatch(port):
        raise ValueError(f'invalid port "{port}" after host')
    bad = _BAD_HOST.search(host)
    if bad is not None:
        raise ValueError(f'invalid character "{bad[0]}" in host name')
    _check_escapes(host)
    return host


def _check_escapes(text: str) -> None:
    bad = _BAD_ESCAPE.search(text)
    if bad is not None:
        raise ValueError(f'invalid URL escape "{bad[0]}"')


def _once(value: Any) -> int:
    return traversal(len(value))


def declare(to: Declarations) -> None:
    """Declare `url`, `isURL` and what tells the parts."""
    to.types["kubernetes.URL"] = type_of(opaque("kubernetes.URL"))
    to.function("url", "string_to_url", "string -> kubernetes.URL", _url, _once)
    to.function("isURL", "is_url_string", "string -> bool", is_url, lambda _: 1)
    for name, overload, part in (
        ("getScheme", "url_get_scheme", lambda url: url.scheme),
        ("getHost", "url_get_host", lambda url: url.host),
        ("getHostname", "url_get_hostname", _hostname),
        ("getPort", "url_get_port", _port),
        ("getEscapedPath", "url_get_escaped_path", _escaped_path),
    ):
        to.method(name, overload, "kubernetes.URL -> string", part)
    to.method("getQuery", "url_get_query", "kubernetes.URL -> map(string, list(string))", _query)


def is_url(text: str) -> bool:
    """Tell whether a text is an absolute URL or path."""
    try:
        parse_url(text, request=True)
    except ValueError:
        return False
    return True


def _url(text: str) -> Url:
    try:
        parse_url(text, request=True)
        return parse_url(text.partition("#")[0], request=False)
    except ValueError as exc:
        raise CelError(
            f'URL parse error during conversion from string: parse "{text}": {exc}'
        ) from None


def _split_port(host: str) -> tuple[str, str]:
    if host.startswith("["):
        name, _, port = host[1:].rpartition("]")
        return name, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _hostname(url: Url) -> str:
    return _split_port(url.host)[0]


def _port(url: Url) -> str:
    return _split_port(url.host)[1]


def _escaped_path(url: Url) -> str:
    if _VALID_PATH.fullmatch(url.path):
        return url.path
    return quote(unquote_to_bytes(url.path), safe="/$&+,:;=@-_.~")


def _query(url: Url) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition("=")
        found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return found

"""Where a webhook is: a clientConfig, read once, and what is trusted there.

A service is called by its name within the cluster (`name.namespace.svc`), so its certificate has to
be for that, wherever the connection goes (apiserver.webhooks.resolver). As in Go, a bundle of
authorities takes the place of the system's, any certificate in it may be the end of a chain, and
names count only where they stand as alternative names.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from kube.json_types import JsonObject

_CONTEXTS_MAX: Final = 200
"""Upstream keeps as many clients."""
_PORT_DEFAULT: Final = 443


class BadTarget(Exception):
    """A clientConfig from which no client can be made."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to call.

    Attributes:
        url: without parameters.
        authorities: that may vouch for it, PEM; "" for the system's.
    """

    url: str
    authorities: str

    def context(self) -> ssl.SSLContext:
        """Return how the other end is verified; targets of the same authorities share it.

        Raises:
            BadTarget: there are no certificates in what should be some.
        """
        return _context(self.authorities)


def target_of(config: JsonObject) -> Target:
    """Return what a clientConfig points at.

    Raises:
        BadTarget: it has neither URL nor service, or what cannot be read.
    """
    authorities = _decode(config.get("caBundle") or "")
    service, url = config.get("service"), config.get("url")
    if service is not None:
        port = service.get("port") or _PORT_DEFAULT
        host = f"{service.get('name', '')}.{service.get('namespace', '')}.svc"
        return Target(f"https://{host}:{port}{_path(service.get('path') or '')}", authorities)
    if not url:
        raise BadTarget("webhook configuration must have either service or URL")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadTarget(f"Unparsable URL: {error}") from error
    return Target(f"{parts.scheme}://{parts.netloc}{_path(parts.path)}", authorities)


def _path(path: str) -> str:
    # What client-go makes of it: cleaned, without a slash at its end.
    return "/" + posixpath.normpath("/" + path).lstrip("/")


def _decode(bundle: str) -> str:
    try:
        return base64.b64decode(bundle, validate=True).decode("ascii", errors="replace")
    except binascii.Error as error:
        raise BadTarget(f"caBundle is no base64: {error}") from error


@lru_cache(maxsize=_CONTEXTS_MAX)
def _context(authorities: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=authorities or None)
    except (ssl.SSLError, ValueError) as error:
        text = "unable to load root certificates: unable to parse bytes as PEM block"
        raise BadTarget(text) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    # Connections of HTTP/1.1, as upstream's: those of HTTP/2 would all go to one endpoint.
    context.set_alpn_protocols(["http/1.1"])
    return context

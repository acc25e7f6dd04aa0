"""Continue tokens: where a list in pages goes on. The format is upstream's.

Unpadded base64url of `{"v":"meta.k8s.io/v1","rv":<revision>,"start":"<namespace>/<name>\\u0000"}`;
`rv` -1 means: go on inconsistently, at whatever the revision is by then. One member is ours:
`left`, how many objects follow, so that they need not be counted again for each page.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

import orjson

from kube import status as st
from kube.json_types import JsonObject

INCONSISTENT: Final = -1
_VERSION: Final = "meta.k8s.io/v1"


class Position(NamedTuple):
    """Where a list goes on: at which revision, after which object, and how many follow if known."""

    revision: int
    after: tuple[str, str]
    left: int | None = None


def encode_token(
    revision: int, after: tuple[str, str], *, namespaced: bool, left: int | None = None
) -> str:
    """Return the token to go on after the object `after` (namespace, name)."""
    start = f"{after[0]}/{after[1]}" if namespaced else after[1]
    document: JsonObject = {"v": _VERSION, "rv": revision, "start": start + "\0"}
    if left is not None:
        document["left"] = left
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def decode_token(token: str, *, namespaced: bool) -> Position:
    """Return what a token means.

    Raises:
        StatusError: 400, worded as upstream.
    """
    try:
        padded = token.encode() + b"=" * (-len(token) % 4)
        document = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version, revision, start = document["v"], document["rv"], document["start"]
        left = document.get("left")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise st.bad_request(f"continue key is not valid: {error}") from error
    if version != _VERSION:
        raise st.bad_request(
            f"continue key is not valid: server does not recognize this encoded version {version!r}"
        )
    if type(revision) is not int or revision == 0 or not isinstance(start, str) or not start:
        text = "continue key is not valid: incorrect encoded start resourceVersion (version meta)"
        raise st.bad_request(text)
    key = start.removesuffix("\0")
    space, slash, name = key.partition("/") if namespaced else ("", "/", key)
    if not slash or not name or "/" in name or ".." in (space, name):
        raise st.bad_request(f"continue key is not valid: {start!r}")
    return Position(revision, (space, name), left if type(left) is int else None)

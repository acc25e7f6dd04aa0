"""Continue tokens: where a list in pages goes on. Format and refusals are upstream's.

Unpadded base64url of `{"v":"meta.k8s.io/v1","rv":<revision>,"start":"<key>\\u0000"}`. The key is
below what is listed: the name within a namespace (or of a cluster-scoped type), namespace/name in a
list of all namespaces. A negative `rv` means: go on inconsistently, at whatever the revision is by
then. One member is ours: `left`, how many objects follow, so that they need not be counted again
for each page.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final, NamedTuple

import orjson

from kube import status as st
from kube.json_types import JsonObject

INCONSISTENT: Final = -1
_VERSION: Final = "meta.k8s.io/v1"
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9_-]")
_JSON_KINDS: Final = {str: "string", list: "array", dict: "object", bool: "bool"}


class Position(NamedTuple):
    """Where a list goes on: at which revision, after which object, and how many follow if known."""

    revision: int
    after: tuple[str, str]
    left: int | None = None


def encode_token(
    revision: int, after: tuple[str, str], *, all_namespaces: bool, left: int | None = None
) -> str:
    """Return the token to go on after the object `after` (namespace, name)."""
    start = f"{after[0]}/{after[1]}" if all_namespaces else after[1]
    document: JsonObject = {"v": _VERSION, "rv": revision, "start": start + "\0"}
    if left is not None:
        document["left"] = left
    return base64.urlsafe_b64encode(orjson.dumps(document)).rstrip(b"=").decode()


def decode_token(token: str, namespace: str, *, all_namespaces: bool) -> Position:
    """Return what a token means.

    Args:
        token: as the client sent it.
        namespace: of the list, "" if it is of all or the type has none.
        all_namespaces: whether the keys of the list begin with a namespace.

    Raises:
        StatusError: 400, worded as upstream.
    """
    document = _document_of(token)
    version = document.get("v") or ""
    if version != _VERSION:
        raise _refusal(f": server does not recognize this encoded version {version}")
    revision, start = _revision_of(document), document.get("start") or ""
    if revision == 0:
        raise _refusal(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not isinstance(start, str):
        raise _refusal(_wrong_type(start, "start", "string"))
    if not start:
        raise _refusal(f": encoded start key empty (version {_VERSION})")
    key = start.removeprefix("/")
    if key and any(part in ("", ".", "..") for part in key.split("/")):
        # It would lead out of what is listed.
        raise _refusal(f": {start}")
    key = key.removesuffix("\0")
    left = document.get("left")
    known_left = left if type(left) is int else None
    if all_namespaces:
        space, _, name = key.partition("/")
        return Position(revision, (space, name), known_left)
    return Position(revision, (namespace, key), known_left)


def _document_of(token: str) -> dict[str, Any]:
    text = token.replace("\r", "").replace("\n", "")
    fault = _NOT_BASE64.search(text)
    if fault is not None or len(text) % 4 == 1:
        at = fault.start() if fault is not None else len(text) - 1
        raise _refusal(f": illegal base64 data at input byte {at}")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    try:
        document = orjson.loads(data)
    except ValueError as error:
        first = data.lstrip()[:1].decode("latin-1")
        if first and first not in '{["-0123456789tfn':
            text = f": invalid character {first!r} looking for beginning of value"
            raise _refusal(text) from error
        raise _refusal(": unexpected end of JSON input") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        kind = _JSON_KINDS.get(type(document), "number")
        text = f": json: cannot unmarshal {kind} into Go value of type storage.continueToken"
        raise _refusal(text)
    return document


def _revision_of(document: dict[str, Any]) -> int:
    revision = document.get("rv") or 0
    if not isinstance(revision, int) or isinstance(revision, bool):
        raise _refusal(_wrong_type(revision, "rv", "int64"))
    return revision


def _wrong_type(value: Any, name: str, wanted: str) -> str:
    kind = _JSON_KINDS.get(type(value), "number")
    field = f"Go struct field continueToken.{name} of type {wanted}"
    return f": json: cannot unmarshal {kind} into {field}"


def _refusal(detail: str) -> st.StatusError:
    return st.bad_request(f"invalid continue token: continue key is not valid{detail}")

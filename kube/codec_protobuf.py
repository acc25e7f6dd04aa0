"""Protobuf bodies as Kubernetes writes them: four bytes, then an envelope around the message.

    "k8s" 0 | Unknown{1: TypeMeta{1: apiVersion, 2: kind}, 2: message, ...}

Decoding gives what the same object in JSON would give, before any schema's normalization: zeros
that are on the wire stay, absent fields are absent, null stands for Go's zero time. Only built-in
kinds have messages; custom resources do not.
"""

from __future__ import annotations

from typing import Final

from kube.field import quote
from kube.json_types import JsonObject
from kube.protobuf import wire
from kube.protobuf.numbers import definition_of
from kube.protobuf.reader import message_of
from kube.protobuf.values import length_prefixed
from kube.protobuf.writer import write_message

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
PREFIX: Final = b"k8s\x00"

_TYPE_META: Final = 1
_RAW: Final = 2
_API_VERSION: Final = 1
_KIND: Final = 2
_FIRST: Final = wire.encode_tag(1, wire.BYTES)
_SECOND: Final = wire.encode_tag(2, wire.BYTES)
# What Go writes for an envelope without content encoding and content type.
_TAIL: Final = wire.encode_tag(3, wire.BYTES) + b"\x00" + wire.encode_tag(4, wire.BYTES) + b"\x00"


def decode(body: bytes) -> JsonObject:
    """Return the object in `body`.

    Raises:
        ValueError: it is malformed or of a kind without a message; worded for the client.
    """
    _check_prefix(body)
    try:
        envelope = wire.scan(body, len(PREFIX), len(body))
        type_meta = wire.scanned_bytes(envelope, _TYPE_META)
        names = wire.scan(type_meta, 0, len(type_meta))
        api_version = wire.scanned_bytes(names, _API_VERSION).decode("utf-8", "replace")
        kind = wire.scanned_bytes(names, _KIND).decode("utf-8", "replace")
        definition = _definition(api_version, kind)
        obj: JsonObject = {"apiVersion": api_version, "kind": kind}
        raw = wire.scanned_bytes(envelope, _RAW)
        message_of(definition).read(raw, 0, len(raw), 0, obj)
    except IndexError as error:
        raise ValueError(wire.TRUNCATED) from error
    return obj


def encode(obj: JsonObject) -> bytes:
    """Return an object of a built-in kind, a list or a Status as a body.

    Raises:
        ValueError: its kind has no message, or a value does not fit its field.
    """
    api_version, kind = obj.get("apiVersion") or "", obj.get("kind") or ""
    raw = write_message(_definition(api_version, kind), obj)
    type_meta = length_prefixed(_FIRST, api_version.encode())
    type_meta += length_prefixed(_SECOND, kind.encode())
    return b"".join(
        (PREFIX, length_prefixed(_FIRST, type_meta), length_prefixed(_SECOND, raw), _TAIL)
    )


def _check_prefix(body: bytes) -> None:
    if not body:
        raise ValueError("empty data")
    if not body.startswith(PREFIX):
        raise ValueError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    if len(body) == len(PREFIX):
        raise ValueError("empty body")


def _definition(api_version: str, kind: str) -> str:
    if not kind:
        raise ValueError("Object 'Kind' is missing in protobuf's TypeMeta")
    if not api_version:
        raise ValueError("Object 'apiVersion' is missing in protobuf's TypeMeta")
    definition = definition_of(api_version, kind)
    if definition is None:
        raise ValueError(f"no kind {quote(kind)} is registered for version {quote(api_version)}")
    return definition

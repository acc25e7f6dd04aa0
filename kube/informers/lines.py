"""Lines of a watch, read without the managedFields of their objects.

These are up to half of an object, and decoding them costs most of the reading. So they are cut out
of the bytes first, where it is certain what they are:

    {"type":…,"object":{"kind":…,"apiVersion":…,"metadata":{ … ,"managedFields":[ … ]},"spec":…}}
    |---------------- head ------------------------------|- own -|---- cut out ----|---- tail ---|

Invariants:
    - `own` and a brace are an object: so what is cut out stands in the metadata itself, not deeper.
    - What is cut out ends with the first `]`. There is none in a set of fields but in a text; then
      the tail begins inside of a text, and cannot be decoded.
    - What is not like that is decoded as it is, and the outcome is the same.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kube.json_types import JsonObject

_MANAGED: Final = b',"managedFields":'
_METADATA: Final = b'"metadata":{'
_HEAD_BYTES_MAX: Final = 512
_OPENED: Final = 3
"""Braces up to the metadata: of the event, of the object, and its own."""
_LISTS_MAX: Final = 3
"""In the metadata, up to that one: owners and finalizers may come before. Single characters are
found ten times as fast as words."""


def read_event(line: bytes) -> tuple[Any, bytes]:
    """Decode an event; its object is without managedFields.

    Returns:
        The event, and its JSON.

    Raises:
        ValueError: the line is no JSON.
    """
    start = line.find(_METADATA, 0, _HEAD_BYTES_MAX) + len(_METADATA)
    at = _find_managed(line, start)
    end = line.find(b"]", at) + 1
    if (
        len(_METADATA) <= start < at < end
        and line[end : end + 1] == b"}"
        and line.count(b"{", 0, start) == _OPENED
    ):
        tail = line[end:]
        try:
            metadata = orjson.loads(line[start - 1 : at] + b"}")
            event = orjson.loads(line[:start] + tail)
        except orjson.JSONDecodeError:
            pass  # as it was told it may be read
        else:
            event["object"]["metadata"] = metadata
            return event, line[:at] + tail
    event = orjson.loads(line)
    if event.__class__ is dict and _has_managers(event.get("object")):
        bare(event["object"])
        line = orjson.dumps(event)
    return event, line


def _find_managed(line: bytes, start: int) -> int:
    at = start
    for _ in range(_LISTS_MAX):
        at = line.find(b"[", at) + 1
        if not at:
            break
        if line.endswith(_MANAGED, start, at - 1):
            return at - 1 - len(_MANAGED)
    return -1


def bare(obj: JsonObject) -> JsonObject:
    """Return an object, which is changed, without its managedFields."""
    if _has_managers(obj):
        del obj["metadata"]["managedFields"]
    return obj


def _has_managers(obj: Any) -> bool:
    if obj.__class__ is not dict:
        return False
    metadata = obj.get("metadata")
    return metadata.__class__ is dict and "managedFields" in metadata

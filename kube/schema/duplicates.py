"""Strict checking of a JSON body: duplicate fields, and unknown ones, in document order.

Parsing into dicts loses duplicates, so the body itself is looked at. The cheap test compares the
number of keys that the decoder counted with the number of key endings in the text; only where they
may differ is the body parsed again, keeping every pair. Words and scope are those of
sigs.k8s.io/json: nothing is reported inside unknown fields or free-form values of typed objects.
"""

from __future__ import annotations

import json
from typing import Any

from kube.codec_json import mend
from kube.schema.decode import Decoded
from kube.schema.model import Kind, Struct, Type
from kube.schema.report import STRICT_ERRORS_MAX


class _Pairs(list[tuple[str, Any]]):
    """An object as its pairs, so that it differs from an array."""


def may_have_duplicates(body: bytes, key_count: int) -> bool:
    """Tell cheaply whether some object in `body` may hold a key twice.

    Args:
        body: the JSON text.
        key_count: keys of all objects in it once parsed; negative if not known.
    """
    if key_count < 0:
        return True
    # Each pair has a colon: if there are no more of them than keys, no key was lost.
    if body.count(b":") == key_count:
        return False
    # A quote inside a string is escaped, so an unescaped one before a colon ends a key.
    found = body.count(b'":')
    if b"\\" in body:
        found -= body.count(b'\\":')
        if b'\\\\":' in body:
            return True
    # Were a key to end in white space, counting `":` would miss it. The single bytes are looked
    # for first: that takes a twentieth of the time, and compact JSON has few of them.
    return (
        found != key_count
        or (b" " in body and b'" :' in body)
        or (b"\n" in body and b'"\n:' in body)
        or (b"\t" in body and b'"\t:' in body)
        or (b"\r" in body and b'"\r:' in body)
    )


def strict_errors(body: bytes, struct: Struct | None, decoded: Decoded) -> tuple[str, ...]:
    """Return upstream's strict decoding errors of a body: unknown and duplicate fields.

    Args:
        body: the JSON text.
        struct: what it was decoded as; None for untyped objects, where only duplicates count.
        decoded: what decoding it found.
    """
    if not may_have_duplicates(body, decoded.key_count):
        return decoded.unknown
    found: dict[str, None] = {}
    pairs = json.loads(mend(body), object_pairs_hook=_Pairs)
    if struct is None:
        _walk_free(pairs, "", found)
    elif isinstance(pairs, _Pairs):
        _walk_struct(struct, pairs, "", found)
    return tuple(found)[:STRICT_ERRORS_MAX]


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _walk_struct(struct: Struct, pairs: _Pairs, path: str, found: dict[str, None]) -> None:
    seen = set()
    for key, value in pairs:
        here = _join(path, key)
        field = struct.fields.get(key)
        if field is None:
            found[f'unknown field "{here}"'] = None
            continue
        if key in seen:
            found[f'duplicate field "{here}"'] = None
        seen.add(key)
        _walk(field.type, value, here, found)


def _walk(type_: Type, value: Any, path: str, found: dict[str, None]) -> None:
    match type_.kind:
        case Kind.STRUCT if isinstance(value, _Pairs):
            assert type_.struct is not None
            _walk_struct(type_.struct, value, path, found)
        case Kind.MAP if isinstance(value, _Pairs):
            assert type_.items is not None
            seen = set()
            for key, item in value:
                if key in seen:
                    found[f'duplicate field "{_join(path, key)}"'] = None
                seen.add(key)
                _walk(type_.items, item, _join(path, key), found)
        case Kind.LIST if isinstance(value, list):
            assert type_.items is not None
            for index, item in enumerate(value):
                _walk(type_.items, item, f"{path}[{index}]", found)


def _walk_free(value: Any, path: str, found: dict[str, None]) -> None:
    if isinstance(value, _Pairs):
        seen = set()
        for key, item in value:
            here = _join(path, key)
            if key in seen:
                found[f'duplicate field "{here}"'] = None
            seen.add(key)
            _walk_free(item, here, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _walk_free(item, f"{path}[{index}]", found)

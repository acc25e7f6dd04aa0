"""Writing CBOR items: what JSON-like data looks like in it, string by string.

Strings and keys are byte strings (upstream's choice: nobody has to prove them UTF-8), `bytes` stand
for binary data and get tag 22 ("base64 in JSON"), floats take the fewest bytes that keep their
value, and all lengths are definite. The item itself has no tag here; see `codec_cbor`.

A walk in Python beats the C encoder with a callback for each string (18 against 30 µs for a pod),
as most strings of an object were met before: the bytes of short ones are kept.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

_UNSIGNED: Final = 0x00
_NEGATIVE: Final = 0x20
_BYTES: Final = 0x40
_ARRAY: Final = 0x80
_MAP: Final = 0xA0
_BASE64_TAG: Final = b"\xd6"
_FALSE: Final = b"\xf4"
_TRUE: Final = b"\xf5"
_NULL: Final = b"\xf6"

_KNOWN_MAX: Final = 4096
_KNOWN_LENGTH_MAX: Final = 64
_SHORT: Final = 256


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major + number,))
    if number < 1 << 8:
        return bytes((major + 24, number))
    if number < 1 << 16:
        return struct.pack(">BH", major + 25, number)
    if number < 1 << 32:
        return struct.pack(">BI", major + 26, number)
    return struct.pack(">BQ", major + 27, number)


_ARRAYS: Final = [_head(_ARRAY, count) for count in range(_SHORT)]
_UNSIGNED_SHORT: Final = [_head(_UNSIGNED, number) for number in range(_SHORT)]
_MAPS: Final = [_head(_MAP, count) for count in range(_SHORT)]


def array_head(count: int) -> bytes:
    """Return what stands before the `count` items of an array."""
    return _ARRAYS[count] if count < _SHORT else _head(_ARRAY, count)


def map_head(count: int) -> bytes:
    """Return what stands before the `count` pairs of a map."""
    return _MAPS[count] if count < _SHORT else _head(_MAP, count)


class Ready(bytes):
    """An item that stands, as it was written before, for what it was made of."""


class _Known(dict[str, bytes]):
    """The items of short strings; it is emptied when it is full, and what is common returns."""

    def __missing__(self, text: str) -> bytes:
        raw = text.encode()
        item = _head(_BYTES, len(raw)) + raw
        if len(text) <= _KNOWN_LENGTH_MAX:
            if len(self) >= _KNOWN_MAX:
                self.clear()
            self[text] = item
        return item


# Values that occur once (names, uids) must not drive out the keys, which occur in every object.
_KEYS: Final = _Known()
_VALUES: Final = _Known()


def encode_item(value: Any) -> bytes:
    """Return JSON-like data, in which `bytes` may stand for base64, as one item.

    Raises:
        ValueError: it holds NaN, an infinity, or what JSON has not.
    """
    pieces: list[bytes] = []
    if value.__class__ is dict or value.__class__ is list:
        _walk(value, pieces.append)
        return b"".join(pieces)
    return _scalar(value)


def _walk(value: Any, append: Callable[[bytes], None]) -> None:
    """Write a dict or a list; the loops are alike, and apart for speed."""
    if value.__class__ is dict:
        append(map_head(len(value)))
        for key, item in value.items():
            append(_KEYS[key])
            kind = item.__class__
            if kind is str:
                append(_VALUES[item])
            elif kind is dict or kind is list:
                _walk(item, append)
            else:
                append(_scalar(item))
        return
    append(array_head(len(value)))
    for item in value:
        kind = item.__class__
        if kind is str:
            append(_VALUES[item])
        elif kind is dict or kind is list:
            _walk(item, append)
        else:
            append(_scalar(item))


def _scalar(value: Any) -> bytes:
    kind = value.__class__
    if kind is bool:
        return _TRUE if value else _FALSE
    if value is None:
        return _NULL
    if kind is int:
        if 0 <= value < _SHORT:
            short: bytes = _UNSIGNED_SHORT[value]
            return short
        if not -(2**63) <= value < 2**63:
            return _float(float(value))  # as upstream reads them in JSON
        return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    if kind is float:
        return _float(value)
    if kind is str:
        return _VALUES[value]
    if kind is Ready:
        ready: bytes = value
        return ready
    if kind is bytes:
        return b"".join((_BASE64_TAG, _head(_BYTES, len(value)), value))
    raise ValueError(f"cbor: {kind.__name__} has no JSON form")


def _float(value: float) -> bytes:
    """Write a float in the fewest bytes that keep its value."""
    if not math.isfinite(value):
        raise ValueError("cbor: NaN and infinity are not accepted")
    for lead, layout in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(layout, value)
        except OverflowError:
            continue
        if struct.unpack(layout, packed)[0] == value:
            return lead + packed
    return b"\xfb" + struct.pack(">d", value)

"""Values that are messages of their own in protobuf and plain values in JSON: both directions.

Readers take (buf, start, stop) and return the JSON value, None where JSON has null; writers take
the JSON value and return the message's bytes.
"""

from __future__ import annotations

import binascii
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from kube import times
from kube.protobuf.wire import (
    as_int32,
    encode_varint,
    scan,
    scanned_bytes,
    scanned_int,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_SECONDS: Final = -62135596800  # Go's zero time, which JSON shows as null
_FIRST_BYTES: Final = 0x0A  # tag of a length-delimited field 1


def read_string(buf: bytes, start: int, stop: int) -> str:
    """Return a text; what is no UTF-8 becomes replacement characters, as Go's JSON shows it."""
    return buf[start:stop].decode("utf-8", "replace")


def read_bytes(buf: bytes, start: int, stop: int) -> str:
    """Return bytes in base64."""
    return binascii.b2a_base64(buf[start:stop], newline=False).decode("ascii")


def read_quantity(buf: bytes, start: int, stop: int) -> str:
    """Return a quantity's text."""
    if stop - start >= 2 and buf[start] == _FIRST_BYTES and buf[start + 1] == stop - start - 2:
        return buf[start + 2 : stop].decode("utf-8", "replace")
    return scanned_bytes(scan(buf, start, stop), 1).decode("utf-8", "replace")


def read_time(buf: bytes, start: int, stop: int) -> str | None:
    """Return a time in whole seconds; upstream ignores the fraction too."""
    seconds = scanned_int(scan(buf, start, stop), 1)
    if start == stop or seconds == _ZERO_SECONDS:
        return None
    return _moment(seconds, 0).isoformat(timespec="seconds")[:-6] + "Z"


def read_micro_time(buf: bytes, start: int, stop: int) -> str | None:
    """Return a time with six decimals."""
    found = scan(buf, start, stop)
    seconds, nanos = scanned_int(found, 1), as_int32(scanned_int(found, 2))
    if start == stop or (seconds == _ZERO_SECONDS and nanos == 0):
        return None
    return _moment(seconds, nanos // 1000).isoformat(timespec="microseconds")[:-6] + "Z"


def _moment(seconds: int, micros: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=micros)
    except OverflowError as error:
        raise ValueError("Time.MarshalJSON: year outside of range [0,9999]") from error


def read_int_or_string(buf: bytes, start: int, stop: int) -> int | str:
    """Return a number or a text, as the message's type says."""
    found = scan(buf, start, stop)
    match scanned_int(found, 1):
        case 0:
            return as_int32(scanned_int(found, 2))
        case 1:
            return scanned_bytes(found, 3).decode("utf-8", "replace")
        case _:
            raise ValueError("impossible IntOrString.Type")


def read_raw(buf: bytes, start: int, stop: int) -> Any:
    """Return the JSON that a message carries in its only field; null if it is empty."""
    raw = scanned_bytes(scan(buf, start, stop), 1)
    return orjson.loads(raw) if raw else None


def length_prefixed(tag: bytes, payload: bytes) -> bytes:
    """Return a length-delimited field."""
    return tag + encode_varint(len(payload)) + payload


def write_string(value: Any) -> bytes:
    """Return a text's bytes."""
    return bytes(value.encode("utf-8", "surrogatepass"))


def write_bytes(value: Any) -> bytes:
    """Return the bytes that base64 stands for."""
    return binascii.a2b_base64(value, strict_mode=True)


def write_quantity(value: Any) -> bytes:
    """Return a quantity's message."""
    return length_prefixed(b"\x0a", str(value).encode())


def write_time(value: Any) -> bytes:
    """Return a time's message, whole seconds or finer."""
    elapsed = times.parse_time(value) - _EPOCH
    seconds, rest = divmod(elapsed, timedelta(seconds=1))
    if seconds == _ZERO_SECONDS and not rest:
        return b""
    nanos = rest // timedelta(microseconds=1) * 1000
    return b"\x08" + encode_varint(seconds) + b"\x10" + encode_varint(nanos)


def write_int_or_string(value: Any) -> bytes:
    """Return the message of a number or a text."""
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + length_prefixed(b"\x1a", value.encode())
    return b"\x08\x00\x10" + encode_varint(value) + b"\x1a\x00"


def write_raw(value: Any) -> bytes:
    """Return a message that carries JSON."""
    return length_prefixed(b"\x0a", orjson.dumps(value))

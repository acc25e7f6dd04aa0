"""CBOR bodies as Kubernetes writes them: one self-described item, strings as byte strings.

    d9 d9 f7 | item          the prefix is tag 55799; watch events follow each other like that

Decoding gives exactly what the same object in JSON would give, or refuses: byte strings become
text (or their base64, base64url or base16 form under tags 22, 21 and 23), times under tags 0 and 1
become RFC 3339 text, other tags vanish, and whatever JSON lacks is an error: NaN, infinities,
bignums, integers beyond 64 bits, undefined, keys that are no strings, duplicate keys.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final

import cbor2

PREFIX: Final = b"\xd9\xd9\xf7"

# JSON bodies are refused beyond about as many levels; upstream's 10,000 need its growing stacks.
_DEPTH_MAX: Final = 500
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def decode(body: bytes) -> Any:
    """Return the one item of `body`.

    Raises:
        ValueError: it is malformed or says what JSON cannot; worded for the client.
    """
    if not body:
        raise ValueError("cbor: unexpected end of data")
    start = len(PREFIX) if body.startswith(PREFIX) else 0
    reader = cbor2.CBORDecoder(
        BytesIO(body[start:] if start else body),
        tag_hook=_content_of,
        semantic_decoders=_TAGS,
        max_depth=_DEPTH_MAX,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        item = _plain(reader.decode())
    except cbor2.CBORDecodeEOF as error:
        raise ValueError("cbor: unexpected end of data") from error
    except cbor2.CBORDecodeError as error:
        raise ValueError(f"cbor: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ValueError("cbor: invalid UTF-8 string") from error
    except RecursionError as error:
        raise ValueError("cbor: exceeded max depth") from error
    if not _is_exhausted(reader):
        raise ValueError("cbor: extraneous data after the first item")
    return item


def encode(obj: Any) -> bytes:
    """Return a JSON-like value as a self-described item.

    Raises:
        ValueError: it holds NaN, an infinity or something that JSON has not.
    """
    try:
        return PREFIX + cbor2.dumps(obj, encoders=_ENCODERS)
    except cbor2.CBOREncodeError as error:
        raise ValueError(f"cbor: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return the words of the innermost error of ours or of cbor2: what went wrong."""
    cause: BaseException | None = error
    words = str(error)
    while cause is not None:
        if isinstance(cause, cbor2.CBORError | ValueError):
            words = str(cause)
        cause = cause.__cause__
    return words.removeprefix("cbor: ")


def _is_exhausted(reader: cbor2.CBORDecoder) -> bool:
    try:
        reader.read(1)
    except cbor2.CBORDecodeEOF:
        return True
    return False


def _plain(value: Any) -> Any:
    """Return a decoded item as JSON-like data; dicts and lists are new."""
    kind = value.__class__
    if kind is bytes:
        return value.decode()
    if kind is dict:
        result = {
            (key.decode() if key.__class__ is bytes else key): (
                item.decode() if item.__class__ is bytes else _plain(item)
            )
            for key, item in value.items()
        }
        # The decoder itself takes the byte string and the text string of a key for two keys.
        if len(result) != len(value):
            raise ValueError("cbor: found duplicate map key")
        return result
    if kind is list:
        return [_plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            if not _INT_MIN <= value <= _INT_MAX:
                raise ValueError(f"cbor: integer {value} overflows int64")
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError("cbor: NaN and infinity are not accepted")
            return value
        case _:
            raise ValueError("cbor: simple values other than true, false and null are not accepted")


# Tags ---------------------------------------------------------------------------------------


def _content_of(tag: cbor2.CBORTag, _immutable: bool) -> Any:  # noqa: FBT001 - cbor2 calls it so
    return tag.value


def _same(value: Any, _immutable: bool) -> Any:  # noqa: FBT001
    return value


def _refuse_bignum(_value: Any, _immutable: bool) -> Any:  # noqa: FBT001
    raise ValueError("cbor: bignum is not accepted")


def _time_text(value: Any, _immutable: bool) -> str:  # noqa: FBT001
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str) or _RFC3339.fullmatch(text) is None:
        raise ValueError("cbor: tag 0 must hold an RFC 3339 time")
    return text


def _epoch_time(value: Any, _immutable: bool) -> str:  # noqa: FBT001
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("cbor: tag 1 must hold a number of seconds")
    try:
        moment = _EPOCH + timedelta(seconds=value)
    except OverflowError as error:
        raise ValueError("cbor: tag 1 holds a time out of range") from error
    text = f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0")
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    return f"{text}{fraction}Z"


def _later(encoder: Callable[[bytes], bytes]) -> Callable[[Any, bool], Any]:
    """Return what makes byte strings under an "expected later encoding" tag into that text."""

    def decoder(value: Any, _immutable: bool) -> Any:  # noqa: FBT001
        return encoder(value).decode() if isinstance(value, bytes) else value

    return decoder


def _base64url(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def _base16(value: bytes) -> bytes:
    return value.hex().encode()


# All tags that cbor2 would make Python objects of are listed; its `tag_hook` has the others.
_TAGS: Final[dict[int, Callable[[Any, bool], Any]]] = {
    **dict.fromkeys(
        (4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
        _same,
    ),
    0: _time_text,
    1: _epoch_time,
    2: _refuse_bignum,
    3: _refuse_bignum,
    21: _later(_base64url),
    22: _later(base64.b64encode),
    23: _later(_base16),
}


# Encoding -----------------------------------------------------------------------------------


def _encode_text(encoder: cbor2.CBOREncoder, value: str) -> None:
    encoder.encode_bytes(value.encode())


def _encode_float(encoder: cbor2.CBOREncoder, value: float) -> None:
    """Write a float in the fewest bytes that keep its value."""
    if not math.isfinite(value):
        raise ValueError("cbor: NaN and infinity are not accepted")
    for lead, layout in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(layout, value)
        except OverflowError:
            continue
        if struct.unpack(layout, packed)[0] == value:
            encoder.write(lead + packed)
            return
    encoder.write(b"\xfb" + struct.pack(">d", value))


_ENCODERS: Final[dict[type, Callable[[cbor2.CBOREncoder, Any], Any]]] = {
    str: _encode_text,
    float: _encode_float,
}

"""CBOR bodies as Kubernetes writes them: one self-described item, strings as byte strings.

    d9 d9 f7 | item          the prefix is tag 55799; watch events follow each other like that

Decoding gives exactly what the same object in JSON would give, or refuses: byte strings become
text (or their base64, base64url or base16 form under tags 22, 21 and 23), times under tags 0 and 1
become RFC 3339 text, other tags vanish, and whatever JSON lacks is an error: NaN, infinities,
bignums, integers beyond 64 bits, undefined, keys that are no strings, duplicate keys. Refusals are
worded as those of upstream's decoder, as far as what was found tells.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any, Final

import cbor2

from kube.cbor_items import encode_item

PREFIX: Final = b"\xd9\xd9\xf7"

# JSON bodies are refused beyond about as many levels; upstream's 10,000 need its growing stacks.
_DEPTH_MAX: Final = 500
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_UNDEFINED: Final = 23
_KNOWN_KEYS_MAX: Final = 4096
_KNOWN_KEY_BYTES_MAX: Final = 64
_TOO_DEEP: Final = f"cbor: exceeded max nested level {_DEPTH_MAX}"


class Malformed(ValueError):
    """The bytes are no CBOR item at all; other refusals are of items with no meaning in JSON."""


def decode(body: bytes) -> Any:
    """Return the one item of `body`.

    Raises:
        ValueError: it is malformed (`Malformed`) or says what JSON cannot; worded for the client.
    """
    if not body:
        raise Malformed("EOF")
    stream = BytesIO(body)
    reader = cbor2.CBORDecoder(
        stream,
        tag_hook=_content_of,
        semantic_decoders=_TAGS,
        max_depth=_DEPTH_MAX,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        item = reader.decode()
        if stream.tell() != len(body):
            end = stream.tell()
            raise Malformed(
                f"cbor: {len(body) - end} bytes of extraneous data starting at index {end}"
            )
        kind = item.__class__
        return _plain(item) if kind is dict or kind is list else _scalar(item)
    except cbor2.CBORDecodeEOF as error:
        raise Malformed("unexpected EOF") from error
    except cbor2.CBORDecodeError as error:
        raise _refusal(error) from error
    except UnicodeDecodeError as error:
        raise ValueError("cbor: invalid UTF-8 string") from error
    except RecursionError as error:
        raise Malformed(_TOO_DEEP) from error


def encode(obj: Any) -> bytes:
    """Return a JSON-like value as a self-described item.

    Raises:
        ValueError: it holds NaN, an infinity or something that JSON has not.
    """
    return PREFIX + encode_item(obj)


def type_name(value: Any) -> str:
    """Return the name that upstream's decoder has for what a value was decoded from."""
    match value:
        case bool() | float() | None:
            return "primitives"
        case int():
            return "positive integer" if value >= 0 else "negative integer"
        case str():
            return "byte string"
        case list():
            return "array"
        case _:
            return "map"


def _refusal(error: cbor2.CBORDecodeError) -> ValueError:
    """Return what to tell the client of an error of cbor2, or of ours inside it."""
    cause: BaseException | None = error
    words = str(error)
    while cause is not None:
        if isinstance(cause, UnicodeDecodeError):
            return ValueError("cbor: invalid UTF-8 string")
        if isinstance(cause, RecursionError):
            return Malformed(_TOO_DEEP)
        if isinstance(cause, ValueError):
            return cause
        words = str(cause)
        cause = cause.__cause__
    if "nesting depth" in words:
        return Malformed(_TOO_DEEP)
    _, found, key = words.partition("Duplicate map key: ")
    if found:
        return _duplicate(key.removeprefix("b")[1:-1])
    if "map key must be" in words:
        return ValueError(f"cbor: {words}")
    return Malformed(f"cbor: {words}")


def _duplicate(key: str) -> ValueError:
    return ValueError(f'cbor: found duplicate map key "{key}"')


def _not_accepted(cbor_type: str, what: str) -> str:
    return f"cbor: data item of cbor type {cbor_type} is not accepted by protocol: {what}"


class _Keys(dict[Any, str]):
    """The texts of keys seen, by what they were read as: objects have few different ones."""

    def __missing__(self, key: bytes | str) -> str:
        text = key.decode() if key.__class__ is bytes else key
        assert isinstance(text, str)
        if len(key) <= _KNOWN_KEY_BYTES_MAX:
            if len(self) >= _KNOWN_KEYS_MAX:
                self.clear()
            self[key] = text
        return text


_KEYS: Final = _Keys()


def _plain(value: Any) -> Any:
    """Return a decoded dict or list as JSON-like data, new but for what was plain before."""
    if value.__class__ is dict:
        result: dict[str, Any] = {}
        keys = _KEYS
        for key, item in value.items():
            kind = item.__class__
            if kind is bytes:
                result[keys[key]] = item.decode()
            elif kind is dict or kind is list:
                result[keys[key]] = _plain(item)
            else:
                result[keys[key]] = item if kind is str else _scalar(item)
        # The decoder itself takes the byte string and the text string of a key for two keys.
        if len(result) != len(value):
            raise _duplicate(next(key for key in result if {key, key.encode()} <= value.keys()))
        return result
    for at, item in enumerate(value):
        kind = item.__class__
        if kind is bytes:
            value[at] = item.decode()
        elif kind is dict or kind is list:
            value[at] = _plain(item)
        elif kind is not str:
            value[at] = _scalar(item)
    return value


def _scalar(value: Any) -> Any:
    kind = value.__class__
    if kind is int:
        if _INT_MIN <= value <= _INT_MAX:
            return value
        sign = "positive" if value > 0 else "negative"
        raise ValueError(
            f"cbor: cannot unmarshal {sign} integer into Go value of type int64 "
            f"({value} overflows Go's int64)"
        )
    if kind is str or kind is bool or value is None:
        return value
    if kind is bytes:
        return value.decode()
    if kind is float:
        if math.isfinite(value):
            return value
        what = "NaN" if math.isnan(value) else "infinity"
        raise ValueError(_not_accepted("primitives", f"floating-point {what}"))
    # Under a tag that it does not know the decoder makes containers that can be hashed.
    if kind is tuple:
        return _plain(list(value))
    if kind is cbor2.frozendict:
        return _plain(dict(value))
    number = value.value if kind is cbor2.CBORSimpleValue else _UNDEFINED
    raise ValueError(_not_accepted("primitives", f"simple value {number} is not recognized"))


# Tags ---------------------------------------------------------------------------------------


def _content_of(tag: cbor2.CBORTag, _immutable: bool) -> Any:  # noqa: FBT001 - cbor2 calls it so
    return tag.value


def _same(value: Any, _immutable: bool) -> Any:  # noqa: FBT001
    return value


def _refuse_bignum(_value: Any, _immutable: bool) -> Any:  # noqa: FBT001
    raise ValueError(_not_accepted("tag", "bignum"))


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

"""CBOR against references: JSON, cbor2 without our options, and a plain reading of RFC 8949."""

from __future__ import annotations

import base64
import math
import time
import tracemalloc
from typing import Any, Final

import cbor2
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kube import codec_cbor

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=40,
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text()
    | st.binary(max_size=40)
    | st.builds(cbor2.CBORSimpleValue, st.integers(0, 19) | st.integers(32, 255)),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text() | st.binary(max_size=8) | st.integers(), inner, max_size=5)
        | st.builds(cbor2.CBORTag, st.sampled_from([21, 22, 23, 24, 32, 37, 55799, 99_999]), inner)
    ),
    max_leaves=25,
)
_LATER: Final = {
    21: lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="),
    22: base64.b64encode,
    23: lambda raw: raw.hex().encode(),
}
_BOMB_S_MAX: Final = 2.0
_BOMB_BYTES_MAX: Final = 64 << 20


@given(JSON)
@settings(max_examples=300)
def test_what_is_written_is_read_as_the_same_json(value: Any) -> None:
    read = codec_cbor.decode(codec_cbor.encode(value))
    assert orjson.dumps(read) == orjson.dumps(value)


@given(JSON)
@settings(max_examples=200)
def test_what_is_written_is_what_the_reference_encoder_writes_of_byte_strings(value: Any) -> None:
    written = codec_cbor.encode(value).removeprefix(codec_cbor.PREFIX)
    assert _same(cbor2.loads(written), _as_written(value))


@given(JSON, st.booleans())
@settings(max_examples=200)
def test_text_strings_and_indefinite_lengths_say_the_same(value: Any, indefinite: bool) -> None:  # noqa: FBT001
    text = cbor2.dumps(value, indefinite_containers=indefinite)
    assert _same(codec_cbor.decode(text), value)


@given(ANYTHING)
@settings(max_examples=500)
@example({"a": {"b": 1}, b"a": 2})
@example([cbor2.CBORTag(22, {"a": b"\xff"})])
def test_what_is_read_is_what_the_reference_reads_or_is_refused(value: Any) -> None:
    _check_against_reference(cbor2.dumps(value))


@given(JSON, st.data())
@settings(max_examples=500)
def test_damaged_items_are_refused_or_read_as_the_reference_reads_them(
    value: Any, data: st.DataObject
) -> None:
    body = bytearray(codec_cbor.encode({"k": value, "more": [value]}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    _check_against_reference(bytes(body))


@given(st.binary(max_size=60))
@example(b"\xc1\x00")
@settings(max_examples=500)
def test_random_bytes_are_refused_or_read_as_the_reference_reads_them(body: bytes) -> None:
    _check_against_reference(body)


BOMBS: Final = {
    "nested arrays": b"\x81" * 3_000_000,
    "nested indefinite maps": b"\xbf\x41a" * 1_000_000,
    "nested tags": b"\xc6" * 3_000_000,
    "array of 2**32 - 1": b"\x9a\xff\xff\xff\xff\x00",
    "array of 2**63": b"\x9b" + b"\x7f" + b"\xff" * 7,
    "map of 2**63": b"\xbb" + b"\x7f" + b"\xff" * 7 + b"\x41a",
    "bytes of 2**63": b"\x5b" + b"\x7f" + b"\xff" * 7 + b"a",
    "bytes of 2**31": b"\x5a\x7f\xff\xff\xff",
    "arrays in an array": b"\x9f" + b"\x9b\x00\x00\x00\x00\x7f\xff\xff\xff" * 300,
    "bignum": b"\xc2\x5a\x00\x2d\x00\x00" + b"\xff" * 0x2D0000,
    "exponent": b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",
    "years": b"\xc1\x1b\x7f\xff\xff\xff\xff\xff\xff\xff",
    "regular expression": b"\xd8\x23\x78\x20" + b"(a+)+" * 6 + b"$$",
    "chunks": b"\x5f" + b"\x40" * 3_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_short_body_takes_little_time_and_memory(name: str) -> None:
    body = BOMBS[name]
    tracemalloc.start()
    began_s = time.process_time()
    try:
        codec_cbor.decode(body)
    except ValueError:
        pass
    finally:
        took_s = time.process_time() - began_s
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert took_s < _BOMB_S_MAX
    assert peak < _BOMB_BYTES_MAX


def _check_against_reference(body: bytes) -> None:
    try:
        read = codec_cbor.decode(body)
    except ValueError:
        # What the reference reads without loss must not have been refused.
        try:
            meant = _plain(_reference(body))
        except (_NoJson, cbor2.CBORDecodeError):
            return
        raise AssertionError(f"{body.hex()} was refused, and means {meant!r}") from None
    try:
        meant = _plain(_reference(body))
    except _OwnTests:
        return
    assert _same(read, meant)


class _NoJson(Exception):
    """Something that JSON cannot say."""


class _OwnTests(_NoJson):
    """Times and large numbers, which the reference knows nothing of."""


class _Pairs(list[tuple[Any, Any]]):
    """A map as it stands in the item, duplicates and all."""


def _reference(body: bytes) -> Any:
    """Return an item, read by the fewest means: tags as tags, maps as pairs."""
    item, end = _item(body, 0)
    if end != len(body):
        raise _NoJson
    return item


def _item(body: bytes, at: int) -> tuple[Any, int]:
    """Return the item at `at` and where the next begins (RFC 8949, Appendix C)."""
    if at >= len(body):
        raise _NoJson
    major, info = body[at] >> 5, body[at] & 0x1F
    at += 1
    if 28 <= info <= 30 or (info == 31 and major in (0, 1, 6)):
        raise _NoJson
    number = info
    if 24 <= info <= 27:
        width = 1 << (info - 24)
        if at + width > len(body):
            raise _NoJson
        number = int.from_bytes(body[at : at + width], "big")
        at += width
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major < 4:
        return _string(body, at, major, None if info == 31 else number)
    if major < 6:
        return _container(body, at, major, None if info == 31 else number)
    if major == 6:
        content, at = _item(body, at)
        return cbor2.CBORTag(number, content), at
    return _simple(body, at, info, number), at


def _string(body: bytes, at: int, major: int, length: int | None) -> tuple[Any, int]:
    if length is None:
        parts: list[Any] = []
        while body[at : at + 1] != b"\xff":
            if at >= len(body) or body[at] >> 5 != major or body[at] & 0x1F == 31:
                raise _NoJson
            part, at = _item(body, at)
            parts.append(part)
        return (b"" if major == 2 else "").join(parts), at + 1
    raw = body[at : at + length]
    if len(raw) < length:
        raise _NoJson
    try:
        return (raw if major == 2 else raw.decode()), at + length
    except UnicodeDecodeError as error:
        raise _NoJson from error


def _container(body: bytes, at: int, major: int, count: int | None) -> tuple[Any, int]:
    found: list[Any] = []
    wanted = None if count is None else count * (major - 3)
    while len(found) != wanted:
        if wanted is None and body[at : at + 1] == b"\xff":
            at += 1
            break
        item, at = _item(body, at)
        found.append(item)
    if major == 4:
        return found, at
    if len(found) % 2:
        raise _NoJson
    return _Pairs(zip(found[::2], found[1::2], strict=True)), at


def _simple(body: bytes, at: int, info: int, number: int) -> Any:
    if info in (20, 21, 22):
        return (False, True, None)[info - 20]
    if info in (25, 26, 27):
        return cbor2.loads(body[at - (1 << (info - 24)) - 1 : at])
    raise _NoJson(number)


def _plain(value: Any) -> Any:
    """Return a reference item as JSON, by the rules that upstream states."""
    if isinstance(value, _Pairs):
        result: dict[str, Any] = {}
        for key, item in value:
            name = _plain(key)
            if not isinstance(name, str) or name in result:
                raise _NoJson
            result[name] = _plain(item)
        return result
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, cbor2.CBORTag):
        return _untagged(value.tag, value.value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise _NoJson from error
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise _NoJson
    if isinstance(value, float) and not math.isfinite(value):
        raise _NoJson
    return value


def _untagged(tag: int, content: Any) -> Any:
    if tag in (0, 1, 2, 3):
        raise _OwnTests
    if tag in _LATER:
        # Tags in between say nothing to us.
        inner = content
        while isinstance(inner, cbor2.CBORTag) and inner.tag not in (0, 1, 2, 3, *_LATER):
            inner = inner.value
        if isinstance(inner, bytes):
            return _LATER[tag](inner).decode()
    return _plain(content)


def _as_written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key.encode(): _as_written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def _same(found: Any, wanted: Any) -> bool:
    """Tell equality that knows 1 from 1.0 and from True."""
    if type(found) is not type(wanted):
        return False
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(_same(found[k], wanted[k]) for k in found)
    if isinstance(found, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    return bool(found == wanted)

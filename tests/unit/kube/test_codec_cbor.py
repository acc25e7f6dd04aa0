"""CBOR bodies: what is read, what is refused, what is written."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from kube import codec_cbor

# Examples of RFC 8949, Appendix A, that have a meaning in JSON.
READ = [
    ("00", 0),
    ("1818", 24),
    ("1b000000e8d4a51000", 1000000000000),
    ("1b7fffffffffffffff", 2**63 - 1),
    ("3b7fffffffffffffff", -(2**63)),
    ("20", -1),
    ("f93c00", 1.0),
    ("fb3ff199999999999a", 1.1),
    ("f90001", 5.960464477539063e-8),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("40", ""),
    ("4161", "a"),
    ("62c3bc", "ü"),
    ("42c3bc", "ü"),
    ("80", []),
    ("a0", {}),
    ("a24161016162820203", {"a": 1, "b": [2, 3]}),
    ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
    ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
    ("7f657374726561646d696e67ff", "streaming"),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_items_read_as_their_json_equivalents(text: str, value: object) -> None:
    got = codec_cbor.decode(bytes.fromhex(text))
    assert got == value
    assert type(got) is type(value)


def test_indefinite_byte_strings_are_joined() -> None:
    assert codec_cbor.decode(bytes.fromhex("5f42616241 63ff")) == "abc"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("c054323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("c11a514b67b0", "2013-03-21T20:04:00Z"),
        ("c1fb41d452d9ec200000", "2013-03-21T20:04:00.5Z"),
        ("d54401ff0304", "Af8DBA"),
        ("d64401ff0304", "Af8DBA=="),
        ("d74401020304", "01020304"),
        ("d818456449455446", "dIETF"),
        ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", "http://www.example.com"),
        ("d9d9f7a16161d9d9f7a0", {"a": {}}),
        ("d81c80", []),
        ("d9010280", []),
        ("a1d8184161f5", {"a": True}),
        ("da000186a0a24161d818814162416380", {"a": ["b"], "c": []}),
    ],
)
def test_tags_become_text_or_vanish(text: str, value: object) -> None:
    assert codec_cbor.decode(bytes.fromhex(text)) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "^EOF$"),
        ("d9d9f7", "^unexpected EOF$"),
        ("a1", "^unexpected EOF$"),
        ("6261", "^unexpected EOF$"),
        ("9b00000000ffffffff00", "^unexpected EOF$"),
        ("0000", "^cbor: 1 bytes of extraneous data starting at index 1$"),
        ("1bffffffffffffffff", "positive integer .* of type int64 .18446744073709551615 overflows"),
        (
            "3bffffffffffffffff",
            "negative integer .* of type int64 .-18446744073709551616 overflows",
        ),
        ("c249010000000000000000", "bignum"),
        ("c349010000000000000000", "bignum"),
        ("f97e00", "not accepted by protocol: floating-point NaN"),
        ("fb7ff0000000000000", "not accepted by protocol: floating-point infinity"),
        ("f7", "simple value 23 is not recognized"),
        ("f0", "simple value 16 is not recognized"),
        ("f8ff", "simple value 255 is not recognized"),
        ("a201020304", "map key"),
        ("a1f501", "map key"),
        ("a2416101416102", '^cbor: found duplicate map key "a"$'),
        ("a2616101416102", '^cbor: found duplicate map key "a"$'),
        ("61ff", "^cbor: invalid UTF-8 string$"),
        ("41ff", "^cbor: invalid UTF-8 string$"),
        ("a141ff00", "^cbor: invalid UTF-8 string$"),
        ("c06161", "RFC 3339"),
        ("c16161", "number of seconds"),
        ("c11b7fffffffffffffff", "out of range"),
        ("ff", "break|stop"),
        ("81" * 501 + "00", "^cbor: exceeded max nested level 500$"),
    ],
)
def test_what_json_cannot_say_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec_cbor.decode(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["", "d9d9f7", "0000", "1c", "ff", "81" * 501 + "00"])
def test_what_is_no_item_is_told_from_an_item_without_meaning(text: str) -> None:
    with pytest.raises(codec_cbor.Malformed):
        codec_cbor.decode(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["a2616101416102", "a2616101616102", "f7", "41ff", "a10102"])
def test_an_item_without_meaning_is_well_formed(text: str) -> None:
    with pytest.raises(ValueError, match=r"^cbor: ") as caught:
        codec_cbor.decode(bytes.fromhex(text))
    assert not isinstance(caught.value, codec_cbor.Malformed)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "b"}, "a141614162"),
        (["ü", 1, -1, None, True], "8542c3bc0120f6f5"),
        (1.0, "f93c00"),
        (100000.0, "fa47c35000"),
        (1.1, "fb3ff199999999999a"),
        ({}, "a0"),
        ([23, 24, -24, -25, 255, 256, 65535, 65536], "8817181837381818ff19010019ffff1a00010000"),
        ([2**32 - 1, 2**32, 2**63 - 1], "831affffffff1b00000001000000001b7fffffffffffffff"),
        ([-(2**63)], "813b7fffffffffffffff"),
        ([2**63, 2**64 - 1], "82fa5f000000fa5f800000"),
        ({"d": b"\1\2"}, "a14164d6420102"),
        ("a" * 24, "5818" + "61" * 24),
    ],
)
def test_items_are_written_self_described_with_byte_strings_and_short_floats(
    value: object, text: str
) -> None:
    assert codec_cbor.encode(value) == codec_cbor.PREFIX + bytes.fromhex(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_numbers_without_json_form_are_not_written(value: object) -> None:
    with pytest.raises(ValueError, match="NaN and infinity"):
        codec_cbor.encode(value)


@pytest.mark.parametrize("value", [{"a": {1}}, [object()], {1: 2}.keys()])
def test_what_has_no_json_form_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match=r"^cbor: "):
        codec_cbor.encode(value)


@pytest.mark.parametrize("count", [23, 24, 255, 256, 70_000])
def test_heads_of_any_length_are_written_as_the_reference_encoder_does(count: int) -> None:
    for value in (list(range(count)), {str(n): n for n in range(count)}, "x" * count):
        item = codec_cbor.encode(value)[len(codec_cbor.PREFIX) :]
        assert cbor2.loads(item) == _with_byte_strings(value)
        assert item == cbor2.dumps(_with_byte_strings(value))


def _with_byte_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {_with_byte_strings(key): _with_byte_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_byte_strings(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def test_more_different_strings_than_are_kept_change_nothing() -> None:
    for round_ in range(3):
        obj = {f"k{round_}-{n}": f"v{n}" for n in range(5000)}
        assert codec_cbor.decode(codec_cbor.encode(obj)) == obj


def test_one_list_twice_is_written_twice() -> None:
    shared = ["x"]
    assert codec_cbor.decode(codec_cbor.encode({"a": shared, "b": shared})) == {
        "a": ["x"],
        "b": ["x"],
    }


def test_objects_survive_a_round_trip() -> None:
    obj = {"kind": "Pod", "spec": {"n": 3, "f": 0.25, "l": [{"b": False, "z": None}, "é"]}}
    assert codec_cbor.decode(codec_cbor.encode(obj)) == obj

"""The transaction's byte format: what goes in comes out, and nothing else is taken."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from xxhash import xxh3_64_digest

from storage.errors import CorruptTransaction, TransactionInvalid, UnsupportedTransaction
from storage.txn import (
    ABSENT,
    ANY,
    KEY_BYTES_MAX,
    OPS_MAX,
    SEALED_VERSION,
    Check,
    Compact,
    Delete,
    Init,
    Op,
    Put,
    decode,
    digest_of,
    encode,
)

ID = bytes(range(16))
PUT = Put("pods", "a", "x", b"\0\0", b'{"resourceVersion":""}', 20, ABSENT)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
names = texts.filter(bool)
expectations = st.integers(ANY, 1 << 60)


@st.composite
def puts(draw: st.DrawFn) -> Put:
    """Return any valid put."""
    body = draw(st.binary(max_size=300))
    return Put(
        draw(names),
        draw(texts),
        draw(names),
        draw(st.binary(max_size=100)),
        body,
        draw(st.integers(0, len(body))),
        draw(expectations),
        draw(st.integers(0, 1 << 60)),
    )


operations = st.one_of(
    puts(),
    st.builds(Delete, names, texts, names, expectations),
    st.builds(Check, names, texts, names, expectations),
    st.builds(Compact, st.integers(0, 1 << 60)),
    st.builds(Init, st.binary(min_size=16, max_size=16)),
)


@given(st.lists(operations, min_size=1, max_size=5, unique_by=lambda op: op[:3]))
def test_a_transaction_survives_its_record(ops: list[Op]) -> None:
    transaction = decode(encode(ops, ID))
    assert transaction.id == ID
    assert transaction.ops == tuple(ops)


@given(st.data())
def test_a_flipped_byte_is_refused(data: st.DataObject) -> None:
    record = bytearray(encode((PUT, Delete("pods", "a", "y")), ID))
    place = data.draw(st.integers(0, len(record) - 1))
    record[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises((CorruptTransaction, UnsupportedTransaction)):
        decode(bytes(record))


@given(st.integers(0, 200))
def test_a_cut_record_is_refused(length: int) -> None:
    record = encode((PUT,), ID)
    with pytest.raises(CorruptTransaction):
        decode(record[: min(length, len(record) - 1)])


def resealed(record: bytes, at: int, value: int) -> bytes:
    """Return a record with one byte changed and a digest that fits."""
    content = bytearray(record[:-8])
    content[at] = value
    return bytes(content) + xxh3_64_digest(bytes(content))


def test_a_newer_format_is_refused_as_such() -> None:
    with pytest.raises(UnsupportedTransaction, match="format 3 is newer than 2"):
        decode(resealed(encode((PUT,), ID), 0, SEALED_VERSION + 1))


def test_format_zero_is_damage() -> None:
    with pytest.raises(CorruptTransaction, match="no format 0"):
        decode(resealed(encode((PUT,), ID), 0, 0))


@pytest.mark.parametrize("kind", [0, 6, 255])
def test_an_unknown_operation_is_refused(kind: int) -> None:
    with pytest.raises(CorruptTransaction, match=f"no operation {kind}"):
        decode(resealed(encode((Delete("pods", "a", "x"),), ID), 19, kind))


@pytest.mark.parametrize(("at", "value"), [(17, 0), (17, 2), (20, 200), (24, 255)])
def test_lengths_that_do_not_add_up_are_refused(at: int, value: int) -> None:
    with pytest.raises(CorruptTransaction):
        decode(resealed(encode((PUT,), ID), at, value))


def test_records_of_equal_operations_differ() -> None:
    first, second = encode((PUT,), ID), encode((PUT,), bytes(16))
    assert digest_of(first) != digest_of(second)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (PUT._replace(name=""), "name is empty"),
        (PUT._replace(name="a\0b"), "NUL"),
        (PUT._replace(namespace="\0"), "NUL"),
        (PUT._replace(resource=""), "resource name"),
        (PUT._replace(resource="r" * 256), "resource name"),
        (PUT._replace(name="n" * KEY_BYTES_MAX), "more than"),
        (PUT._replace(splice_at=len(PUT.body) + 1), "splice point"),
        (PUT._replace(splice_at=-1), "splice point"),
        (PUT._replace(expected=-2), "expected revision"),
    ],
)
def test_what_no_replica_could_apply_is_not_encoded(op: Put, reason: str) -> None:
    with pytest.raises(TransactionInvalid, match=reason):
        encode((op,), ID)


def test_a_transaction_has_some_operations_but_not_too_many() -> None:
    with pytest.raises(TransactionInvalid):
        encode((), ID)
    with pytest.raises(TransactionInvalid):
        encode([Compact(1)] * (OPS_MAX + 1), ID)


def test_a_transaction_names_each_object_once() -> None:
    with pytest.raises(TransactionInvalid, match="at most once"):
        encode((PUT, Delete("pods", "a", "x")), ID)
    encode((PUT, Delete("nodes", "a", "x")), ID)

"""The byte format."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.client_reader import ReaderQueue
from journal.engine import Batch
from journal.errors import BadRequest
from journal.record import (
    FRAME_MAGIC,
    HEAD_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    check_body,
    decode_batches,
    decode_segment_header,
    encode_body,
    encode_frame,
    read_frame,
)

KEY = bytes(range(16))


def frame(records: list[bytes], sequence: int = 5, salt: int = 7) -> bytes:
    return b"".join(encode_frame(KEY + encode_body(records), salt, 256, sequence, 1234))


def test_a_frame_is_laid_out_as_drawn() -> None:
    data = frame([b"ab", b"", b"c"])
    assert data[:4] == FRAME_MAGIC
    length, group, first, stamp = struct.unpack_from("<IIQQ", data, 8)
    assert (length, group, first, stamp) == (len(data) - 8, 256, 5, 1234)
    assert data[32:48] == KEY
    assert data[HEAD_BYTES:] == struct.pack("<IIII", 3, 2, 0, 1) + b"abc"


@given(st.lists(st.lists(st.binary(max_size=50), min_size=1, max_size=5), max_size=5))
def test_batches_come_back_as_they_went_in(appends: list[list[bytes]]) -> None:
    data, sequence, expected = b"", 1, []
    for records in appends:
        data += frame(records, sequence)
        expected.append(Batch(sequence, 1234, tuple(records)))
        sequence += len(records)
    assert decode_batches(data) == expected
    for start in range(1, sequence):
        records = [record for batch in decode_batches(data, start) for record in batch.records]
        assert records == [record for batch in expected for record in batch.records][start - 1 :]


@given(st.integers(0, 8 * len(frame([b"abc"])) - 1))
def test_one_flipped_bit_anywhere_is_noticed(bit: int) -> None:
    data = bytearray(frame([b"abc"]))
    data[bit // 8] ^= 1 << bit % 8
    assert read_frame(bytes(data) + bytes(64), 0, 7) is None


def test_a_frame_of_another_segment_is_not_read() -> None:
    assert read_frame(frame([b"abc"], salt=7), 0, 7) is not None
    assert read_frame(frame([b"abc"], salt=7), 0, 8) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1\0\0\0",
        struct.pack("<II", 0, 0),
        struct.pack("<II", 1, 5) + b"four",
        struct.pack("<II", 1, 3) + b"four",
        struct.pack("<III", 2, 1, 9) + b"xy",
        struct.pack("<II", 0xFFFFFFFF, 1) + b"x",
    ],
)
def test_a_body_whose_lengths_do_not_add_up_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        check_body(KEY + body, 16)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=9))
def test_the_count_of_a_good_body_is_found(records: list[bytes]) -> None:
    assert check_body(KEY + encode_body(records), 16) == len(records)


def test_a_segment_header_comes_back_and_a_flipped_bit_in_it_is_noticed() -> None:
    header = SegmentHeader("apps.v1", 41, 0xDEADBEEF, 1234)
    data = header.encode()
    assert len(data) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(data, "path") == header
    damaged = data[:100] + b"\1" + data[101:]
    with pytest.raises(ValueError, match="fails its checksum"):
        decode_segment_header(damaged, "path")


def test_chunks_that_overlap_are_read_once_however_many_are_taken_together() -> None:
    first, second, third = (frame([b"%d" % at], at) for at in (1, 2, 3))
    reader = ReaderQueue(1, "s", 1)
    reader.push(3, first + second)
    reader.push(4, second + third)
    batches = asyncio.run(reader.take())
    assert [batch.first_sequence for batch in batches] == [1, 2, 3]

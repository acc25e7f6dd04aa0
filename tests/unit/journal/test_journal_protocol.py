"""Cutting and reading frames, addresses, errors on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journal.errors import (
    CorruptStream,
    JournalError,
    JournalFull,
    ProtocolError,
    SequenceAhead,
    SequenceTrimmed,
    StreamClosed,
)
from journal.protocol import (
    FrameSplitter,
    Kind,
    TcpAddress,
    UnixAddress,
    decode_appended,
    decode_error,
    decode_failed,
    encode,
    encode_appended,
    encode_error,
    encode_failed,
    parse_address,
)


@given(
    st.lists(st.tuples(st.sampled_from(list(Kind)), st.binary(max_size=300)), max_size=8),
    st.lists(st.integers(1, 400), min_size=1, max_size=40),
)
def test_frames_are_the_same_however_they_arrive(
    frames: list[tuple[Kind, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(encode(kind, payload) for kind, payload in frames)
    splitter, found, position, turn = FrameSplitter(), [], 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        found += splitter.feed(stream[position : position + size])
        position += size
        turn += 1
    assert found == [(int(kind), payload) for kind, payload in frames]


def test_a_frame_over_the_limit_is_refused_by_its_head_alone() -> None:
    splitter = FrameSplitter(frame_bytes_max=100)
    with pytest.raises(ProtocolError, match="101 bytes passes the limit of 100"):
        splitter.feed(encode(Kind.APPEND, bytes(101))[:5])


def test_acknowledgements_come_back_and_half_ones_are_refused() -> None:
    frame = encode_appended([1, 2, 3, 1 << 63])
    assert list(decode_appended(frame[5:])) == [1, 2, 3, 1 << 63]
    with pytest.raises(ProtocolError):
        decode_appended(frame[5:-1])


@pytest.mark.parametrize(
    "error",
    [
        SequenceTrimmed(17),
        SequenceAhead(4),
        CorruptStream("/data/pods/1.log", 99, "a frame fails its checksum"),
        StreamClosed("closed"),
        JournalFull("full"),
    ],
)
def test_an_error_means_the_same_on_the_other_side(error: JournalError) -> None:
    identity, found = decode_failed(encode_failed(8, error)[5:])
    assert identity == 8
    assert type(found) is type(error)
    assert (str(found), found.detail) == (str(error), error.detail)
    if isinstance(error, CorruptStream):
        assert isinstance(found, CorruptStream)
        assert (found.path, found.offset, found.reason) == (error.path, error.offset, error.reason)


def test_an_error_of_a_newer_service_is_a_plain_journal_error() -> None:
    frame = bytearray(encode_error(StreamClosed("why")))
    frame[5] = 200
    assert type(decode_error(bytes(frame[5:]))) is JournalError


def test_addresses() -> None:
    assert parse_address("unix:/run/a:b") == UnixAddress("/run/a:b")
    assert parse_address("tcp:localhost:80") == TcpAddress("localhost", 80)
    assert parse_address("tcp:[::1]:80") == TcpAddress("::1", 80)


@pytest.mark.parametrize("text", ["", "unix:", "tcp:host", "tcp::80", "tcp:host:70000", "/run/x"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_address(text)

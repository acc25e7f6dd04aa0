"""SPDY/3.1 frames, as an exec's client reads and writes them."""

from __future__ import annotations

import zlib

import pytest

from kube.spdy import DATA_BYTES_MAX, Event, Kind, SpdyDecoder, SpdyEncoder, SpdyFault


def test_streams_get_odd_numbers_and_share_one_compressor() -> None:
    encoder, inflater = SpdyEncoder(), zlib.decompressobj()
    found = []
    for wanted, name in ((1, "error"), (3, "stdout")):
        number, frame = encoder.open([("streamType", name)])
        (event,) = SpdyDecoder().feed(frame)
        assert (number, event.kind, event.stream) == (wanted, Kind.SYN_STREAM, wanted)
        found.append(inflater.decompress(event.data[6:]))
    pair = b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0"
    assert found == [pair + b"\x05error", pair + b"\x06stdout"]


def test_data_is_given_out_as_it_comes_and_its_end_once() -> None:
    sent = SpdyEncoder.data(1, b"abcdef", ends=True) + SpdyEncoder.data(3, b"", ends=True)
    sent += SpdyEncoder.ping(2)
    decoder = SpdyDecoder()
    events = [event for at in range(len(sent)) for event in decoder.feed(sent[at : at + 1])]
    data = [event for event in events if event.kind is None and event.stream == 1]
    assert b"".join(event.data for event in data) == b"abcdef"
    assert [event.ends for event in data] == [False] * (len(data) - 1) + [True]
    assert events[-2:] == [Event(None, 3, b"", ends=True), Event(Kind.PING, 2)]


def test_frames_of_no_interest_are_skipped() -> None:
    settings = b"\x80\x03\x00\x04\x00\x00\x00\x04\0\0\0\0"
    assert list(SpdyDecoder().feed(settings + SpdyEncoder.ping(2))) == [Event(Kind.PING, 2)]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x80\x02\x00\x02\x00\x00\x00\x00",
        b"\x80\x03\x00\x02\x00" + (DATA_BYTES_MAX + 1).to_bytes(3, "big"),
        b"\xc8TTP/1.1 200",
    ],
    ids=["version", "length", "no SPDY"],
)
def test_what_is_no_spdy_3_is_a_fault(sent: bytes) -> None:
    with pytest.raises(SpdyFault):
        list(SpdyDecoder().feed(sent))

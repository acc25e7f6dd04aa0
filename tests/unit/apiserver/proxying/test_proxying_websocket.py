"""Websocket frames, as a server reads and writes them."""

from __future__ import annotations

import pytest

from apiserver.proxying.websocket import (
    FRAME_BYTES_MAX,
    CloseCode,
    Decoder,
    Frame,
    Opcode,
    ProtocolFault,
    accept_head,
    apply_mask,
    encode,
    is_key,
    offered_protocols,
)

_MASK = b"abcd"


def _client_frame(first: int, data: bytes) -> bytes:
    head = bytes((first, 0x80 | len(data))) if len(data) < 126 else b""
    if not head:
        head = bytes((first, 0x80 | 127)) + len(data).to_bytes(8, "big")
    return head + _MASK + apply_mask(data, _MASK)


def test_frames_are_found_however_the_bytes_come() -> None:
    sent = (
        _client_frame(0x02, b"one")
        + _client_frame(0x89, b"ping")
        + _client_frame(0x80, bytes(70_000))
        + _client_frame(0x82, b"")
    )
    wanted = [
        Frame(Opcode.BINARY, b"one", begins=True),
        Frame(Opcode.PING, b"ping", begins=True),
        Frame(Opcode.CONTINUATION, bytes(70_000), begins=False),
        Frame(Opcode.BINARY, b"", begins=True),
    ]
    assert list(Decoder().feed(sent)) == wanted
    decoder = Decoder()
    assert [frame for at in range(len(sent)) for frame in decoder.feed(sent[at : at + 1])] == wanted


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\x01x", CloseCode.PROTOCOL_ERROR),
        (b"\xc2\x81", CloseCode.PROTOCOL_ERROR),
        (_client_frame(0x83, b"x"), CloseCode.PROTOCOL_ERROR),
        (_client_frame(0x80, b"x"), CloseCode.PROTOCOL_ERROR),
        (_client_frame(0x02, b"x") + _client_frame(0x82, b"y"), CloseCode.PROTOCOL_ERROR),
        (_client_frame(0x09, b"x"), CloseCode.PROTOCOL_ERROR),
        (b"\x82\xff" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big"), CloseCode.TOO_LARGE),
    ],
    ids=["unmasked", "reserved", "unknown", "continues nothing", "nested", "split", "long"],
)
def test_what_no_client_may_send_is_a_fault(sent: bytes, code: CloseCode) -> None:
    with pytest.raises(ProtocolFault) as caught:
        list(Decoder().feed(sent))
    assert caught.value.code is code


def test_a_servers_frames_have_the_shortest_length_that_holds() -> None:
    assert encode(Opcode.BINARY, b"x") == b"\x82\x01x"
    assert encode(Opcode.BINARY, bytes(126))[:4] == b"\x82\x7e\x00\x7e"
    assert encode(Opcode.BINARY, bytes(65_536))[:10] == b"\x82\x7f" + (65_536).to_bytes(8, "big")


def test_the_handshake_is_that_of_the_rfcs_example() -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    assert is_key(key)
    assert not is_key(b"dGhl")
    assert not is_key(b"not base64 at all")
    head = accept_head(key, "v5.channel.k8s.io")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert head.endswith(b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n")
    assert offered_protocols([b"a, b", b"c,"]) == ["a", "b", "c"]

"""What exec, attach and port-forward need of SPDY/3.1, mostly as its client, without I/O.

The frames, as the draft draws them:

    data       0 | stream (31)              | flags (8) | length (24) | bytes
    control    1 | version (15) | type (16) | flags (8) | length (24) | payload

Invariants: header blocks are written without the preset dictionary, which zlib's own format allows;
those that come are given as they are, packed: whoever needs them unpacks them, with the dictionary
of `header_dictionary` where others have used it. Kubelets keep no windows, and neither do
we: a stream's pace is that of its connection.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

PROTOCOL: Final = b"SPDY/3.1"
DATA_BYTES_MAX: Final = 32 << 10
_VERSION: Final = 0x8003
_FIN: Final = 1
_STREAM_MASK: Final = (1 << 31) - 1


class Kind(IntEnum):
    """The types of control frames that mean something here."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GO_AWAY = 7


class SpdyFault(Exception):
    """The other side does not speak SPDY/3.1 as it must."""


class Event(NamedTuple):
    """What has come.

    Attributes:
        kind: of a control frame; None: it is data.
        stream: which it is about; of a PING its number.
        ends: whether nothing more comes on that stream.
    """

    kind: Kind | None
    stream: int
    data: bytes = b""
    ends: bool = False


class SpdyEncoder:
    """Makes a client's frames; streams are numbered as they are opened."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj()
        self._next = 1

    def open(self, headers: Sequence[tuple[str, str]], *, ends: bool = False) -> tuple[int, bytes]:
        """Return the number of a new stream, and the frame that opens it."""
        stream, self._next = self._next, self._next + 2
        block = len(headers).to_bytes(4, "big")
        for name, value in headers:
            for text in (name.lower().encode(), value.encode()):
                block += len(text).to_bytes(4, "big") + text
        packed = self._compressor.compress(block) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        payload = stream.to_bytes(4, "big") + bytes(6) + packed
        return stream, _control(Kind.SYN_STREAM, payload, _FIN if ends else 0)

    @staticmethod
    def data(stream: int, data: bytes, *, ends: bool = False) -> bytes:
        """Return a frame of data."""
        head = stream.to_bytes(4, "big") + bytes((_FIN if ends else 0,))
        return head + len(data).to_bytes(3, "big") + data

    @staticmethod
    def reply(stream: int, packed: bytes) -> bytes:
        """Return the answer to the opening of a stream.

        Args:
            stream: which.
            packed: a block of headers, packed with all before it.
        """
        return _control(Kind.SYN_REPLY, stream.to_bytes(4, "big") + packed, 0)

    @staticmethod
    def ping(number: int) -> bytes:
        """Return a ping, or the answer to one of that number."""
        return _control(Kind.PING, number.to_bytes(4, "big"), 0)


class SpdyDecoder:
    """Takes a server's bytes; data is given out as it comes, though its frame is not whole."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._stream = self._left = self._flags = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield what has come with some bytes.

        Raises:
            SpdyFault: nothing more can be read.
        """
        self._held += data
        while True:
            if self._left:
                if not self._held:
                    return
                yield self._data()
            elif len(self._held) < 8:
                return
            elif self._held[0] & 0x80:
                event = self._take_control()
                if event is None:
                    return
                if event.kind is not None:
                    yield event
            else:
                word, rest = _words(self._held)
                del self._held[:8]
                self._stream, self._flags, self._left = word, rest >> 24, rest & 0xFFFFFF
                if not self._left:
                    yield Event(None, word, b"", ends=bool(self._flags & _FIN))

    def _data(self) -> Event:
        part = bytes(self._held[: self._left])
        del self._held[: self._left]
        self._left -= len(part)
        return Event(None, self._stream, part, ends=not self._left and bool(self._flags & _FIN))

    def _take_control(self) -> Event | None:
        """Return a control frame, None if it is not whole; one of no interest has no kind."""
        word, rest = _words(self._held)
        if word >> 16 != _VERSION & 0x7FFF:
            raise SpdyFault("not a frame of SPDY/3")
        length = rest & 0xFFFFFF
        if length > DATA_BYTES_MAX:
            raise SpdyFault("a control frame is too long")
        if len(self._held) < 8 + length:
            return None
        payload = bytes(self._held[8 : 8 + length])
        del self._held[: 8 + length]
        try:
            kind = Kind(word & 0xFFFF)
        except ValueError:
            return _SKIPPED
        number = int.from_bytes(payload[:4], "big")
        if kind is not Kind.PING:
            number &= _STREAM_MASK
        return Event(kind, number, payload[4:], ends=bool(rest >> 24 & _FIN))


_SKIPPED: Final = Event(None, -1)


_COMMON_NAMES: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url "
    "public set-cookie keep-alive origin"
)
_COMMON_TEXTS: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203"
    " Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml"
    "+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset="
    "iso-8859-1,utf-,*,enq=0."
)
DICTIONARY_SUM: Final = 0xE3C6A7C2
"""By which zlib knows the dictionary: its Adler-32."""


def header_dictionary() -> bytes:
    """Return the dictionary with which SPDY/3 packs headers: names, then what is common."""
    names = [name.replace("_", " ").encode() for name in _COMMON_NAMES.split(" ")]
    words = b"".join(len(name).to_bytes(4, "big") + name for name in names)
    return words + _COMMON_TEXTS.encode()


def _words(held: bytearray) -> tuple[int, int]:
    word = int.from_bytes(held[:4], "big") & _STREAM_MASK
    return word, int.from_bytes(held[4:8], "big")


def _control(kind: Kind, payload: bytes, flags: int) -> bytes:
    head = _VERSION.to_bytes(2, "big") + kind.to_bytes(2, "big") + bytes((flags,))
    return head + len(payload).to_bytes(3, "big") + payload

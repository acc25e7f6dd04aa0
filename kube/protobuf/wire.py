"""The protobuf wire format: varints, tags, skipping, scanning of small messages.

Every function takes a place in `buf` and returns the next one. Reading past the end of `buf`
raises IndexError, which `kube.codec_protobuf` words; nothing here allocates by what a length says.
"""

from __future__ import annotations

from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
GROUP_START: Final = 3
GROUP_END: Final = 4
FIXED32: Final = 5

TRUNCATED: Final = "unexpected EOF"
_UINT64: Final = (1 << 64) - 1
_SHIFT_MAX: Final = 63
_GROUP_DEPTH_MAX: Final = 32


def rest_of_varint(buf: bytes, pos: int) -> tuple[int, int]:
    """Return the value of a varint whose first byte, before `pos`, says that more follow.

    Raises:
        ValueError: it is longer than ten bytes.
    """
    value = buf[pos - 1] & 0x7F
    shift = 7
    while True:
        byte = buf[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, pos
        shift += 7
        if shift > _SHIFT_MAX:
            raise ValueError("proto: integer overflow")


def read_varint(buf: bytes, pos: int) -> tuple[int, int]:
    """Return the varint at `pos`."""
    value = buf[pos]
    return (value, pos + 1) if value < 0x80 else rest_of_varint(buf, pos + 1)


def encode_varint(value: int) -> bytes:
    """Return an integer as a varint; negative ones as their 64-bit complement."""
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= _UINT64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL: Final = tuple(bytes((i,)) for i in range(0x80))


def encode_tag(number: int, wire_type: int) -> bytes:
    """Return what stands before a field."""
    return encode_varint(number << 3 | wire_type)


def skip(buf: bytes, pos: int, end: int, tag: int, depth: int = 0) -> int:
    """Return the place after the value of an unknown field.

    Raises:
        ValueError: there can be no such field, or it does not end in time.
    """
    wire_type = tag & 7
    if tag >> 3 == 0:
        raise ValueError(f"proto: illegal tag 0 (wire type {wire_type})")
    if wire_type == VARINT:
        _, pos = read_varint(buf, pos)
    elif wire_type == FIXED64:
        pos += 8
    elif wire_type == BYTES:
        size, pos = read_varint(buf, pos)
        pos += size
    elif wire_type == GROUP_START:
        pos = _skip_group(buf, pos, end, depth + 1)
    elif wire_type == FIXED32:
        pos += 4
    elif wire_type == GROUP_END:
        raise ValueError("proto: unexpected end of group")
    else:
        raise ValueError(f"proto: illegal wireType {wire_type}")
    if pos > end:
        raise ValueError(TRUNCATED)
    return pos


def _skip_group(buf: bytes, pos: int, end: int, depth: int) -> int:
    if depth > _GROUP_DEPTH_MAX:
        raise ValueError("proto: exceeded max depth")
    while pos < end:
        tag, pos = read_varint(buf, pos)
        if tag & 7 == GROUP_END:
            return pos
        pos = skip(buf, pos, end, tag, depth)
    raise ValueError(TRUNCATED)


def scan(buf: bytes, pos: int, end: int) -> dict[int, int | bytes]:
    """Return the last value of each varint and length-delimited field of a small message.

    Raises:
        ValueError: it is malformed.
    """
    found: dict[int, int | bytes] = {}
    while pos < end:
        tag, pos = read_varint(buf, pos)
        start = pos
        pos = skip(buf, pos, end, tag)
        if tag & 7 == VARINT:
            found[tag >> 3], _ = read_varint(buf, start)
        elif tag & 7 == BYTES:
            size, start = read_varint(buf, start)
            found[tag >> 3] = buf[start : start + size]
    if pos > end:
        raise ValueError(TRUNCATED)
    return found


def scanned_bytes(found: dict[int, int | bytes], number: int) -> bytes:
    """Return a scanned field that must be length-delimited; empty if absent.

    Raises:
        ValueError: it is not.
    """
    value = found.get(number, b"")
    if isinstance(value, bytes):
        return value
    raise ValueError(f"proto: wrong wireType = 0 for field number {number}")


def scanned_int(found: dict[int, int | bytes], number: int) -> int:
    """Return a scanned field that must be a signed 64-bit varint; 0 if absent.

    Raises:
        ValueError: it is not.
    """
    value = found.get(number, 0)
    if isinstance(value, int):
        return as_int64(value)
    raise ValueError(f"proto: wrong wireType = 2 for field number {number}")


def as_int64(value: int) -> int:
    """Return an unsigned 64-bit value as the signed one it stands for."""
    return value - (1 << 64) if value >> 63 else value


def as_int32(value: int) -> int:
    """Return the low 32 bits as a signed value."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value

"""The clear part of sealed bytes: which key they were sealed with.

    0        1         3         5         7              9
    +--------+---------+---------+---------+--------------+----------+--------+-----------+-------+
    | scheme | length of provider, key id, wrapped seed,  | provider | key id | wrapped   | notes |
    | u8     | notes: u16 each, little-endian             |          |        | seed      |       |
    +--------+---------+---------+---------+--------------+----------+--------+-----------+-------+

What follows is the scheme's own (storage/envelope.py). Scheme 0 is no seal: the bytes follow in the
clear, with no head but that byte. `provider` is upstream's prefix without its "k8s:enc:":
"aesgcm:v1:<key's name>" or "kms:v2:<provider's name>"; the other three are a KMS's own.

It is in a module of its own so that a server without keys can say which one it lacks.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from storage.errors import SealBroken

PLAIN: Final = 0
EXTENDED_GCM: Final = 1
PROVIDER_BYTES_MAX: Final = 1024
KEY_ID_BYTES_MAX: Final = 1024
WRAPPED_BYTES_MAX: Final = 1024
NOTES_BYTES_MAX: Final = 48 * 1024
_LENGTHS: Final = struct.Struct("<BHHHH")


class SealHead(NamedTuple):
    """Which key, and what its provider needs to have it again."""

    provider: str
    key_id: str = ""
    wrapped: bytes = b""
    notes: bytes = b""

    def encode(self) -> bytes:
        """Return the head's bytes.

        Raises:
            ValueError: a part is longer than it may be.
        """
        provider, key_id = self.provider.encode(), self.key_id.encode()
        limits = (PROVIDER_BYTES_MAX, KEY_ID_BYTES_MAX, WRAPPED_BYTES_MAX, NOTES_BYTES_MAX)
        parts = (provider, key_id, self.wrapped, self.notes)
        lengths = [len(part) for part in parts]
        if any(length > most for length, most in zip(lengths, limits, strict=True)):
            raise ValueError(f"a key's name, id, seed and notes have {lengths} bytes: too many")
        return _LENGTHS.pack(EXTENDED_GCM, *lengths) + b"".join(parts)

    @property
    def key(self) -> str:
        """The key, as an operator knows it."""
        kind, _, name = self.provider.partition(":")
        name = name.partition(":")[2]
        if self.key_id:
            return f"key id {self.key_id!r} of {kind} provider {name!r}"
        return f"{kind} key {name!r}"


def parse_head(sealed: bytes) -> tuple[SealHead, int]:
    """Return the head of sealed bytes of scheme EXTENDED_GCM, and where it ends.

    Raises:
        SealBroken: it is none.
    """
    if sealed[:1] != bytes((EXTENDED_GCM,)):
        raise SealBroken("it is sealed by a scheme that this program does not know")
    try:
        _, *lengths = _LENGTHS.unpack_from(sealed)
        parts: list[bytes] = []
        at = _LENGTHS.size
        for length in lengths:
            parts.append(sealed[at : at + length])
            at += length
        head = SealHead(parts[0].decode(), parts[1].decode(), parts[2], parts[3])
    except (struct.error, UnicodeDecodeError) as error:
        raise SealBroken("its seal is no seal: bytes were changed") from error
    if at > len(sealed):
        raise SealBroken("its seal is cut off")
    return head, at


def key_of(sealed: bytes) -> str:
    """Return which key something was sealed with, in words."""
    try:
        return parse_head(sealed)[0].key
    except SealBroken:
        return "a key that cannot be made out"

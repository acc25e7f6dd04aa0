"""Signing in to NATS by nkey: Ed25519 seeds in NATS's own spelling, and credentials files.

A seed is base32 of: two bytes with the kinds "seed" and "user", the 32 bytes of the key, and a
CRC-16 (XMODEM, little-endian) of all that. Nothing of a secret ever gets into a message.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED_KIND: Final = 18 << 3
_USER_KIND: Final = 20 << 3
_BLOCK: Final = re.compile(r"-{3,}BEGIN [^-]*-{3,}\s*([A-Za-z0-9_\-.=]+?)\s*-{3,}END [^-]*-{3,}")


class Signer:
    """The holder of a user's seed.

    Attributes:
        public: the user's public key, as the server's configuration names it.
    """

    def __init__(self, seed: str) -> None:
        """Read a seed.

        Raises:
            ValueError: it is none of a user.
        """
        raw = _decode(seed.strip())
        if len(raw) != 34 or raw[0] & 0xF8 != _SEED_KIND:
            raise ValueError("the file does not hold an nkey seed")
        if ((raw[0] & 7) << 5 | raw[1] >> 3) != _USER_KIND:
            raise ValueError("the nkey seed is not a user's")
        self._key = Ed25519PrivateKey.from_private_bytes(raw[2:])
        public = bytes([_USER_KIND]) + self._key.public_key().public_bytes_raw()
        checked = public + binascii.crc_hqx(public, 0).to_bytes(2, "little")
        self.public = base64.b32encode(checked).rstrip(b"=").decode()

    def sign(self, nonce: str) -> bytes:
        """Return the signature of what the server asks to be signed."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def read_credentials(text: str) -> tuple[bytes, Signer]:
    """Return the JWT and the signer of a credentials file.

    Raises:
        ValueError: it is none.
    """
    blocks = _BLOCK.findall(text)
    if len(blocks) != 2:
        raise ValueError("the file does not hold a JWT and a seed")
    return blocks[0].encode(), Signer(blocks[1])


def _decode(text: str) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error:
        raise ValueError("the file does not hold an nkey") from None
    if len(raw) < 3 or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise ValueError("the nkey fails its checksum")
    return raw[:-2]
